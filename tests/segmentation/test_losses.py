"""The losses against a slow reference."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detkit.segmentation.losses import FOCUS, SMOOTHING, segmentation_losses

NAMES = ("cross_entropy", "focal", "dice")


def reference(logits, truth, weights) -> dict:
    """Pixel by pixel."""
    classes = logits.shape[-1]
    ce = focal = total = 0.0
    both, either = np.zeros(classes), np.zeros(classes)
    for values, label in zip(logits.reshape(-1, classes).astype(np.float64), truth.ravel(), strict=True):
        if label == 255:
            continue
        p = np.exp(values) / np.exp(values).sum()
        ce -= weights[label] * np.log(p[label])
        focal -= weights[label] * (1 - p[label]) ** FOCUS * np.log(p[label])
        total += weights[label]
        both[label] += p[label]
        either += p
        either[label] += 1
    dice = 1 - (2 * both + SMOOTHING) / (either + SMOOTHING)
    return {
        "cross_entropy_loss": ce / total,
        "focal_loss": focal / total,
        "dice_loss": (dice[1:] * weights[1:]).sum() / weights[1:].sum(),
    }


@pytest.mark.parametrize("weights", [None, (0.5, 2.0, 0.0, 1.0)], ids=["plain", "weighted"])
def test_losses_are_those_of_the_reference(weights):
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(2, 5, 7, 4)).astype(np.float32) * 3
    truth = rng.choice([0, 1, 2, 3, 255], (2, 5, 7)).astype(np.uint8)
    found = segmentation_losses(tf.constant(logits), tf.constant(truth), NAMES, weights)
    wanted = reference(logits, truth, np.ones(4) if weights is None else np.array(weights))
    assert {name: float(value) for name, value in found.items()} == pytest.approx(wanted, rel=1e-4)


def test_pixels_to_ignore_have_no_gradient_and_nothing_but_them_no_loss():
    logits = tf.Variable(np.random.default_rng(2).normal(size=(1, 4, 4, 3)).astype(np.float32))
    truth = np.full((1, 4, 4), 255, np.uint8)
    with tf.GradientTape() as tape:
        losses = segmentation_losses(logits, tf.constant(truth), NAMES)
        total = tf.add_n(list(losses.values()))
    assert [float(value) for value in losses.values()] == [0, 0, 0]
    assert not tf.convert_to_tensor(tape.gradient(total, logits)).numpy().any()


def test_right_and_sure_is_no_loss():
    truth = np.random.default_rng(3).integers(0, 3, (1, 6, 6)).astype(np.uint8)
    logits = tf.one_hot(truth, 3) * 50.0
    for name, value in segmentation_losses(logits, tf.constant(truth), NAMES).items():
        assert float(value) == pytest.approx(0, abs=1e-5), name
