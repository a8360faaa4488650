"""Looking at a large image in overlapping tiles, for objects that are too small in the model's input otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from detkit import boxes, fusion
from detkit.detections import Detections

_BORDER = 0.01  # of a tile's side: a box that comes as near to the border as this ends at it
_SAME = 0.3  # the IoU from which a box of the whole image, coarse if it is small, means the same object as a tile's


@dataclass(frozen=True)
class Tiling:
    """A way to cut images into tiles; the whole image is looked at too, for large objects.

    Attributes:
        side: of a tile in pixels.
        overlap: the least part of a tile that the next one shows too.

    Source: Akyon et al., Slicing aided hyper inference, 2022.
    """

    side: int
    overlap: float = 0.2

    def views(self, image: np.ndarray) -> list[np.ndarray]:
        """The image itself, and its tiles if it is larger than one: uint8 [H, W, 3] each."""
        return [image, *cut(image, self._regions(image.shape[:2]))]

    def merged(self, found: Sequence[Detections], size: tuple[int, int]) -> Detections:
        """What was found in the `views` of an image of this (height, width), every object once."""
        whole, *tiles = found
        if not tiles:
            return whole
        inside, at_border = _placed(tiles, self._regions(size), size)
        everything = _joined([self._not_better_seen(whole, inside[~at_border]), inside])
        at_border = np.concatenate([np.zeros(len(everything) - len(inside), bool), at_border])
        return _merged(everything, at_border)

    def _not_better_seen(self, whole: Detections, inside: Detections) -> Detections:
        """The detections in the whole image without those that a tile shows in full, and so more sharply."""
        extents = (whole.boxes[:, 2:] - whole.boxes[:, :2]) * whole.size
        same = whole.class_ids[:, None] == inside.class_ids[None]  # [N, M]
        same &= boxes.iou(whole.boxes, inside.boxes) > _SAME
        return whole[(extents > self.side).any(axis=1) | ~same.any(axis=1)]

    def _regions(self, size: tuple[int, int]) -> np.ndarray:
        if max(size) <= self.side:
            return np.zeros((0, 4), np.int64)
        return regions(size, (self.side, self.side), self.overlap)


def regions(size: tuple[int, int], tile: tuple[int, int], overlap: float) -> np.ndarray:
    """Tiles of one (height, width) that cover an image: int [N, 4] of (top, left, bottom, right) in pixels."""
    rows, columns = (_starts(length, side, overlap) for length, side in zip(size, tile, strict=True))
    corners = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    return np.concatenate([corners, np.minimum(corners + tile, size)], axis=1)


def _starts(length: int, side: int, overlap: float) -> np.ndarray:
    """Where tiles begin along an axis, evenly spread."""
    if length <= side:
        return np.zeros(1, np.int64)
    count = int(np.ceil((length - side) / (side * (1 - overlap)))) + 1
    return np.rint(np.linspace(0, length - side, count)).astype(np.int64)


def cut(image: np.ndarray, regions: np.ndarray) -> list[np.ndarray]:
    """The parts of an image, without copying it."""
    return [image[top:bottom, left:right] for top, left, bottom, right in regions]


def merge(found: Sequence[Detections], regions: np.ndarray, size: tuple[int, int]) -> Detections:
    """What was found in regions of an image of this (height, width), every object once.

    Args:
        found: for each region its detections.
        regions: int [N, 4], as of `regions`.
    """
    return _merged(*_placed(found, regions, size))


def _merged(found: Detections, at_border: np.ndarray) -> Detections:
    rows, merged = fusion.merge_tiles(found.boxes, found.scores, found.class_ids, at_border)
    return replace(found[rows], boxes=merged)


def _placed(found: Sequence[Detections], regions: np.ndarray, size: tuple[int, int]) -> tuple[Detections, np.ndarray]:
    """(all detections in the whole image, which of them end at a border of their region)."""
    pairs = list(zip(found, regions, strict=True))
    return _joined([_moved(*pair, size) for pair in pairs]), np.concatenate([_is_cut(*pair, size) for pair in pairs])


def _moved(found: Detections, region: np.ndarray, size: tuple[int, int]) -> Detections:
    """Detections in a region as detections in the whole image."""
    extent = (region[2:] - region[:2]) / np.array(size)  # (y, x)
    corner = region[:2] / np.array(size)
    moved = found.boxes * np.tile(extent, 2) + np.tile(corner, 2)  # [N, 4] * [4] + [4]
    points = None if found.keypoints is None else found.keypoints * extent + corner  # [N, K, 2] * [2] + [2]
    return replace(found, boxes=moved, keypoints=points, size=tuple(size))


def _is_cut(found: Detections, region: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Which boxes end at a border of the region that is not one of the image: bool [N]."""
    inner = np.concatenate([region[:2] > 0, region[2:] < np.array(size)])  # top, left, bottom, right
    ends = np.concatenate([found.boxes[:, :2] < _BORDER, found.boxes[:, 2:] > 1 - _BORDER], axis=1)
    return (ends & inner).any(axis=1)


def _joined(parts: Sequence[Detections]) -> Detections:
    names = ("boxes", "scores", "class_ids", "keypoints", "keypoint_scores")
    columns = {name: [getattr(part, name) for part in parts] for name in names}
    return replace(parts[0], **{n: np.concatenate(each) for n, each in columns.items() if each[0] is not None})
