"""Mask R-CNN: a Faster R-CNN with a third stage, which draws each object inside its box.

Source: He et al., "Mask R-CNN", 2017; `FasterRCNNMetaArch._predict_third_stage` of the OD API.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from detkit.detection import crops, region_losses
from detkit.detection.backbones.common import chain
from detkit.detection.detector import ClassColumns, Found
from detkit.detection.faster_rcnn import TYPES, FasterRCNN
from detkit.detection.heads import mask
from detkit.detection.region_losses import Truth
from detkit.errors import ConfigError
from detkit.networks.network import TRUTH, Stage, truth_of
from detkit.pipeline import od_config

HEAD = "second_stage_box_predictor.mask_rcnn_box_predictor"


class MaskRCNN(FasterRCNN):
    """A Mask R-CNN built from its typed pipeline config; its variables are not initialised yet.

    In training the third stage sees the second stage's features of the proposals that match an object; in detection
    those of the boxes that were found.
    """

    wants = ("masks",)

    def __init__(self, config, classes, label_ids=None, name="mask_rcnn"):
        super().__init__(config, classes, label_ids, name)
        settings = self.meta.second_stage_box_predictor.mask_rcnn_box_predictor
        if not settings.predict_instance_masks:
            raise ConfigError(
                "A model with three stages has no mask head.",
                where=f"model.faster_rcnn.{HEAD}.predict_instance_masks",
                got=False,
                fix="Set it to true, or number_of_stages to 2.",
            )
        self.mask_head = mask.MaskHead(settings, self.towers[-1].filters, len(self.classes))
        nodes = self.mask_head.nodes()
        self.nodes |= nodes
        self.parts["head/mask_head"] = list(nodes.values())
        self.stages.append(Stage("head/mask_head", tuple(nodes.values()), self._third_stage))

    def class_columns(self):
        """As `Detector.class_columns`."""
        paths = () if self.mask_head.class_agnostic else self.mask_head.final_paths
        return super().class_columns() | dict.fromkeys(paths, ClassColumns())

    # The network

    def _crop(self, state):
        # What the crops are cut from; detection needs it again, and the loss of a prediction does.
        kept = {} if f"{TRUTH}masks" in state else {"map": state["x"]}
        return super()._crop(state) | kept

    def _final(self, state):
        kept = {"features": state["x"]} if f"{TRUTH}masks" in state else {}
        return super()._final(state) | kept

    def _third_stage(self, state):
        """Trades the features of the proposals for the losses of their masks; does nothing in detection."""
        if f"{TRUTH}masks" not in state:
            return state
        found = self._mask_losses(state)
        return {name: value for name, value in state.items() if name != "features"} | found

    def _mask_losses(self, state) -> dict:
        """{"loss/mask": summed over pixels [B], "loss/mask_weights": summed over objects [B]} of the proposals."""
        regions = state["proposals"] * (self._size(state) * 2)
        masks = tf.pad(state[f"{TRUTH}masks"], [[0, 0], [0, 1], [0, 0], [0, 0]])  # as Truth has one more row
        matches = region_losses.match_regions(regions, Truth.of(truth_of(state), self._size(state)))
        weights = self._mask_weights(state, matches, tf.reduce_any(masks > 0, axis=[2, 3]))
        # Never none at all: TensorFlow's fused convolutions give an empty batch a wrong shape.
        where = tf.where((weights > 0) | (tf.reshape(tf.range(tf.size(weights)), tf.shape(weights)) == 0))
        image, weights = tf.cast(where[:, 0], tf.int32), tf.gather_nd(weights, where)
        rows, boxes, class_ids, _ = (tf.gather_nd(value, where) for value in matches)
        masks = tf.gather_nd(masks, tf.stack([image, tf.maximum(rows, 0)], axis=1))
        wanted = mask.targets(masks, boxes, tf.gather_nd(regions, where), self.mask_head.size)
        found = mask.losses(self.mask_head.of_class(tf.gather_nd(state["features"], where), class_ids), wanted)
        summed = {"loss/mask": found * weights, "loss/mask_weights": weights}
        count = tf.shape(regions)[0]
        return {name: tf.math.unsorted_segment_sum(value, image, count) for name, value in summed.items()}

    def _mask_weights(self, state, matches, has_mask):
        """The weights [B, P] of the proposals' masks; has_mask: bool [B, M], of the objects."""
        drawn = tf.range(tf.shape(matches.rows)[1]) < state["num_proposals"][:, None]
        known = tf.gather(has_mask, tf.maximum(matches.rows, 0), batch_dims=1)
        return tf.where(drawn & matches.positive & known, matches.weights, 0.0)

    # Loss

    def losses(self, state):
        """As `FasterRCNN.losses`, with "mask_loss"."""
        if "map" in state:  # a prediction, whose proposals are not those of training
            known = {name: value for name, value in state.items() if name.startswith(TRUTH)}
            state = self.run({"x": state["map"]} | known, len(self.backbone))
        pixels = tf.reduce_sum(state["loss/mask_weights"]) * float(np.prod(self.mask_head.size))
        mean = tf.reduce_sum(state["loss/mask"]) / tf.maximum(pixels, 1.0)
        return super().losses(state) | {"mask_loss": self.meta.second_stage_mask_prediction_loss_weight * mean}

    def _features(self, features, image, boxes):
        """The second stage's features [N, h, w, C] of boxes [N, 4] in the images int32 [N] of a map."""
        x = crops.crop_from(features, image, boxes, *self._crop_shape)
        return chain(*(block.run for block in self.towers))(x)

    # Detections

    def postprocess(self, predictions, true_shapes=None, threshold=0.0):
        """As `FasterRCNN.postprocess`, with the mask of each detection."""
        found = super().postprocess(predictions, true_shapes, threshold)
        shapes = np.asarray(predictions["true_shapes"] if true_shapes is None else true_shapes)
        windows = shapes[:, :2] / np.float32(self._size(predictions))
        return [
            each._replace(masks=self._masks(predictions["map"][i : i + 1], each, windows[i]))
            for i, each in enumerate(found)
        ]

    def _masks(self, features, found: Found, window) -> np.ndarray:
        """The masks [N, h, w] of one image's detections, from its map [1, h, w, C]; window: the share it fills."""
        if not len(found.boxes):
            return np.zeros((0, *self.mask_head.size), np.float32)
        boxes = tf.constant(found.boxes * np.tile(window, 2), tf.float32)
        key = ("masks", *features.shape[1:])
        if key not in self._graphs:
            shapes = [[1, *features.shape[1:]], [None, 4], [None]]
            kinds = [tf.float32, tf.float32, tf.int32]
            signature = [tf.TensorSpec(*each) for each in zip(shapes, kinds, strict=True)]
            self._graphs[key] = tf.function(self.draw, input_signature=signature, autograph=False)
        return self._graphs[key](features, boxes, tf.constant(found.class_ids, tf.int32)).numpy()

    def draw(self, features, boxes, class_ids):
        """The masks of boxes in one image.

        Args:
            features: [1, h, w, C], what the crops are cut from.
            boxes: [N, 4], normalised yxyx of the padded input; class_ids: int32 [N].

        Returns:
            [N, mask_height, mask_width] of 0..1; the outermost samples lie on the borders of the box.
        """
        image = tf.zeros_like(class_ids)
        return tf.sigmoid(self.mask_head.of_class(self._features(features, image, boxes), class_ids))


def with_depth(config):
    """The config with the mask head's depth spelt out, which would otherwise change with the number of classes."""
    model = config.model.faster_rcnn
    predictor = model.second_stage_box_predictor and model.second_stage_box_predictor.mask_rcnn_box_predictor
    if model.number_of_stages < 3 or predictor is None or predictor.mask_prediction_conv_depth:
        return config
    depth = mask.automatic_depth(TYPES[model.feature_extractor.type].channels, model.num_classes)
    return od_config.with_changes(config, {f"model.faster_rcnn.{HEAD}.mask_prediction_conv_depth": depth})
