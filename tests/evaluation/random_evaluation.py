"""Random datasets with detections of all qualities, evaluated."""

from __future__ import annotations

import numpy as np

from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.detections import Detections
from detkit.evaluation.coco import evaluate

CLASSES = ("duck", "dog", "cat")
SIZE = (100, 200)


def boxes_from(rng, n: int) -> np.ndarray:
    """Whole-pixel boxes [n, 4], normalised yxyx."""
    corner, sides = rng.integers(0, [60, 160], (n, 2)), rng.integers(8, 40, (n, 2))
    return np.concatenate([corner, corner + sides], axis=1) / np.tile(SIZE, 2)


def random_set(seed: int, images: int = 8, quality: float = 1.0) -> tuple[Dataset, list[Detections]]:
    """A dataset, and detections that are near its objects, doubled, of another class, or anywhere."""
    rng = np.random.default_rng(seed)
    examples, detections = [], []
    for number in range(images):
        n = int(rng.integers(0, 5))
        boxes, class_ids = boxes_from(rng, n), rng.integers(0, 3, n)
        crowd = rng.random(n) < 0.1
        examples.append(Example(f"{number}.jpg", boxes, class_ids, SIZE, crowd=crowd, image_id=number))
        moved = [np.clip(boxes + rng.integers(-9, 10, boxes.shape) / 200 / quality, 0, 1) for _ in range(2)]
        found = np.concatenate([*moved, boxes_from(rng, int(rng.integers(0, 4)))])
        names = np.concatenate([class_ids, rng.integers(0, 3, len(found) - n)])
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 0.01)
        scores = rng.integers(1, 40, len(found)) / 40
        order = np.argsort(-scores, kind="stable")
        detections.append(Detections(found[order], scores[order], names[order], CLASSES, SIZE))
    return Dataset(examples, CLASSES), detections


def random_metrics(seed: int, images: int = 8, quality: float = 1.0):
    return evaluate(*random_set(seed, images, quality))
