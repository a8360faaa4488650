"""COCO metrics of detections on a dataset, or of a results file on an annotation file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from detkit.detections import Detections
from detkit.errors import ConfigError, DataError
from detkit.evaluation import coco_files, lvis, objects
from detkit.evaluation.matching import match
from detkit.evaluation.metrics import Metrics, from_curves, joined
from detkit.text import some

if TYPE_CHECKING:
    from detkit.data import Dataset, Example


def evaluate(
    dataset: Dataset,
    detections: Sequence[Detections],
    *,
    kind: str = "boxes",
    max_detections: Sequence[int] | None = None,
) -> Metrics:
    """The COCO numbers of boxes, masks or keypoints, and those of each class, by pycocotools.

    Classes are matched by name. A class that the detector does not know scores 0 and is named in
    `Metrics.warnings`. Detections on crowd boxes and on difficult boxes count neither for nor against the
    detector: on a crowd box the overlap is the share of the detection inside it (COCO), on a difficult
    box it is IoU (Pascal VOC). Objects without a mask count as difficult where masks are evaluated.

    Args:
        dataset: the ground truth.
        detections: one for each example, in the dataset's order.
        kind: "boxes", "masks" (IoU of masks) or "keypoints" (OKS; see `matching.match`).
        max_detections: rising limits of detections per image; AP counts the last. (1, 10, 100), for keypoints (20,).

    Raises:
        DataError: for an empty dataset, another number of detections than images, boxes or scores that are
            not finite, or when detector and dataset share no class name; for masks or keypoints that the dataset or
            the detections lack.
        ConfigError: for limits that do not rise from 1, or another kind.

    Example:
        >>> metrics = evaluate(dataset, detector.detect([example.image for example in dataset]))
        >>> print(metrics.table())
    """
    limits = _limits(kind, max_detections)
    _check(dataset, detections)
    _check_kind(dataset, detections, kind)
    warnings = _class_warnings(dataset, detections) + _size_warnings(dataset, detections)
    truth, found = [], []
    for image_id, index in enumerate(evaluation_order(dataset)):
        truth += objects.truth(dataset[index], image_id, kind)
        found += objects.found(dataset[index], detections[index], image_id, dataset.classes, kind)
    return _metrics(truth, found, dataset.classes, len(dataset), limits, warnings, kind)


def evaluate_all(dataset: Dataset, detections: Sequence[Detections]) -> Metrics:
    """`evaluate` for boxes, and for masks and keypoints where both the dataset and the detections have them.

    The numbers of masks are called "mask_AP", "mask_AP50", ..., those of keypoints "keypoint_AP", ...
    """
    parts = {"boxes": evaluate(dataset, detections)}
    for kind in objects.KINDS[1:]:
        if not _has(dataset, kind) or all(getattr(each, kind) is None for each in detections):
            continue
        if kind == "keypoints" and _keypoint_counts(detections) != {dataset.keypoint_count}:
            warning = "keypoints are not evaluated: detector and dataset differ in their number"
            parts["boxes"] = replace(parts["boxes"], warnings=(*parts["boxes"].warnings, warning))
            continue
        parts[kind] = evaluate(dataset, detections, kind=kind)
    return joined(parts)


def evaluate_files(
    annotations: str | Path,
    results: str | Path,
    *,
    kind: str | None = None,
    max_detections: Sequence[int] | None = None,
    score: float = 0.0,
) -> Metrics:
    """The same for a COCO annotation file and a COCO results file, with the numbers of plain pycocotools.

    As there, the area that makes a detection small, medium or large is that of its box if the first entry has one.
    Where the images say which classes were looked for, as those of LVIS do, its rules hold: 300 detections an image,
    those of other classes left out, and APr, APc and APf for rare, common and frequent classes.

    Args:
        annotations: JSON with `images`, `annotations` and `categories`.
        results: JSON list of {"image_id", "category_id", "score"} with "bbox": [xmin, ymin, width, height],
            "segmentation" or "keypoints".
        kind: "boxes", "masks" or "keypoints"; None for all that the first of the results has, named as in
            `evaluate_all`.
        max_detections: rising limits of detections per image; AP counts the last. As for `evaluate`.
        score: leave out detections below it, if it is above 0.

    Raises:
        DataError: for a file that is not what it should be; the message has the entry's number.
        ConfigError: for limits that do not rise from 1, or another kind.
    """
    for each in [kind] if kind else objects.KINDS:
        _limits(each, max_detections)
    files = coco_files.Files(Path(annotations), Path(results), score)
    parts = {}
    for each in [kind] if kind else files.kinds():
        truth, found, warnings = files.objects(each)
        limits = _limits(each, max_detections if files.federation is None else max_detections or (1, 10, lvis.MOST))
        parts[each] = _metrics(truth, found, files.classes, files.images, limits, warnings, each, files.federation)
    return parts[kind] if kind else joined(parts)


def _metrics(truth, found, classes, images: int, max_detections, warnings, kind: str, federation=None) -> Metrics:
    counted = [
        box["category_id"]
        for box in truth
        if not (box["iscrowd"] or box["ignore"] or (kind == "keypoints" and not box["num_keypoints"]))
    ]
    if not counted:
        warnings = [*warnings, f"the dataset has no {kind} to find, so the numbers are undefined"]
    precision, recall, matches = match(
        truth,
        found,
        images=images,
        classes=len(classes),
        max_detections=max_detections,
        kind=kind,
        incomplete=federation.incomplete if federation else (),
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
        kind=kind,
        matches=matches,
        frequency=federation.frequency if federation else None,
    )


def evaluation_order(dataset: Dataset) -> list[int]:
    """Indices by rising image id, numbers first: pycocotools' order, which decides among equal scores."""
    ids = [example.image_id for example in dataset]
    return sorted(range(len(ids)), key=lambda index: (isinstance(ids[index], str), ids[index]))


