"""Masks of objects: COCO's polygons and run lengths, and masks stretched over a box.

A COCO segmentation is a list of polygons, each a flat list [x, y, x, y, ...] in pixels, or a run-length encoding
{"size": [height, width], "counts": ...}, column by column, with counts as a list or compressed as text.

Source: https://cocodataset.org/#format-data; pycocotools.mask.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain

import numpy as np
from pycocotools import mask as coco_masks

from detkit.errors import DataError

_AT_ONCE = 2000
_FIX = "Draw the outline again, or delete the segmentation."


def check(segmentation, size: tuple[int, int]) -> None:
    """Raises DataError unless a COCO segmentation can be made a mask of this (height, width).

    pycocotools trusts its input: what is refused here would crash it, or hang it.
    """
    if isinstance(segmentation, dict):
        _check_run_lengths(segmentation, size)
        return
    if not isinstance(segmentation, (list, tuple)) or not segmentation:
        _refuse("A segmentation is neither polygons nor run lengths.", segmentation, "[[x, y, ...], ...] or an RLE")
    if all(isinstance(value, (int, float)) for value in segmentation):
        what, fix = "A polygon is not in a list of polygons.", "Put the polygon into a list, even if there is only one."
        _refuse(what, segmentation, "[[x, y, x, y, ...], ...]", fix)
    for polygon in segmentation:
        _check_polygon(polygon, size)


def plain(segmentations: Sequence, sizes: np.ndarray) -> np.ndarray:
    """Which of many segmentations are polygons that `check` lets pass, bool [N], told quickly.

    Args:
        segmentations: None for an object without one, of which False is told, as of run lengths.
        sizes: [N, 2], (height, width) of each one's picture.
    """
    found = np.zeros(len(segmentations), bool)
    for start in range(0, len(segmentations), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        numbers = [i for i, value in enumerate(segmentations[part], start) if type(value) is list]
        found[numbers] = _all_inside([segmentations[i] for i in numbers], sizes[numbers])
    return found


def _all_inside(segmentations: list[list], sizes: np.ndarray) -> np.ndarray:
    """Which have only polygons inside their picture; none if any of them holds anything but lists of numbers."""
    polygons = list(chain.from_iterable(segmentations))
    if set(map(type, polygons)) != {list}:
        return np.zeros(len(segmentations), bool)
    counts, lengths = ([len(each) for each in every] for every in (segmentations, polygons))
    if min(counts) == 0 or min(lengths) < 6 or any(length % 2 for length in lengths):
        return np.zeros(len(segmentations), bool)
    try:
        sum(map(sum, polygons))  # quick, and of what is not a number there is no sum
        points = np.fromiter(chain.from_iterable(polygons), np.float64, sum(lengths)).reshape(-1, 2)
    except (TypeError, OverflowError):
        return np.zeros(len(segmentations), bool)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]) // 2
    low, high = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)  # [polygons, 2] x, y
    sides = np.repeat(np.asarray(sizes)[:, ::-1], counts, 0)
    inside = ((low < sides) & (high > 0) & (low >= -sides) & (high <= 2 * sides)).all(-1)  # false for NaN
    return np.logical_and.reduceat(inside, np.concatenate([[0], np.cumsum(counts)[:-1]]))


def _refuse(what: str, got, expected: str, fix: str = _FIX):
    raise DataError(what, got=got if isinstance(got, str) else f"{got!r:.80}", expected=expected, fix=fix)


def _check_polygon(polygon, size) -> None:
    if not isinstance(polygon, (list, tuple)):
        _refuse("A polygon is not a list of coordinates.", polygon, "[x, y, x, y, ...], in a list of polygons")
    if len(polygon) % 2:
        _refuse("A polygon has an odd number of coordinates.", f"{len(polygon)} numbers", "x and y of each point")
    if len(polygon) < 6:
        _refuse("A polygon has under 3 points.", polygon, "3 points or more")
    try:
        finite = math.isfinite(sum(polygon))  # quick, and of what is not a number there is no sum
    except (TypeError, OverflowError):
        finite = False
    if not finite:
        _refuse("A polygon has a coordinate that is not a finite number.", polygon, "numbers")
    for values, side in ((polygon[::2], size[1]), (polygon[1::2], size[0])):
        low, high = min(values), max(values)
        if low >= side or high <= 0 or low < -side or high > 2 * side:
            inside = f"inside the image of {size[1]} x {size[0]} (width x height)"
            _refuse("A polygon lies outside its image.", f"coordinates from {low} to {high}", inside)


def _check_run_lengths(rle: dict, size) -> None:
    if not isinstance(rle.get("size"), (list, tuple)) or tuple(rle["size"]) != tuple(size):
        _refuse("An RLE mask has another size than its image.", f"size {rle.get('size')!r:.80}", f"{list(size)}")
    counts = rle.get("counts")
    runs = counts if isinstance(counts, (list, tuple)) else _decompressed(counts)
    total = sum(runs) if runs is not None and all(type(run) is int for run in runs) else None
    if total is None or min(runs, default=0) < 0:
        expected = "whole numbers from 0, or pycocotools' text"
        _refuse("The counts of an RLE mask can't be read.", f"counts {counts!r:.80}", expected)
    if total != size[0] * size[1]:
        _refuse("The counts of an RLE mask don't sum up to its image.", f"{total} pixels", f"{size[0] * size[1]}")


def _decompressed(counts) -> list[int] | None:
    """The run lengths in a compressed text: six bits a character, five of a number and one that it goes on.

    From the fourth run on a number is the difference to the last run but one.
    """
    if isinstance(counts, str):
        counts = counts.encode("ascii", "replace")
    if not isinstance(counts, bytes) or not counts:
        return None
    values = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    last = (values & 32) == 0
    starts = np.concatenate([[0], np.flatnonzero(last)[:-1] + 1])
    lengths = np.diff(np.concatenate([starts, [len(values)]]))
    if values.min() < 0 or values.max() > 63 or not last[-1] or lengths.max() > 7:
        return None
    place = np.arange(len(values)) - np.repeat(starts, lengths)
    runs = np.add.reduceat((values & 31) << (5 * place), starts)
    runs -= np.where(values[last] & 16, 1 << (5 * lengths), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs.tolist()


def run_lengths(segmentation, size: tuple[int, int]) -> dict:
    """A checked COCO segmentation as a compressed RLE {"size", "counts": bytes}."""
    if not isinstance(segmentation, dict):
        return coco_masks.merge(coco_masks.frPyObjects([list(polygon) for polygon in segmentation], *size))
    rle = {"size": list(segmentation["size"]), "counts": segmentation["counts"]}
    if isinstance(rle["counts"], (str, bytes)):
        return rle
    return coco_masks.frPyObjects(rle | {"counts": list(rle["counts"])}, *rle["size"])


def decode(segmentation, size: tuple[int, int]) -> np.ndarray:
    """The mask bool [height, width] of a checked COCO segmentation."""
    # Not by pycocotools.mask.decode, which warns of numpy 2 at every call.
    if isinstance(segmentation, dict) and isinstance(segmentation["counts"], (list, tuple)):
        runs = segmentation["counts"]
    else:
        runs = _decompressed(run_lengths(segmentation, size)["counts"])
    columns = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.ascontiguousarray(columns.reshape(size[1], size[0]).T)


def bounding_box(segmentation, size: tuple[int, int]) -> list[float]:
    """[xmin, ymin, width, height] in pixels of a checked COCO segmentation; zeros if its mask is empty."""
    return coco_masks.toBbox(run_lengths(segmentation, size)).tolist()


def area(rle: dict) -> float:
    """The pixels of a compressed RLE."""
    return float(coco_masks.area(rle))


def encode(inside: np.ndarray, corner: tuple[int, int], size: tuple[int, int]) -> dict:
    """The RLE {"size", "counts": text} of a picture's mask that is given where it may be true.

    Args:
        inside: bool [h, w].
        corner: the row and column of its first pixel.
        size: (height, width) of the picture.
    """
    (height, width), (top, left) = size, corner
    columns = np.zeros((inside.shape[1], height), np.int8)
    columns[:, top : top + inside.shape[0]] = inside.T
    edges = np.flatnonzero(np.diff(columns.ravel(), prepend=0, append=0)) + left * height
    counts = np.diff(np.concatenate([[0], edges, [height * width]])).tolist()
    counts = counts if counts[-1] else counts[:-1]
    rle = coco_masks.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return {"size": [height, width], "counts": rle["counts"].decode("ascii")}


def paste(mask: np.ndarray, box: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """A mask that is stretched over a box, at the pixels of a picture whose centres lie in the box.

    Args:
        mask: [h, w] of 0..1, whose outermost samples lie on the borders of the box, as a mask head's do.
        box: [4], normalised yxyx; what is beyond the picture is left out.
        size: (height, width) of the picture.

    Returns:
        float32 [rows, columns], bilinear between the samples of the mask, and the row and column of its first
        pixel. There are no rows or columns where the box holds no centre of a pixel.
    """
    corner = []
    values = np.asarray(mask, np.float32)
    for axis in (0, 1):
        low, high = float(box[axis]) * size[axis], float(box[axis + 2]) * size[axis]
        start, stop = (int(np.clip(np.ceil(edge - 0.5), 0, size[axis])) for edge in (low, high))
        centres = np.arange(start, max(start, stop)) + 0.5
        values = _between(values, (centres - low) / max(high - low, 1e-9) * (len(values) - 1)).T
        corner.append(start)
    return values, tuple(corner)


def _between(values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Linear interpolation along the first axis; beyond its ends their values."""
    positions = np.clip(positions, 0, len(values) - 1)
    low = positions.astype(int)
    high = np.minimum(low + 1, len(values) - 1)
    share = (positions - low).astype(np.float32)[:, None]
    return values[low] * (1 - share) + values[high] * share


def stretch(mask: np.ndarray, box: Sequence[float], side: int) -> np.ndarray:
    """The part of a mask [h, w] inside a box [ymin, xmin, ymax, xmax] in its pixels, as uint8 [side, side] of 0..255.

    A cell is the mean of the mask over it, which is exact at any scale; beyond the mask nothing is.
    """
    values = np.asarray(mask, np.float32)
    for axis in (0, 1):
        values = _means(values, np.linspace(box[axis], box[axis + 2], side + 1)).T
    return np.rint(values * 255).astype(np.uint8)


def _means(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The means of steps of length 1 along the first axis, from each edge to the next."""
    values = np.concatenate([values, np.zeros_like(values[:1])])
    before = np.cumsum(values, axis=0) - values  # the sum of what lies before each row
    inside = np.clip(edges, 0, len(values) - 1)
    low = inside.astype(int)
    share = (inside - low).astype(np.float32)[:, None]
    sums = before[low] + share * values[low]
    return np.diff(sums, axis=0) / max(edges[1] - edges[0], 1e-9)
