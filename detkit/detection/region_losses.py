"""Targets and losses of the two stages. Source: `FasterRCNNMetaArch._loss_rpn` and `_loss_box_classifier`."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from detkit.detection import box_coder, box_overlaps, losses, sampling, targets
from detkit.detection.proposals import CODE_SCALES

_RPN, _REGIONS = 1, 2  # salts of the two draws


class Truth(NamedTuple):
    """The objects of a batch, the last row of every image an empty box of weight 0.

    Attributes:
        boxes: [B, M, 4] in pixels of the padded input.
        class_ids: int32 [B, M]; weights: [B, M]; seeds: int [B].
    """

    boxes: tf.Tensor
    class_ids: tf.Tensor
    weights: tf.Tensor
    seeds: tf.Tensor

    @classmethod
    def of(cls, truth: dict, size) -> Truth:
        """The ground truth of `Detector.loss`, relative to a padded input of (height, width)."""
        boxes = tf.pad(truth["boxes"], [[0, 0], [0, 1], [0, 0]]) * (tuple(size) * 2)
        class_ids, weights = (tf.pad(truth[name], [[0, 0], [0, 1]]) for name in ("class_ids", "weights"))
        seeds = truth.get("seed", tf.zeros(tf.shape(boxes)[:1], tf.int32))
        return cls(boxes, tf.cast(class_ids, tf.int32), weights, seeds)


class Matches(NamedTuple):
    """What every one of P regions is to become.

    Attributes:
        rows: int32 [B, P], of the truth; targets.BACKGROUND or IGNORED where there is none.
        boxes: [B, P, 4] in pixels and class_ids: int32 [B, P], of the matched objects; of any where there is none.
        weights: [B, P]: of the object; 1 for background, 0 for what is ignored.
    """

    rows: tf.Tensor
    boxes: tf.Tensor
    class_ids: tf.Tensor
    weights: tf.Tensor

    @classmethod
    def of(cls, rows, truth: Truth) -> Matches:
        found = tf.maximum(rows, 0)
        boxes, class_ids, weights = (tf.gather(x, found, batch_dims=1) for x in truth[:3])
        unmatched = tf.cast(rows == targets.BACKGROUND, tf.float32)
        return cls(rows, boxes, class_ids, tf.where(rows >= 0, weights, unmatched))

    @property
    def positive(self):
        return self.rows >= 0


def rpn(codes, logits, anchors, truth: Truth, model) -> dict:
    """{"rpn_localization", "rpn_classification": [B]}, of a minibatch of the anchors of every image.

    Args:
        codes: [B, A, 4]; logits: [B, A, 2]; anchors: [A, 4] in pixels.
        model: the typed `faster_rcnn` message.
    """
    rows = targets.match(truth.boxes, truth.weights, anchors, matched=0.7, unmatched=0.3, force=True)
    matches = Matches.of(rows, truth)
    size, fraction = model.first_stage_minibatch_size, model.first_stage_positive_balance_fraction
    order = sampling.keys(truth.seeds, rows.shape[1], _RPN)
    picked, drawn = _draw(matches, matches.weights > 0, order, size, fraction)
    matches = Matches(*(tf.gather(x, picked, batch_dims=1) for x in matches))
    drawn = tf.cast(drawn, tf.float32)
    codes, logits = tf.gather(codes, picked, batch_dims=1), tf.gather(logits, picked, batch_dims=1)
    boxes = _box_losses(codes, tf.gather(anchors, picked), matches)
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(matches.positive, tf.int32), logits)
    count = tf.maximum(tf.reduce_sum(drawn, axis=1), 1.0)
    return {
        "rpn_localization": model.first_stage_localization_loss_weight * tf.reduce_sum(drawn * boxes, axis=1) / count,
        "rpn_classification": model.first_stage_objectness_loss_weight * tf.reduce_sum(drawn * entropy, axis=1) / count,
    }


def _draw(matches, possible, order, size, fraction):
    return sampling.balanced(matches.positive & possible, ~matches.positive & possible, order, size, fraction)


def _box_losses(codes, regions, matches):
    """The Huber loss [B, P] of box encodings at the regions [B, P, 4]; 0 where there is nothing to match."""
    wanted = box_coder.encode(matches.boxes, regions, CODE_SCALES)
    # Empty boxes have infinite encodings.
    difference = tf.where(matches.positive[..., None], codes - wanted, 0.0)
    return tf.reduce_sum(losses.huber(difference), axis=-1) * matches.weights


def match_regions(regions, truth: Truth) -> Matches:
    """The object of every region [B, P, 4] in pixels: the one it overlaps most, if their IoU is 0.5 or more."""
    overlaps = box_overlaps.iou(*box_overlaps.pairs(truth.boxes, regions))  # [B, M, P]
    best = tf.argmax(overlaps, axis=1, output_type=tf.int32)
    return Matches.of(tf.where(tf.reduce_max(overlaps, axis=1) >= 0.5, best, targets.BACKGROUND), truth)


def sample_regions(regions, counts, truth: Truth, model) -> tuple:
    """The minibatch of proposals that the second stage learns from.

    Args:
        regions: [B, P, 4] in pixels, of which the first `counts` [B] are real.

    Returns:
        (rows int32 [B, K], drawn bool [B, K]); what is drawn comes first, positives before the rest.
    """
    matches = match_regions(regions, truth)
    possible = (tf.range(tf.shape(regions)[1]) < counts[:, None]) & (matches.weights > 0)
    order = sampling.keys(truth.seeds, regions.shape[1], _REGIONS)
    return _draw(matches, possible, order, model.second_stage_batch_size, model.second_stage_balance_fraction)


def second_stage(codes, logits, regions, counts, truth: Truth, model) -> dict:
    """{"localization", "classification": scalars} of the second stage's minibatch.

    Args:
        codes: [B, P, 1 or classes, 4]; logits: [B, P, 1 + classes].
        regions: [B, P, 4] in pixels, of which the first `counts` [B] were drawn.
    """
    matches = match_regions(regions, truth)
    real = tf.cast(tf.range(tf.shape(regions)[1]) < counts[:, None], tf.float32)
    images = tf.cast(tf.shape(regions)[0], tf.float32)
    share = real / (images * tf.maximum(tf.cast(counts[:, None], tf.float32), 1.0))
    columns = tf.zeros_like(matches.rows) if codes.shape[2] == 1 else matches.class_ids
    boxes = _box_losses(tf.gather(codes, columns, axis=2, batch_dims=2), regions, matches)
    labels = tf.where(matches.positive, matches.class_ids + 1, 0)
    loss = model.second_stage_classification_loss
    softmax = loss.weighted_softmax if loss is not None else None
    scale = softmax.logit_scale if softmax is not None else 1.0
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits / scale)
    return {
        "localization": model.second_stage_localization_loss_weight * tf.reduce_sum(share * boxes),
        "classification": model.second_stage_classification_loss_weight
        * tf.reduce_sum(share * matches.weights * entropy),
    }
