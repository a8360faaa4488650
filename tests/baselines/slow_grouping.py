"""Hierarchical grouping once more: as the paper says it, from pixels, a pair at a time, in double precision."""

from __future__ import annotations

import numpy as np


class SlowGrouping:
    """Regions as lists of their pixels; every similarity is worked out anew before every merge."""

    def __init__(self, labels, colours, textures, kinds):
        self.labels, self.colours, self.textures, self.kinds = labels.copy(), colours, textures, kinds

    def histogram(self, region, channels):
        inside = self.labels == region
        counts = [np.bincount(codes[inside], minlength=bins) for codes, bins in channels]
        whole = np.concatenate(counts).astype(np.float64)
        return whole / whole.sum()

    def box(self, *regions):
        rows, columns = np.nonzero(np.isin(self.labels, regions))
        return [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]

    def similarity(self, a, b):
        size = np.isin(self.labels, [a, b]).sum()
        top, left, bottom, right = self.box(a, b)
        parts = {
            "C": np.minimum(self.histogram(a, self.colours), self.histogram(b, self.colours)).sum(),
            "T": np.minimum(self.histogram(a, self.textures), self.histogram(b, self.textures)).sum(),
            "S": 1 - size / self.labels.size,
            "F": 1 - ((bottom - top) * (right - left) - size) / self.labels.size,
        }
        return sum(parts[kind] for kind in self.kinds)

    def neighbours(self):
        labels, height, width = self.labels, *self.labels.shape
        pairs = set()
        for row in range(height):
            for column in range(width):
                for other in ((row + 1, column), (row, column + 1)):
                    if other[0] < height and other[1] < width and labels[row, column] != labels[other]:
                        pairs.add(tuple(sorted((int(labels[row, column]), int(labels[other])))))
        return sorted(pairs)

    def boxes(self):
        """Of the first regions, then of what they merge into, in the order of merging."""
        count = int(self.labels.max()) + 1
        found = [self.box(region) for region in range(count)]
        for fresh in range(count, 2 * count - 1):
            best = max(self.neighbours(), key=lambda pair: self.similarity(*pair))
            self.labels[np.isin(self.labels, best)] = fresh
            found.append(self.box(fresh))
        return np.array(found)
