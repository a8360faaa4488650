"""Average precision as Pascal VOC defines it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from detkit import boxes as box_math
from detkit.detections import Detections
from detkit.errors import ConfigError
from detkit.evaluation.objects import xywh_pixels

if TYPE_CHECKING:
    from detkit.data import Dataset, Example

POINTS = ("all", "11")


def voc_average_precision(
    dataset: Dataset,
    detections: Sequence[Detections],
    *,
    iou: float = 0.5,
    points: str = "all",
    whole_pixels: bool = True,
) -> dict[str, float]:
    """The AP of each class with objects, as Pascal VOC computes it.

    Unlike in the COCO evaluation, a detection belongs to the object that it overlaps most, and is wrong if a better
    one has that object already. Difficult objects, and crowds, count neither for nor against.

    Args:
        dataset: the ground truth.
        detections: one for each example, in the dataset's order.
        iou: the overlap from which on an object is found.
        points: "all", the area under the curve (VOC 2010 to 2012), or "11", the mean at 11 recalls (VOC 2007).
        whole_pixels: whether corners are pixels that belong to the box, as in the VOC devkit; a box from 1 to 10 is 10
            pixels wide then, otherwise 9.

    Returns:
        {class name: AP}; the mean of its values is the mAP.

    Raises:
        ConfigError: for other points.

    Source: Everingham et al., The Pascal visual object classes challenge, 2010; the VOC devkit.
    """
    if points not in POINTS:
        raise ConfigError("There is no such VOC average precision.", got=repr(points), expected=" or ".join(POINTS))
    found: dict[str, list] = {name: [] for name in dataset.classes}
    for example, each in zip(dataset, detections, strict=True):
        corners, own = _corners(example.boxes, example, whole_pixels), _corners(each.boxes, example, whole_pixels)
        for k, name in enumerate(dataset.classes):
            here = np.array([label == name for label in each.labels], bool)
            chosen = example.class_ids == k
            ignored = (example.difficult | example.crowd)[chosen]
            found[name].append(_matched(own[here], each.scores[here], corners[chosen], ignored, iou))
    curves = {name: _curve(parts) for name, parts in found.items()}
    average = _area_under if points == "all" else _eleven_points
    return {name: average(*curve) for name, curve in curves.items() if curve is not None}


def _corners(boxes: np.ndarray, example: Example, whole_pixels: bool) -> np.ndarray:
    """[N, 4], xmin, ymin, xmax, ymax in pixels."""
    pixels = xywh_pixels(boxes, example.size)
    return np.concatenate([pixels[:, :2], pixels[:, :2] + pixels[:, 2:] + whole_pixels], axis=1)


def _matched(boxes, scores, objects, ignored, threshold: float):
    """Scores, which detections are right and which wrong, of one image and class; and the number of objects."""
    order = np.argsort(-scores, kind="stable")
    right, wrong = np.zeros(len(order), bool), np.zeros(len(order), bool)
    overlaps = box_math.iou(boxes[order], objects)
    taken = np.zeros(len(objects), bool)
    for n in range(len(order)):
        best = int(np.argmax(overlaps[n])) if len(objects) else -1
        if best < 0 or overlaps[n, best] < threshold:
            wrong[n] = True
        elif not ignored[best]:
            right[n], wrong[n] = not taken[best], taken[best]
            taken[best] = True
    return scores[order], right, wrong, np.count_nonzero(~ignored)


def _curve(parts) -> tuple[np.ndarray, np.ndarray] | None:
    """Recall and precision after each detection, by falling score; None where a class has no objects."""
    objects = sum(part[3] for part in parts)
    if not objects:
        return None
    scores, right, wrong = (np.concatenate([part[i] for part in parts]) for i in range(3))
    order = np.argsort(-scores, kind="stable")
    right, wrong = right[order].cumsum(), wrong[order].cumsum()
    return right / objects, right / np.maximum(right + wrong, 1)


def _area_under(recall, precision) -> float:
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0) * highest).sum())


def _eleven_points(recall, precision) -> float:
    return float(np.mean([precision[recall >= r].max(initial=0) for r in np.linspace(0, 1, 11)]))
