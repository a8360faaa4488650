"""What the baselines have in common with detectors: `detect` gives the same Detections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from detkit import nms
from detkit.data.streams import ObjectFinder, opened
from detkit.detections import Detections

SUPPRESSION = 0.3  # IoU with a better box of the class above which a box is dropped, as in R-CNN


class Baseline(ObjectFinder):
    """Something that finds objects in images, one by one; takes a detector's place in evaluation and prediction.

    A baseline gives `scored`.

    Args:
        classes: the class names; label_ids: the label-map id of each, 1, 2, ... by default.
        name: what to call it.
    """

    def __init__(self, classes, label_ids=None, name: str = "baseline"):
        self.classes, self.name = tuple(classes), name
        self.label_ids = tuple(label_ids or range(1, len(self.classes) + 1))

    def scored(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(boxes float32 [N, 4], normalised yxyx; scores float32 [N, C], 0..1) of an image uint8 [H, W, 3]."""
        raise NotImplementedError

    def detect_stream(
        self, images: Iterable, batch_size: int | None = None, threshold: float = 0.0
    ) -> Iterator[Detections]:
        """As `ObjectFinder.detect_stream`; images go one by one, whatever the batch size."""
        for image in images:
            yield self._found(*opened(image), threshold)

    def _found(self, image: np.ndarray, source: str, threshold: float) -> Detections:
        boxes, scores = self.scored(image)
        lowest = np.nextafter(np.float32(threshold), np.float32(-1))  # a score equal to the threshold counts
        kept, class_ids = nms.class_wise(boxes, scores, iou_threshold=SUPPRESSION, score_threshold=lowest)
        return Detections(boxes[kept], scores[kept, class_ids], class_ids, self.classes, image.shape[:2], source)
