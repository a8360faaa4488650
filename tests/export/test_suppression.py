"""Suppression inside a graph gives what `detkit.nms` gives."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from detkit import nms
from detkit.export import suppression


def case(seed: int, classes: int, own_boxes: bool, levels: int):
    """Boxes [60, 1 or C, 4] in a small place, scores of so many values, and which may be returned."""
    rng = np.random.default_rng(seed)
    corner = rng.random((60, classes if own_boxes else 1, 2)) * 0.5
    boxes = np.concatenate([corner, corner + rng.random(corner.shape) * 0.4], axis=-1).astype(np.float32)
    scores = (rng.integers(0, levels, (60, classes)) / levels).astype(np.float32)
    return boxes, scores, rng.random(boxes.shape[:2]) < 0.8


@pytest.mark.parametrize(
    ("classes", "own_boxes", "levels", "per_class", "total", "first"),
    [
        pytest.param(3, False, 1000, 100, 20, 4096, id="usual"),
        pytest.param(3, True, 1000, 100, 20, 4096, id="boxes-by-class"),
        pytest.param(3, False, 4, 100, 100, 4096, id="ties"),
        pytest.param(2, False, 1000, 3, 20, 4096, id="few-of-a-class"),
        pytest.param(3, False, 1000, 100, 100, 16, id="more-than-the-first"),
        pytest.param(3, False, 1000, 100, 2, 16, id="the-first-are-enough"),
    ],
)
def test_it_equals_that_outside_of_graphs(classes, own_boxes, levels, per_class, total, first, monkeypatch):
    monkeypatch.setattr(suppression, "FIRST", first)
    settings = SimpleNamespace(
        score_threshold=0.1, iou_threshold=0.5, max_detections_per_class=per_class, max_total_detections=total
    )
    boxes, scores, keep = case(classes, classes, own_boxes, levels)
    in_graph = tf.function(lambda: suppression.class_wise(tf.constant(boxes), tf.constant(scores), settings, keep))
    found = in_graph()
    rows, class_ids = nms.class_wise(
        boxes,
        scores,
        iou_threshold=0.5,
        score_threshold=0.1,
        max_per_class=per_class,
        max_total=total,
        keep=keep,
    )
    assert len(rows) > 1
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_array_equal(found.class_ids, class_ids)
    np.testing.assert_array_equal(found.scores, scores[rows, class_ids])


def test_nothing_above_the_threshold_gives_nothing():
    settings = SimpleNamespace(
        score_threshold=2.0, iou_threshold=0.5, max_detections_per_class=9, max_total_detections=9
    )
    boxes, scores, keep = case(0, 2, False, 9)
    found = suppression.class_wise(tf.constant(boxes), tf.constant(scores), settings, keep)
    assert len(found.rows) == 0
