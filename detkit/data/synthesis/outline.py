"""Cutting an object out of a photo: by its segmentation, or by its box.

Source: C. Rother, V. Kolmogorov, A. Blake: "GrabCut", SIGGRAPH 2004 (for boxes); D. Dwibedi, I. Misra, M. Hebert:
"Cut, Paste and Learn", ICCV 2017 (soft edges, so that a detector does not learn to find seams).
"""

from __future__ import annotations

import numpy as np

from detkit import masks as mask_math
from detkit.data.synthesis.compositor import VISIBLE, blurred, bounds

_AROUND = 0.3  # of a box's longer side: how much of the photo around it GrabCut looks at
_SIDE = 240  # pixels of the longer side of a box, at which GrabCut works


def cut(example, n: int) -> np.ndarray:
    """Object n of an annotated photo, uint8 [h, w, 4] RGBA, with a soft edge inside its outline."""
    pixels = example.pixels()
    segmentation = example.segmentations[n] if example.segmentations else None
    if segmentation is None:
        return _by_box(pixels, example.boxes[n] * np.tile(example.size, 2))
    mask = mask_math.decode(segmentation, example.size)
    if not mask.any():
        return _by_box(pixels, example.boxes[n] * np.tile(example.size, 2))
    return _masked(pixels, mask)


def _masked(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """RGBA of the pixels [H, W, 3] in a mask bool [H, W], cropped to it."""
    top, left, bottom, right = bounds(mask)
    inside = np.pad(mask[top:bottom, left:right], 4).astype(np.float32)
    radius = min(max(0.008 * max(inside.shape), 0.6), 2.0)
    soft = np.clip(2.4 * blurred(inside, radius)[4:-4, 4:-4] - 1, VISIBLE + 0.01, 1)
    # Nothing outside, which would show as a rim of the old ground.
    return _joined(pixels[top:bottom, left:right], soft * inside[4:-4, 4:-4])


def _joined(pixels: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    return np.dstack([pixels, (255 * opacity).round().astype(np.uint8)])


def _by_box(pixels: np.ndarray, box: np.ndarray) -> np.ndarray:
    """RGBA of the object in a box [4], yxyx in pixels: what GrabCut tells from its surroundings, or else the box."""
    mask = _grabbed(pixels, box)
    return _feathered(pixels, box) if mask is None else _masked(pixels, mask)


def _grabbed(pixels: np.ndarray, box: np.ndarray) -> np.ndarray | None:
    """The mask bool [H, W] of the object in a box, None where it could not be told from what is around."""
    import cv2

    margin = max(_AROUND * max(box[2:] - box[:2]), 4)
    top, left = np.floor(np.maximum(box[:2] - margin, 0)).astype(int)
    bottom, right = np.ceil(np.minimum(box[2:] + margin, pixels.shape[:2])).astype(int)
    crop = pixels[top:bottom, left:right]
    scale = min(1, _SIDE / max(box[2:] - box[:2]))
    small = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else crop
    y, x, stop_y, stop_x = np.rint((box - [top, left, top, left]) * scale).astype(int)
    if min(stop_y - y, stop_x - x) < 4:
        return None
    labels, none = np.zeros(small.shape[:2], np.uint8), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    cv2.grabCut(
        np.ascontiguousarray(small[..., ::-1]), labels, (x, y, stop_x - x, stop_y - y), none, none.copy(), 5,
        cv2.GC_INIT_WITH_RECT,
    )  # fmt: skip
    inside = _largest(labels & 1)
    if not _plausible(inside[y:stop_y, x:stop_x]):
        return None
    smooth = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 1.5)
    whole = cv2.resize(smooth, crop.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    mask = np.zeros(pixels.shape[:2], bool)
    mask[top:bottom, left:right] = whole >= 0.5
    return mask


def _largest(labels: np.ndarray) -> np.ndarray:
    """bool [H, W]: the largest connected part of what is not zero, its holes filled."""
    import cv2
    from scipy.ndimage import binary_fill_holes

    count, parts, table, _ = cv2.connectedComponentsWithStats(labels)
    if count < 2:
        return np.zeros(labels.shape, bool)
    return binary_fill_holes(parts == 1 + np.argmax(table[1:, cv2.CC_STAT_AREA]))


def _plausible(inside: np.ndarray) -> bool:
    """Whether a mask [h, w], cropped to a box, can be the object that the box is around."""
    top, left, bottom, right = bounds(inside)
    spans = (bottom - top) / inside.shape[0], (right - left) / inside.shape[1]
    return min(spans) >= 0.85 and 0.25 <= inside.mean() <= 0.95


def _feathered(pixels: np.ndarray, box: np.ndarray) -> np.ndarray:
    """RGBA of a box with round corners that fades out around its edge, where it is just `VISIBLE`."""
    beyond = 0.04 * (box[2:] - box[:2])
    top, left = np.floor(np.maximum(box[:2] - beyond, 0)).astype(int)
    bottom, right = np.ceil(np.minimum(box[2:] + beyond, pixels.shape[:2])).astype(int)
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    y, x = np.mgrid[top:bottom, left:right] + 0.5
    distance = (((y - centre[0]) / half[0]) ** 4 + ((x - centre[1]) / half[1]) ** 4) ** 0.25  # 1 at the edge
    opacity = np.interp(distance, [0.86, 1, 1.08], [1, VISIBLE, 0])
    return _joined(pixels[top:bottom, left:right], opacity)
