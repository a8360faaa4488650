"""Numbers that tell a good explanation from a bad one.

Sources: Petsiuk et al., "RISE", 2018 (deletion, insertion); Zhang et al., "Top-down neural attention by excitation
backprop", 2016 (pointing game); Wang et al., "Score-CAM", 2020 (energy in the box); Adebayo et al., "Sanity checks for
saliency maps", 2018 (rank correlation with the map of a model with random weights).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

TOP = 0.05  # the share of pixels that `top_in_box` looks at
_STEPS = 24


def deletion(answer: Callable, picture: np.ndarray, saliency: np.ndarray, steps: int = _STEPS) -> np.ndarray:
    """The answers while the picture is hidden behind its mean colour, pixel by pixel, the most important ones first.

    Args:
        answer: pictures uint8 [N, h, w, 3] -> scores [N].
        picture: uint8 [h, w, 3].
        saliency: [h, w].
        steps: equal parts in which the pixels go.

    Returns:
        float32 [steps + 1], from the whole picture to the empty one. Its mean (`area`) is low for a good map.
    """
    empty = np.broadcast_to(np.rint(picture.mean(axis=(0, 1))).astype(np.uint8), picture.shape)
    return _exchanged(answer, picture, empty, saliency, steps)


def insertion(answer: Callable, picture: np.ndarray, saliency: np.ndarray, steps: int = _STEPS) -> np.ndarray:
    """The answers while a blurred picture becomes sharp, the most important pixels first; otherwise as `deletion`.

    Its mean is high for a good map.
    """
    import cv2

    blurred = cv2.GaussianBlur(picture, (0, 0), max(picture.shape[:2]) / 16)
    return _exchanged(answer, blurred, picture, saliency, steps)


def area(curve: np.ndarray) -> float:
    """The area under a curve over 0..1 (trapezoids)."""
    return float((curve[:-1] + curve[1:]).mean() / 2)


def pointed(saliency: np.ndarray, box: np.ndarray) -> bool:
    """Whether the maximum of a map [h, w] lies in a box [4], normalised yxyx: a hit in the pointing game."""
    return bool(inside(saliency.shape, box).flat[int(np.argmax(saliency))])


def energy_in_box(saliency: np.ndarray, box: np.ndarray) -> float:
    """The share of the map's mass that lies in the box; what is negative counts as 0."""
    return _share(np.maximum(saliency, 0.0), box)


def top_in_box(saliency: np.ndarray, box: np.ndarray, top: float = TOP) -> float:
    """As `energy_in_box`, of the share `top` of the pixels where the map is highest."""
    positive = np.maximum(saliency, 0.0)
    count = max(1, round(top * saliency.size))
    lowest = np.partition(positive, saliency.size - count, axis=None)[saliency.size - count]
    return _share(np.where(positive >= lowest, positive, 0.0), box)


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation of two maps [h, w], without regard to signs; 0 where one of them is constant."""
    from scipy.stats import rankdata

    ranks = [rankdata(np.abs(each)).ravel() for each in (a, b)]
    if min(np.ptp(each) for each in ranks) == 0:
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def inside(size: tuple[int, int], box: np.ndarray) -> np.ndarray:
    """Whether the centre of each pixel of a picture of this (height, width) lies in the box: bool [h, w]."""
    rows, columns = ((np.arange(n) + 0.5) / n for n in size)
    return np.outer((rows >= box[0]) & (rows <= box[2]), (columns >= box[1]) & (columns <= box[3]))


def _exchanged(answer, start, end, saliency, steps: int) -> np.ndarray:
    """The answers while the pixels of `end` take the place of those of `start`."""
    order = np.argsort(-saliency, axis=None, kind="stable")
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    rank = rank.reshape(saliency.shape)
    curve = []
    for counts in np.array_split(np.linspace(0, order.size, steps + 1), -(-(steps + 1) // 8)):
        now = rank < counts[:, None, None]  # [n, h, w]
        curve.append(answer(np.where(now[..., None], end, start)))
    return np.concatenate(curve).astype(np.float32)


def _share(mass: np.ndarray, box: np.ndarray) -> float:
    total = float(mass.sum())
    return float(mass[inside(mass.shape, box)].sum()) / total if total > 0 else 0.0
