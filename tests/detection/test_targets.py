"""Target assignment, the box coder and the losses, against literal references."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from detkit.detection import box_coder, box_overlaps, losses, targets

SCALES = (10.0, 10.0, 5.0, 5.0)


def boxes_from(seed, count, grid=8):
    """Boxes with whole corners on a small grid, so that overlaps tie, as float32 of 0..1."""
    corners = np.random.default_rng(seed).integers(0, grid, (count, 2, 2))
    low, high = corners.min(axis=1), corners.max(axis=1) + 1
    return (np.concatenate([low, high], axis=1) / (grid + 1)).astype(np.float32)


def overlaps_of(boxes, anchors):
    low = np.maximum(boxes[:, None, :2], anchors[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], anchors[None, :, 2:])
    overlap = np.maximum(high - low, 0).prod(axis=2)
    areas = [(each[:, 2:] - each[:, :2]).prod(axis=1) for each in (boxes, anchors)]
    return overlap / (areas[0][:, None] + areas[1][None] - overlap)


def literal_match(overlaps, weights, matched, unmatched, force):
    """The matcher's rule, anchor by anchor and object by object."""
    rows = []
    for column in overlaps.T:
        best = int(np.argmax(column))
        label = targets.BACKGROUND if column[best] < unmatched else targets.IGNORED
        rows.append(best if column[best] >= matched else label)
    if force:
        claimed = {}
        for row, values in enumerate(overlaps):
            if weights[row] > 0:
                claimed.setdefault(int(np.argmax(values)), row)
        for anchor, row in claimed.items():
            rows[anchor] = row
    return rows


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 5),
    st.sampled_from([(0.5, 0.5), (0.6, 0.3)]),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_match_equals_the_literal_rule(seed, count, thresholds, force):
    boxes, anchors = boxes_from(seed, count), boxes_from(seed + 1, 40)
    weights = np.random.default_rng(seed).choice([0.0, 1.0], count, p=[0.2, 0.8]).astype(np.float32)
    overlaps = box_overlaps.iou(*box_overlaps.pairs(tf.constant(boxes), tf.constant(anchors))).numpy()
    assert overlaps == pytest.approx(overlaps_of(boxes, anchors), abs=1e-6)
    matched, unmatched = thresholds
    given_ = tf.constant(boxes)[None], tf.constant(weights)[None], tf.constant(anchors)
    found = targets.match(*given_, matched=matched, unmatched=unmatched, force=force)
    assert found.numpy()[0].tolist() == literal_match(overlaps, weights, matched, unmatched, force)


ANCHORS = tf.constant([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0], [0.0, 0.5, 0.5, 1.0]])


def truth(boxes, class_ids, weights):
    arrays = np.array(boxes, "f").reshape(1, -1, 4), np.array([class_ids], "i"), np.array([weights], "f")
    return dict(zip(("boxes", "class_ids", "weights"), map(tf.constant, arrays), strict=True))


def test_every_object_gets_an_anchor_however_poor_the_fit():
    found = targets.assign(truth([[0.45, 0.05, 0.55, 0.15]], [2], [1]), ANCHORS)
    assert found.anchor.numpy().tolist() == [0]
    assert found.class_ids.numpy().tolist() == [2]


def test_objects_of_weight_zero_claim_no_anchor_but_silence_those_that_fit():
    found = targets.assign(truth([[0.0, 0.0, 0.5, 0.5], [0.45, 0.55, 0.55, 0.65]], [0, 1], [0, 0]), ANCHORS)
    assert found.anchor.numpy().tolist() == [0]
    assert found.weights.numpy().tolist() == [0.0]


def test_two_objects_that_claim_one_anchor_leave_it_to_the_first():
    boxes = [[0.1, 0.1, 0.2, 0.2], [0.2, 0.2, 0.3, 0.3]]
    found = targets.assign(truth(boxes, [4, 5], [1, 1]), ANCHORS)
    assert found.anchor.numpy().tolist() == [0]
    assert found.class_ids.numpy().tolist() == [4]


