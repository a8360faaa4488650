"""Overlapping tiles."""

from __future__ import annotations

import numpy as np
import pytest

from detkit.segmentation.tiles import blended, ramp, starts


def brightness(tiles: np.ndarray) -> np.ndarray:
    """A network that sees one pixel at a time."""
    p = tiles[..., :1] / 255.0
    return np.concatenate([1 - p, p], -1).astype(np.float32)


@pytest.mark.parametrize("shape", [(64, 64), (70, 33), (32, 200), (129, 64)])
def test_tiles_of_what_sees_single_pixels_join_without_seams(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    tile = (min(32, shape[0]), min(32, shape[1]))
    joined = np.concatenate(list(blended(image, brightness, tile, (24, 16))))
    np.testing.assert_allclose(joined, brightness(image), atol=1e-5)


def test_every_tile_lies_inside_and_all_is_covered():
    assert starts(100, 40, 30) == [0, 30, 60]
    assert starts(101, 40, 30) == [0, 30, 60, 61]
    assert starts(40, 40, 30) == [0]


def test_weights_fall_to_the_ends():
    weights = ramp(8, 4)
    assert weights.tolist() == [0.125, 0.375, 0.625, 0.875, 0.875, 0.625, 0.375, 0.125]
    assert ramp(8, 0).tolist() == [0.5] + [1] * 6 + [0.5]


def test_where_tiles_differ_one_goes_over_into_the_next():
    numbers = iter(range(10))

    def by_tile(tiles):
        return np.stack([np.full((*tiles.shape[1:3], 1), next(numbers), np.float32) for _ in tiles])

    row = np.concatenate(list(blended(np.zeros((8, 24, 3), np.uint8), by_tile, (8, 16), (8, 8))))[0, :, 0]
    assert row[:8].tolist() == [0] * 8
    assert row[16:].tolist() == [1] * 8
    assert (np.diff(row[8:16]) > 0).all()
