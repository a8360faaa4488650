"""Several photos in one view: mosaic, mixup, copy-paste."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from detkit.data.augmentation.erase import has_mask, region, seen
from detkit.data.class_map import IGNORED
from detkit.data.sample import View, together

FADE = 0.05  # of its side beyond a box that is pasted without a mask, half of the photo is left


def mosaic(make: Callable, photos: list[int], corner: tuple[int, int], size, order) -> View:
    """Four views side by side.

    Args:
        make: (photo, size) -> a view.
        photos: four of them.
        corner: the row and column where the views meet.
        size: (height, width) of the whole.
        order: the places of the photos: 0 and 1 in the first row, 2 and 3 in the second.

    Source: Bochkovskiy et al., "YOLOv4", 2020.
    """
    row, column = corner
    corners = [(0, 0), (0, column), (row, 0), (row, column)]
    tiles = [(row, column), (row, size[1] - column), (size[0] - row, column), (size[0] - row, size[1] - column)]
    image, semantic, parts = np.empty((*size, 3), np.uint8), None, []
    for photo, place in zip(photos, order, strict=True):
        (top, left), tile = corners[place], tiles[place]
        view = make(int(photo), tile)
        here = np.s_[top : top + tile[0], left : left + tile[1]]
        image[here] = view.image
        if view.semantic is not None:
            semantic = np.empty(size, np.uint8) if semantic is None else semantic
            semantic[here] = view.semantic
        parts.append(_placed(view, (top, left), tile, size))
    return together(parts, image, semantic)


def _placed(view: View, corner, tile, size) -> View:
    """A view of the size of a tile, in the coordinates of the view of which the tile is a part."""
    boxes = (view.boxes * np.tile(tile, 2) + np.tile(corner, 2)) / np.tile(size, 2)
    view = view._replace(boxes=boxes.astype(np.float32))
    if view.keypoints is None:
        return view
    return view._replace(keypoints=((view.keypoints * tile + corner) / size).astype(np.float32))


def mixup(view: View, other: View, rng: np.random.Generator) -> View:
    """Two views of one size, the one seen through the other, with the objects of both.

    Each has about half of the light, so that all objects can be seen and count. A pixel whose class differs from one
    view to the other counts neither for nor against.

    Source: Zhang et al., "Bag of Freebies for Training Object Detection Neural Networks", 2019.
    """
    share = rng.beta(8, 8)
    image = cv2.addWeighted(view.image, share, other.image, 1 - share, 0)
    semantic = view.semantic
    if semantic is not None:
        semantic = np.where(semantic == other.semantic, semantic, np.uint8(IGNORED))
    return together([view, other], image, semantic)


def copy_paste(view: View, other: View, rng: np.random.Generator) -> View:
    """A view with some objects of another one of its size pasted where they are there.

    Each counting object is taken with probability one half, at least one. By its mask, with an edge soft over a pixel;
    without a mask all of its box, that fades out over a tenth of its sides around it. Of what was there before and
    of the other objects there, what shows counts as `seen` says.

    Source: Ghiasi et al., "Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation", 2021.
    """
    candidates = np.flatnonzero(other.weights == 1)
    if not len(candidates):
        return view
    chosen = candidates[rng.random(len(candidates)) < 0.5]
    chosen = chosen if len(chosen) else rng.choice(candidates, 1)
    image, pasted = view.image.copy(), np.zeros(view.size, bool)
    for n in chosen:
        _paste(image, pasted, other, n)
    semantic = None if view.semantic is None else np.where(pasted, other.semantic, view.semantic)
    return together([seen(view, ~pasted), seen(other, pasted)], image, semantic)


def _paste(image, pasted, other: View, n: int) -> None:
    """Object n of another view onto an image; `pasted` is told where. In place."""
    solid, alpha, (top, left) = _soft(other, n)
    inside = np.s_[max(-top, 0) : image.shape[0] - top, max(-left, 0) : image.shape[1] - left]
    solid, alpha = solid[inside], np.ascontiguousarray(alpha[inside])
    here = np.s_[max(top, 0) : max(top, 0) + len(solid), max(left, 0) : max(left, 0) + solid.shape[1]]
    image[here] = cv2.blendLinear(other.image[here], image[here], alpha, 1 - alpha)
    pasted[here] |= solid


def _soft(view: View, n: int) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Where an object is: bool [rows, columns], float32 with soft edges, and the first pixel, maybe out of the view."""
    values, (top, left) = region(view, n)
    if has_mask(view, n):
        values = np.pad(values, 1)
        return values >= 0.5, cv2.blur(values, (3, 3)), (top - 1, left - 1)
    fades = [max(round(FADE * side), 1) for side in values.shape]
    rows, columns = (_ramp(side, fade) for side, fade in zip(values.shape, fades, strict=True))
    alpha = rows[:, None] * columns
    return alpha >= 0.5, alpha, (top - 2 * fades[0], left - 2 * fades[1])


def _ramp(side: int, fade: int) -> np.ndarray:
    """Ones over a side, and before and after it 2 * fade values down to 0."""
    beyond = np.arange(2 * fade, 0, -1, dtype=np.float32) / (2 * fade + 1)
    return np.concatenate([1 - beyond, np.ones(side, np.float32), 1 - beyond[::-1]])
