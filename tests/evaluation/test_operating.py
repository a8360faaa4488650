"""The best score threshold and the calibration of scores, against slow references."""

from __future__ import annotations

import math

import numpy as np
import pytest
from random_evaluation import random_metrics, random_set

from detkit.evaluation.coco import evaluate
from detkit.evaluation.operating import best_point, calibration


def at(matches, score, class_id):
    """Precision, recall and F1 if detections of at least this score count, one by one."""
    right = wrong = 0
    for n in range(len(matches.score)):
        if matches.score[n] >= score and class_id in (None, matches.class_id[n]):
            right += bool(matches.correct[0, n])
            wrong += bool(matches.wrong[0, n])
    objects = matches.objects.sum() if class_id is None else matches.objects[:, class_id].sum()
    return right / max(right + wrong, 1), right / objects, 2 * right / max(right + wrong + objects, 1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("class_id", [None, 0, 2])
def test_the_best_point_is_the_best_of_all_scores(seed, class_id):
    matches = random_metrics(seed).matches
    point = best_point(matches, class_id)
    every = {score: at(matches, score, class_id) for score in sorted(set(matches.score), reverse=True)}
    best = max(every, key=lambda score: (round(every[score][2], 12), score))
    assert point.score == best
    assert (point.precision, point.recall, point.f1) == pytest.approx(every[best])


def test_nothing_right_has_no_best_point():
    data, detections = random_set(0)
    nothing = [each[:0] for each in detections]
    assert best_point(evaluate(data, nothing).matches) is None
    found = calibration(evaluate(data, nothing).matches)
    assert math.isnan(found.error) and found.counts.sum() == 0


@pytest.mark.parametrize("seed", range(3))
def test_calibration_equals_a_slow_reference(seed):
    matches = random_metrics(seed, images=20).matches
    found = calibration(matches, bins=5)
    error, total = 0.0, 0
    for b in range(5):
        inside = [
            n
            for n in range(len(matches.score))
            if (matches.score[n] > b / 5 or b == 0) and matches.score[n] <= (b + 1) / 5 and not matches.ignored[0, n]
        ]
        assert found.counts[b] == len(inside)
        if inside:
            confidence = np.mean(matches.score[inside])
            precision = np.mean(matches.correct[0, inside])
            assert (found.confidence[b], found.precision[b]) == pytest.approx((confidence, precision))
            error, total = error + len(inside) * abs(confidence - precision), total + len(inside)
    assert found.error == pytest.approx(error / total)
