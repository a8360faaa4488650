"""Which detection found which object, and the AP of samples."""

from __future__ import annotations

import numpy as np
import pytest
from random_evaluation import random_metrics, random_set

from detkit.evaluation import matching
from detkit.evaluation.coco import evaluate


@pytest.mark.parametrize("seed", range(6))
def test_the_matches_give_the_numbers_again(seed):
    metrics = random_metrics(seed)
    average = metrics.matches.average_precision()[0]
    assert np.nanmean(average) == pytest.approx(metrics["AP"], abs=1e-12)
    assert np.nanmean(average[0]) == pytest.approx(metrics["AP50"], abs=1e-12)
    for k, (_, row) in enumerate(metrics.per_class.items()):
        assert np.isnan(average[:, k]).all() if row["AP"] < 0 else average[:, k].mean() == pytest.approx(row["AP"])


@pytest.mark.parametrize("seed", range(4))
def test_a_weight_of_two_is_the_image_twice(seed):
    data, detections = random_set(seed)
    weights = np.random.default_rng(seed).integers(0, 3, len(data))
    weights[0] = 1
    chosen = np.repeat(np.arange(len(data)), weights)
    repeated = evaluate(type(data)([data[i] for i in chosen], data.classes), [detections[i] for i in chosen])
    average = evaluate(data, detections).matches.average_precision(weights[None])[0]
    expected = repeated.matches.average_precision()[0]
    # Among equal scores, the copies of an image come one after the other; without ties there is no difference.
    np.testing.assert_allclose(average, expected, atol=0.06)


def test_a_weight_of_two_without_ties_is_exact():
    data, detections = random_set(3)
    rng = np.random.default_rng(0)
    detections = [
        type(d)(d.boxes, rng.permutation(len(d)) / 50 + n / 1000, d.class_ids, d.classes, d.size)
        for n, d in enumerate(detections)
    ]
    chosen = [0, 0, 1, 2, 5, 5, 5]
    repeated = evaluate(type(data)([data[i] for i in chosen], data.classes), [detections[i] for i in chosen])
    weights = np.bincount(chosen, minlength=len(data))[None]
    found = evaluate(data, detections).matches.average_precision(weights)
    # Copies of a detection share their score, and precision between them is that of the first.
    np.testing.assert_allclose(found, repeated.matches.average_precision(), atol=0.02)


def test_the_parts_fit_together():
    metrics = random_metrics(1)
    matches = metrics.matches
    assert len(matches.score) == metrics.detections
    assert matches.objects.sum() == metrics.boxes == matches.truth_counts.sum()
    assert not (matches.correct & matches.wrong).any()
    found = matches.correct[0]
    assert (matches.truth_class[matches.truth[0, found]] == matches.class_id[found]).all()
    assert (matches.truth_image[matches.truth[0, found]] == matches.image[found]).all()
    for k in range(3):
        here = matches.of_class(k)
        assert (matches.class_id[here] == k).all()
        assert (np.diff(matches.score[here]) <= 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_detections_may_be_left_out_where_the_objects_stay(seed):
    data, detections = random_set(seed)
    matches = evaluate(data, detections).matches
    found = matches.average_precision(np.ones((1, len(data))), lambda rows, here: matches.image[None, here] != 3)
    without = evaluate(data, [*detections[:3], detections[3][:0], *detections[4:]]).matches
    np.testing.assert_allclose(found, without.average_precision(), atol=1e-12)
    at = matches.at(slice(5, 6)).average_precision()
    assert at.shape[1] == 1 and np.array_equal(at, matches.average_precision()[:, 5:6], equal_nan=True)


def test_classes_that_are_matched_a_few_at_a_time_give_the_same(monkeypatch):
    whole = random_metrics(0)
    monkeypatch.setattr(matching, "_AT_ONCE", 8)  # a class at a time
    parts = random_metrics(0)
    assert dict(parts) == dict(whole) and parts.per_class == whole.per_class
    for name in whole.matches.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(parts.matches, name), getattr(whole.matches, name))
