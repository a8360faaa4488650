"""A backbone that needs no network, and photos of squares."""

from __future__ import annotations

import numpy as np
import pytest

from detkit.data.dataset import Dataset
from detkit.data.example import Example


class Means:
    """Cells of 8 x 8 pixels; their features are the mean and the mean square of each colour. They have no borders."""

    stride, channels, block = 8, 6, "means"

    def maps(self, images):
        count, height, width, _ = images.shape
        cells = images.reshape(count, height // 8, 8, width // 8, 8, 3) / np.float32(255)
        return np.concatenate([cells.mean(axis=(2, 4)), np.square(cells).mean(axis=(2, 4))], axis=-1)


@pytest.fixture
def backbone():
    return Means()


def photo(rng, count: int = 1) -> Example:
    """An image of 96 x 128 with red squares on grey noise, and a blue one that is none of them."""
    image = rng.normal(110, 25, (96, 128, 3)).clip(0, 255)
    places, boxes = rng.permutation([(8, 8), (8, 72), (52, 8), (52, 72)]), []
    for number, (top, left) in enumerate(places[: count + 1]):
        side = int(rng.integers(26, 38))
        image[top : top + side, left : left + side] = [40, 40, 200] if number == count else [210, 30, 30]
        boxes.append([top / 96, left / 128, (top + side) / 96, (left + side) / 128])
    return Example(image.astype(np.uint8), boxes[:count], [0] * count, (96, 128))


@pytest.fixture
def squares() -> Dataset:
    rng = np.random.default_rng(0)
    return Dataset([photo(rng, count) for count in (1, 2, 1, 2)], ("square",), name="squares")


@pytest.fixture
def other_squares() -> Dataset:
    rng = np.random.default_rng(1)
    return Dataset([photo(rng, count) for count in (1, 2, 2)], ("square",), name="other squares")
