"""Hierarchical grouping: the two most similar neighbours become one region, again and again, until one is left.

Source: Uijlings et al., "Selective search for object recognition", IJCV 2013.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

SIMILARITIES = "CTSF"  # colour, texture, size, fill


@dataclass(frozen=True)
class Regions:
    """The regions of a segmentation.

    Attributes:
        boxes: int32 [N, 4], yxyx in pixels; the end is exclusive.
        sizes: float32 [N], pixels.
        colour: float32 [N, bins], texture: float32 [N, bins], histograms that sum to 1 (0 without any bins).
        pairs: int [P, 2], neighbours, the lower one first.
        area: pixels of the whole image.
    """

    boxes: np.ndarray
    sizes: np.ndarray
    colour: np.ndarray
    texture: np.ndarray
    pairs: np.ndarray
    area: int


def describe(labels: np.ndarray, colours: list, textures: list) -> Regions:
    """The regions of a label image.

    Args:
        labels: int [H, W], 0..N-1, each of which occurs.
        colours, textures: (codes int [H, W], number of codes) for each histogram; those of a kind are put side by side.
    """
    count = int(labels.max()) + 1
    sizes = np.bincount(labels.ravel(), minlength=count).astype(np.float32)
    return Regions(
        _boxes(labels, count),
        sizes,
        _histograms(labels, count, sizes, colours),
        _histograms(labels, count, sizes, textures),
        neighbours(labels, count),
        labels.size,
    )


def _boxes(labels: np.ndarray, count: int) -> np.ndarray:
    sides = []
    for axis in (0, 1):
        # Which rows (or columns) a region touches; rows of a bool array [N, H] or [N, W].
        length = labels.shape[axis]
        touched = np.zeros((count, length), bool)
        position = np.arange(length)
        touched[labels, position[:, None] if axis == 0 else position] = True
        sides.append((touched.argmax(axis=1), length - touched[:, ::-1].argmax(axis=1)))
    (top, bottom), (left, right) = sides
    return np.stack([top, left, bottom, right], axis=1).astype(np.int32)


def _histograms(labels, count: int, sizes, channels: list) -> np.ndarray:
    if not channels:
        return np.zeros((count, 0), np.float32)
    histograms = [
        np.bincount((labels * bins + codes).ravel(), minlength=count * bins).reshape(count, bins)
        for codes, bins in channels
    ]
    return (np.concatenate(histograms, axis=1) / (len(channels) * sizes[:, None])).astype(np.float32)


def neighbours(labels: np.ndarray, count: int) -> np.ndarray:
    """Pairs int [P, 2] of regions that share an edge between two pixels, the lower one first, in rising order."""
    touching = np.zeros((count, count), bool)
    touching[labels[:, :-1], labels[:, 1:]] = True
    touching[labels[:-1], labels[1:]] = True
    return np.argwhere(np.triu(touching | touching.T, 1))


class Forest:
    """Several hierarchies that grow together: each round merges the best pair of every one of them.

    They have nothing to do with each other, but one call to NumPy for all of them costs hardly more than one for a
    single hierarchy. A hierarchy of N regions has 2N - 1 rows: its regions, then what they merge into.

    Args:
        regions: of each hierarchy.
        similarities: of each hierarchy, which of SIMILARITIES to add up.
    """

    def __init__(self, regions: list[Regions], similarities: list[str]):
        counts = np.array([len(each.sizes) for each in regions])
        ends = np.cumsum(2 * counts - 1)
        self.slices = [slice(end - 2 * n + 1, end) for n, end in zip(counts, ends, strict=True)]
        self.next = [each.start + n for each, n in zip(self.slices, counts, strict=True)]
        self.area = np.repeat([each.area for each in regions], 2 * counts - 1).astype(np.float32)
        weights = np.array([[kind in each for kind in SIMILARITIES] for each in similarities], np.float32)
        self.weights = np.repeat(weights, 2 * counts - 1, axis=0)  # [rows, 4]
        self.boxes, self.sizes, self.colour, self.texture = (
            self._column(name, regions) for name in ("boxes", "sizes", "colour", "texture")
        )
        self.alive = [True] * int(ends[-1])
        self.near: list[set] = [set() for _ in self.alive]
        self.heaps = [self._start(each, where.start) for each, where in zip(regions, self.slices, strict=True)]

    def _column(self, name: str, regions: list[Regions]) -> np.ndarray:
        parts = [getattr(each, name) for each in regions]
        column = np.zeros((self.slices[-1].stop, *parts[0].shape[1:]), parts[0].dtype)
        for part, where in zip(parts, self.slices, strict=True):
            column[where.start : where.start + len(part)] = part
        return column

    def _start(self, regions: Regions, start: int) -> list:
        pairs = regions.pairs + start
        for a, b in pairs.tolist():
            self.near[a].add(b)
            self.near[b].add(a)
        scores = self.similarity(pairs[:, 0], pairs[:, 1])
        heap = list(zip((-scores).tolist(), *pairs.T.tolist(), strict=True))
        heapq.heapify(heap)
        return heap

    def similarity(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """float32 [P]: how similar rows a [P] and b [P] of the same hierarchies are."""
        weights = self.weights[a]
        pair = self.sizes[a] + self.sizes[b]
        low, high = np.minimum(self.boxes[a], self.boxes[b]), np.maximum(self.boxes[a], self.boxes[b])
        around = ((high[:, 2] - low[:, 0]) * (high[:, 3] - low[:, 1])).astype(np.float32)
        total = weights[:, 2] * (1 - pair / self.area[a]) + weights[:, 3] * (1 - (around - pair) / self.area[a])
        for column, histograms in enumerate((self.colour, self.texture)):
            used = np.flatnonzero(weights[:, column])
            if len(used):
                total[used] += np.minimum(histograms[a[used]], histograms[b[used]]).sum(axis=1)
        return total

    def grow(self) -> None:
        """Merges until every hierarchy is down to one region."""
        growing = [k for k, where in enumerate(self.slices) if self.next[k] < where.stop]
        while growing:
            merged = [self._best(self.heaps[k]) for k in growing]
            fresh = [self.next[k] for k in growing]
            self._fill(np.array(merged), np.array(fresh))
            self._connect(growing, merged, fresh)
            for k in growing:
                self.next[k] += 1
            growing = [k for k in growing if self.next[k] < self.slices[k].stop]

    def _best(self, heap: list) -> tuple[int, int]:
        while True:
            _, a, b = heapq.heappop(heap)
            if self.alive[a] and self.alive[b]:
                return a, b

    def _fill(self, merged: np.ndarray, fresh: np.ndarray) -> None:
        """Writes the rows of the new regions. merged: [K, 2], fresh: [K]."""
        a, b = merged.T
        self.boxes[fresh, :2] = np.minimum(self.boxes[a, :2], self.boxes[b, :2])
        self.boxes[fresh, 2:] = np.maximum(self.boxes[a, 2:], self.boxes[b, 2:])
        self.sizes[fresh] = self.sizes[a] + self.sizes[b]
        share = (self.sizes[a] / self.sizes[fresh])[:, None]
        for histograms in (self.colour, self.texture):
            histograms[fresh] = share * histograms[a] + (1 - share) * histograms[b]

    def _connect(self, growing: list, merged: list, fresh: list) -> None:
        """Puts the new regions and their neighbours into the heaps."""
        others = []
        for (a, b), new in zip(merged, fresh, strict=True):
            self.alive[a] = self.alive[b] = False
            around = (self.near[a] | self.near[b]) - {a, b}
            self.near[a] = self.near[b] = set()
            for other in around:
                self.near[other] -= {a, b}
                self.near[other].add(new)
            self.near[new] = around
            others.append(sorted(around))
        counts = [len(each) for each in others]
        flat = np.array([other for each in others for other in each], np.int64)
        scores = iter((-self.similarity(np.repeat(fresh, counts), flat)).tolist())
        for k, new, around in zip(growing, fresh, others, strict=True):
            for other in around:
                heapq.heappush(self.heaps[k], (next(scores), other, new))
