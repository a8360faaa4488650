"""Disturbances of pixels as the OD API makes them, of 0..255. Source: `core/preprocessor.py` of the OD API."""

from __future__ import annotations

import numpy as np

from detkit.data.augmentation.degrade import jpeg


def random_pixel_value_scale(image, option, rng):
    """A factor of its own for every value."""
    factors = rng.uniform(option.minval, option.maxval, image.shape)
    return np.clip(image * factors, 0, 255).astype(np.float32)


def random_black_patches(image, option, rng):
    """Black squares."""
    height, width = image.shape[:2]
    side = int(np.float32(min(height, width)) * np.float32(option.size_to_image_ratio))
    image = image.copy()
    for _ in range(option.max_black_patches):
        if rng.random() <= option.probability:
            top, left = (rng.uniform(0, 1 - option.size_to_image_ratio, 2) * (height, width)).astype(int)
            image[top : top + side, left : left + side] = 0
    return image


def random_jpeg_quality(image, option, rng):
    """What JPEG of a random quality leaves."""
    if rng.random() < option.random_coef:
        return image
    least, most = option.min_jpeg_quality, option.max_jpeg_quality
    quality = int(rng.integers(least, most)) if most > least else least
    return jpeg(image.astype(np.uint8), quality)  # the OD API doesn't round here


def random_patch_gaussian(image, option, rng):
    """Noise in a square (https://arxiv.org/abs/1906.02611)."""
    if rng.random() < option.random_coef:
        return image
    least, most = option.min_patch_size, option.max_patch_size
    side = int(rng.integers(least, most)) if most > least else least
    deviation = rng.uniform(option.min_gaussian_stddev, option.max_gaussian_stddev)
    centre = rng.integers(0, image.shape[:2])
    top, left = np.maximum(centre - side // 2, 0)
    bottom, right = centre + (side + 1) // 2
    image = image.astype(np.float32)
    patch = image[top:bottom, left:right]
    patch += rng.normal(0, 255 * deviation, patch.shape)
    np.clip(patch, 0, 255, out=patch)
    return image
