"""Metrics of one box an image: how well it fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detkit import boxes as box_math
from detkit.errors import DataError
from detkit.evaluation.tables import shown
from detkit.text import aligned


@dataclass(frozen=True, eq=False)
class Localization:
    """How well predicted boxes fit, one an image.

    Attributes:
        numbers: "IoU", the mean; "median_IoU"; "IoU>0.5" and the like, the shares of boxes above thresholds; and where
            classes are given "accuracy", and "localized", the share with the right class and an IoU above the first
            threshold.
        iou: float32 [N], of each image.
    """

    numbers: dict[str, float]
    iou: np.ndarray

    def to_json(self) -> dict:
        """The numbers, with `images`."""
        return {**self.numbers, "images": len(self.iou)}

    def table(self) -> str:
        """The numbers as text."""
        rows = aligned([[name, shown(value)] for name, value in self.numbers.items()])
        return f"{len(self.iou)} images\n\n{rows}"


def localization(
    truth, predicted, *, class_ids=None, predicted_ids=None, thresholds: Sequence[float] = (0.5, 0.6, 0.75)
) -> Localization:
    """The metrics of predicted boxes.

    Args:
        truth: float [N, 4], yxyx (or both xyxy), the box of each image.
        predicted: float [N, 4].
        class_ids, predicted_ids: int [N], true and predicted classes.
        thresholds: of IoU.

    Raises:
        DataError: for no images, shapes that do not fit, and boxes that are not numbers.
    """
    iou = box_math.iou(truth, predicted, paired=True)
    if not len(iou):
        raise DataError("There is nothing to evaluate on: there are no images.")
    for name, boxes in (("true", truth), ("predicted", predicted)):
        bad = np.flatnonzero(~np.isfinite(np.asarray(boxes, np.float64)).all(axis=1))
        if bad.size:
            got = np.asarray(boxes)[bad[0]].tolist()
            raise DataError(f"A {name} box is not a number.", where=f"image {bad[0]}", got=got)
    numbers = {"IoU": float(iou.mean()), "median_IoU": float(np.median(iou))}
    numbers |= {f"IoU>{threshold:g}": float((iou > threshold).mean()) for threshold in thresholds}
    if class_ids is not None and predicted_ids is not None:
        shapes = [np.shape(class_ids), np.shape(predicted_ids)]
        if shapes != [iou.shape] * 2:
            raise DataError("Boxes and classes differ in number.", got=shapes, expected=iou.shape)
        right = np.asarray(class_ids) == np.asarray(predicted_ids)
        numbers |= {"accuracy": float(right.mean()), "localized": float((right & (iou > thresholds[0])).mean())}
    return Localization(numbers, iou)
