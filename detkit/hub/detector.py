"""What detectors without a network of their own have in common: `detect` gives the same Detections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from detkit.data.streams import ObjectFinder, opened
from detkit.detections import Detections


class GraphDetector(ObjectFinder):
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

    def detect_stream(
        self, images: Iterable, batch_size: int | None = None, threshold: float = 0.0
    ) -> Iterator[Detections]:
        """As `ObjectFinder.detect_stream`; images go one by one, whatever the batch size."""
        for image in images:
            pixels, source = opened(image)
            fields = self.found(pixels)
            yield Detections(classes=self.classes, size=pixels.shape[:2], source=source, **fields).above(threshold)