def _check(dataset: Dataset, detections: Sequence[Detections]) -> None:
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


def _limits(kind: str, given: Sequence[int] | None) -> Sequence[int]:
    """The limits of detections per image for a kind, COCO's own by default."""
    if kind not in objects.KINDS:
        raise ConfigError("There is no such evaluation.", got=repr(kind), expected=", ".join(objects.KINDS))
    limits = given if given is not None else (20,) if kind == "keypoints" else (1, 10, 100)
    whole = len(limits) > 0 and all(isinstance(n, int) for n in limits)
    if not whole or limits[0] < 1 or any(a >= b for a, b in pairwise(limits)):
        raise ConfigError(
            "max_detections must be rising whole numbers from 1.", got=limits, expected="e.g. (1, 10, 100)"
        )
    return limits


def _has(dataset: Dataset, kind: str) -> bool:
    return {"boxes": True, "masks": dataset.has_masks, "keypoints": dataset.has_keypoints}[kind]


def _check_kind(dataset: Dataset, detections: Sequence[Detections], kind: str) -> None:
    """DataError unless the dataset and all detections have masks or keypoints, if they are to be evaluated."""
    if not _has(dataset, kind):
        raise DataError(
            f"The dataset has no {kind} to compare with.",
            where=dataset.name or None,
            fix=f"Annotate the {kind}, or evaluate the boxes.",
        )
    for example, found in zip(dataset, detections, strict=True):
        if kind != "boxes" and len(found) and getattr(found, kind) is None:
            raise DataError(f"These detections have no {kind}.", where=example.label, fix="Evaluate the boxes.")
    if kind == "keypoints" and _keypoint_counts(detections) - {dataset.keypoint_count}:
        raise DataError(
            "Detector and dataset differ in the number of keypoints.",
            where=dataset.name or None,
            got=", ".join(map(str, sorted(_keypoint_counts(detections)))),
            expected=dataset.keypoint_count,
            fix="Fine-tune the detector on this dataset's keypoints, or annotate those that it finds.",
        )


def _keypoint_counts(detections: Sequence[Detections]) -> set[int]:
    return {each.keypoints.shape[1] for each in detections if each.keypoints is not None}


def _check_finite(example: Example, found: Detections) -> None:
    good = np.isfinite(found.boxes).all(axis=1) & np.isfinite(found.scores)
    if found.keypoints is not None:
        good &= np.isfinite(found.keypoints).all(axis=(1, 2))
    if not good.all():
        n = int(np.argmin(good))
        raise DataError(
            "A detection has a box, a score or a keypoint that is not a finite number.",
            where=f"{example.label}, detection {n}",
            got=f"box {found.boxes[n].tolist()}, score {found.scores[n]}",
            fix="The detector may have diverged in training: look at its losses, lower the learning rate.",
        )


def _class_warnings(dataset: Dataset, detections: Sequence[Detections]) -> list[str]:
    known = list(dict.fromkeys(name for names in {d.classes: None for d in detections} for name in names))
    check_classes(dataset, known)
    used = {int(class_id) for example in dataset for class_id in example.class_ids}
    missing = [dataset.classes[class_id] for class_id in sorted(used) if dataset.classes[class_id] not in known]
    return [f"the detector does not know these classes, they score 0: {_listed(missing)}"] if missing else []


def check_classes(dataset: Dataset, known: Sequence[str]) -> None:
    """DataError if none of the classes that a model knows is one of the dataset's."""
    if not set(known) & set(dataset.classes):
        raise DataError(
            "Model and dataset have no class in common.",
            got=f"model: {_listed(known)}",
            expected=f"dataset: {_listed(dataset.classes)}",
            fix="Classes are matched by name: rename them in the label map or in the annotations, "
            "or train the model on this dataset's classes.",
        )


def _size_warnings(dataset: Dataset, detections: Sequence[Detections]) -> list[str]:
    other = [e.label for e, d in zip(dataset, detections, strict=True) if tuple(d.size) != tuple(e.size)]
    if not other:
        return []
    return [
        f"{len(other)} images differ in size from what the annotations say, first {other[0]}: "
        "are the detections in the dataset's order?"
    ]


def _listed(names: Sequence[str]) -> str:
    return some(names, 20) or "none"
