"""IoU and its relatives for TensorFlow, differentiable: boxes [..., 4] (all yxyx or all xyxy) that broadcast.

`detkit.boxes` has the same for NumPy, and the sources.
"""

from __future__ import annotations

import math

import tensorflow as tf


def pairs(a, b):
    """Boxes [..., N, 4] and [..., M, 4] such that they broadcast to each with each, [..., N, M]."""
    return a[..., :, None, :], b[..., None, :, :]


def iou(a, b):
    """Intersection over union [...]; 0 where the union is empty."""
    common, union = _common_and_union(a, b)
    return tf.math.divide_no_nan(common, union)


def giou(a, b):
    """IoU less the share of the box around both that neither covers [...], -1..1."""
    common, union = _common_and_union(a, b)
    hull = _area(_hull(a, b))
    return tf.math.divide_no_nan(common, union) - tf.math.divide_no_nan(hull - union, hull)


def diou(a, b):
    """IoU less the squared distance of the centres over the squared diagonal of the box around both [...], -1..1."""
    apart = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    squares = [tf.reduce_sum(tf.square(sides), axis=-1) for sides in (apart, _hull(a, b))]
    return iou(a, b) - tf.math.divide_no_nan(*squares)


def ciou(a, b):
    """`diou` less a penalty for another aspect ratio [...]; the penalty's weight has no gradient, as in the paper."""
    difference = 4 / math.pi**2 * tf.square(_angle(_sides(a)) - _angle(_sides(b)))
    weight = tf.stop_gradient(tf.math.divide_no_nan(difference, 1 - iou(a, b) + difference))
    return diou(a, b) - weight * difference


def _angle(sides):
    # Of a box without sides the angle has no gradient, and 0 / 0 would spoil that of all others.
    empty = tf.cast(tf.reduce_all(sides == 0.0, axis=-1), sides.dtype)
    return tf.atan2(sides[..., 1], sides[..., 0] + empty)


def _sides(boxes):
    return tf.maximum(boxes[..., 2:] - boxes[..., :2], 0.0)


def _hull(a, b):
    return tf.maximum(a[..., 2:], b[..., 2:]) - tf.minimum(a[..., :2], b[..., :2])


def _area(sides):
    return sides[..., 0] * sides[..., 1]


def _common_and_union(a, b):
    common = _area(tf.maximum(tf.minimum(a[..., 2:], b[..., 2:]) - tf.maximum(a[..., :2], b[..., :2]), 0.0))
    return common, _area(_sides(a)) + _area(_sides(b)) - common
