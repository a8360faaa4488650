"""Saliency: how the answer changes with each pixel.

Sources: Simonyan et al., "Deep inside convolutional networks", 2014; Smilkov et al., "SmoothGrad", 2017; Sundararajan
et al., "Axiomatic attribution for deep networks", 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from detkit.errors import ConfigError

BATCH = 8  # pictures that are differentiated together


def gradients(function: Callable, x) -> np.ndarray:
    """The derivative of `function`, pictures [B, h, w, 3] -> scalars [B], by each value of the pictures x."""
    x = tf.convert_to_tensor(x, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        answers = function(x)
    return derivative(tape, answers, x).numpy()


def derivative(tape: tf.GradientTape, answers, x):
    """`tape.gradient`, 0 where nothing is connected; ConfigError if an operation has no derivative."""
    try:
        return tape.gradient(answers, x, unconnected_gradients="zero")
    except LookupError as error:
        raise ConfigError(
            "An operation of the model has no derivative.",
            got=error,
            fix="Use a method that looks at answers only: --method rise, d-rise or occlusion.",
        ) from error


def saliency(function: Callable, x: np.ndarray) -> np.ndarray:
    """The largest derivative of a pixel's channels, without its sign.

    Args:
        function: differentiable, pictures float32 [B, h, w, 3] -> scalars [B].
        x: a picture, float32 [h, w, 3] of 0..255.

    Returns:
        float32 [h, w], not negative.
    """
    return _strength(gradients(function, x[None])[0])


def smooth_grad(function: Callable, x: np.ndarray, samples: int = 24, noise: float = 0.15, seed: int = 0) -> np.ndarray:
    """As `saliency`, of the mean derivative of noisy copies of the picture.

    Args:
        noise: its standard deviation, as a share of the range of the picture's values.
    """
    rng = np.random.default_rng(seed)
    spread = noise * float(np.ptp(x))
    total = np.zeros_like(x)
    for count in _batches(samples):
        noisy = x + rng.normal(0.0, spread, (count, *x.shape)).astype(np.float32)
        total += gradients(function, noisy).sum(axis=0)
    return _strength(total / samples)


def integrated_gradients(
    function: Callable, x: np.ndarray, baseline: np.ndarray | float = 0.0, steps: int = 32
) -> np.ndarray:
    """What each value of a picture adds to the answer, on the straight way from a baseline to the picture.

    The sum is the answer for the picture less that for the baseline, as far as the quadrature (Gauss and Legendre's)
    goes.

    Args:
        function, x: as for `saliency`.
        baseline: a picture without the object; 0 is black.
        steps: points of the way at which the derivative is taken.

    Returns:
        float32 [h, w, 3], with signs.
    """
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    shares, weights = ((nodes + 1) / 2).astype(np.float32), (weights / 2).astype(np.float32)
    difference = np.asarray(x - baseline, np.float32)
    total, done = np.zeros_like(difference), 0
    for count in _batches(steps):
        part = slice(done, done + count)
        between = baseline + shares[part, None, None, None] * difference  # [n, 1, 1, 1] * [h, w, 3]
        total += np.tensordot(weights[part], gradients(function, between), 1)
        done += count
    return total * difference


def _strength(derivatives: np.ndarray) -> np.ndarray:
    return np.abs(derivatives).max(axis=-1)


def _batches(count: int) -> Iterator[int]:
    for done in range(0, count, BATCH):
        yield min(BATCH, count - done)
