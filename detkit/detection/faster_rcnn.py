"""The two-stage family: a network proposes regions, a second one says what each of them is.

Source: Ren et al., "Faster R-CNN", 2015; `faster_rcnn_meta_arch` of the OD API.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from detkit.detection import anchors, box_coder, crops, region_losses
from detkit.detection.backbones.common import number_layers
from detkit.detection.backbones.inception_resnet import inception_resnet_v2
from detkit.detection.backbones.mobilenet import faster_rcnn_mobilenet_v2
from detkit.detection.backbones.resnet import faster_rcnn_resnet
from detkit.detection.detector import Detector
from detkit.detection.feature_extractors import IMAGENET_MEAN
from detkit.detection.heads.dense import DenseHead
from detkit.detection.postprocessing import SCORE_CONVERTERS, suppress
from detkit.detection.proposals import CODE_SCALES, RegionProposalNetwork, propose
from detkit.detection.region_losses import Truth
from detkit.errors import ConfigError
from detkit.networks.network import TRUTH, Stage, truth_of


class Extractor(NamedTuple):
    """The two halves of a backbone.

    Attributes:
        build: () -> (blocks before the crop, blocks after it).
        stride: of the map that is cropped, in pixels.
        channels: of the second half's output.
        skip: the crop's cells of which the second half reads one in each direction.
        normalize: x [..., 3] of 0..255, RGB -> what the first half expects.
    """

    build: Callable
    stride: int
    channels: int
    skip: int
    normalize: Callable


def _resnet(depth: int) -> Extractor:
    return Extractor(partial(faster_rcnn_resnet, depth), 16, 2048, 2, lambda x: x - tf.constant(IMAGENET_MEAN))


def _between_ones(x):
    return x * (2.0 / 255.0) - 1.0


TYPES = {f"faster_rcnn_resnet{depth}_keras": _resnet(depth) for depth in (50, 101, 152)}
TYPES["faster_rcnn_inception_resnet_v2_keras"] = Extractor(inception_resnet_v2, 16, 1536, 1, _between_ones)
# Not one of the OD API's: small enough to be trained without an accelerator.
TYPES["faster_rcnn_mobilenet_v2_keras"] = Extractor(faster_rcnn_mobilenet_v2, 8, 576, 1, _between_ones)


class FasterRCNN(Detector):
    """A Faster R-CNN built from its typed pipeline config; its variables are not initialised yet."""

    normalizes_padding = True
    loss_only = ("rpn_",)

    def __init__(self, config, classes, label_ids=None, name="faster_rcnn"):
        super().__init__(config, classes, label_ids, name)
        _reject_unsupported(self.meta)
        self.extractor = TYPES[self.meta.feature_extractor.type]
        self.backbone, self.towers = self.extractor.build()
        self.neck = RegionProposalNetwork(self.backbone[-1].filters, self.meta)
        share = self.meta.second_stage_box_predictor.mask_rcnn_box_predictor.share_box_across_classes
        self.head = DenseHead(self.towers[-1].filters, len(self.classes), share)
        self.stages = self._stages()
        self.parts = {
            "backbone": [layer for block in self.backbone for layer in block.layers],
            "neck": self.neck.layers,
            "head/towers": [layer for block in self.towers for layer in block.layers],
            "head/box_head": [self.head.box],
            "head/class_head": [self.head.cls],
        }
        self.nodes = number_layers(self.backbone, "_feature_extractor_for_proposal_features")
        self.nodes |= number_layers(self.towers, "_feature_extractor_for_box_classifier_features")
        self.nodes |= self.neck.nodes() | self.head.nodes()

    def class_columns(self):
        """As `Detector.class_columns`."""
        return self.head.class_columns()

    def normalize(self, x):
        """As `Detector.normalize`."""
        return self.extractor.normalize(x)

    def anchors(self, size: tuple[int, int]) -> np.ndarray:
        """The anchors [A, 4] in pixels, clipped to a padded input of this (height, width)."""
        return np.clip(self.unclipped_anchors(size), 0.0, np.tile(np.float32(size), 2))

    def unclipped_anchors(self, size: tuple[int, int]) -> np.ndarray:
        """The anchors [A, 4] in pixels for a padded input of this (height, width), beyond it at its edges."""
        generator = self.meta.first_stage_anchor_generator.grid_anchor_generator
        return anchors.grid(self._grid(size), generator)

    # The network

    def _stages(self) -> list[Stage]:
        stages = [_block_stage("backbone", block) for block in self.backbone]
        stages.append(Stage("neck", tuple(self.neck.layers), self._propose))
        towers = [_block_stage("head/towers", block) for block in self.towers]
        if self._crops_are_smaller():
            towers.insert(0, Stage("crop", (), self._crop))
        else:
            first = towers[0]
            towers[0] = Stage(first.name, first.layers, lambda state: first.run(self._crop(state)))
        return [*stages, *towers, Stage("head/final", (self.head.box, self.head.cls), self._final)]

    def _crops_are_smaller(self) -> bool:
        """Whether a minibatch's crops take less memory than the map they are cut from: what a cache should keep."""
        rows, columns = self._grid(self.input_size or (0, 0))
        return crops.cells(*self._crop_shape) ** 2 * self.meta.second_stage_batch_size < rows * columns

    def _grid(self, size) -> list[int]:
        """[rows, columns] of the map of a padded input of this (height, width)."""
        return [-(-n // self.extractor.stride) for n in size]

    @property
    def _crop_shape(self) -> tuple[int, int, int, int]:
        meta = self.meta
        return meta.initial_crop_size, meta.maxpool_kernel_size, meta.maxpool_stride, self.extractor.skip

    def predict(self, inputs, true_shapes):
        """As `Detector.predict`."""
        return self.run({"x": inputs, "true_shapes": true_shapes, "size": tf.constant([*inputs.shape[1:3]])})

    def _size(self, state) -> tuple[int, int]:
        """(height, width) of the padded input."""
        return self.input_size or tuple(map(int, tf.get_static_value(state["size"])))

    def _propose(self, state):
        """Adds the proposals; in training the proposal network's losses, and of the proposals only a minibatch."""
        size = self._size(state)
        codes, logits = self.neck(state["x"])
        if f"{TRUTH}boxes" not in state:
            regions, counts = propose(codes, logits, self.anchors(size), state["true_shapes"][:, :2], self.meta)
            found = {"rpn_box_encodings": codes, "rpn_objectness": logits}
        else:
            found, codes, logits, boxes = self._first_stage_losses(codes, logits, state)
            regions, counts = propose(codes, logits, boxes, state[f"{TRUTH}true_shapes"][:, :2], self.meta)
            rows, counts = self._minibatch(regions, counts, state)
            regions = _drawn(regions, rows, counts)
        return state | found | {"proposals": regions / (size * 2), "num_proposals": counts}

    def _crop(self, state):
        return state | {"x": crops.crop(state["x"], state["proposals"], *self._crop_shape)}

    def _final(self, state):
        features = tf.reduce_mean(state["x"], axis=[2, 3])
        outputs = {"box_encodings": self.head.box_encodings(features), "class_logits": self.head.class_logits(features)}
        return {name: value for name, value in state.items() if name != "x"} | outputs

    def record(self, state, stage):
        """As `Detector.record`; before the final layers, of a region's features only their mean."""
        if self.wants or self.stages[stage].name != "head/final":
            return super().record(state, stage)
        return state | {"x": tf.reduce_mean(state["x"], axis=[2, 3], keepdims=True)}

    # Loss

    def _first_stage_losses(self, codes, logits, state) -> tuple:
        """({"loss/...": [B]}, and codes [B, A, 4], logits [B, A, 2] and anchors [A, 4] that training looks at)."""
        size = self._size(state)
        boxes = self.anchors(size)
        if not self.meta.clip_anchors_to_image:
            inside = self.inside(size)
            codes, logits, boxes = tf.gather(codes, inside, axis=1), tf.gather(logits, inside, axis=1), boxes[inside]
        found = region_losses.rpn(codes, logits, boxes, Truth.of(truth_of(state), size), self.meta)
        return {f"loss/{name}": value for name, value in found.items()}, codes, logits, boxes

    def inside(self, size) -> np.ndarray:
        """Indices of the anchors that need no clipping."""
        inside = np.flatnonzero((self.unclipped_anchors(size) == self.anchors(size)).all(axis=1))
        if not len(inside):
            raise ConfigError(
                "No anchor of this model lies inside its input.",
                where="model.faster_rcnn.first_stage_anchor_generator",
                got=f"an input of {size[0]} x {size[1]} pixels",
                fix="Set model.faster_rcnn.clip_anchors_to_image: true, or enlarge the input.",
            )
        return inside

    def _minibatch(self, regions, counts, state) -> tuple:
        """(rows int32 [B, K] of the proposals in pixels [B, P, 4] that the second stage learns from, how many [B])."""
        truth = Truth.of(truth_of(state), self._size(state))
        rows, drawn = region_losses.sample_regions(regions, counts, truth, self.meta)
        return rows, tf.reduce_sum(tf.cast(drawn, tf.int32), axis=1)

    def losses(self, state):
        """As `Detector.losses`; of a prediction, with the second stage's minibatch drawn from all its proposals.

        Without `clip_anchors_to_image` these are not quite the proposals of training, which knows fewer anchors.
        Source: `FasterRCNNMetaArch.loss`.
        """
        size = self._size(state)
        regions, counts, outputs = state["proposals"] * (size * 2), state["num_proposals"], state
        if "rpn_box_encodings" in state:  # what `predict` found, of all proposals
            state = state | self._first_stage_losses(state["rpn_box_encodings"], state["rpn_objectness"], state)[0]
            rows, counts = self._minibatch(regions, counts, state)
            regions = _drawn(regions, rows, counts)
            outputs = {n: tf.gather(state[n], rows, batch_dims=1) for n in ("box_encodings", "class_logits")}
        first = {name: tf.reduce_mean(state[f"loss/{name}"]) for name in ("rpn_localization", "rpn_classification")}
        truth = Truth.of(truth_of(state), size)
        codes, logits = outputs["box_encodings"], outputs["class_logits"]
        return first | region_losses.second_stage(codes, logits, regions, counts, truth, self.meta)

    # Detections

    def scores_and_boxes(self, predictions) -> tuple:
        """(boxes [B, P, 1 or C, 4] in pixels of the padded input, unclipped; scores [B, P, C], 0 without proposal)."""
        settings = self.meta.second_stage_post_processing
        regions = predictions["proposals"] * (self._size(predictions) * 2)
        boxes = box_coder.decode(predictions["box_encodings"], regions[:, :, None], CODE_SCALES)
        scores = SCORE_CONVERTERS[settings.score_converter](predictions["class_logits"] / settings.logit_scale)[..., 1:]
        real = tf.range(tf.shape(regions)[1]) < tf.cast(predictions["num_proposals"], tf.int32)[:, None]
        return boxes, tf.where(real[..., None], scores, 0.0)

    def postprocess(self, predictions, true_shapes=None, threshold=0.0):
        """As `Detector.postprocess`; source: `FasterRCNNMetaArch._postprocess_box_classifier`."""
        shapes = np.asarray(predictions["true_shapes"] if true_shapes is None else true_shapes)
        windows = np.tile(shapes[:, :2], (1, 2)).astype(np.float32)
        settings = self.meta.second_stage_post_processing.batch_non_max_suppression
        return suppress(*self.scores_and_boxes(predictions), windows, settings, threshold)


def _drawn(values, rows, counts):
    """values [B, P, ...] at rows [B, K], zero from `counts` [B] on."""
    real = tf.range(tf.shape(rows)[1]) < counts[:, None]
    return tf.where(real[..., None], tf.gather(values, rows, batch_dims=1), 0.0)


def _block_stage(part: str, block) -> Stage:
    """A block on "x": [B, h, w, C] or, for regions, [B, P, h, w, C]."""

    def run(state):
        x = state["x"]
        y = block.run(tf.reshape(x, [-1, *x.shape[-3:]]))
        return state | {"x": y if x.shape.rank == 4 else tf.reshape(y, [-1, x.shape[1], *y.shape[1:]])}

    return Stage(f"{part}/{block.name}", tuple(block.layers), run)


def _reject_unsupported(model) -> None:
    """Raises for settings that would silently change the result."""
    predictor = model.second_stage_box_predictor and model.second_stage_box_predictor.mask_rcnn_box_predictor
    post = model.second_stage_post_processing
    suppression = post and post.batch_non_max_suppression
    generator = model.first_stage_anchor_generator and model.first_stage_anchor_generator.grid_anchor_generator
    loss = model.second_stage_classification_loss
    problems = {
        "number_of_stages": model.number_of_stages == 1,
        "feature_extractor.conv_hyperparams": model.feature_extractor.conv_hyperparams is not None,
        "feature_extractor.first_stage_features_stride": model.feature_extractor.first_stage_features_stride
        != TYPES[model.feature_extractor.type].stride,
        "first_stage_anchor_generator": generator is None,
        "first_stage_atrous_rate": model.first_stage_atrous_rate != 1,
        "first_stage_box_predictor_conv_hyperparams": model.first_stage_box_predictor_conv_hyperparams is None,
        "initial_crop_size": model.initial_crop_size < max(2, model.maxpool_kernel_size),
        "maxpool_stride": not (model.maxpool_kernel_size and model.maxpool_stride),
        "second_stage_box_predictor": predictor is None,
        "second_stage_box_predictor.mask_rcnn_box_predictor.use_dropout": predictor is not None
        and predictor.use_dropout
        and predictor.dropout_keep_probability < 1,
        "second_stage_box_predictor.mask_rcnn_box_predictor.box_code_size": predictor is not None
        and predictor.box_code_size != 4,
        "second_stage_post_processing.batch_non_max_suppression": suppression is None,
        "second_stage_post_processing.batch_non_max_suppression.soft_nms_sigma": suppression is not None
        and suppression.soft_nms_sigma > 0,
        "second_stage_post_processing.batch_non_max_suppression.use_class_agnostic_nms": suppression is not None
        and suppression.use_class_agnostic_nms,
        "second_stage_post_processing.calibration_config": post is not None and post.calibration_config is not None,
        "second_stage_classification_loss": loss is not None and loss.weighted_softmax is None,
        "hard_example_miner": model.hard_example_miner is not None,
        "context_config": model.context_config is not None,
    }
    for where, unsupported in problems.items():
        if unsupported:
            raise ConfigError(
                "detkit can't do what this Faster R-CNN config asks for.",
                where=f"model.faster_rcnn.{where}",
                expected="stride 16, grid anchors, a mask_rcnn_box_predictor without dropout, softmax loss and "
                "plain class-wise NMS",
                fix="Use a config of the TF2 Detection Model Zoo.",
            )
