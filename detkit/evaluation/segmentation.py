"""Metrics of class maps: IoU, Dice, pixel accuracy, boundary F-score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from detkit.errors import DataError
from detkit.evaluation.classification import confusion_matrix
from detkit.evaluation.tables import for_json, shown
from detkit.text import aligned

IGNORED = 255  # of pixels in the truth that count neither for nor against
TOLERANCE = 0.0075  # of a boundary, as a share of the image's diagonal


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The numbers of class maps on a dataset; NaN where one is undefined.

    Attributes:
        classes: the names of the values of the maps, the background first.
        numbers: "mIoU", "Dice" and "boundary_F" as means over the classes that occur in truth or prediction; "IoU", the
            same without the background; "pixel_accuracy".
        per_class: {name: {"IoU", "Dice", "boundary_F", "pixels"}}.
        confusion: int64 [K, K] of pixels, rows the truth, columns the prediction.
        images: number of images.
    """

    classes: tuple[str, ...]
    numbers: dict[str, float]
    per_class: dict[str, dict[str, float]]
    confusion: np.ndarray
    images: int

    def to_json(self) -> dict:
        """The numbers at the top level, with `images`, `per_class` and `confusion`; None where one is undefined."""
        parts = {"images": self.images, "per_class": self.per_class, "confusion": self.confusion.tolist()}
        return for_json({**self.numbers, **parts})

    def table(self) -> str:
        """The numbers and the classes as text, a dash where a number is undefined."""
        numbers = aligned([[name, shown(value)] for name, value in self.numbers.items()])
        rows = [[name, *map(shown, values.values())] for name, values in self.per_class.items()]
        head = ["class", "IoU", "Dice", "boundary F", "pixels"]
        return f"{self.images} images\n\n{numbers}\n\n" + aligned([head, *rows])


def segmentation(
    truth: Iterable[np.ndarray],
    predicted: Iterable[np.ndarray],
    classes: Sequence[str],
    *,
    smoothing: float = 0.0,
    tolerance: float = TOLERANCE,
) -> Segmentation:
    """The metrics of predicted class maps; they are taken one by one, so both may be generators.

    Args:
        truth: for each image uint8 [H, W]: 0 for the background, class id + 1, or 255 for pixels that do not count, as
            `Example.semantic` gives it.
        predicted: for each image int [H, W], 0 and class id + 1.
        classes: the names of the classes, without the background.
        smoothing: added to both sides of the fraction of Dice; 1 is the classic choice.
        tolerance: how far two boundaries may be apart, as a share of the image's diagonal; at least one pixel.

    Raises:
        DataError: for no images, maps of different numbers or sizes, and values without a class.

    Source: Dice, 1945; Csurka et al., What is a good evaluation measure for semantic segmentation?, 2013 (boundaries).
    """
    count = len(classes) + 1
    matrix, boundaries, images = np.zeros((count, count), np.int64), np.zeros((4, count)), 0
    for images, (wanted, found) in enumerate(zip_longest(truth, predicted), 1):  # noqa: B007
        if wanted is None or found is None:
            which = ("true", "predicted")[found is None]
            raise DataError("Each image needs two class maps.", where=f"image {images - 1}", got=f"no {which} one")
        wanted, found = np.asarray(wanted), np.asarray(found)
        _check(wanted, found, count, f"image {images - 1}")
        counted = wanted != IGNORED
        matrix += confusion_matrix(wanted[counted], found[counted], count)
        boundaries += _boundaries(wanted, found, counted, count, tolerance)
    if not images:
        raise DataError("There is nothing to evaluate on: there are no images.")
    return _numbers(matrix, boundaries, ("background", *classes), smoothing, images)


def _numbers(matrix, boundaries, names, smoothing: float, images: int) -> Segmentation:
    both, of_truth, of_found = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        iou = both / (of_truth + of_found - both)
        dice = (2 * both + smoothing) / (of_truth + of_found + smoothing)
        precision, recall = boundaries[0] / boundaries[1], boundaries[2] / boundaries[3]
        edge = np.where(precision + recall > 0, 2 * precision * recall / (precision + recall), 0)
    # Without any boundary in truth and prediction there is no score; with one in either alone it is 0.
    edge = np.where(boundaries[1] + boundaries[3] > 0, np.nan_to_num(edge), np.nan)
    used = of_truth + of_found > 0
    numbers = {
        "mIoU": _mean(iou[used]),
        "IoU": _mean(iou[1:][used[1:]]),
        "Dice": _mean(dice[used]),
        "pixel_accuracy": float(both.sum() / matrix.sum()) if matrix.any() else float("nan"),
        "boundary_F": _mean(edge[used]),
    }
    per_class = {
        name: {"IoU": float(iou[k]), "Dice": float(dice[k]), "boundary_F": float(edge[k]), "pixels": int(of_truth[k])}
        for k, name in enumerate(names)
    }
    return Segmentation(names, numbers, per_class, matrix, images)


def _mean(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else float("nan")


def _boundaries(wanted, found, counted, count: int, tolerance: float) -> np.ndarray:
    """[4, K]: pixels of the predicted boundaries that are near a true one, all of them, and the other way round."""
    from scipy.ndimage import distance_transform_edt

    reach = max(1.0, tolerance * float(np.hypot(*wanted.shape)))
    sums = np.zeros((4, count))
    for k in np.union1d(np.unique(wanted[counted]), np.unique(found)).astype(int):
        edges = [_edge(each == k, counted) for each in (found, wanted)]
        for n, (own, other) in enumerate((edges, edges[::-1])):
            near = distance_transform_edt(~other) <= reach if other.any() else np.zeros_like(other)
            sums[2 * n : 2 * n + 2, k] = np.count_nonzero(own & near), np.count_nonzero(own)
    return sums


def _edge(inside: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """The counted pixels of a region that have a counted neighbour outside it: no border of the image, or of pixels
    that do not count.
    """
    outside, edge = counted & ~inside, np.zeros_like(inside)
    edge[1:] |= outside[:-1]
    edge[:-1] |= outside[1:]
    edge[:, 1:] |= outside[:, :-1]
    edge[:, :-1] |= outside[:, 1:]
    return inside & counted & edge


def _check(wanted, found, count: int, where: str) -> None:
    if wanted.shape != found.shape or wanted.ndim != 2:
        what = "A predicted class map is not of the size of the true one."
        raise DataError(what, where=where, got=list(found.shape), expected=list(wanted.shape))
    for name, values, allowed in (("true", wanted[wanted != IGNORED], count), ("predicted", found, count)):
        if values.dtype.kind not in "iu" or (values.size and not 0 <= values.min() <= values.max() < allowed):
            got = f"{values.dtype}" + (f", {values.min()}..{values.max()}" if values.size else "")
            raise DataError(
                f"A {name} class map has a value without a class.", where=where, got=got, expected=f"0..{count - 1}"
            )
