"""Changes of colour as the OD API makes them, on pixels of 0..255.

Each one clips its result, none rounds. Source: `core/preprocessor.py` of the OD API; `tf.image.adjust_*`.
"""

from __future__ import annotations

import cv2
import numpy as np

GREY = np.array([0.2989, 0.5870, 0.1140], np.float32)  # red, green, blue in what the OD API calls grey


def adjust_brightness(image: np.ndarray, delta: float) -> np.ndarray:
    """Pixels [H, W, 3] with a number added, where 1 is white; float32."""
    return _clipped(_float(image) + np.float32(255 * delta))


def adjust_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Pixels [H, W, 3] whose distances from the mean of their channel are multiplied; float32."""
    mean = np.float32(cv2.mean(np.ascontiguousarray(image))[:3])
    return _clipped((_float(image) - mean) * np.float32(factor) + mean)


def adjust_saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Pixels [H, W, 3] with another saturation of HSV, at most the full one; float32."""
    hsv = cv2.cvtColor(_float(image) / np.float32(255), cv2.COLOR_RGB2HSV)
    hsv[..., 1] = np.minimum(hsv[..., 1] * np.float32(factor), 1)
    return _clipped(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * np.float32(255))


def adjust_hue(image: np.ndarray, delta: float) -> np.ndarray:
    """Pixels [H, W, 3] with the hue of HSV turned, by 1 for a full turn; float32."""
    hsv = cv2.cvtColor(_float(image) / np.float32(255), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + np.float32(360 * delta)) % np.float32(360)
    return _clipped(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * np.float32(255))


def random_adjust_brightness(image, option, rng):
    """A random brightness."""
    return adjust_brightness(image, rng.uniform(-option.max_delta, option.max_delta))


def random_adjust_contrast(image, option, rng):
    """A random contrast."""
    return adjust_contrast(image, rng.uniform(option.min_delta, option.max_delta))


def random_adjust_saturation(image, option, rng):
    """A random saturation."""
    return adjust_saturation(image, rng.uniform(option.min_delta, option.max_delta))


def random_adjust_hue(image, option, rng):
    """A random hue."""
    return adjust_hue(image, rng.uniform(-option.max_delta, option.max_delta))


def random_distort_color(image, option, rng):
    """All four, in one of two orders."""
    image = adjust_brightness(image, rng.uniform(-32 / 255, 32 / 255))
    if option.color_ordering == 1:
        image = adjust_contrast(image, rng.uniform(0.5, 1.5))
    image = adjust_saturation(image, rng.uniform(0.5, 1.5))
    image = adjust_hue(image, rng.uniform(-0.2, 0.2))
    return image if option.color_ordering == 1 else adjust_contrast(image, rng.uniform(0.5, 1.5))


def random_rgb_to_gray(image, option, rng):
    """No colours, with a probability."""
    if rng.random() >= option.probability:
        return image
    return np.repeat((_float(image) @ GREY)[..., None], 3, axis=-1)


def adjust_gamma(image, option, rng):
    """Each value, where white is 1, to the power of gamma and times gain."""
    return _clipped((_float(image) / np.float32(255)) ** np.float32(option.gamma) * np.float32(255 * option.gain))


def _float(image: np.ndarray) -> np.ndarray:
    return np.asarray(image, np.float32)


def _clipped(image: np.ndarray) -> np.ndarray:
    return np.clip(image, 0, 255, out=image)
