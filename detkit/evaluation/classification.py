"""Metrics of classifiers: accuracy, top-k, precision, recall and F1 of each class, confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detkit.errors import DataError
from detkit.evaluation.tables import for_json, shown
from detkit.text import aligned


@dataclass(frozen=True, eq=False)
class Classification:
    """The numbers of a classifier on a dataset; NaN where one is undefined.

    Attributes:
        classes: the class names.
        numbers: "accuracy" (of several labels an image: all of them right), "top5" and the like, "precision", "recall"
            and "F1" as means over the classes that occur or are predicted.
        per_class: {name: {"precision", "recall", "F1", "images"}}.
        confusion: int64 [K, K], rows the truth, columns the prediction; None for several labels an image.
        images: number of images.
    """

    classes: tuple[str, ...]
    numbers: dict[str, float]
    per_class: dict[str, dict[str, float]]
    confusion: np.ndarray | None
    images: int

    def to_json(self) -> dict:
        """The numbers at the top level, with `images`, `per_class` and `confusion`; None where one is undefined."""
        confusion = None if self.confusion is None else self.confusion.tolist()
        return for_json({**self.numbers, "images": self.images, "per_class": self.per_class, "confusion": confusion})

    def table(self) -> str:
        """The numbers and the classes as text, a dash where a number is undefined."""
        numbers = aligned([[name, shown(value)] for name, value in self.numbers.items()])
        rows = [[name, *map(shown, values.values())] for name, values in self.per_class.items()]
        return f"{self.images} images\n\n{numbers}\n\n" + aligned(
            [["class", "precision", "recall", "F1", "images"], *rows]
        )


def classification(
    truth, scores, classes: Sequence[str], *, top: Sequence[int] = (5,), threshold: float | None = None
) -> Classification:
    """The metrics of predicted scores.

    Args:
        truth: int [N], the class of each image; or bool [N, K], the classes of each image, of which there may be
            several or none.
        scores: float [N, K], the higher the likelier.
        classes: K names.
        top: numbers k of a top-k accuracy, the share of images whose class is among the k best; those of K or more
            are left out. Of equal scores the lower class is the better one.
        threshold: for several classes an image, the score from which on a class counts as predicted, 0.5 by default.

    Raises:
        DataError: for no images, shapes that do not fit, scores that are not numbers, and ids without a class.
    """
    truth, scores = np.asarray(truth), np.asarray(scores, np.float64)
    _check(truth, scores, len(classes))
    if truth.ndim == 2:
        predicted = scores >= (0.5 if threshold is None else threshold)
        numbers, matrix = {"accuracy": float((predicted == truth).all(axis=1).mean())}, None
        right, of_truth, of_found = (x.sum(axis=0) for x in (predicted & truth.astype(bool), truth, predicted))
    else:
        predicted = scores.argmax(axis=1)
        numbers = {"accuracy": float((predicted == truth).mean())}
        numbers |= {f"top{k}": _top(truth, scores, k) for k in top if 1 < k < len(classes)}
        matrix = confusion_matrix(truth, predicted, len(classes))
        right, of_truth, of_found = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    columns = precision_recall_f1(right, of_truth, of_found)
    used = (of_truth > 0) | (of_found > 0)
    # As in scikit-learn, a class that is never predicted, or never there, counts as 0 in the means.
    numbers |= {
        name: float(np.nan_to_num(values[used]).mean()) if used.any() else float("nan")
        for name, values in columns.items()
    }
    per_class = {
        name: {column: float(values[k]) for column, values in columns.items()} | {"images": int(of_truth[k])}
        for k, name in enumerate(classes)
    }
    return Classification(tuple(classes), numbers, per_class, matrix, len(truth))


def confusion_matrix(truth, predicted, classes: int) -> np.ndarray:
    """int64 [K, K], rows the truth, columns the prediction, of class ids of any equal shape."""
    pairs = np.asarray(truth, np.int64).ravel() * classes + np.asarray(predicted, np.int64).ravel()
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def precision_recall_f1(right, of_truth, of_found) -> dict[str, np.ndarray]:
    """Of counts [K]: right ones, those that are there, and those that were found; NaN where undefined."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "precision": right / of_found,
            "recall": right / of_truth,
            "F1": 2 * right / (of_truth + of_found),
        }


def _top(truth, scores, k: int) -> float:
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float((best == truth[:, None]).any(axis=1).mean())


def _check(truth, scores, classes: int) -> None:
    fits = scores.ndim == 2 and scores.shape[1] == classes and len(truth) == len(scores)
    if not fits or truth.shape not in ((len(scores),), scores.shape):
        got, expected = f"truth {truth.shape}, scores {scores.shape}", f"[N] or [N, {classes}], and [N, {classes}]"
        raise DataError("Truth and scores do not fit together.", got=got, expected=expected)
    if not len(truth):
        raise DataError("There is nothing to evaluate on: there are no images.")
    if not np.isfinite(scores).all():
        n = int(np.argmin(np.isfinite(scores).all(axis=1)))
        raise DataError("A score is not a finite number.", where=f"image {n}", got=scores[n].tolist())
    if truth.ndim == 2 and not np.isin(truth, (0, 1)).all():
        raise DataError("An image has a class, or has it not.", got="other numbers than 0 and 1 in the truth")
    if truth.ndim == 1 and (truth.dtype.kind not in "iu" or truth.min() < 0 or truth.max() >= classes):
        raise DataError("A class id has no name.", got=f"{truth.min()}..{truth.max()}", expected=f"0..{classes - 1}")
