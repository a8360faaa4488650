"""Pictures of discs and bars, and a small network for them."""

from __future__ import annotations

import numpy as np

from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.pipeline.transfer import SegmentationModel
from detkit.segmentation.build import build

CLASSES = ("disc", "bar")


def picture(number: int, size=(40, 56)) -> tuple[np.ndarray, np.ndarray]:
    """A bright disc and a red bar on a dark ground: uint8 [H, W, 3], and the class of each pixel."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[: size[0], : size[1]]
    centre = rng.uniform(10, np.array(size) - 10)
    semantic = np.zeros(size, np.uint8)
    top = int(rng.integers(0, size[0] - 6))
    semantic[top : top + 6] = 2
    semantic[np.hypot(rows - centre[0], columns - centre[1]) < 9] = 1
    colours = np.array([[30, 40, 50], [220, 220, 210], [200, 40, 30]])
    noise = rng.normal(0, 12, (*size, 3))
    return np.clip(colours[semantic] + noise, 0, 255).astype(np.uint8), semantic


def dataset(count: int = 4, size=(40, 56)) -> Dataset:
    examples = []
    for number in range(count):
        image, semantic = picture(number, size)
        examples.append(Example(image, np.zeros((0, 4)), [], size, class_map=semantic, source=f"picture {number}"))
    return Dataset(tuple(examples), CLASSES, name="shapes")


def small(classes=CLASSES, seed: int = 0, **options):
    """A small untrained segmenter."""
    chosen = {"name": "unet", "width": 4, "depth": 2, "size": 32} | options
    return build(SegmentationModel(**chosen), classes, seed=seed)
