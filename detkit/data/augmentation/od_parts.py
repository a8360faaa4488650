"""What moves with the pixels of a sample: masks, class of each pixel, boxes and keypoints.

Coordinates are float32 as in the OD API, because what is left out is decided by comparing them.
Source: `box_list_ops` and `keypoint_ops` of the OD API; `tf.image.resize` of TensorFlow 1.
"""

from __future__ import annotations

import numpy as np

from detkit.data.class_map import IGNORED
from detkit.data.sample import CutMask, Sample


def reframe(sample: Sample, corner, size, fill=0, content=None) -> Sample:
    """What a canvas shows that is laid over the photo or beyond it.

    Args:
        sample: the photo and its objects; all of them stay, wherever they come to lie.
        corner: (row, column) of the photo where the canvas begins.
        size: (height, width) of the canvas.
        fill: the colour beyond the photo; the class of the pixels there is ignored.
        content: (top, left, bottom, right) of the photo, the part of it that is shown; all of it by default.
    """
    height, width = sample.size
    top, left, bottom, right = content or (0, 0, height, width)
    first = np.maximum((top, left), corner)
    last = np.maximum(np.minimum((bottom, right), np.add(corner, size)), first)
    moved = move(sample, np.array([*corner, *np.add(corner, size)], np.float32) / np.float32([height, width] * 2))
    image = _canvas(sample.image, first, last, corner, size, fill)
    semantic = sample.semantic
    if semantic is not None:
        semantic = _canvas(semantic, first, last, corner, size, IGNORED)
    masks = sample.masks
    if masks is not None:
        masks = tuple(mask and _cut(mask, first, last, corner) for mask in masks)
    return moved._replace(image=image, semantic=semantic, masks=masks)


