"""Whether an exported model finds what the model it was made of finds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from detkit import boxes as box_math
from detkit.detections import Detections

BEST = 20  # detections of each image that are compared
SAME = 0.5  # the least IoU of a detection with its partner
CLOSE = 1e-4  # coordinates that are taken for the same
SHARE = 0.9  # of the detections must agree


class Agreement(NamedTuple):
    """How two models agree on some images.

    Attributes:
        score: the largest difference of a detection's score from that of its partner, 0 where it has none.
        box: the largest difference of their coordinates, normalised.
        milliseconds: of the second model for an image; source_milliseconds: of the first.
        scores: all differences of scores.
    """

    score: float
    box: float
    milliseconds: float
    source_milliseconds: float
    scores: np.ndarray

    def within(self, tolerance: float) -> bool:
        """Whether nearly all scores differ by no more than this; two boxes that tie may change their places."""
        return not len(self.scores) or float(np.mean(self.scores <= tolerance)) >= SHARE


def compare(source, exported, images: Sequence[np.ndarray]) -> Agreement:
    """Runs both models on images uint8 [H, W, 3] and compares the best detections of each, in both directions."""
    found = [_timed(model, images) for model in (source, exported)]
    pairs = list(zip(found[0][0], found[1][0], strict=True))
    differences = [part for a, b in pairs for part in (_differences(a, b), _differences(b, a))]
    scores, corners = (np.concatenate([each[i] for each in differences]) for i in range(2))
    largest = (float(values.max(initial=0.0)) for values in (scores, corners))
    return Agreement(*largest, found[1][1], found[0][1], scores)


def _timed(model, images) -> tuple[list[Detections], float]:
    """What a model finds, and its milliseconds for an image once it has warmed up."""
    found = model.detect(images, batch_size=1)
    started = time.perf_counter()
    model.detect(images, batch_size=1)
    return found, (time.perf_counter() - started) * 1000 / len(images)


def _differences(found: Detections, others: Detections) -> tuple[np.ndarray, np.ndarray]:
    """Differences of scores [N] and of coordinates [M] between the best detections and their partners among others."""
    best = found[:BEST]
    if not len(others):
        return best.scores, np.zeros(0)
    # A box without area overlaps with nothing, not even with itself.
    equal = (np.abs(best.boxes[:, None] - others.boxes) < CLOSE).all(axis=-1)
    overlap = np.where(equal, 1.0, box_math.iou(best.boxes, others.boxes))
    iou = overlap * (best.class_ids[:, None] == others.class_ids)
    # Of several partners that overlap as well, the one whose score is nearest.
    distance = np.abs(best.scores[:, None] - others.scores)
    near = np.where(iou >= SAME, iou - 0.01 * distance, -1.0)
    partner, has = near.argmax(axis=1), near.max(axis=1, initial=-1.0) >= 0
    rows = np.arange(len(best))
    scores = np.where(has, distance[rows, partner], best.scores)
    return scores, np.abs(best.boxes - others.boxes[partner])[has].max(axis=1, initial=0.0)
