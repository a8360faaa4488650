"""COCO metrics of detections on a dataset, or of a results file on an annotation file."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from detkit.detections import Detections
from detkit.errors import ConfigError, DataError
from detkit.evaluation import coco_files
from detkit.evaluation.matching import precision_and_recall
from detkit.evaluation.metrics import Metrics, from_curves

if TYPE_CHECKING:
    from detkit.data import Dataset, Example


def evaluate(
    dataset: Dataset, detections: Sequence[Detections], *, max_detections: Sequence[int] = (1, 10, 100)
) -> Metrics:
    """The twelve COCO numbers and those of each class, by pycocotools.

    Classes are matched by name. A class that the detector does not know scores 0 and is named in
    `Metrics.warnings`. Detections on crowd boxes and on difficult boxes count neither for nor against the
    detector: on a crowd box the overlap is the share of the detection inside it (COCO), on a difficult
    box it is IoU (Pascal VOC).

    Args:
        dataset: the ground truth.
        detections: one for each example, in the dataset's order.
        max_detections: rising limits of detections per image; AP counts the last.

    Raises:
        DataError: for an empty dataset, another number of detections than images, boxes or scores that are
            not finite, or when detector and dataset share no class name.
        ConfigError: for limits that do not rise from 1.

    Example:
        >>> metrics = evaluate(dataset, detector.detect([example.image for example in dataset]))
        >>> print(metrics.table())
    """
    _check(dataset, detections, max_detections)
    warnings = _class_warnings(dataset, detections) + _size_warnings(dataset, detections)
    truth, found = [], []
    for image_id, index in enumerate(_evaluation_order(dataset)):
        truth += _truth(dataset[index], image_id)
        found += _found(dataset[index], detections[index], image_id, dataset.classes)
    return _metrics(truth, found, dataset.classes, len(dataset), max_detections, warnings)


def evaluate_files(
    annotations: str | Path, results: str | Path, *, max_detections: Sequence[int] = (1, 10, 100)
) -> Metrics:
    """The same for a COCO annotation file and a COCO results file, with the numbers of plain pycocotools.

    Args:
        annotations: JSON with `images`, `annotations` and `categories`.
        results: JSON list of {"image_id", "category_id", "bbox": [xmin, ymin, width, height], "score"}.
        max_detections: rising limits of detections per image; AP counts the last.

    Raises:
        DataError: for a file that is not what it should be; the message has the entry's number.
        ConfigError: for limits that do not rise from 1.
    """
    _check_limits(max_detections)
    truth, found, classes, images, warnings = coco_files.read(Path(annotations), Path(results))
    return _metrics(truth, found, classes, images, max_detections, warnings)


def _metrics(truth, found, classes, images: int, max_detections, warnings) -> Metrics:
    counted = [box["category_id"] for box in truth if not (box["iscrowd"] or box["ignore"])]
    if not counted:
        warnings = [*warnings, "the dataset has no boxes to find, so the numbers are undefined"]
    precision, recall = precision_and_recall(
        truth, found, images=images, classes=len(classes), max_detections=max_detections
    )
    return from_curves(
        precision,
        recall,
        classes=classes,
        boxes=np.bincount(counted, minlength=len(classes)).tolist() if counted else [0] * len(classes),
        max_detections=max_detections,
        images=images,
        detections=len(found),
        warnings=warnings,
    )


def _truth(example: Example, image_id: int) -> list[dict]:
    boxes = _xywh_pixels(example.boxes, example.size)
    areas = np.where(np.isnan(example.area), boxes[:, 2] * boxes[:, 3], example.area)
    return [
        {
            "image_id": image_id,
            "category_id": int(example.class_ids[n]),
            "bbox": boxes[n].tolist(),
            "area": float(areas[n]),
            "iscrowd": bool(example.crowd[n]),
            "ignore": bool(example.difficult[n]),
        }
        for n in range(len(boxes))
    ]


def _found(example: Example, detections: Detections, image_id: int, classes: Sequence[str]) -> list[dict]:
    boxes, scores = _xywh_pixels(detections.boxes, example.size), detections.scores.tolist()
    position = {name: k for k, name in enumerate(classes)}
    return [
        {"image_id": image_id, "category_id": position[name], "bbox": boxes[n].tolist(), "score": scores[n]}
        for n, name in enumerate(detections.labels)
        if name in position
    ]


def _xywh_pixels(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[N, 4] normalised [ymin, xmin, ymax, xmax] to float64 [N, 4] [xmin, ymin, width, height] in pixels."""
    height, width = size
    pixels = boxes.astype(np.float64) * [height, width, height, width]
    corner, extent = pixels[:, [1, 0]], pixels[:, [3, 2]] - pixels[:, [1, 0]]
    # Annotations are whole pixels or a few decimals; float32 blurs them by up to 1e-4 pixels, enough
    # to push an IoU of exactly 0.5 below the threshold.
    return np.round(np.concatenate([corner, extent], axis=1), 3)