def _canvas(pixels, first, last, corner, size, fill) -> np.ndarray:
    """The pixels from `first` to `last` on a plain canvas that begins at `corner`."""
    shown = pixels[first[0] : last[0], first[1] : last[1]]
    if shown.shape[:2] == tuple(size):
        return shown
    kind = np.result_type(pixels, np.float32) if np.any(np.mod(fill, 1)) else pixels.dtype
    canvas = np.empty((*size, *pixels.shape[2:]), kind)
    canvas[...] = fill
    top, left = first - corner
    canvas[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
    return canvas


def _cut(mask: CutMask, first, last, corner) -> CutMask:
    """The part of a mask from the pixel `first` to `last`, in a frame that begins at `corner`."""
    place = np.array([mask.top, mask.left])
    low = np.clip(first - place, 0, mask.inside.shape)
    high = np.clip(last - place, low, mask.inside.shape)
    inside = mask.inside[low[0] : high[0], low[1] : high[1]]
    return _placed(inside, place + low - corner)


def _placed(inside: np.ndarray, place) -> CutMask:
    """A mask; of no pixels, one pixel that isn't inside."""
    return CutMask(inside if inside.size else np.zeros((1, 1), bool), int(place[0]), int(place[1]))


def move(sample: Sample, window) -> Sample:
    """Boxes and keypoints relative to a window [ymin, xmin, ymax, xmax], float32 and normalised."""
    extent = np.float32(1) / (window[2:] - window[:2])
    boxes = (sample.boxes - np.tile(window[:2], 2)) * np.tile(extent, 2)
    keypoints = None if sample.keypoints is None else (sample.keypoints - window[:2]) * extent
    return sample._replace(boxes=boxes, keypoints=keypoints)


def within(boxes, window) -> np.ndarray:
    """Which boxes [N, 4] are not quite outside a window [4], bool [N]; what only touches it is outside."""
    return ((boxes[:, :2] < window[2:]) & (boxes[:, 2:] > window[:2])).all(1)


def covered(boxes, window) -> np.ndarray:
    """The share of boxes [N, 4] that is in a window [4], float32 [N]; of boxes without area NaN."""
    sides = np.maximum(np.minimum(boxes[:, 2:], window[2:]) - np.maximum(boxes[:, :2], window[:2]), np.float32(0))
    with np.errstate(invalid="ignore", divide="ignore"):
        return sides.prod(1) / (boxes[:, 2:] - boxes[:, :2]).prod(1)


def clipped(sample: Sample) -> Sample:
    """Boxes cut at the borders of the photo; what keypoints are beyond has no weight."""
    sample = sample._replace(boxes=np.clip(sample.boxes, 0, 1))
    if sample.keypoints is None:
        return sample
    inside = ((sample.keypoints >= 0) & (sample.keypoints <= 1)).all(-1)
    return sample._replace(keypoint_weights=sample.keypoint_weights * inside.astype(np.float32))


def resize(sample: Sample, size, part=None, aligned: bool = False) -> Sample:
    """A sample at another size, bilinear, or a part of it.

    Args:
        sample: the photo and its objects; all of them stay, wherever they come to lie.
        size: (height, width) of the whole photo from now on.
        part: (top, left, height, width) of the part in it; all of it by default.
        aligned: whether the centres of the corner pixels stay where they are, instead of the photo's upper left corner.

    Returns:
        The part. A mask is where more than half of a pixel was inside; the class of a pixel is one of a pixel before.
    """
    top, left, height, width = part or (0, 0, *size)
    rows = _positions(sample.size[0], size[0], top, height, aligned)
    columns = _positions(sample.size[1], size[1], left, width, aligned)
    image = bilinear(sample.image, rows, columns)
    semantic, masks = sample.semantic, sample.masks
    if semantic is not None:
        pick = np.rint if aligned else np.floor
        semantic = semantic[np.ix_(pick(rows).astype(int), pick(columns).astype(int))]
    if masks is not None:
        masks = tuple(mask and _resized_mask(mask, rows, columns) for mask in masks)
    sample = sample._replace(image=image, semantic=semantic, masks=masks)
    if part is None:
        return sample
    return move(sample, np.array([top, left, top + height, left + width], np.float32) / np.float32([*size, *size]))


def _positions(old: int, new: int, first: int, count: int, aligned: bool) -> np.ndarray:
    """The rows of the old photo, float32 [count], that the rows of the new one from `first` on are made of."""
    step = np.float32(old - 1) / np.float32(new - 1) if aligned and new > 1 else np.float32(old) / np.float32(new)
    return np.minimum(np.arange(first, first + count, dtype=np.float32) * step, np.float32(old - 1))


def bilinear(pixels: np.ndarray, rows, columns) -> np.ndarray:
    """Pixels [H, W, ...] at fractional rows [h] and columns [w]: float32 [h, w, ...]."""
    tail = (1,) * (pixels.ndim - 2)
    low, high, share = _neighbours(rows, len(pixels))
    pixels = _between(pixels[low], pixels[high], share.reshape(-1, 1, *tail))
    low, high, share = _neighbours(columns, pixels.shape[1])
    return _between(pixels[:, low], pixels[:, high], share.reshape(-1, *tail))


def _neighbours(positions, count):
    low = np.floor(positions)
    return low.astype(int), np.minimum(low.astype(int) + 1, count - 1), positions - low


def _between(near, far, share):
    near, far = near.astype(np.float32), far.astype(np.float32)
    far -= near
    far *= share
    far += near
    return far


def _resized_mask(mask: CutMask, rows, columns) -> CutMask:
    """A mask at fractional rows and columns of the photo; beyond the cut nothing is inside."""
    around = np.pad(mask.inside, 1).astype(np.float32)
    rows, columns = rows - np.float32(mask.top - 1), columns - np.float32(mask.left - 1)
    chosen = [np.flatnonzero((at >= 0) & (at <= n - 1)) for at, n in zip((rows, columns), around.shape, strict=True)]
    if not all(map(len, chosen)):
        return _placed(np.zeros((0, 0), bool), (0, 0))
    inside = bilinear(around, rows[chosen[0]], columns[chosen[1]]) > 0.5
    return _placed(inside, (chosen[0][0], chosen[1][0]))
