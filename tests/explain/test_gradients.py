"""Saliency of functions whose derivatives are known."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detkit.errors import ConfigError
from detkit.explain.gradients import integrated_gradients, saliency, smooth_grad

WEIGHTS = np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32)
PICTURE = np.random.default_rng(1).uniform(0, 255, (4, 5, 3)).astype(np.float32)


def linear(x):
    return tf.reduce_sum(x * WEIGHTS, axis=[1, 2, 3])


def curved(x):
    return tf.reduce_sum(tf.tanh(x * WEIGHTS / 100), axis=[1, 2, 3])


@pytest.mark.parametrize("method", [saliency, smooth_grad])
def test_the_saliency_of_a_linear_function_is_its_strongest_weight(method):
    np.testing.assert_allclose(method(linear, PICTURE), np.abs(WEIGHTS).max(axis=-1), rtol=1e-5)


def test_an_operation_without_a_derivative_is_told():
    def shrunk(x):
        return tf.reduce_sum(tf.image.resize(x, [2, 2], method="area"), axis=[1, 2, 3])

    with pytest.raises(ConfigError, match=r"(?s)no derivative.*ResizeArea.*--method rise"):
        saliency(shrunk, PICTURE)


def test_noise_smooths_a_derivative_that_jumps():
    def steep(x):
        return tf.reduce_sum(tf.nn.relu(x - 100.0), axis=[1, 2, 3])

    # Half of the noisy copies of a pixel at the kink are on the slope.
    flat = np.full((4, 5, 3), 99.0, np.float32)
    flat[0, 0] = 0.0, 99.0, 200.0
    assert saliency(steep, flat)[2, 2] == 0
    assert 0.1 < smooth_grad(steep, flat)[2, 2] < 0.9


def test_smoothgrad_is_deterministic_and_differs_between_seeds():
    first, again, other = (smooth_grad(curved, PICTURE, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-6


@pytest.mark.parametrize("baseline", [0.0, np.full((4, 5, 3), 128.0, np.float32)])
def test_integrated_gradients_are_complete(baseline):
    found = integrated_gradients(curved, PICTURE, baseline)
    ends = curved(np.stack([np.broadcast_to(baseline, PICTURE.shape).astype(np.float32), PICTURE])).numpy()
    assert found.shape == PICTURE.shape
    assert found.sum() == pytest.approx(ends[1] - ends[0], rel=1e-3)


def test_a_pixel_that_is_as_in_the_baseline_adds_nothing():
    baseline = np.zeros_like(PICTURE)
    baseline[1, 2] = PICTURE[1, 2]
    assert (integrated_gradients(curved, PICTURE, baseline)[1, 2] == 0).all()
