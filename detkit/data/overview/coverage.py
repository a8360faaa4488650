"""How well anchors can match the objects of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_SAME = 0.01  # pixels; anchors that differ by less are of one shape, or in one row
_WORTHWHILE = 8  # anchors of a lattice below which trying them all is as quick
_CHUNK = 2**15  # boxes at a time: what is computed for them fits into the processor's cache
_PAIRS = 2**21  # pairs of boxes and anchors that are tried at a time


class Lattice(NamedTuple):
    """Anchors of one shape, one at every crossing of rows and columns, cut at the edges of a window.

    Each axis is [n, 2], where the rows or columns begin and end, rising.
    """

    rows: np.ndarray
    columns: np.ndarray


class AnchorIndex:
    """Anchors, arranged so that the best one for a box is found without trying all.

    Anchors mostly lie in lattices. Where the column is given, the best row is among a few, whichever the column:
    of whole anchors, all of one height, the one whose centre is nearest; of those that the window cuts at the top the
    two whose lower edges are next to the box's, since below it they grow and above it they miss; and so at the bottom.

    Args:
        anchors: [A, 4] yxyx in pixels, of any kind.
        window: [ymin, xmin, ymax, xmax] to which they are clipped; none by default.

    Attributes:
        lattices: those that are arranged.
        others: [M, 4], those in no lattice, which are tried one by one.
    """

    def __init__(self, anchors: np.ndarray, window: Sequence[float] | None = None):
        anchors = np.asarray(anchors, np.float64).reshape(-1, 4)
        lattices, others = _arranged(anchors)
        low, high = (-np.inf, np.inf) if window is None else (np.tile(window[:2], 2), np.tile(window[2:], 2))
        low, high = np.broadcast_to(low, 4), np.broadcast_to(high, 4)
        self.lattices = [
            Lattice(*(np.clip(intervals, low[axis], high[axis]) for axis, intervals in enumerate(lattice)))
            for lattice in lattices
        ]
        self.others, self._count = np.clip(others, low, high), len(anchors)

    def __len__(self) -> int:
        return self._count

    def best_overlaps(self, boxes: np.ndarray) -> np.ndarray:
        """The highest IoU of each box with any of the anchors.

        Args:
            boxes: [N, 4] yxyx in pixels, of positive area.

        Returns:
            float32 [N]; 0 where no anchor overlaps.
        """
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        best = np.zeros(len(boxes), np.float32)
        for start in range(0, len(boxes), _CHUNK):
            part = boxes[start : start + _CHUNK].T  # [4, n]
            best[start : start + _CHUNK] = np.maximum(self._in_lattices(part), self._tried(part))
        return best

    def _in_lattices(self, boxes: np.ndarray) -> np.ndarray:
        areas = (boxes[2] - boxes[0]) * (boxes[3] - boxes[1])
        best = np.zeros(boxes.shape[1])
        for rows, columns in self.lattices:
            across = _candidates(columns, boxes[1], boxes[3])
            for height, common_height in _candidates(rows, boxes[0], boxes[2]):
                for width, common_width in across:
                    common = common_height * common_width
                    np.maximum(best, common / (areas + height * width - common), out=best)
        return best

    def _tried(self, boxes: np.ndarray) -> np.ndarray:
        best = np.zeros(boxes.shape[1])
        step = max(1, _PAIRS // max(1, boxes.shape[1]))
        for start in range(0, len(self.others), step):
            anchors = self.others[start : start + step].T[:, None, :]  # [4, 1, a]
            np.maximum(best, _iou(boxes[:, :, None], anchors).max(axis=1), out=best)
        return best


def _candidates(intervals: np.ndarray, low: np.ndarray, high: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Those of the intervals [m, 2] of an axis of which one is the best for [low, high], each [n].

    Returns:
        For each candidate its length [n], and what it has in common with [low, high], [n].
    """
    lengths = intervals[:, 1] - intervals[:, 0]
    whole = np.flatnonzero(lengths > lengths.max() - _SAME)
    first, last = whole[0], whole[-1] + 1
    centres = intervals[first:last].sum(axis=1)  # twice the centres, and so is low + high
    numbers = [first + np.searchsorted((centres[1:] + centres[:-1]) / 2, low + high)]
    if first:
        after = np.searchsorted(intervals[:first, 1], high)
        numbers += [np.maximum(after - 1, 0), np.minimum(after, first - 1)]
    if last < len(intervals):
        after = last + np.searchsorted(intervals[last:, 0], low)
        numbers += [np.maximum(after - 1, last), np.minimum(after, len(intervals) - 1)]
    return [
        (lengths[n], np.maximum(np.minimum(high, intervals[n, 1]) - np.maximum(low, intervals[n, 0]), 0))
        for n in numbers
    ]


def _iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of boxes whose first axis is ymin, xmin, ymax, xmax; the others broadcast."""
    common = np.maximum(np.minimum(a[2], b[2]) - np.maximum(a[0], b[0]), 0)
    common = common * np.maximum(np.minimum(a[3], b[3]) - np.maximum(a[1], b[1]), 0)
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return common / (areas[0] + areas[1] - common)


def _arranged(anchors: np.ndarray) -> tuple[list[Lattice], np.ndarray]:
    """The lattices of the anchors, not cut, and those that are in none [M, 4]."""
    sides = [_levels(anchors[:, axis + 2] - anchors[:, axis]) for axis in (0, 1)]
    lattices, others = [], [np.zeros(0, int)]
    for members in _groups(sides[0], sides[1]):
        centres = [_levels((anchors[members, axis] + anchors[members, axis + 2]) / 2) for axis in (0, 1)]
        cells = np.unique(np.stack(centres), axis=1).shape[1]
        if len(members) < _WORTHWHILE or not cells == len(members) == np.prod([c.max() + 1 for c in centres]):
            others.append(members)
            continue
        first = [members[np.unique(c, return_index=True)[1]] for c in centres]  # an anchor of each row, each column
        lattices.append(Lattice(anchors[first[0]][:, [0, 2]], anchors[first[1]][:, [1, 3]]))
    return lattices, anchors[np.concatenate(others)]


def _levels(values: np.ndarray) -> np.ndarray:
    """The rank of each value among the different ones, int [A]."""
    order = np.argsort(values, kind="stable")
    ranks = np.empty(len(values), int)
    ranks[order] = np.cumsum(np.diff(values[order], prepend=values[order[:1]]) > _SAME)
    return ranks


def _groups(first: np.ndarray, second: np.ndarray) -> list[np.ndarray]:
    """The indices of the anchors of each pair of ranks."""
    keys = first * (second.max(initial=0) + 1) + second
    order = np.argsort(keys, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(keys[order])) + 1) if len(order) else []
