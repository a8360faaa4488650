"""A detector that sees little: it shrinks every picture to its small input, and finds squares of pure colours there."""

from __future__ import annotations

import cv2
import numpy as np

from detkit.detections import Detections

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0)}


class SquareFinder:
    """Finds squares of at least three pixels in its input of 64 x 64; the larger, the surer."""

    classes, input_size = tuple(COLOURS), (64, 64)

    def __init__(self):
        self.sizes = []

    def detect(self, images, batch_size=8, threshold=0.0):
        self.sizes.extend(image.shape[:2] for image in images)
        return [self._found(image, threshold) for image in images]

    def _found(self, image, threshold):
        small = cv2.resize(image, self.input_size, interpolation=cv2.INTER_NEAREST)
        rows = [(*box, class_id) for class_id, colour in enumerate(COLOURS.values()) for box in _boxes(small, colour)]
        rows.sort(key=lambda row: -row[2] * row[3])
        boxes = np.array([[y, x, y + h, x + w] for x, y, w, h, _ in rows], np.float32).reshape(-1, 4) / 64
        scores = [min(1.0, 0.5 + w * h / 4096) for _, _, w, h, _ in rows]
        found = Detections(boxes, scores, [row[4] for row in rows], self.classes, image.shape[:2])
        return found.above(threshold)


def _boxes(image, colour) -> list[tuple[int, int, int, int]]:
    """(x, y, width, height) of connected regions of a colour."""
    count, _, stats, _ = cv2.connectedComponentsWithStats((image == colour).all(-1).astype(np.uint8))
    return [tuple(int(n) for n in stats[i, :4]) for i in range(1, count) if stats[i, 2:4].min() >= 3]


def scene(size, squares) -> np.ndarray:
    """A black picture with squares: (top, left, side, colour name)."""
    image = np.zeros((*size, 3), np.uint8)
    for top, left, side, name in squares:
        image[top : top + side, left : left + side] = COLOURS[name]
    return image
