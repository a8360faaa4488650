"""Changes of colour as one linear transform."""

from __future__ import annotations

import cv2
import numpy as np


def recolour(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast, saturation, hue and white balance changed by one 3x3 matrix and an offset.

    Args:
        image: uint8 [h, w, 3].
        strength: 0..1.
        rng: decides everything.
    """
    grey = np.full((3, 3), [0.299, 0.587, 0.114])
    saturation = np.exp(rng.uniform(-1, 1) * strength * 0.9)
    matrix = grey + saturation * (_hue(rng.uniform(-1, 1) * strength * 0.25) - grey)
    contrast = np.exp(rng.uniform(-1, 1) * strength * 0.6)
    balance = np.exp(rng.uniform(-1, 1, 3) * strength * 0.2)
    matrix = contrast * balance[:, None] * matrix
    mean = np.array(cv2.mean(image)[:3])
    offset = mean - contrast * mean + rng.uniform(-1, 1) * strength * 64
    return cv2.transform(image, np.column_stack([matrix, offset]))  # rounds and saturates


def _hue(angle):
    """Rotation by `angle` (radians) about the grey axis of RGB."""
    axis = np.full(3, 3**-0.5)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.cos(angle) * np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * np.outer(axis, axis)
