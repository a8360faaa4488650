"""Greedy non-maximum suppression inside a graph, equal to `detkit.nms.class_wise`; of plain TensorFlow operations."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

FIRST = 4096  # pairs that are looked at before all others: nearly always enough


class Kept(NamedTuple):
    """What is kept of one image, by falling score: rows int32 [K], class_ids int32 [K], scores [K]."""

    rows: tf.Tensor
    class_ids: tf.Tensor
    scores: tf.Tensor


def class_wise(boxes, scores, settings, keep) -> Kept:
    """Greedy NMS within every class of one image.

    Args:
        boxes: [A, 1 or C, 4], yxyx; scores: [A, C].
        settings: the typed `batch_non_max_suppression` message.
        keep: bool [A, 1 or C], boxes that may be returned; the others suppress, but are not returned.
    """
    total = scores.shape[0] * scores.shape[1]
    if total <= FIRST:
        return _among(boxes, scores, settings, keep, total)
    best = _among(boxes, scores, settings, keep, FIRST)
    candidates = tf.math.count_nonzero(scores > settings.score_threshold)
    enough = (tf.size(best.scores) == settings.max_total_detections) | (candidates <= FIRST)
    return tf.cond(enough, lambda: best, lambda: _among(boxes, scores, settings, keep, total))


def _among(boxes, scores, settings, keep, count: int) -> Kept:
    """The same among the `count` best pairs of box and class."""
    values, pairs = tf.math.top_k(tf.reshape(tf.transpose(scores), [-1]), count)  # ties: by class, then by index
    rows, columns = pairs % scores.shape[0], pairs // scores.shape[0]
    own = tf.minimum(columns, boxes.shape[1] - 1)  # a head may predict one box for all classes, or one for each
    where = tf.stack([rows, own], axis=1)
    alive = values > settings.score_threshold
    returned = _walk(tf.gather_nd(boxes, where), columns, alive, tf.gather_nd(keep, where), settings)
    chosen = tf.reshape(tf.where(returned), [-1])
    return Kept(*(tf.gather(each, chosen) for each in (rows, columns, values)))


def _walk(boxes, columns, alive, keep, settings):
    """Which of the listed boxes [K, 4], the best first, are returned: bool [K].

    Args:
        columns: int32 [K], the class of each; alive: bool [K], which take part; keep: bool [K], which may be returned.
    """
    ymin, xmin, ymax, xmax = tf.unstack(boxes, axis=1)
    areas, index = (ymax - ymin) * (xmax - xmin), tf.range(boxes.shape[0])

    def step(alive, kept):
        first = tf.reduce_min(tf.where(alive, index, boxes.shape[0]))
        box, column = tf.gather(boxes, first), tf.gather(columns, first)
        height = tf.minimum(ymax, box[2]) - tf.maximum(ymin, box[0])
        width = tf.minimum(xmax, box[3]) - tf.maximum(xmin, box[1])
        overlap = tf.maximum(height, 0.0) * tf.maximum(width, 0.0)
        iou = overlap / (tf.gather(areas, first) + areas - overlap)  # NaN where both are empty: not greater
        kept |= index == first
        same = columns == column
        full = tf.math.count_nonzero(kept & same) >= settings.max_detections_per_class
        return alive & ~(same & ((iou > settings.iou_threshold) | full)) & (index != first), kept

    def more(alive, kept):
        return tf.reduce_any(alive) & (tf.math.count_nonzero(kept & keep) < settings.max_total_detections)

    _, kept = tf.while_loop(more, step, (alive, tf.zeros_like(alive)), parallel_iterations=1)
    return kept & keep
