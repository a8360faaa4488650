"""Parts of a view that no longer show it, and what is left of the objects there."""

from __future__ import annotations

import cv2
import numpy as np

from detkit import masks as mask_math
from detkit.data.augmentation.geometry import counted
from detkit.data.class_map import IGNORED
from detkit.data.sample import View


def cutout(view: View, rng: np.random.Generator) -> View:
    """A view of which one to three plain rectangles hide parts, each a tenth to a third as high and wide as the view.

    Source: DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017.
    """
    image, shown = view.image.copy(), np.ones(view.size, bool)
    for _ in range(rng.integers(1, 4)):
        sides = np.rint(rng.uniform(0.1, 0.35, 2) * view.size).astype(int)
        top, left = rng.integers(0, np.array(view.size) - sides, endpoint=True)
        hole = np.s_[top : top + sides[0], left : left + sides[1]]
        image[hole], shown[hole] = rng.integers(0, 256, 3), False
    semantic = None if view.semantic is None else np.where(shown, view.semantic, np.uint8(IGNORED))
    return seen(view, shown)._replace(image=image, semantic=semantic)


def seen(view: View, shown: np.ndarray) -> View:
    """The objects of a view, of which only some pixels still show what they did.

    The box of an object shrinks to the pixels that show it, of its mask or, without a mask, of its box; its weight
    follows the rule for objects that are cut (`counted`), and what is gone is left out.

    Args:
        view: what was seen before.
        shown: bool [h, w].
    """
    hidden = cv2.integral((~shown).view(np.uint8))
    top, left, bottom, right = _rectangles(view.boxes, view.size).T
    pixels = hidden[bottom, right] - hidden[top, right] - hidden[bottom, left] + hidden[top, left]
    some = pixels < (bottom - top) * (right - left)
    view, pixels = view.only(some), pixels[some]  # a copy
    for n in np.flatnonzero(pixels):
        _shrink(view, n, shown)
    return view.only(view.weights >= 0)


def region(view: View, n: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Where object n of a view is: float32 [rows, columns] of 0..1, and the row and column of its first pixel.

    By its mask; without a mask all of its box.
    """
    if not has_mask(view, n):
        top, left, bottom, right = _rectangles(view.boxes[n : n + 1], view.size)[0]
        return np.ones((bottom - top, right - left), np.float32), (top, left)
    # A cell of nothing around the mask, since `paste` takes its outermost samples to lie on the borders of the box.
    mask, box = np.pad(view.masks[n].astype(np.float32) / 255, 1), view.boxes[n].astype(np.float64)
    margin = (box[2:] - box[:2]) / (2 * view.masks.shape[1])
    return mask_math.paste(mask, np.concatenate([box[:2] - margin, box[2:] + margin]), view.size)


def has_mask(view: View, n: int) -> bool:
    """Whether object n of a view has a mask."""
    return view.masks is not None and bool(view.masks[n].any())


def _rectangles(boxes, size) -> np.ndarray:
    """The pixels whose centres are in boxes, int [N, 4]; at least one of each."""
    most = np.tile(size, 2)
    pixels = np.ceil(boxes.astype(np.float64) * most - 0.5).astype(int)
    low = np.clip(pixels[:, :2], 0, most[:2] - 1)
    return np.concatenate([low, np.clip(pixels[:, 2:], low + 1, most[2:])], axis=1)


def _shrink(view: View, n: int, shown) -> None:
    """Box, weight and mask of object n to what shows of it, in place."""
    values, (top, left) = region(view, n)
    before = values >= 0.5
    after = before & shown[top : top + before.shape[0], left : left + before.shape[1]]
    share = after.sum() / max(before.sum(), 1)
    view.weights[n] = min(view.weights[n], counted(share))
    if view.weights[n] < 0 or share == 1:
        return
    old = view.boxes[n].copy()
    for axis, corner in enumerate((top, left)):
        for side, (was, now) in enumerate(zip(_ends(before, axis), _ends(after, axis), strict=True)):
            if was != now:
                view.boxes[n, 2 * side + axis] = (corner + now) / view.size[axis]
    if has_mask(view, n):
        view.masks[n] = _cut(view.masks[n], old, view.boxes[n], shown)


def _ends(inside, axis: int) -> tuple[int, int]:
    """The first row or column with anything inside, and the one after the last."""
    there = np.flatnonzero(inside.any(1 - axis))
    return there[0], there[-1] + 1


def _cut(mask, old, new, shown) -> np.ndarray:
    """What shows of a mask [S, S] over an old box, stretched over a new one."""
    side = len(mask)
    top, left, bottom, right = pixels = old * np.tile(shown.shape, 2)
    corner = top, left = int(top), int(left)
    around = shown[top : int(np.ceil(bottom)), left : int(np.ceil(right))]
    visible = mask_math.stretch(around, pixels - np.tile(corner, 2), side) / np.float32(255)
    cells = (new - np.tile(old[:2], 2)) / np.tile(old[2:] - old[:2], 2) * side
    return mask_math.stretch(mask / np.float32(255) * visible, cells, side)
