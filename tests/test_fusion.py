"""Soft and matrix NMS, weighted boxes fusion and the merge of tiles."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detkit import boxes as box_math
from detkit import fusion, nms
from detkit.errors import DataError


@st.composite
def problems(draw):
    """Boxes, scores with ties, and classes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    corners = rng.integers(0, 7, (draw(st.integers(0, 15)), 2, 2))
    boxes = np.concatenate([corners.min(1), corners.max(1) + 1], axis=1).astype(np.float32)
    return boxes, (rng.integers(1, 9, len(boxes)) / 8).astype(np.float32), rng.integers(0, 3, len(boxes))


def slow_soft_nms(boxes, scores, class_ids, decay, threshold):
    left, scores, found = list(range(len(boxes))), list(map(float, scores)), []
    while left:
        best = max(left, key=lambda i: (scores[i], -i))
        left.remove(best)
        if scores[best] <= threshold:
            break
        found.append((best, scores[best]))
        for i in left:
            if class_ids[i] == class_ids[best]:
                scores[i] *= decay(float(box_math.iou(boxes[best : best + 1], boxes[i : i + 1])[0, 0]))
    return found


@pytest.mark.parametrize("sigma", [0.5, None])
@given(problem=problems())
@settings(max_examples=60, deadline=None)
def test_soft_nms_equals_a_slow_reference(sigma, problem):
    def decay(iou):
        return np.exp(-(iou**2) / sigma) if sigma else (1 - iou if iou > 0.29 else 1.0)

    rows, scores = fusion.soft_nms(*problem, sigma=sigma, iou_threshold=0.29, score_threshold=0.11)
    expected = slow_soft_nms(*problem, decay, 0.11)
    np.testing.assert_allclose(scores, [score for _, score in expected], rtol=1e-5)
    # Decayed scores that differ by rounding alone may change places.
    for row, score, (wanted, _) in zip(rows, scores, expected, strict=True):
        assert row == wanted or np.isclose(dict(expected)[row], score, rtol=1e-5)


def test_soft_nms_equals_tensorflow():
    import tensorflow as tf

    rng = np.random.default_rng(0)
    low = rng.random((60, 2))
    boxes, scores = np.concatenate([low, low + 0.3], 1).astype(np.float32), rng.random(60).astype(np.float32)
    rows, left = fusion.soft_nms(boxes, scores, sigma=0.5, score_threshold=0.01)
    wanted = tf.image.non_max_suppression_with_scores(boxes, scores, 60, 1.0, 0.01, soft_nms_sigma=0.25)
    assert rows.tolist() == wanted[0].numpy().tolist()
    np.testing.assert_allclose(left, wanted[1], rtol=1e-5)


@pytest.mark.parametrize("sigma", [2.0, None])
@given(problem=problems())
@settings(max_examples=60, deadline=None)
def test_matrix_nms_equals_the_formula(sigma, problem):
    boxes, scores, class_ids = problem
    order = sorted(range(len(boxes)), key=lambda i: (-scores[i], i))
    overlap = box_math.iou(boxes, boxes) * (class_ids[:, None] == class_ids)
    expected = scores.astype(float)
    for rank, j in enumerate(order):
        factors = [1.0]
        for i in order[:rank]:
            own = max([overlap[k, i] for k in order[: order.index(i)]], default=0.0)
            if sigma:
                factors.append(np.exp(-sigma * (overlap[i, j] ** 2 - own**2)))
            elif own < 1:
                factors.append((1 - overlap[i, j]) / (1 - own))
        expected[j] *= min(factors)
    np.testing.assert_allclose(fusion.matrix_nms(*problem, sigma=sigma), expected, rtol=1e-4, atol=1e-6)


def test_a_fused_box_is_the_average_of_those_that_mean_it():
    first, second = [[0, 0, 10, 10], [50, 50, 60, 60]], [[0, 0, 10, 12]]
    boxes, scores, class_ids = fusion.weighted_boxes_fusion([first, second], [[0.9, 0.5], [0.6]])
    np.testing.assert_allclose(boxes[0], [0, 0, 10, (0.9 * 10 + 0.6 * 12) / 1.5], rtol=1e-6)
    np.testing.assert_allclose(boxes[1], first[1], rtol=1e-6)
    np.testing.assert_allclose(scores, [0.75, 0.25], rtol=1e-6)  # the second was found by one model of two
    assert class_ids.tolist() == [0, 0]


def test_a_model_of_more_weight_counts_more():
    boxes, scores, _ = fusion.weighted_boxes_fusion(
        [[[0, 0, 10, 10]], [[0, 0, 10, 12]]], [[0.8], [0.8]], weights=[3, 1]
    )
    np.testing.assert_allclose(boxes, [[0, 0, 10, 10.5]], rtol=1e-6)
    np.testing.assert_allclose(scores, [0.8], rtol=1e-6)


