"""From the scores of all classes to the class of each pixel."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities [..., C] of logits."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def decided(probabilities: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest class of each pixel at this (height, width), uint8 [H, W], and its probability, float16 [H, W].

    Args:
        probabilities: float32 [h, w, C].
    """
    if probabilities.shape[:2] == tuple(size):
        return probabilities.argmax(axis=-1).astype(np.uint8), probabilities.max(axis=-1).astype(np.float16)
    best, classes = np.full(size, -1, np.float32), np.zeros(size, np.uint8)
    for number in range(probabilities.shape[-1]):  # all at once would take C times the memory of the image
        own = np.ascontiguousarray(probabilities[..., number])
        own = cv2.resize(own, tuple(size)[::-1], interpolation=cv2.INTER_LINEAR)
        better = own > best
        classes[better], best[better] = number, own[better]
    return classes, best.astype(np.float16)


def joined(bands: Iterable[np.ndarray], inside: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """As `decided`, of probabilities in bands of rows; only the part `inside`, (height, width), of them."""
    classes, scores = np.empty(inside, np.uint8), np.empty(inside, np.float16)
    top = 0
    for band in bands:
        rows = np.s_[top : top + len(band)]
        own = band[: len(classes[rows]), : inside[1]]
        classes[rows], scores[rows] = decided(own, own.shape[:2])
        top += len(band)
    return classes, scores
