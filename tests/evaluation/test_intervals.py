"""Bootstrap intervals and the paired comparison: they cover, they decide, and they don't when they can't."""

from __future__ import annotations

import numpy as np
import pytest
from random_evaluation import CLASSES, SIZE, random_metrics, random_set
from simulated import simulate

from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.detections import Detections
from detkit.errors import ConfigError, DataError
from detkit.evaluation.coco import evaluate
from detkit.evaluation.intervals import bias_corrected, compare, interval, mean_precision, resamples


def test_the_interval_holds_the_value_and_is_reproducible():
    metrics = random_metrics(0, images=30)
    for name in ("AP", "AP50", "AP75"):
        found = interval(metrics, name, samples=200)
        assert found.value == pytest.approx(metrics[name])
        assert found.low <= found.value <= found.high
        assert found == interval(metrics, name, samples=200)
        assert found != interval(metrics, name, samples=200, seed=1)


def test_more_images_make_it_narrower():
    widths = []
    for images in (20, 300):
        found = interval(random_metrics(1, images), samples=300)
        widths.append(found.high - found.low)
    assert widths[1] < 0.5 * widths[0]


def test_of_a_plain_mean_it_is_the_textbook_interval():
    rng = np.random.default_rng(0)
    values = rng.normal(5, 2, 400)
    found = bias_corrected(lambda w: w @ values / w.sum(axis=1), resamples(400, 4000, 0), 0.95)
    half = 1.96 * values.std() / 20
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize(("images", "classes"), [(50, 1), (100, 3)])
def test_it_covers_the_truth_as_often_as_it_says(images, classes):
    truth = np.mean([mean_precision(simulate(10**6 + n, 40_000, classes), np.ones((1, 40_000)))[0] for n in range(3)])
    inside = 0
    for seed in range(600):
        matches = simulate(seed, images, classes)
        found = bias_corrected(lambda w, m=matches: mean_precision(m, w), resamples(images, 1000, seed), 0.95)
        inside += found.low <= truth <= found.high
    assert 0.93 <= inside / 600 <= 0.97


def test_a_better_model_is_told_from_a_worse_one():
    worse, better = (random_metrics(0, images=60, quality=quality) for quality in (0.7, 4.0))
    found = compare(worse, better, samples=300)
    assert found.difference.value == pytest.approx(better["AP"] - worse["AP"])
    assert found.difference.low > 0 and found.p_value < 0.05
    assert found.verdict.startswith("B is better than A")
    assert compare(better, worse, samples=300).verdict.startswith("A is better than B")


def test_equal_models_are_not_told_apart():
    data, detections = random_set(0, images=40)
    same = evaluate(data, detections)
    found = compare(same, same, samples=200)
    assert found.p_value == 1 and found.difference.value == 0
    assert "don't say which is better" in str(found)


def test_chance_is_found_as_often_as_the_level_says():
    """Two detectors of one quality: the test may call one better in about one of twenty cases."""
    from dataclasses import replace

    wrong = 0
    for seed in range(40):
        both = [simulate(2 * seed + n, 30, 1, difficulty=seed) for n in (0, 1)]
        both[1] = replace(both[1], objects=both[0].objects)
        first, second = (replace(random_metrics(0), matches=each, per_class={"one": {}}) for each in both)
        wrong += compare(first, second, samples=199).p_value < 0.05
    assert wrong <= 6  # more than 6 of 40 happen in about 1 % of such tests


def test_refusals():
    metrics = random_metrics(0)
    with pytest.raises(ConfigError, match="no interval of this number"):
        interval(metrics, "APs")
    with pytest.raises(ConfigError, match="not between 0 and 1"):
        interval(metrics, level=95)
    with pytest.raises(DataError, match="not evaluated on the same objects"):
        compare(metrics, random_metrics(1))
    data, detections = random_set(0)
    empty = evaluate(data.__class__([e.__class__(e.image, [], [], e.size) for e in data], data.classes), detections)
    with pytest.raises(DataError, match="no objects that an interval could rest on"):
        interval(empty)


def constant(found: bool, images: int):
    """The matches of a detector that finds the one object of every image, or none."""
    return evaluate(*one_each(images, found))


def one_each(images: int, found: bool):
    box = [[0.1, 0.1, 0.5, 0.5]]
    data = Dataset([Example(f"{n}.jpg", box, [0], SIZE, image_id=n) for n in range(images)], CLASSES)
    return data, [Detections(box, [0.9], [0], CLASSES, SIZE)[: int(found)] for _ in range(images)]


@pytest.mark.parametrize("images", [10, 49])
def test_no_failure_seen_is_not_no_failure(images):
    """With so many images, a share of failures that is not seen at all in 2.5 of 100 test sets may be there."""
    least = 0.025 ** (1 / images)
    perfect, blind = (interval(constant(found, images), "AP50", samples=50) for found in (True, False))
    assert (perfect.low, perfect.high) == pytest.approx((least, 1))
    assert (blind.low, blind.high) == pytest.approx((0, 1 - least))


def test_one_image_says_nothing():
    metrics = constant(True, 1)
    assert (interval(metrics, samples=20).low, interval(metrics, samples=20).high) == (0, 1)
    difference = compare(metrics, metrics, samples=20).difference
    assert (difference.low, difference.high) == (-1, 1)


def test_a_correction_beyond_the_samples_shifts_them():
    """Samples that are too high by far more than they spread: the interval lies as far below the value."""
    rng = np.random.default_rng(0)

    def number(weights):
        return np.full(len(weights), 0.5) if len(weights) == 1 else 0.6 + rng.normal(0, 0.01, len(weights))

    found = bias_corrected(number, resamples(1000, 2000, 0), 0.95)
    assert (found.low, found.high) == pytest.approx((0.38, 0.5), abs=0.003)


@pytest.mark.parametrize(("images", "level"), [(8, 0.95), (8, 0.8), (20, 0.95)])
def test_few_images_hold_a_mean_as_often_as_they_say(images, level):
    inside = 0
    for seed in range(400):
        values = np.random.default_rng(seed).normal(0.5, 0.1, images)
        found = bias_corrected(lambda w, v=values: w @ v / images, resamples(images, 300, seed), level)
        inside += found.low <= 0.5 <= found.high
    assert abs(inside / 400 - level) < 0.035
