"""From scored boxes to detections, in one-stage and two-stage detectors alike.

Source: `post_processing.batch_multiclass_non_max_suppression` of the OD API.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from detkit import nms
from detkit.detection.detector import Found

_SELECTIVE = 0.02  # below, a threshold leaves so many boxes that looking for them is work for nothing

SCORE_CONVERTERS = {"SIGMOID": tf.sigmoid, "SOFTMAX": tf.nn.softmax, "IDENTITY": tf.identity}


def likely(logits: np.ndarray, converter: str, threshold: float, background: int = 0):
    """An index of the rows of logits [A, background + C] that may score `threshold`; int [K], rising, or all of them.

    To look for them is a fraction of the work that the scores and boxes of all would be.
    """
    if converter != "SIGMOID" or not _SELECTIVE <= threshold < 1:
        return slice(None)
    columns = logits.shape[1]
    # Some slack, for the scores are what decides.
    hits = np.flatnonzero(logits > np.float32(np.log(threshold / (1 - threshold)) - 1e-3))
    if len(hits) > len(logits):
        return slice(None)
    rows = hits[hits % columns >= background] // columns
    return rows[np.diff(rows, prepend=-1) > 0]


def suppress(boxes, scores, windows, settings, threshold: float) -> list[Found]:
    """What is left of each image's boxes, clipped to its window and relative to it.

    Args:
        boxes: [B, A, 4], or [B, A, 1 or C, 4] where every class may have its own; yxyx, unclipped.
        scores: [B, A, C].
        windows: [B, 4], the true image in the coordinates of the boxes; its corner is (0, 0).
        settings: the typed `batch_non_max_suppression` message.
        threshold: the lowest score.
    """
    lowest = max(settings.score_threshold, np.nextafter(np.float32(threshold), np.float32(-1)))
    found = []
    for image_boxes, image_scores, window in zip(np.asarray(boxes), np.asarray(scores), windows, strict=True):
        clipped = np.clip(image_boxes, 0.0, window)
        kept, class_ids = nms.class_wise(
            image_boxes,
            image_scores,
            iou_threshold=settings.iou_threshold,
            score_threshold=lowest,
            max_per_class=settings.max_detections_per_class,
            max_total=settings.max_total_detections,
            keep=(clipped[..., 2:] > clipped[..., :2]).all(axis=-1),
        )
        # A head may predict one box for all classes, or one for each.
        columns = (np.minimum(class_ids, clipped.shape[1] - 1),) if clipped.ndim == 3 else ()
        found.append(Found(clipped[(kept, *columns)] / window, image_scores[kept, class_ids], class_ids))
    return found
