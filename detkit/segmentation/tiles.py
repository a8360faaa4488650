"""Large images in overlapping tiles, blended where they overlap; memory for one row of tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np


def starts(length: int, tile: int, step: int) -> list[int]:
    """Where tiles begin along a side: each step, and at last so that the tile ends with the side."""
    return [*range(0, max(length - tile, 0), step), max(length - tile, 0)]


def ramp(tile: int, overlap: int) -> np.ndarray:
    """The weights float32 [tile] of a tile's pixels, falling to its ends over the overlap."""
    from_end = np.minimum(np.arange(tile) + 0.5, tile - np.arange(tile) - 0.5)
    return np.minimum(from_end / max(overlap, 1), 1).astype(np.float32)


def blended(
    image: np.ndarray, probabilities: Callable, tile: tuple[int, int], step: tuple[int, int], batch_size: int = 4
) -> Iterator[np.ndarray]:
    """The probabilities of an image, in bands of rows from top to bottom.

    Args:
        image: uint8 [H, W, 3], no smaller than a tile.
        probabilities: tiles uint8 [B, h, w, 3] -> float32 [B, h, w, C].
        tile: their (height, width).
        step: from tile to tile, down and to the right; no larger than a tile.
        batch_size: tiles that go through the network together.

    Yields:
        float32 [rows, W, C].
    """
    height, width = image.shape[:2]
    down, right = starts(height, tile[0], step[0]), starts(width, tile[1], step[1])
    weights = [ramp(side, side - each) for side, each in zip(tile, step, strict=True)]
    weight = weights[0][:, None, None] * weights[1][:, None]  # [h, w, 1]
    total = counts = None
    for row, top in enumerate(down):
        if total is None:
            total = counts = 0.0
        else:
            done = top - down[row - 1]
            yield total[:done] / counts[:done]
            total, counts = (_moved_up(each, done) for each in (total, counts))
        for begin in range(0, len(right), batch_size):
            some = right[begin : begin + batch_size]
            found = probabilities(np.stack([image[top : top + tile[0], x : x + tile[1]] for x in some]))
            if np.isscalar(total):
                total = np.zeros((tile[0], width, found.shape[-1]), np.float32)
                counts = np.zeros((tile[0], width, 1), np.float32)
            for x, each in zip(some, found, strict=True):
                total[:, x : x + tile[1]] += each * weight
                counts[:, x : x + tile[1]] += weight
    yield total / counts


def _moved_up(band: np.ndarray, rows: int) -> np.ndarray:
    """The band without its first rows, and zeros below instead."""
    moved = np.zeros_like(band)
    moved[: len(band) - rows] = band[rows:]
    return moved
