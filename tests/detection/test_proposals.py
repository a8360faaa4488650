"""Proposals, the crops cut for them, and the minibatches drawn from them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from detkit.detection import anchors, box_coder, crops, proposals, sampling

LIMITS = {"first_stage_nms_iou_threshold": 0.7, "first_stage_nms_score_threshold": 0.0}


def propose(boxes, scores, true_size, count=4):
    """Proposals of boxes that the network predicts exactly, in one image; scores are logits of "object"."""
    boxes = tf.constant(boxes, tf.float32)
    codes = box_coder.encode(boxes, boxes, proposals.CODE_SCALES)[None]
    logits = tf.constant([[[0.0, score] for score in scores]], tf.float32)
    model = SimpleNamespace(first_stage_max_proposals=count, **LIMITS)
    found, number = proposals.propose(codes, logits, boxes, tf.constant([true_size]), model)
    return found[0].numpy(), int(number[0])


def test_the_best_boxes_come_first_and_what_is_missing_is_zero():
    found, number = propose([[0, 0, 10, 10], [20, 20, 40, 40], [20, 20, 40, 39]], [0, 1, 2], (64, 64))
    assert number == 2
    assert np.allclose(found, [[20, 20, 40, 39], [0, 0, 10, 10], [0, 0, 0, 0], [0, 0, 0, 0]], atol=1e-4)


def test_boxes_are_clipped_to_the_true_image_after_suppression():
    # The first two are one box inside the image, but not outside; the third lies in the padding.
    boxes = [[0, 0, 64, 20], [0, 0, 32, 20], [40, 0, 64, 20], [-10, -5, 8, 8]]
    found, number = propose(boxes, [3, 2, 1, 0], (32, 64))
    assert number == 3
    assert np.allclose(found[:3], [[0, 0, 32, 20], [0, 0, 32, 20], [0, 0, 8, 8]], atol=1e-4)
    assert (found[3] == 0).all()


def test_no_more_than_asked_for():
    boxes = [[10 * i, 0, 10 * i + 8, 8] for i in range(6)]
    found, number = propose(boxes, range(6), (64, 64))
    assert number == 4
    assert found[:, 0].round().tolist() == [50, 40, 30, 20]


def test_equal_scores_keep_the_order_of_the_anchors():
    boxes = [[10 * i, 0, 10 * i + 8, 8] for i in range(6)]
    assert propose(boxes, [0] * 6, (64, 64))[0][:, 0].round().tolist() == [0, 10, 20, 30]


def test_anchors_of_a_grid():
    generator = SimpleNamespace(
        scales=(0.5, 1.0), aspect_ratios=(1.0, 4.0), height=32, width=32,
        height_stride=16, width_stride=8, height_offset=0, width_offset=2,
    )  # fmt: skip
    found = anchors.grid((2, 3), generator).reshape(2, 3, 4, 4)
    centres, extents = (found[..., :2] + found[..., 2:]) / 2, found[..., 2:] - found[..., :2]
    assert centres[..., 0, 0].tolist() == [[0, 0, 0], [16, 16, 16]]
    assert centres[..., 0, 1].tolist() == [[2, 10, 18]] * 2
    # All scales of a ratio before the next ratio.
    assert extents[1, 2].tolist() == [[16, 16], [32, 32], [8, 32], [16, 64]]


@pytest.mark.parametrize(
    ("size", "pool", "stride", "skip"), [(14, 2, 2, 2), (14, 2, 2, 1), (17, 1, 1, 1), (7, 3, 1, 2)]
)
def test_a_crop_is_that_of_tensorflow_pooled_and_thinned(size, pool, stride, skip):
    rng = np.random.default_rng(0)
    features = tf.constant(rng.random((2, 9, 12, 3)).astype(np.float32))
    boxes = np.sort(rng.uniform(0, 0.99, (2, 5, 2, 2)), axis=2).reshape(2, 5, 4).astype(np.float32)
    whole = tf.image.crop_and_resize(features, boxes.reshape(-1, 4), np.repeat([0, 1], 5), [size, size])
    expected = tf.nn.max_pool2d(whole, pool, stride, "VALID")[:, ::skip, ::skip].numpy()
    found = crops.crop(features, tf.constant(boxes), size, pool, stride, skip).numpy()
    assert found.shape == (2, 5, *expected.shape[1:])
    assert expected.shape[1] == crops.cells(size, pool, stride, skip)
    assert np.abs(found.reshape(expected.shape) - expected).max() < 1e-5


def test_a_crop_reads_no_zeros_at_the_border():
    features = tf.ones((1, 84, 40, 1))
    start = np.linspace(0.0, 0.9, 200).astype(np.float32)
    boxes = np.stack([start, start, np.ones_like(start), np.ones_like(start)], axis=1)
    assert crops.crop(features, tf.constant(boxes[None]), 14, 1).numpy().min() > 0.999


def test_a_draw_depends_on_seed_place_and_purpose_only():
    seeds = tf.constant([3, 4, 3], tf.int32)
    keys = sampling.keys(seeds, 1000, salt=1).numpy()
    assert np.array_equal(keys[0], keys[2])
    assert np.array_equal(keys[:, :10], sampling.keys(seeds, 10, salt=1).numpy())
    others = [keys[1], sampling.keys(seeds, 1000, salt=2)[0].numpy(), np.roll(keys[0], 1)]
    assert all((keys[0] == other).mean() < 0.01 for other in others)
    assert keys.min() >= 0
    # Uniform: no tenth of the range holds much more than a tenth of the numbers.
    many = sampling.keys(tf.range(50), 1000, salt=1).numpy().ravel() / 2**31
    assert np.histogram(many, 10, (0, 1))[0] == pytest.approx(np.full(10, 5000), rel=0.05)
    assert abs(np.corrcoef(keys[0], keys[1])[0, 1]) < 0.1


def draw(positive, negative, size, fraction, seed=0):
    """{"positive", "negative": rows drawn} of one image."""
    positive, negative = (np.isin(np.arange(40), rows)[None] for rows in (positive, negative))
    order = sampling.keys(tf.constant([seed]), 40, salt=1)
    rows, drawn = sampling.balanced(tf.constant(positive), tf.constant(negative), order, size, fraction)
    chosen = rows.numpy()[drawn.numpy()]
    assert len(set(chosen.tolist())) == len(chosen)
    is_positive = positive[0, chosen]
    assert (np.diff(is_positive.astype(int)) <= 0).all()  # positives first
    assert (is_positive | negative[0, chosen]).all()
    return is_positive.sum(), (~is_positive).sum()


@pytest.mark.parametrize(
    ("positive", "negative", "expected"),
    [
        (range(20), range(20, 40), (2, 6)),  # a quarter
        (range(1), range(20, 40), (1, 7)),  # negatives in the place of missing positives
        (range(20), range(20, 23), (2, 3)),  # but no positives in the place of missing negatives
        ([], range(40), (0, 8)),
        (range(40), [], (2, 0)),
        ([], [], (0, 0)),
    ],
)
def test_a_minibatch_is_balanced(positive, negative, expected):
    assert draw(positive, negative, 8, 0.25) == expected


def test_a_minibatch_larger_than_all_there_is():
    assert draw(range(3), range(10, 15), 256, 0.5) == (3, 5)


def test_every_example_is_drawn_as_often_as_the_others():
    order = sampling.keys(tf.range(2000), 40, salt=2)
    everything = tf.ones([2000, 40], tf.bool)
    rows, drawn = sampling.balanced(everything & False, everything, order, 10, 0.5)
    assert bool(tf.reduce_all(drawn))
    assert np.bincount(rows.numpy().ravel(), minlength=40) == pytest.approx(np.full(40, 500), rel=0.15)
