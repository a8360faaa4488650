"""Losses of the one-stage detectors, each a sum over what it is given."""

from __future__ import annotations

import tensorflow as tf


def huber(difference, delta: float = 1.0):
    """Huber loss, elementwise (the OD API's `weighted_smooth_l1`)."""
    size = tf.abs(difference)
    inside = tf.minimum(size, delta)
    return inside * (size - 0.5 * inside)


def focal(logits, target: float, alpha: float | None, gamma: float):
    """Sigmoid focal loss against a constant target, elementwise; alpha None: unbalanced. Source: Lin et al., 2017."""
    sign = 1.0 if target else -1.0
    return _balance(target, alpha) * _focal_core(sign * logits, gamma)


def _balance(target: float, alpha: float | None) -> float:
    if alpha is None:
        return 1.0
    return alpha if target else 1.0 - alpha


def _focal_core(x, gamma):
    """(1 - p)^gamma * -log(p) with p = sigmoid(x)."""
    return tf.pow(tf.sigmoid(-x), gamma) * tf.nn.softplus(-x)


def focal_background(logits, alpha: float | None, gamma: float):
    """The summed focal loss of logits whose targets are all 0.

    Nearly all logits of a detector are of this kind, so the gradient is written in closed form:
    with q = sigmoid(x), d/dx q^gamma softplus(x) = q^gamma (gamma (1 - q) softplus(x) + q).
    """

    @tf.custom_gradient
    def total(x):
        q, loss = tf.sigmoid(x), tf.nn.softplus(x)
        weight = _balance(0, alpha) * (tf.square(q) if gamma == 2.0 else tf.pow(q, gamma))

        def gradient(upstream):
            return upstream * weight * (gamma * (1.0 - q) * loss + q)

        return tf.reduce_sum(weight * loss), gradient

    return total(logits)
