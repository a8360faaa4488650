"""Pictures of plain colours, as a dataset with a class for each colour, with or without a box."""

from __future__ import annotations

import numpy as np

from detkit.data.dataset import Dataset
from detkit.data.example import Example

COLOURS = {"red": (220, 40, 30), "green": (30, 200, 60), "blue": (40, 60, 220)}
SIZE = (40, 48)


def colours(count: int = 6, boxes: bool = False, classes=tuple(COLOURS)) -> Dataset:
    """Pictures whose classes take turns, all of one colour, or grey with a coloured box."""
    rng, examples = np.random.default_rng(0), []
    for n in range(count):
        name = classes[n % len(classes)]
        picture = np.full((*SIZE, 3), 128, np.uint8)
        top, left = (int(each) for each in rng.integers(0, 24, 2))
        place = (slice(top, top + 16), slice(left, left + 20)) if boxes else slice(None)
        picture[place] = np.clip(np.array(COLOURS[name]) + rng.integers(-20, 20, 3), 0, 255)
        box = np.array([[top, left, top + 16, left + 20]], np.float32) / np.array([*SIZE, *SIZE], np.float32)
        ids = [n % len(classes)]
        kept = (box, ids) if boxes else (np.zeros((0, 4), np.float32), [])
        examples.append(Example(picture, *kept, size=SIZE, image_labels=ids))
    return Dataset(tuple(examples), tuple(classes))
