"""Windows over a pyramid, one by one and with shared computation."""

from __future__ import annotations

import numpy as np
import pytest

from detkit import evaluate
from detkit.baselines import mining, sliding_window
from detkit.baselines.linear import Linear, Scaling
from detkit.baselines.sliding_window import Pyramid, SlidingWindow, WindowClassifier, window_boxes
from detkit.errors import ConfigError, DataError


def classifier(backbone, cells=3, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    width = cells * cells * backbone.channels
    scaling = Scaling(rng.normal(size=width).astype(np.float32), rng.uniform(1, 2, width).astype(np.float32))
    linear = Linear(rng.normal(size=(width, classes)).astype(np.float32), np.zeros(classes, np.float32))
    return WindowClassifier(backbone, cells, scaling, linear)


def test_shared_scores_equal_naive_ones_where_the_backbone_has_no_borders(backbone, squares):
    classify = classifier(backbone)
    naive, shared = (SlidingWindow(classify, ("a", "b"), 24, 8, shared=flag) for flag in (False, True))
    for (boxes, scores), (others, other_scores) in zip(
        *([each.scored(example.image) for example in squares] for each in (naive, shared)), strict=True
    ):
        assert np.array_equal(boxes, others)
        assert np.allclose(scores, other_scores, atol=1e-5) and scores.std() > 0.05


def test_a_window_classifier_is_its_linear_model_over_the_cells(backbone):
    classify = classifier(backbone)
    crops = np.random.default_rng(3).integers(0, 256, (5, 24, 24, 3), np.uint8)
    margins = classify.linear.margins(classify.scaling(backbone.maps(crops).reshape(5, -1)))
    assert np.allclose(classify(crops), 1 / (1 + np.exp(-margins)), atol=1e-5)


def test_any_callable_classifies_crops_of_the_whole_image(squares):
    """The share of red: the best window must be the red square."""
    seen = []

    def redness(crops):
        seen.append(crops.shape[1:])
        level = crops.mean(axis=(1, 2))
        return ((level[:, 0] - level[:, 2]) / 255).clip(0, 1)[:, None]

    example = squares[0]
    found = SlidingWindow(redness, ("square",), 16, 4, pyramid=Pyramid((0.35,), (1.0,))).detect(example.image)[0]
    assert set(seen) == {(16, 16, 3)}
    centre = (found.boxes[0, :2] + found.boxes[0, 2:]) / 2
    assert np.allclose(centre, (example.boxes[0, :2] + example.boxes[0, 2:]) / 2, atol=0.06)
    assert (np.diff(found.scores) <= 0).all()


@pytest.mark.parametrize("size", [(96, 128), (333, 100), (24, 24), (500, 375)])
def test_levels_hold_whole_strides_and_windows_have_the_shapes_asked_for(size):
    pyramid = Pyramid((0.8, 0.3), (1.0, 0.5))
    for level in pyramid.levels(size, 32, 8):
        assert all(side >= 32 and (side - 32) % 8 == 0 for side in level)
        boxes = window_boxes(level, 32, 8)
        assert boxes.min() == 0 and boxes.max() == 1 and len(boxes) == np.prod((np.array(level) - 32) // 8 + 1)
    (level,) = Pyramid((0.25,), (0.5,)).levels((400, 800), 64, 8)
    height, width = (window_boxes(level, 64, 8)[0, 2:] - window_boxes(level, 64, 8)[0, :2]) * (400, 800)
    assert width / height == pytest.approx(0.5, rel=0.05) and height * width == pytest.approx(100**2, rel=0.1)


def test_an_image_too_small_for_any_window_is_one_window():
    assert Pyramid((1.0,), (8.0,)).levels((50, 50), 32, 8) == [(32, 32)]


@pytest.mark.parametrize("shared", [True, False])
def test_a_trained_one_finds_the_squares_of_other_photos(backbone, squares, other_squares, monkeypatch, shared):
    monkeypatch.setattr(sliding_window, "Backbone", lambda model, block: backbone)
    settings = sliding_window.WindowSettings(cells=3)
    pyramid = Pyramid((0.4, 0.33, 0.27), (1.0,))
    runs = [sliding_window.train("m", squares, settings=settings, pyramid=pyramid, shared=shared) for _ in range(2)]
    assert np.array_equal(runs[0].classify.linear.weights, runs[1].classify.linear.weights)
    assert evaluate(runs[0], other_squares)["AP50"] > 0.6


def test_windows_described_in_training_are_those_of_detection(backbone, squares):
    image, pyramid = squares[0].image, Pyramid()
    shared, naive = (sliding_window.Windows(image, backbone, 3, pyramid, flag) for flag in (True, False))
    rows = np.random.default_rng(0).permutation(len(shared.boxes))[:40]
    features = shared.describe(rows)
    assert np.allclose(features, naive.describe(rows), atol=1e-6)
    classify = classifier(backbone)
    boxes, scores = SlidingWindow(classify, ("a", "b"), 24, 8, pyramid=pyramid, shared=True).scored(image)
    assert np.array_equal(boxes, shared.boxes)
    margins = classify.linear.margins(classify.scaling(features))
    assert np.allclose(scores[rows], 1 / (1 + np.exp(-margins)), atol=1e-5)


@pytest.mark.parametrize("options", [dict(window=0, stride=1), dict(window=8, stride=0)])
def test_refuses_windows_of_no_size(options):
    with pytest.raises(ConfigError, match="at least one pixel"):
        SlidingWindow(len, ("a",), **options)


def test_refuses_to_share_what_a_classifier_can_not_share():
    with pytest.raises(ConfigError, match="method `slide`"):
        SlidingWindow(len, ("a",), 8, 8, shared=True)


@pytest.mark.parametrize("values", [(), (0.5, 0.0), (-1.0,)])
def test_refuses_a_pyramid_without_positive_numbers(values):
    with pytest.raises(ConfigError, match="positive numbers"):
        Pyramid(values)


def test_refuses_to_learn_from_nothing(squares):
    with pytest.raises(DataError, match="no images"):
        mining.learn(squares[:0], None)
