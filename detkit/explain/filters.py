"""Pictures that a layer's channels like best, found by climbing the gradient of what they answer.

Sources: Erhan et al., "Visualizing higher-layer features of a deep network", 2009; Yosinski et al., "Deep
visualization", 2015, for the regularisation; Mordvintsev et al., "Inceptionism", 2015, for the growing size and the
shifts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from detkit.progress import progress

_GROWTH = 1.4  # from one size to the next


def preferred(
    function: Callable,
    channels: Sequence[int],
    size: tuple[int, int],
    sizes: int = 3,
    steps: int = 16,
    rate: float = 12.0,
    seed: int = 0,
    show_progress: bool | None = False,
) -> np.ndarray:
    """For each channel a picture in which its mean activation is high.

    Begins small, with grey noise, and grows; at each step the picture is shifted a little, which keeps out patterns of
    single pixels, smoothed, and drawn towards grey.

    Args:
        function: differentiable, pictures float32 [B, h, w, 3] of 0..255 -> maps [B, h', w', C].
        channels: of the maps.
        size: (height, width) of the pictures.
        sizes: how many sizes, up to `size`; what the function gets is always of that size.
        steps: at each size.
        rate: how far a step goes at most, in values of 0..255.

    Returns:
        uint8 [len(channels), h, w, 3].
    """
    rng = np.random.default_rng(seed)
    picture = tf.constant(128.0 + rng.normal(0, 8, (len(channels), *_grown(size, sizes - 1), 3)), tf.float32)
    with progress(total=sizes * steps, description="filters", show=show_progress) as bar:
        for level in reversed(range(sizes)):
            picture = tf.image.resize(picture, _grown(size, level), method="bicubic")
            for _ in range(steps):
                shift = [int(n) for n in rng.integers(-4, 5, 2)]
                picture = _step(function, picture, channels, size, shift, rate)
                bar.update()
    return np.rint(_contrasted(tf.clip_by_value(picture, 0.0, 255.0).numpy())).astype(np.uint8)


def _grown(size: tuple[int, int], level: int) -> tuple[int, int]:
    return tuple(max(8, round(n / _GROWTH**level)) for n in size)


def _step(function, picture, channels, size, shift, rate):
    """One step up, for each picture [K, h, w, 3] on its own."""
    picture = tf.roll(picture, shift, axis=[1, 2])
    with tf.GradientTape() as tape:
        tape.watch(picture)
        maps = function(tf.image.resize(picture, size))
        means = tf.reduce_mean(maps, axis=[1, 2])  # [K, C]
        answers = tf.gather(means, np.asarray(channels)[:, None], batch_dims=1)
    slope = tape.gradient(answers, picture, unconnected_gradients="zero")
    slope /= tf.math.reduce_std(slope, axis=[1, 2, 3], keepdims=True) + 1e-8
    moved = _smoothed(picture + rate / 3 * tf.clip_by_value(slope, -3.0, 3.0))
    return tf.clip_by_value(tf.roll(0.98 * moved + 0.02 * 128.0, [-n for n in shift], axis=[1, 2]), 0.0, 255.0)


def _smoothed(picture):
    """A little: each pixel with a quarter of the mean of its surroundings."""
    around = tf.nn.avg_pool2d(tf.pad(picture, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC"), 3, 1, "VALID")
    return 0.75 * picture + 0.25 * around


def _contrasted(pictures: np.ndarray) -> np.ndarray:
    """Each picture with its usual range of values spread over 0..255."""
    low, high = (np.percentile(pictures, q, axis=(1, 2, 3), keepdims=True) for q in (1, 99))
    return np.clip((pictures - low) / np.maximum(high - low, 1.0), 0.0, 1.0) * 255
