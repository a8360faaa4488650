"""The SSD family: one-stage detectors over a pyramid (or a chain) of feature maps.

EfficientDet is one of them. Sources: Liu et al., "SSD", 2016; Lin et al., "Focal loss", 2017; Tan et al.,
"EfficientDet", 2020; `ssd_meta_arch` of the OD API.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from detkit.detection import anchors, box_coder, feature_extractors, losses, ssd_support, targets
from detkit.detection.backbones.common import Block
from detkit.detection.detector import ClassColumns, Detector, Found
from detkit.detection.heads.convolutional import ConvolutionalHead
from detkit.detection.heads.weight_shared import WeightSharedHead
from detkit.detection.postprocessing import SCORE_CONVERTERS, likely, suppress
from detkit.networks.network import TRUTH, Stage, truth_of

TYPES = feature_extractors.TYPES


class SSD(Detector):
    """An SSD detector built from its typed pipeline config; its variables are not initialised yet."""

    def __init__(self, config, classes, label_ids=None, name="ssd"):
        super().__init__(config, classes, label_ids, name)
        self.ssd = self.meta
        ssd_support.check(self.ssd)
        self.columns = len(self.classes) + int(self.ssd.add_background_class)
        self.backbone = feature_extractors.backbone(self.ssd.feature_extractor)
        self.neck = feature_extractors.neck(self.ssd.feature_extractor, self.backbone.channels)
        self.head = self._head()
        self.stages = self._stages()
        self.parts = {"backbone": self.backbone.layers, "neck": list(self.neck.nodes().values())}
        self.parts |= {f"head/{part}": layers for part, layers in self.head.parts().items()}
        self.nodes = self.backbone.nodes | self.neck.nodes() | self.head.nodes()
        self._anchors: dict = {}

    def _head(self):
        predictor, neck = self.ssd.box_predictor, self.neck
        if predictor.convolutional_box_predictor is not None:
            counts = [len(cell) for cell in anchors.ssd_shapes(self._generator)]
            return ConvolutionalHead(predictor.convolutional_box_predictor, neck.channels, counts, self.columns)
        per_cell = len(self._generator.aspect_ratios) * self._generator.scales_per_octave
        shared = predictor.weight_shared_convolutional_box_predictor
        return WeightSharedHead(shared, neck.levels, neck.depth, per_cell, self.columns)

    @property
    def _generator(self):
        generator = self.ssd.anchor_generator
        return generator.multiscale_anchor_generator or generator.ssd_anchor_generator

    def _stages(self) -> list[Stage]:
        levels = {block.name: level for level, block in self.backbone.taps.items()}
        blocks = self.backbone.blocks
        stages = [
            Stage(f"backbone/{block.name}", tuple(block.layers),
                  _backbone_stage(block, levels.get(block.name), block is blocks[-1]))
            for block in blocks
        ]  # fmt: skip
        parts = self.head.parts()

        def neck(state):
            maps = {int(name[4:]): x for name, x in state.items() if name.startswith("tap/")}
            return {f"map/{level}": x for level, x in self.neck(maps).items()}

        def towers(state):
            return self.head.run_towers({int(name[4:]): x for name, x in state.items() if name.startswith("map/")})

        def final(state):
            return {
                "box_encodings": self.head.box_encodings(state),
                "class_logits": self.head.class_logits(state),
            }

        stages.append(Stage("neck", tuple(self.neck.nodes().values()), neck))
        stages.append(Stage("head/towers", tuple(parts["towers"]), towers))
        stages.append(Stage("head/final", tuple(parts["box_head"] + parts["class_head"]), final))
        return stages

    def class_columns(self):
        """As `Detector.class_columns`."""
        layers = {id(layer) for layer in self.parts["head/class_head"]}
        columns = ClassColumns(background=int(self.ssd.add_background_class))
        return {
            f"{path}/{name}": columns
            for path, layer in self.paths().items()
            if id(layer) in layers
            for name in ("kernel", "pointwise_kernel", "bias")
            if getattr(layer, name) is not None
        }

    def normalize(self, x):
        """As `Detector.normalize`."""
        return self.backbone.normalize(x)

    def anchors(self, size: tuple[int, int]) -> np.ndarray:
        """The anchors [A, 4] for a padded input of this (height, width)."""
        size = tuple(int(n) for n in size)
        if size not in self._anchors:
            generator = self._generator
            if self.ssd.anchor_generator.multiscale_anchor_generator is not None:
                levels = range(generator.min_level, generator.max_level + 1)
                shape = (generator.anchor_scale, generator.aspect_ratios, generator.scales_per_octave)
                self._anchors[size] = anchors.multiscale(size, levels, *shape)
            else:
                self._anchors[size] = anchors.ssd(size, _grids(size), anchors.ssd_shapes(generator))
        return self._anchors[size]

    @property
    def _code_scales(self):
        coder = self.ssd.box_coder.faster_rcnn_box_coder
        return coder.y_scale, coder.x_scale, coder.height_scale, coder.width_scale

    def _outputs(self, state, inputs=None, true_shapes=None) -> dict:
        size = self.input_size if inputs is None else tuple(inputs.shape[1:3])
        return state | {"anchors": tf.constant(self.anchors(size)), "true_shapes": true_shapes}

    # Loss

    def assign(self, groundtruth: dict, anchor_boxes) -> targets.Targets:
        """The target assignment that the config's matcher makes."""
        matcher = self.ssd.matcher.argmax_matcher
        ignore = matcher.matched_threshold if matcher.ignore_thresholds else matcher.unmatched_threshold
        return targets.assign(
            groundtruth,
            anchor_boxes,
            matched=matcher.matched_threshold,
            unmatched=ignore,
            force=matcher.force_match_for_each_row,
        )

    def losses(self, state):
        """As `Detector.losses`; source: `SSDMetaArch.loss`."""
        anchor_boxes = state["anchors"] if "anchors" in state else tf.constant(self.anchors(self.input_size))
        matched = self.assign(truth_of(state), anchor_boxes)
        where = tf.stack([matched.image, matched.anchor], axis=1)
        codes = tf.gather_nd(state["box_encodings"], where)
        rows = tf.gather_nd(state["class_logits"], where)
        return self._loss(state["class_logits"], rows, codes, matched, anchor_boxes)

    def _loss(self, logits, rows, codes, matched, anchor_boxes):
        """The two losses.

        Args:
            logits: [B, A, columns]; rows: [M, columns], codes: [M, 4]: the outputs at the matched anchors.
            matched: targets, in the same order as rows and codes.
            anchor_boxes: [A, 4].
        """
        settings = self.ssd.loss
        normalizer = tf.maximum(tf.reduce_sum(matched.weights), 1.0) if self.ssd.normalize_loss_by_num_matches else 1.0
        classification = self._classification(logits, rows, matched)
        encoded = box_coder.encode(matched.boxes, tf.gather(anchor_boxes, matched.anchor), self._code_scales)
        delta = settings.localization_loss.weighted_smooth_l1.delta
        # Padding rows have weight 0 and empty boxes, whose encodings may be infinite.
        difference = tf.where(matched.weights[:, None] > 0, codes - encoded, 0.0)
        localization = tf.reduce_sum(losses.huber(difference, delta) * matched.weights[:, None])
        code_size = 4.0 if self.ssd.normalize_loc_loss_by_codesize else 1.0
        return {
            "localization": settings.localization_weight * localization / (normalizer * code_size),
            "classification": settings.classification_weight * classification / normalizer,
        }

    def _classification(self, logits, rows, matched):
        """All logits as background, corrected at the matched anchors: exact, and without a dense one-hot target."""
        focal = self.ssd.loss.classification_loss.weighted_sigmoid_focal
        column = matched.class_ids + int(self.ssd.add_background_class)
        hit = tf.gather(rows, column, batch_dims=1)
        background = tf.reduce_sum(losses.focal(rows, 0, focal.alpha, focal.gamma), axis=1)
        change = losses.focal(hit, 1, focal.alpha, focal.gamma) - losses.focal(hit, 0, focal.alpha, focal.gamma)
        correction = matched.weights * change + (matched.weights - 1.0) * background
        return losses.focal_background(logits, focal.alpha, focal.gamma) + tf.reduce_sum(correction)

    # Training from the seam before the final convolutions: the box head answers at matched anchors only.

    def _compact(self, stage: int) -> bool:
        return stage == len(self.stages) - 1 and hasattr(self.head, "patches")

    def record(self, state, stage):
        """As `Detector.record`; before the last stage, targets and box patches instead of whole box features."""
        if not self._compact(stage):
            return super().record(state, stage)
        anchor_boxes = tf.constant(self.anchors(self.input_size))
        matched = self.assign(truth_of(state), anchor_boxes)
        patches = self.head.patches(state, "box", matched.image, matched.anchor)
        batch = tf.shape(state[f"{TRUTH}boxes"])[0]
        listed = {"anchor": matched.anchor, "boxes": matched.boxes, "class_ids": matched.class_ids}
        listed |= {"weights": matched.weights, "patches": patches, "valid": tf.ones_like(matched.weights)}
        record = {
            f"match/{name}": tf.RaggedTensor.from_value_rowids(value, matched.image, nrows=batch)
            .to_tensor()
            for name, value in listed.items()
        }  # fmt: skip
        return record | {name: x for name, x in state.items() if name.startswith("class/")}

    def record_loss(self, record, stage):
        """As `Detector.record_loss`."""
        if not self._compact(stage):
            return super().record_loss(record, stage)
        logits = self.head.class_logits(record)
        valid = tf.where(record["match/valid"] > 0)
        listed = {name: tf.gather_nd(record[f"match/{name}"], valid)
                  for name in ("anchor", "boxes", "class_ids", "weights", "patches")}  # fmt: skip
        image = tf.cast(valid[:, 0], tf.int32)
        patches = listed.pop("patches")
        matched = targets.Targets(image=image, **listed)
        codes = self.head.box_encodings_at(patches, matched.anchor)
        rows = tf.gather_nd(logits, tf.stack([image, matched.anchor], axis=1))
        return self._loss(logits, rows, codes, matched, tf.constant(self.anchors(self.input_size)))

    # Detections

    def scores_and_boxes(self, predictions) -> tuple:
        """(boxes [B, A, 4] normalised yxyx of the padded input, unclipped; scores [B, A, C])."""
        boxes = box_coder.decode(predictions["box_encodings"], predictions["anchors"], self._code_scales)
        scores = SCORE_CONVERTERS[self.ssd.post_processing.score_converter](predictions["class_logits"])
        return boxes, scores[..., int(self.ssd.add_background_class) :]

    def postprocess(self, predictions, true_shapes=None, threshold=0.0):
        """As `Detector.postprocess`; source: `post_processing.batch_multiclass_non_max_suppression`."""
        shapes = np.asarray(predictions["true_shapes"] if true_shapes is None else true_shapes)
        size = np.asarray(self.input_size or np.max(shapes, axis=0)[:2], np.float32)
        windows = np.tile(shapes[:, :2] / size, (1, 2)).astype(np.float32)
        arrays = [np.asarray(predictions[name]) for name in ("box_encodings", "class_logits")]
        anchor_boxes = np.asarray(predictions["anchors"])
        images = zip(*arrays, windows, strict=True)
        return [self._found(codes, logits, anchor_boxes, window, threshold) for codes, logits, window in images]

    def _found(self, codes, logits, anchor_boxes, window, threshold) -> Found:
        """What is found in one image, from the arrays codes [A, 4] and logits [A, columns]."""
        post = self.ssd.post_processing
        settings = post.batch_non_max_suppression
        lowest = max(threshold, settings.score_threshold)
        background = int(self.ssd.add_background_class)
        rows = likely(logits, post.score_converter, lowest, background)
        if isinstance(rows, np.ndarray) and not len(rows):
            return Found(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
        boxes = box_coder.decode(codes[rows], anchor_boxes[rows], self._code_scales)
        scores = SCORE_CONVERTERS[post.score_converter](logits[rows]).numpy()[:, background:]
        return suppress(boxes[None], scores[None], window[None], settings, threshold)[0]


def _backbone_stage(block: Block, level, last: bool):
    """state -> state for one block: moves "x" on, and keeps it under "tap/LEVEL" where a level reads it."""

    def run(state):
        x = block.run(state["x"])
        rest = {name: value for name, value in state.items() if name != "x"}
        rest |= {} if level is None else {f"tap/{level}": x}
        return rest if last else rest | {"x": x}

    return run


def _grids(size):
    """(rows, columns) of the six maps of SSD without a pyramid: strides 16, 32, ..., rounded up."""
    return [tuple(-(-n // (16 * 2**level)) for n in size) for level in range(6)]