def _evaluation_order(dataset: Dataset) -> list[int]:
    """Indices by rising image id, pycocotools' order, which decides among equal scores."""
    ids = [example.image_id for example in dataset]
    by_id = all(isinstance(image_id, int) for image_id in ids)
    return sorted(range(len(ids)), key=ids.__getitem__) if by_id else list(range(len(ids)))


def _check(dataset: Dataset, detections: Sequence[Detections], max_detections) -> None:
    _check_limits(max_detections)
    if not len(dataset):
        raise DataError(
            "There is nothing to evaluate on: the dataset has no images.",
            where=dataset.name or None,
            fix="Name a dataset with at least one annotated image.",
        )
    if len(detections) != len(dataset):
        raise DataError(
            "Each image needs its detections, in the dataset's order.",
            where=dataset.name or None,
            got=f"{len(detections)} detections for {len(dataset)} images",
            fix="Pass detector.detect(...) of all the images; one without objects has empty detections.",
        )
    for example, found in zip(dataset, detections, strict=True):
        _check_finite(example, found)


def _check_limits(limits: Sequence[int]) -> None:
    whole = len(limits) > 0 and all(isinstance(n, int) for n in limits)
    if not whole or limits[0] < 1 or any(a >= b for a, b in pairwise(limits)):
        raise ConfigError(
            "max_detections must be rising whole numbers from 1.", got=limits, expected="e.g. (1, 10, 100)"
        )


def _check_finite(example: Example, found: Detections) -> None:
    good = np.isfinite(found.boxes).all(axis=1) & np.isfinite(found.scores)
    if not good.all():
        n = int(np.argmin(good))
        raise DataError(
            "A detection has a box or a score that is not a finite number.",
            where=f"{example.label}, detection {n}",
            got=f"box {found.boxes[n].tolist()}, score {found.scores[n]}",
            fix="The detector may have diverged in training: look at its losses, lower the learning rate.",
        )


def _class_warnings(dataset: Dataset, detections: Sequence[Detections]) -> list[str]:
    known = list(dict.fromkeys(name for names in {d.classes: None for d in detections} for name in names))
    if not set(known) & set(dataset.classes):
        raise DataError(
            "Detector and dataset have no class in common.",
            got=f"detector: {_listed(known)}",
            expected=f"dataset: {_listed(dataset.classes)}",
            fix="Classes are matched by name: rename them in the label map or in the annotations, "
            "or fine-tune the detector on this dataset's classes.",
        )
    used = {int(class_id) for example in dataset for class_id in example.class_ids}
    missing = [dataset.classes[class_id] for class_id in sorted(used) if dataset.classes[class_id] not in known]
    return [f"the detector does not know these classes, they score 0: {_listed(missing)}"] if missing else []


def _size_warnings(dataset: Dataset, detections: Sequence[Detections]) -> list[str]:
    other = [e.label for e, d in zip(dataset, detections, strict=True) if tuple(d.size) != tuple(e.size)]
    if not other:
        return []
    return [
        f"{len(other)} images differ in size from what the annotations say, first {other[0]}: "
        "are the detections in the dataset's order?"
    ]


def _listed(names: Sequence[str], most: int = 20) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more
