"""Losses of class maps: cross-entropy, focal, Dice; pixels to ignore count in none of them."""

from __future__ import annotations

import tensorflow as tf

from detkit.data.class_map import IGNORED

FOCUS = 2.0  # the exponent of the focal loss
SMOOTHING = 1.0  # of Dice, so that a class that is neither there nor told has no loss


def segmentation_losses(logits, truth, names, class_weights=None) -> dict:
    """The losses of these names, scalars, by "NAME_loss".

    Args:
        logits: float32 [B, h, w, C], the background first.
        truth: uint8 [B, h, w]: 0 for the background, class id + 1, 255 for pixels to ignore.
        names: of `LOSSES`.
        class_weights: C numbers, or None.
    """
    counted = tf.cast(truth != IGNORED, tf.float32)
    ids = tf.where(truth == IGNORED, 0, tf.cast(truth, tf.int32))
    weights = tf.ones([logits.shape[-1]]) if class_weights is None else tf.constant(class_weights, tf.float32)
    return {f"{name}_loss": LOSSES[name](logits, ids, counted, weights) for name in names}


def _cross_entropy(logits, ids, counted, weights):
    return _weighted_mean(_surprise(logits, ids), counted * tf.gather(weights, ids))


def _focal(logits, ids, counted, weights):
    """Cross-entropy that counts the less the surer a pixel is told rightly (Lin et al., 2017, for several classes)."""
    surprise = _surprise(logits, ids)
    return _weighted_mean((1.0 - tf.exp(-surprise)) ** FOCUS * surprise, counted * tf.gather(weights, ids))


def _dice(logits, ids, counted, weights):
    """One less the Dice coefficient over all pixels of a batch, the mean of the classes without the background.

    Source: Milletari et al., V-Net, 2016; with plain sums instead of those of squares.
    """
    classes = logits.shape[-1]
    probabilities = tf.reshape(tf.nn.softmax(logits) * counted[..., None], [-1, classes])
    truth = tf.reshape(tf.one_hot(ids, classes) * counted[..., None], [-1, classes])
    both = tf.reduce_sum(probabilities * truth, axis=0)
    either = tf.reduce_sum(probabilities + truth, axis=0)
    dice = (2.0 * both + SMOOTHING) / (either + SMOOTHING)  # [C]
    return _weighted_mean(1.0 - dice[1:], weights[1:])


def _surprise(logits, ids):
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=ids, logits=logits)


def _weighted_mean(values, weights):
    """0 where nothing counts."""
    return tf.math.divide_no_nan(tf.reduce_sum(values * weights), tf.reduce_sum(weights))


LOSSES = {"cross_entropy": _cross_entropy, "focal": _focal, "dice": _dice}
