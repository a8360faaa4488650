"""Scores as a user of a detector meets them: where to cut them off, and what they are worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detkit.evaluation.matches import Matches


@dataclass(frozen=True)
class OperatingPoint:
    """What a detector does at a score threshold.

    Attributes:
        score: detections of at least this score count.
        precision: the share of them that is right.
        recall: the share of the objects that is found.
        f1: their harmonic mean.
    """

    score: float
    precision: float
    recall: float
    f1: float


def best_point(matches: Matches, class_id: int | None = None, threshold: int = 0) -> OperatingPoint | None:
    """The score at which F1 is highest, of a class or of all together; the higher score of two that are as good.

    Args:
        matches: of an evaluation.
        class_id: of the class; None: one score for all classes.
        threshold: which of the matches' IoU thresholds; the first, 0.5, by default.

    Returns:
        None where nothing is right at any score.
    """
    here = slice(None) if class_id is None else matches.of_class(class_id)
    order = np.argsort(-matches.score[here], kind="stable")
    score = matches.score[here][order]
    right = matches.correct[threshold, here][order].cumsum()
    wrong = matches.wrong[threshold, here][order].cumsum()
    objects = matches.objects.sum() if class_id is None else matches.objects[:, class_id].sum()
    if not len(score) or not right[-1]:
        return None
    f1 = 2 * right / (right + wrong + objects)
    f1[:-1][score[:-1] == score[1:]] = -1  # equal scores can't be told apart
    best = int(np.argmax(f1))
    precision = right[best] / (right[best] + wrong[best])
    return OperatingPoint(float(score[best]), float(precision), float(right[best] / objects), float(f1[best]))


@dataclass(frozen=True, eq=False)
class Calibration:
    """How far scores are probabilities.

    Attributes:
        edges: float64 [bins + 1], of the scores.
        counts: int64 [bins], detections.
        confidence: float64 [bins], their mean score; NaN for none.
        precision: float64 [bins], the share of them that is right; NaN for none.
        error: the expected calibration error: the mean distance of the two, over all detections; NaN for none.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    precision: np.ndarray
    error: float


def calibration(matches: Matches, bins: int = 10, threshold: int = 0) -> Calibration:
    """Scores against the share of right detections, in bins of equal width; of nothing if a score is not in 0..1.

    Source: Guo et al., On calibration of modern neural networks, 2017; Kueppers et al., Multivariate confidence
    calibration for object detection, 2020.
    """
    counted = ~matches.ignored[threshold]
    score, right = matches.score[counted], matches.correct[threshold, counted]
    if ((score < 0) | (score > 1)).any():
        score, right = score[:0], right[:0]
    edges = np.linspace(0, 1, bins + 1)
    position = np.clip(np.searchsorted(edges, score, side="left") - 1, 0, bins - 1)  # 0.1 is in the first of ten
    counts = np.bincount(position, minlength=bins)
    sums = [np.bincount(position, weights=values, minlength=bins) for values in (score, right)]
    with np.errstate(invalid="ignore"):
        confidence, precision = (each / counts for each in sums)
    error = float(np.abs(sums[0] - sums[1]).sum() / len(score)) if len(score) else float("nan")
    return Calibration(edges, counts, confidence, precision, error)