def test_fusion_does_not_mix_classes():
    one = [[0, 0, 10, 10]]
    boxes, _, class_ids = fusion.weighted_boxes_fusion([one, one], [[0.9], [0.8]], [[0], [1]])
    assert len(boxes) == 2 and class_ids.tolist() == [0, 1]


@given(problems())
@settings(max_examples=40, deadline=None)
def test_whole_boxes_of_tiles_merge_as_greedy_nms(problem):
    rows, boxes = fusion.merge_tiles(*problem)
    assert rows.tolist() == nms.greedy(*problem).tolist()
    assert np.array_equal(boxes, problem[0][rows])


def test_the_parts_of_an_object_at_a_seam_become_one_box():
    # An object from 10 to 90, seen in tiles 0..60 and 40..100, and in its middle by a third.
    boxes = np.array([[0, 10, 10, 60], [0, 40, 10, 90], [0, 42, 10, 58], [30, 0, 40, 10]], np.float32)
    cut = np.array([True, True, True, False])
    rows, merged = fusion.merge_tiles(boxes, [0.9, 0.8, 0.3, 0.5], cut=cut, cut_threshold=0.3)
    assert rows.tolist() == [0, 3]
    assert merged.tolist() == [[0, 10, 10, 90], [30, 0, 40, 10]]


def test_a_small_whole_box_on_a_large_whole_one_stays():
    rows, _ = fusion.merge_tiles([[0, 0, 100, 100], [10, 10, 20, 20]], [0.9, 0.8])
    assert len(rows) == 2


def test_nothing_gives_nothing():
    assert fusion.soft_nms([], [])[0].shape == (0,)
    assert fusion.matrix_nms([], []).shape == (0,)
    assert fusion.merge_tiles([], [])[1].shape == (0, 4)
    for models in ([], [[]], [[], []]):
        boxes, scores, class_ids = fusion.weighted_boxes_fusion(models, models)
        assert boxes.shape == (0, 4) and scores.shape == class_ids.shape == (0,)


@pytest.mark.parametrize("function", [fusion.soft_nms, fusion.matrix_nms, fusion.merge_tiles])
def test_what_is_no_box_is_refused(function):
    with pytest.raises(DataError, match="A box is not a number"):
        function([[0, 0, 1, np.nan]], [0.5])
    with pytest.raises(DataError, match="do not fit together"):
        function([[0, 0, 1, 1]], [0.5, 0.6])


def test_refusals_of_settings():
    with pytest.raises(DataError, match="sigma of soft NMS is not positive"):
        fusion.soft_nms([[0, 0, 1, 1]], [0.5], sigma=0)
    with pytest.raises(DataError, match="Each model needs boxes, scores, and a weight above 0"):
        fusion.weighted_boxes_fusion([[[0, 0, 1, 1]]], [[0.5]], weights=[0])
    with pytest.raises(DataError, match="`cut` does not fit"):
        fusion.merge_tiles([[0, 0, 1, 1]], [0.5], cut=[True, False])


def test_matrix_nms_of_many_boxes_takes_little_memory():
    low = np.random.default_rng(0).random((3000, 2))
    tracemalloc.start()
    fusion.matrix_nms(np.concatenate([low, low + 0.2], 1), low[:, 0])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * 2**20


@pytest.mark.parametrize("sigma", [0.5, None])
def test_soft_nms_of_equal_boxes_goes_on_with_the_others(sigma):
    boxes = [[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1], [5, 5, 6, 6]]
    rows, scores = fusion.soft_nms(boxes, [0.9, 0.8, 0.7, 0.6], sigma=sigma, score_threshold=0.2)
    assert rows.tolist() == [0, 3]
    assert scores.tolist() == pytest.approx([0.9, 0.6])


def test_soft_nms_of_many_boxes_of_many_classes_is_that_of_each_class():
    rng = np.random.default_rng(0)
    corner = rng.random((300, 2))
    boxes, scores = np.concatenate([corner, corner + 0.2], axis=1), rng.permutation(300) / 300
    class_ids = rng.integers(0, 3, 300)
    rows, left = fusion.soft_nms(boxes, scores, class_ids)
    assert (np.diff(left) <= 0).all()
    for k in range(3):
        own = np.flatnonzero(class_ids == k)
        expected, scores_left = fusion.soft_nms(boxes[own], scores[own])
        assert rows[class_ids[rows] == k].tolist() == own[expected].tolist()
        np.testing.assert_array_equal(left[class_ids[rows] == k], scores_left)
