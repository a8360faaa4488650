"""What detectors without a network of their own have in common: `detect` gives the same Detections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from detkit.data import images as image_files
from detkit.detections import Detections
from detkit.visualize.draw import check_image


class GraphDetector:
    """A finished graph that finds objects in images, one by one; takes a detector's place wherever none is trained.

    A kind of graph gives `found`.

    Attributes:
        classes: the class names; label_ids: the label-map id of each.
        name: what to call it.
    """

    def __init__(self, classes, label_ids=None, name: str = "graph"):
        self.classes, self.name = tuple(classes), name
        self.label_ids = tuple(label_ids or range(1, len(self.classes) + 1))

    def found(self, image: np.ndarray) -> dict:
        """Fields of a Detections, by falling score, of an image uint8 [H, W, 3]: boxes, scores, class_ids, ..."""
        raise NotImplementedError

    def detect(self, images, batch_size: int = 8, threshold: float = 0.0) -> list[Detections]:
        """Finds objects.

        Args:
            images: paths or uint8 arrays [H, W, 3] RGB, of any sizes; or one of them.
            batch_size: taken for the other detectors' sake; images go through one by one.
            threshold: the lowest score of a detection.

        Returns:
            One Detections for each image.
        """
        if isinstance(images, (str, Path)) or getattr(images, "ndim", 0) == 3:
            images = [images]
        return list(self.detect_stream(images, batch_size, threshold))

    def detect_stream(self, images: Iterable, batch_size: int = 8, threshold: float = 0.0) -> Iterator[Detections]:
        """`detect` for a stream."""
        for image in images:
            source = str(image) if isinstance(image, (str, Path)) else ""
            pixels = image_files.decode(image) if source else image
            check_image(pixels, source or None)
            fields = self.found(pixels)
            yield Detections(classes=self.classes, size=pixels.shape[:2], source=source, **fields).above(threshold)