@pytest.mark.parametrize("boxes", [[], [[0, 0, 0, 0]]])
def test_an_image_without_objects_has_no_targets(boxes):
    found = targets.assign(truth(boxes, [0] * len(boxes), [0] * len(boxes)), ANCHORS)
    assert found.anchor.shape == (0,)
    assert found.boxes.shape == (0, 4)


def test_encode_by_hand():
    codes = box_coder.encode(tf.constant([[0.2, 0.2, 0.6, 0.4]]), tf.constant([[0.0, 0.0, 0.4, 0.4]]), SCALES)
    expected = [10 * 0.2 / 0.4, 10 * 0.1 / 0.4, 5 * np.log(0.4 / 0.4), 5 * np.log(0.2 / 0.4)]
    assert codes.numpy()[0] == pytest.approx(expected, abs=1e-5)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_decode_inverts_encode(seed):
    boxes, anchors = boxes_from(seed, 20), boxes_from(seed + 1, 20)
    codes = box_coder.encode(tf.constant(boxes), tf.constant(anchors), SCALES)
    assert box_coder.decode(codes, tf.constant(anchors), SCALES).numpy() == pytest.approx(boxes, abs=1e-5)


def test_decode_does_not_clip():
    box = box_coder.decode(tf.constant([[-20.0, 0.0, 10.0, 0.0]]), ANCHORS[:1], SCALES).numpy()[0]
    assert box[0] < 0 and box[2] - box[0] == pytest.approx(0.5 * np.exp(2), rel=1e-5)


@pytest.mark.parametrize("delta", [1.0, 0.5])
def test_huber_is_quadratic_then_linear(delta):
    values = np.array([-3, -1, -0.25, 0, 0.25, 1, 3], np.float32)
    expected = [0.5 * v * v if abs(v) <= delta else delta * (abs(v) - 0.5 * delta) for v in values]
    assert losses.huber(tf.constant(values), delta).numpy() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("alpha", [0.25, 0.75, None])
@pytest.mark.parametrize("gamma", [0.0, 1.5, 2.0])
@pytest.mark.parametrize("target", [0, 1])
def test_focal_loss_by_its_definition(target, alpha, gamma):
    logits = np.linspace(-6, 6, 25)
    p = 1 / (1 + np.exp(-logits))
    p_of_truth = p if target else 1 - p
    balance = 1.0 if alpha is None else (alpha if target else 1 - alpha)
    expected = -balance * (1 - p_of_truth) ** gamma * np.log(p_of_truth)
    found = losses.focal(tf.constant(logits, tf.float32), target, alpha, gamma).numpy()
    assert found == pytest.approx(expected, rel=1e-4)
    if target == 0:
        total = losses.focal_background(tf.constant(logits, tf.float32), alpha, gamma)
        assert float(total) == pytest.approx(expected.sum(), rel=1e-4)


@pytest.mark.parametrize("gamma", [1.5, 2.0])
def test_the_written_gradient_is_the_gradient(gamma):
    logits = tf.Variable(np.linspace(-80, 80, 41), dtype=tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        written = 3.0 * losses.focal_background(logits, 0.25, gamma)
        derived = 3.0 * tf.reduce_sum(losses.focal(logits, 0, 0.25, gamma))
    assert float(written) == pytest.approx(float(derived), rel=1e-5)
    ours, theirs = (tape.gradient(each, logits).numpy() for each in (written, derived))
    assert np.isfinite(ours).all()
    middle = slice(15, 26)  # beyond that, differentiating the power underflows
    assert ours[middle] == pytest.approx(theirs[middle], rel=1e-4)


def test_losses_of_huge_logits_are_finite():
    logits = tf.constant([-1e4, -100.0, 100.0, 1e4])
    for target in (0, 1):
        assert np.isfinite(losses.focal(logits, target, 0.25, 2.0).numpy()).all()
