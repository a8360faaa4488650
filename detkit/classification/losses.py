"""Losses of classes and of single boxes, averaged over the images that have a weight."""

from __future__ import annotations

import tensorflow as tf

from detkit.detection import box_overlaps

_BEND = 0.05  # of a side of the image: where smooth L1 turns from a square to a line


def class_loss(logits, truth, weights, labels: str, smoothing: float = 0.0, class_weights=None):
    """Cross-entropy, a scalar.

    Args:
        logits: [B, C], or [B, 1] for "binary", the logit of the second class.
        truth: float [B, C], 1 for the classes of the image.
        weights: [B], of the images.
        labels: "one" (softmax), "binary" or "several" (sigmoid).
        smoothing: the share of the target that is spread over all classes.
        class_weights: C factors of the losses of the classes, or None.
    """
    factors = tf.ones_like(truth) if class_weights is None else tf.constant(class_weights, tf.float32)[None]
    if labels == "one":
        targets = truth * (1 - smoothing) + smoothing / truth.shape[-1]
        losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits) * tf.reduce_sum(truth * factors, axis=-1)
        return _mean(losses, weights)
    wanted = truth[:, 1:] if labels == "binary" else truth  # [B, outputs]
    targets = wanted * (1 - smoothing) + smoothing / 2
    losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)
    if labels == "binary":
        factors = tf.reduce_sum(truth * factors, axis=-1, keepdims=True)
    return _mean(tf.reduce_mean(losses * factors, axis=-1), weights)


def box_loss(boxes, truth, weights, kind: str):
    """How far boxes are from the true ones, a scalar.

    Args:
        boxes, truth: [B, 4], normalised yxyx.
        weights: [B], of the images.
        kind: "mse", "smooth_l1", "iou", "giou", "diou" or "ciou".
    """
    if kind == "mse":
        return _mean(tf.reduce_sum(tf.square(boxes - truth), axis=-1), weights)
    if kind == "smooth_l1":
        off = tf.abs(boxes - truth)
        bent = tf.where(off < _BEND, tf.square(off) / (2 * _BEND), off - _BEND / 2)
        return _mean(tf.reduce_sum(bent, axis=-1), weights)
    return _mean(1.0 - getattr(box_overlaps, kind)(boxes, truth), weights)


def _mean(losses, weights):
    return tf.math.divide_no_nan(tf.reduce_sum(losses * weights), tf.reduce_sum(weights))
