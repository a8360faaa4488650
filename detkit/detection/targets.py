"""Target assignment: which anchor answers for which object. Source: `argmax_matcher`, `target_assigner`."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from detkit.detection import box_overlaps

BACKGROUND, IGNORED = -1, -2


class Targets(NamedTuple):
    """What the loss asks of a batch, listed for the M matched anchors only.

    Attributes:
        image, anchor: int32 [M], the image of the batch and the anchor.
        boxes: [M, 4], the matched ground truth, normalised yxyx.
        class_ids: int32 [M], zero-based.
        weights: [M], of the matched ground truth; 0 for an anchor that no loss may touch.
    """

    image: tf.Tensor
    anchor: tf.Tensor
    boxes: tf.Tensor
    class_ids: tf.Tensor
    weights: tf.Tensor


def match(boxes, weights, anchors, matched: float = 0.5, unmatched: float = 0.5, force: bool = True):
    """The ground-truth row of every anchor.

    An anchor takes the object with which it overlaps most if the IoU reaches `matched`; with `force`, every object
    of positive weight also gets the anchor that fits it best (the lower index wins ties; the first object wins an
    anchor that two objects claim).

    Args:
        boxes: [B, M, 4], padded; weights: [B, M], 0 for padding.
        anchors: [A, 4].
        matched, unmatched: IoU thresholds; an IoU between them is ignored.

    Returns:
        int32 [B, A]: a row of `boxes`, BACKGROUND or IGNORED.
    """
    overlaps = box_overlaps.iou(*box_overlaps.pairs(boxes, anchors))  # [B, M, A]
    count = tf.shape(boxes)[1]
    best = tf.reduce_max(overlaps, axis=1)
    rows = tf.argmax(overlaps, axis=1, output_type=tf.int32)
    rows = tf.where(best >= matched, rows, tf.where(best >= unmatched, IGNORED, BACKGROUND))
    if not force:
        return rows
    claims = tf.argmax(overlaps, axis=2, output_type=tf.int32)  # [B, M]
    claiming = tf.where(weights > 0)
    where = tf.stack([tf.cast(claiming[:, 0], tf.int32), tf.gather_nd(claims, claiming)], axis=1)
    forced = tf.tensor_scatter_nd_min(tf.fill(tf.shape(rows), count), where, tf.cast(claiming[:, 1], tf.int32))
    return tf.where(forced < count, forced, rows)


def assign(groundtruth: dict, anchors, **thresholds) -> Targets:
    """The targets of a batch.

    Args:
        groundtruth: "boxes" [B, M, 4] normalised yxyx, "class_ids" int [B, M], "weights" [B, M]; rows of weight 0 are
            padding (empty boxes) or regions to ignore.
        anchors: [A, 4].
        thresholds: of `match`.
    """
    boxes, weights = groundtruth["boxes"], groundtruth["weights"]
    if boxes.shape[1] == 0:  # no objects anywhere: one empty row keeps the shapes alive
        boxes, weights = tf.zeros([tf.shape(boxes)[0], 1, 4]), tf.zeros([tf.shape(boxes)[0], 1])
        groundtruth = {"boxes": boxes, "class_ids": tf.zeros(tf.shape(weights), tf.int32), "weights": weights}
    rows = match(boxes, weights, anchors, **thresholds)
    found = tf.where(rows != BACKGROUND)
    image, anchor = tf.cast(found[:, 0], tf.int32), tf.cast(found[:, 1], tf.int32)
    row = tf.gather_nd(rows, found)
    source = tf.stack([image, tf.maximum(row, 0)], axis=1)
    return Targets(
        image,
        anchor,
        tf.gather_nd(boxes, source),
        tf.cast(tf.gather_nd(groundtruth["class_ids"], source), tf.int32),
        tf.where(row == IGNORED, 0.0, tf.gather_nd(weights, source)),
    )
