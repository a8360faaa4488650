"""IoU and its relatives: NumPy and TensorFlow against each other and against a slow reference, box by box."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from detkit import boxes
from detkit.detection import box_overlaps
from detkit.errors import DataError

KINDS = ("iou", "giou", "diou", "ciou")


def reference(a, b) -> dict[str, float]:
    """All measures of two boxes [4], as the papers define them."""
    sides = [max(min(a[i + 2], b[i + 2]) - max(a[i], b[i]), 0) for i in (0, 1)]
    common = sides[0] * sides[1]
    areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    union = sum(areas) - common
    iou = common / union if union else 0
    hull = [max(a[i + 2], b[i + 2]) - min(a[i], b[i]) for i in (0, 1)]
    outside = (hull[0] * hull[1] - union) / (hull[0] * hull[1]) if hull[0] * hull[1] else 0
    distance = sum(((a[i] + a[i + 2] - b[i] - b[i + 2]) / 2) ** 2 for i in (0, 1))
    diagonal = hull[0] ** 2 + hull[1] ** 2
    diou = iou - (distance / diagonal if diagonal else 0)
    angles = [math.atan2(x[3] - x[1], x[2] - x[0]) for x in (a, b)]
    v = 4 / math.pi**2 * (angles[0] - angles[1]) ** 2
    ciou = diou - (v * v / (1 - iou + v) if v else 0)
    ioa = common / areas[0] if areas[0] else 0
    return {"iou": iou, "giou": iou - outside, "diou": diou, "ciou": ciou, "ioa": ioa, "intersection": common}


@st.composite
def some_boxes(draw):
    """Boxes on a small grid, some empty, many touching or equal."""
    corners = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).integers(0, 5, (draw(st.integers(0, 6)), 2, 2))
    return np.concatenate([corners.min(1), corners.max(1)], axis=1).astype(np.float32)


@given(some_boxes(), some_boxes())
@settings(max_examples=60, deadline=None)
def test_each_with_each_equals_the_reference(a, b):
    expected = [[reference(x.astype(float), y.astype(float)) for y in b] for x in a]
    for kind in (*KINDS, "ioa", "intersection"):
        wanted = np.array([[each[kind] for each in row] for row in expected]).reshape(len(a), len(b))
        np.testing.assert_allclose(getattr(boxes, kind)(a, b), wanted, atol=1e-6)
        if kind in KINDS:
            found = getattr(box_overlaps, kind)(*box_overlaps.pairs(tf.constant(a), tf.constant(b)))
            np.testing.assert_allclose(found, wanted, atol=1e-6)


@given(some_boxes())
@settings(max_examples=20, deadline=None)
def test_pairs_are_the_diagonal(a):
    b = a[::-1]
    for kind in (*KINDS, "ioa", "intersection"):
        measure = getattr(boxes, kind)
        np.testing.assert_array_equal(measure(a, b, paired=True), np.diagonal(measure(a, b)))


def test_pairs_are_of_one_number():
    with pytest.raises(DataError, match="Paired boxes differ in number"):
        boxes.giou(np.zeros((2, 4)), np.zeros((3, 4)), paired=True)


@pytest.mark.parametrize("kind", KINDS)
def test_following_the_gradient_brings_boxes_together(kind):
    target = tf.constant([[0.2, 0.2, 0.6, 0.8]])
    moving = tf.Variable([[0.3, 0.4, 0.9, 0.9]])
    measure = getattr(box_overlaps, kind)
    before = float(measure(moving, target)[0])
    for _ in range(80):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(1 - measure(moving, target))
        gradient = tape.gradient(loss, moving)
        assert np.isfinite(gradient).all()
        moving.assign_sub(0.005 * gradient)
    assert before < 0.35 and float(measure(moving, target)[0]) > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_empty_and_distant_boxes_have_finite_gradients(kind):
    for other in ([0.0, 0.0, 0.0, 0.0], [0.8, 0.8, 0.9, 0.9]):
        moving = tf.Variable([[0.0, 0.0, 0.0, 0.0], [0.1, 0.1, 0.2, 0.2]])
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(getattr(box_overlaps, kind)(moving, tf.constant([other])))
        assert np.isfinite(tape.gradient(loss, moving)).all()
