"""Balanced minibatches of positive and negative examples, drawn without a random generator.

Source: `balanced_positive_negative_sampler` of the OD API. There the draw differs from step to step; here it is a
function of the image's seed and the example's index, so that a run can be repeated and a cached one is exact.
"""

from __future__ import annotations

import tensorflow as tf

# Odd 64-bit constants of the splitmix64 generator (Steele, Lea and Flood, 2014), as signed integers.
_STEP, _MIX = -7046029254386353131, -4658895280553007687


def keys(seeds, count: int, salt: int):
    """A pseudorandom int32 [B, count], none negative, of every image's seed [B] and every index.

    Args:
        salt: tells the draws of one image apart.
    """
    image = tf.cast(seeds, tf.int64) * _STEP + salt
    value = _mixed(_mixed(image)[:, None] + tf.range(count, dtype=tf.int64) * _STEP)  # [B, count]
    return tf.cast(tf.bitwise.bitwise_and(value, 2**31 - 1), tf.int32)


def _mixed(value):
    for shift in (30, 27):
        value = tf.bitwise.bitwise_xor(value, tf.bitwise.right_shift(value, shift)) * _MIX
    return tf.bitwise.bitwise_xor(value, tf.bitwise.right_shift(value, 31))


def balanced(positive, negative, order, size: int, fraction: float) -> tuple:
    """Draws at most `size` examples of every image, at most the given fraction of them positive.

    Args:
        positive, negative: bool [B, N], what may be drawn. An N that the graph does not know is at least `size`.
        order: int32 [B, N], none negative; the examples with the largest come first.

    Returns:
        (rows int32 [B, K], drawn bool [B, K]), positives first; K is `size`, or less where N is small.
    """
    positives, chosen = _largest(positive, order, int(fraction * size))
    negatives, possible = _largest(negative, order, size)
    room = size - tf.reduce_sum(tf.cast(chosen, tf.int32), axis=1, keepdims=True)  # [B, 1]
    possible &= tf.range(tf.shape(possible)[1]) < room
    rows, drawn = tf.concat([positives, negatives], axis=1), tf.concat([chosen, possible], axis=1)
    first = tf.argsort(tf.cast(~drawn, tf.int32), axis=1, stable=True)[:, :size]
    return tf.gather(rows, first, batch_dims=1), tf.gather(drawn, first, batch_dims=1)


def _largest(candidates, order, limit: int) -> tuple:
    """(rows [B, K], whether they are candidates [B, K]) of the `limit` candidates with the largest `order`."""
    count = candidates.shape[1]
    values, rows = tf.math.top_k(tf.where(candidates, order, -1), limit if count is None else min(limit, count))
    return rows, values >= 0
