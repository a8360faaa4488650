"""Images at the size that a segmenter reads: scaled, cut, padded."""

from __future__ import annotations

import cv2
import numpy as np

from detkit.data.class_map import IGNORED
from detkit.data.sample import View


def scaled_size(size: tuple[int, int], longest: int | None) -> tuple[int, int]:
    """The (height, width) with sides of at most `longest`, of the same proportions."""
    factor = 1.0 if longest is None else min(1.0, longest / max(size))
    return tuple(max(round(side * factor), 1) for side in size)


def padded_size(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """The (height, width) with sides that are multiples of the stride."""
    return tuple(-(-side // stride) * stride for side in size)


def scaled(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image uint8 [H, W, 3] at another (height, width)."""
    return image if image.shape[:2] == size else cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)


def padded(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image [h, w, ...] continued to the right and below by its mirror image."""
    pad = [(0, new - old) for new, old in zip(size, image.shape, strict=False)] + [(0, 0)] * (image.ndim - 2)
    return np.pad(image, pad, "reflect" if min(image.shape[:2]) > 1 else "edge") if np.any(pad) else image


def window(view: View, whole: tuple[int, int], size: tuple[int, int], input_size: tuple[int, int]) -> View:
    """A part of a view, at a random place that its seed decides.

    Args:
        view: with its class map.
        whole: (height, width) that the view is scaled to first.
        size: of the part; where a view is smaller, its mirror image fills up, to be ignored.
        input_size: what the part is padded to, likewise.
    """
    image, semantic = scaled(view.image, whole), view.semantic
    if semantic.shape != whole:
        semantic = cv2.resize(semantic, whole[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    rng = np.random.default_rng(view.seed)
    top, left = (int(rng.integers(max(have - want, 0) + 1)) for have, want in zip(whole, size, strict=True))
    part = np.s_[top : top + size[0], left : left + size[1]]
    image, semantic = image[part], semantic[part]
    filled = np.full(input_size, IGNORED, np.uint8)
    filled[: semantic.shape[0], : semantic.shape[1]] = semantic
    return view._replace(image=padded(image, input_size), semantic=filled)
