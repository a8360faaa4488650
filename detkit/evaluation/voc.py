"""Average precision as Pascal VOC defines it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from detkit import boxes as box_math
from detkit.detections import Detections
from detkit.errors import ConfigError, DataError
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
        DataError: for another number of detections than images.

    Source: Everingham et al., The Pascal visual object classes challenge, 2010; the VOC devkit.
    """
    if points not in POINTS:
        raise ConfigError("There is no such VOC average precision.", got=repr(points), expected=" or ".join(POINTS))
    if len(dataset) != len(detections):
        got = f"{len(detections)} detections for {len(dataset)} images"
        raise DataError("Each image needs its detections, in the dataset's order.", got=got)
    parts = [_matched(*pair, dataset.classes, iou, whole_pixels) for pair in zip(dataset, detections, strict=True)]
    class_id, score, right, wrong = map(np.concatenate, zip(([],) * 4, *parts, strict=True))
    order = np.argsort(-score, kind="stable")
    class_id, right, wrong = class_id[order], right[order], wrong[order]
    counted = np.concatenate([[], *(each.class_ids[~_left_out(each)] for each in dataset)]).astype(int)
    average = _area_under if points == "all" else _eleven_points
    result = {}
    for k, objects in enumerate(np.bincount(counted, minlength=len(dataset.classes))):
        if objects:
            found, others = right[class_id == k].cumsum(), wrong[class_id == k].cumsum()
            result[dataset.classes[k]] = average(found / objects, found / np.maximum(found + others, 1))
    return result


def _left_out(example: Example) -> np.ndarray:
    return example.difficult | example.crowd


def _matched(example: Example, found: Detections, classes: Sequence[str], threshold: float, whole_pixels: bool):
    """Class ids, scores, and which are right and which wrong, of the detections of an image by falling score."""
    position = {name: k for k, name in enumerate(classes)}
    class_ids = np.array([position.get(name, -1) for name in found.classes], int)[found.class_ids]
    order = np.argsort(-found.scores, kind="stable")
    order = order[class_ids[order] >= 0]
    found, class_ids = found[order], class_ids[order]
    boxes, objects = (_corners(each, example, whole_pixels) for each in (found.boxes, example.boxes))
    overlaps = np.where(class_ids[:, None] == example.class_ids, box_math.iou(boxes, objects), -1)
    near = overlaps.max(axis=1, initial=-1) >= threshold
    best = overlaps.argmax(axis=1) if len(objects) else np.zeros(len(boxes), int)
    ignored = near.copy()
    ignored[near] = _left_out(example)[best[near]]
    claiming = np.flatnonzero(near & ~ignored)
    right = np.zeros(len(boxes), bool)
    right[claiming[np.unique(best[claiming], return_index=True)[1]]] = True  # the first of those that claim an object
    return class_ids, found.scores, right, ~right & ~ignored


def _corners(boxes: np.ndarray, example: Example, whole_pixels: bool) -> np.ndarray:
    """[N, 4], xmin, ymin, xmax, ymax in pixels."""
    pixels = xywh_pixels(boxes, example.size)
    return np.concatenate([pixels[:, :2], pixels[:, :2] + pixels[:, 2:] + whole_pixels], axis=1)


def _area_under(recall, precision) -> float:
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0) * highest).sum())


def _eleven_points(recall, precision) -> float:
    return float(np.mean([precision[recall >= r].max(initial=0) for r in np.linspace(0, 1, 11)]))
