"""Features of regions: bilinear crops of a feature map, pooled. Source: `tf.image.crop_and_resize`, max pooling."""

from __future__ import annotations

from itertools import product

import tensorflow as tf

EDGE = 4e-7


def cells(size: int, pool: int, stride: int, skip: int = 1) -> int:
    """How many rows and columns `crop` gives."""
    return -(-((size - pool) // stride + 1) // skip)


def crop(features, boxes, size: int, pool: int = 1, stride: int = 1, skip: int = 1):
    """The crop of every box, resampled to size x size and max-pooled.

    Every place of the pooling window is a regular grid of its own over the box, so the crop before the pooling is never
    made, nor what a following convolution of stride `skip` would not read.

    Args:
        features: [B, h, w, C]; the borders of the box lie on the centres of the outermost samples.
        boxes: [B, P, 4] normalised yxyx.
        pool, stride: of the max pooling (VALID).
        skip: keeps every `skip`-th row and column of what is pooled.

    Returns:
        [B, P, n, n, C], with n of `cells`.
    """
    image = tf.repeat(tf.range(tf.shape(boxes)[0]), tf.shape(boxes)[1])
    found = crop_from(features, image, tf.reshape(boxes, [-1, 4]), size, pool, stride, skip)
    return tf.reshape(found, [-1, boxes.shape[1], *found.shape[1:]])


def crop_from(features, image, boxes, size: int, pool: int = 1, stride: int = 1, skip: int = 1):
    """As `crop`, of boxes [N, 4] in the images int32 [N] of the batch: [N, n, n, C]."""
    count, reach = cells(size, pool, stride, skip), size - 1
    step = stride * skip
    last = step * (count - 1)
    found = [
        tf.image.crop_and_resize(features, _part(boxes, (y, x), last, reach), image, [count, count])
        for y, x in product(range(pool), repeat=2)
    ]
    pooled = found[0]
    for other in found[1:]:
        pooled = tf.maximum(pooled, other)
    return tf.ensure_shape(pooled, [None, count, count, features.shape[-1]])


def _part(boxes, first, last, reach):
    """The boxes between the samples `first` and `first + last` of 0..reach, in both directions."""
    # A sample that rounding puts behind the last pixel would read 0.
    boxes = tf.where(boxes == 1.0, 1.0 - EDGE, boxes)
    low = tf.constant(first, tf.float32) / reach
    high = tf.constant([n + last for n in first], tf.float32) / reach
    start, end = boxes[:, :2], boxes[:, 2:]
    return tf.concat([start * (1.0 - low) + end * low, start * (1.0 - high) + end * high], axis=1)
