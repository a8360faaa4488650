"""What an R-CNN of Model Garden is to learn: targets by its own operations, minibatches that can be drawn again.

Model Garden draws its minibatches of anchors and regions differently every time; here the draw is a function of the
view's seed, so that a run can be repeated and a cached one is exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from detkit.detection import sampling
from detkit.garden import upstream

_ANCHORS, _REGIONS = 1, 2  # salts of the two draws


class Objects(NamedTuple):
    """The objects of a batch as Model Garden wants them; everything is -1 for padding.

    Attributes:
        boxes: [B, M, 4], yxyx in pixels of the padded input.
        columns: int32 [B, M], of their classes in the class scores.
        seeds: int [B].
    """

    boxes: tf.Tensor
    columns: tf.Tensor
    seeds: tf.Tensor


class RegionTargets:
    """Chooses what the two stages learn from, and what of it.

    Args:
        task_config: Model Garden's configuration of the task.
        size: (height, width) of the padded input.
        anchors: {level: [h, w, 4 * anchors of a cell]}, yxyx in pixels, in the order of the levels.
        columns: int32 [C], of the classes in the class scores.
    """

    def __init__(self, task_config, size: tuple[int, int], anchors: dict, columns: np.ndarray):
        self.parser, self.options = task_config.train_data.parser, task_config.model
        self._size, self._anchors, self._columns = size, anchors, columns
        self._flat = np.concatenate([np.reshape(boxes, [-1, 1, 4]) for boxes in anchors.values()]).astype(np.float32)
        labeler = upstream.module("vision.ops.anchor").RpnAnchorLabeler
        self._labeler = labeler(self.parser.rpn_match_threshold, self.parser.rpn_unmatched_threshold)
        # Every match instead of the draw among them.
        self._labeler._get_rpn_samples = lambda matches: (matches, None, None)

    def objects(self, truth: dict) -> Objects:
        """The ground truth of `Detector.training_state`; objects of weight 0 count as padding."""
        there = truth["weights"] > 0
        boxes = tf.where(there[..., None], truth["boxes"] * (self._size * 2), -1.0)
        columns = tf.where(there, tf.gather(tf.constant(self._columns), truth["class_ids"]), -1)
        return Objects(boxes, columns, truth["seed"])

    def of_anchors(self, objects: Objects) -> dict:
        """{"rpn_score_targets/LEVEL": int32 [B, h, w, A], "rpn_box_targets/LEVEL": [B, h, w, 4 A]}.

        A score of 1 is for an object, 0 for none, -1 for an anchor that was not drawn. Source: `RpnAnchorLabeler`.
        """
        matches, codes = self.matches(objects)
        order = sampling.keys(objects.seeds, matches.shape[1], _ANCHORS)
        size, share = self.parser.rpn_batch_size_per_im, self.parser.rpn_fg_fraction
        chosen = _chosen(matches > 0, matches == -1, order, size, share)
        scores = tf.where(chosen, tf.cast(matches > 0, tf.int32), -1)
        return self._on_levels("rpn_score_targets", scores) | self._on_levels("rpn_box_targets", codes)

    def matches(self, objects: Objects) -> tuple:
        """(1 for an object, -1 for none, -2 for neither, int32 [B, A]; the encoded boxes [B, A, 4])."""

        def of_image(image):
            boxes, columns = image
            there = columns > 0
            boxes, labels = tf.boolean_mask(boxes, there), tf.boolean_mask(columns, there)
            # One level, of A rows with a place each.
            scores, codes = self._labeler.label_anchors({"all": tf.constant(self._flat)}, boxes, labels[:, None])
            return scores["all"][:, 0, 0], codes["all"][:, 0]

        count = len(self._flat)
        signature = tf.TensorSpec([count], tf.int32), tf.TensorSpec([count, 4])
        return tf.map_fn(of_image, objects[:2], fn_output_signature=signature)

    def _on_levels(self, name: str, values) -> dict:
        """Values [B, A, ...] of all anchors as maps."""
        sizes = [boxes.size // 4 for boxes in self._anchors.values()]
        parts = zip(self._anchors.items(), tf.split(values, sizes, axis=1), strict=True)
        return {
            # A of the cell, or 4 A: reshape finds out.
            f"{name}/{level}": tf.reshape(part, [tf.shape(part)[0], *boxes.shape[:2], -1])
            for (level, boxes), part in parts
        }

    def of_regions(self, rois, objects: Objects, sampler, weights) -> dict:
        """A minibatch of regions with what the head should say of each.

        Args:
            rois: [B, P, 4], yxyx in pixels.
            sampler: the `ROISampler` of the model, which may also take them all; weights: of the box coder.

        Returns:
            "rois" [B, K, 4], "class_targets" int32 [B, K], 0 for background, "box_targets" [B, K, 4], encoded, and for
            the masks "matched_boxes" [B, K, 4] and "matched_rows" int32 [B, K] of the objects.
        """
        ops, rois = upstream.module("vision.ops.box_ops"), tf.stop_gradient(rois)
        sampler = self._drawing(sampler.get_config(), rois.shape[1], objects.seeds)
        found, boxes, classes, rows = sampler.call(rois, objects.boxes, objects.columns)
        codes = ops.encode_boxes(boxes, found, weights=weights)
        codes = tf.where((classes == 0)[..., None], 0.0, codes)
        names = ("rois", "class_targets", "box_targets", "matched_boxes", "matched_rows")
        return dict(zip(names, map(tf.stop_gradient, (found, classes, codes, boxes, rows)), strict=True))

    def _drawing(self, config: dict, proposals: int, seeds):
        """A `ROISampler` that draws by seeds."""
        size, share = min(config["num_sampled_rois"], proposals), config["foreground_fraction"]

        def draw(positive, negative, ignored):
            keys = sampling.keys(seeds, tf.shape(positive)[1], _REGIONS)
            chosen = _chosen(positive, negative, keys, size, share)
            # Where there are too few, what was not drawn fills up, padding last.
            there = tf.cast(positive | negative | ignored, tf.int32)
            return tf.math.top_k(2 * tf.cast(chosen, tf.int32) + there, size).indices

        sampler = upstream.module("vision.modeling.layers.roi_sampler").ROISampler(**config)
        # Its own gathers differently in a batch of one, and then must know how many objects there are.
        sampler._sampler, sampler._target_gather = draw, _gathered
        return sampler

    def of_masks(self, regions: dict, masks) -> dict:
        """What the mask head should draw of the regions with an object.

        Args:
            regions: of `of_regions`.
            masks: uint8 [B, M, S, S] of 0..255, each stretched over its own box.

        Returns:
            "mask_rois" [B, K, 4], "mask_class_targets" int32 [B, K], 0 for none, and "mask_targets" [B, K, h, h].
        """
        size = self.options.mask_roi_aligner.crop_size * self.options.mask_head.upsample_factor
        count = min(self.options.mask_sampler.num_sampled_masks, regions["rois"].shape[1])
        sampler = upstream.module("vision.modeling.layers.mask_sampler").MaskSampler(size, count)
        places = tf.constant(_from_border_to_border(masks.shape[-1], self.parser.mask_crop_size))
        masks = tf.einsum("yi,bmij,xj->bmyx", places, tf.cast(masks, tf.float32) / 255.0, places)
        names = ("rois", "matched_boxes", "class_targets", "matched_rows")
        found = sampler.call(*(regions[name] for name in names), masks)
        names = ("mask_rois", "mask_class_targets", "mask_targets")
        return dict(zip(names, map(tf.stop_gradient, found), strict=True))


def _chosen(positive, negative, order, size: int, share: float):
    """Which of N examples are drawn, bool [B, N]; arguments as of `sampling.balanced`."""
    rows, drawn = sampling.balanced(positive, negative, order, size, share)
    image = tf.broadcast_to(tf.range(tf.shape(rows)[0])[:, None], tf.shape(rows))
    where = tf.stack([image, rows], axis=-1)
    return tf.tensor_scatter_nd_max(tf.zeros_like(order), where, tf.cast(drawn, tf.int32)) > 0


def _gathered(values, rows, masked=None):
    """values [B, N, ...] at rows [B, K], zero where they are masked; source: `TargetGather`."""
    found = tf.gather(values, rows, batch_dims=1)
    return found if masked is None else tf.where(masked, tf.zeros_like(found), found)


def _from_border_to_border(cells: int, samples: int) -> np.ndarray:
    """[samples, cells]: makes of values at the centres of cells those at places that begin and end at the borders."""
    places = np.linspace(0.0, cells, samples) - 0.5
    columns = [np.interp(places, np.arange(cells), unit) for unit in np.eye(cells)]
    return np.stack(columns, axis=1).astype(np.float32)
