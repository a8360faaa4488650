"""Faster, Mask and Cascade R-CNN of Model Garden as detkit detectors.

Sources: Ren et al., "Faster R-CNN", 2015; He et al., "Mask R-CNN", 2017; Cai and Vasconcelos, "Cascade R-CNN", 2018;
`official.vision.tasks.maskrcnn`.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from detkit.detection.detector import ClassColumns
from detkit.errors import ConfigError, DataError
from detkit.garden import upstream
from detkit.garden.anchors import multilevel_anchors
from detkit.garden.detector import GardenDetector
from detkit.garden.levels import levels_of, named
from detkit.garden.regions import Objects, RegionTargets
from detkit.networks.network import TRUTH, Stage, truth_of

FOUND = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
MASKS = "detection_masks"
_TOWERS = ("convs", "conv_norms", "fcs", "fc_norms")
_LOSSES = {  # the model's name of a loss: that of its weight, ours
    "rpn_box_loss": ("rpn_box_weight", "rpn_localization"),
    "rpn_score_loss": ("rpn_score_weight", "rpn_classification"),
    "frcnn_box_loss": ("frcnn_box_weight", "localization"),
    "frcnn_cls_loss": ("frcnn_class_weight", "classification"),
    "mask_loss": ("mask_weight", "mask_loss"),
}


class TwoStage(GardenDetector):
    """An R-CNN; its raw outputs are the detections that the model itself chooses, boxes in pixels of the input.

    The loss of a prediction begins again with the "inputs", for it is of other regions than those detections.
    """

    loss_only = ("inputs",)

    @classmethod
    def check_options(cls, config):
        """As `GardenDetector.check_options`."""
        super().check_options(config)
        options, weights = config.task.model, config.task.losses.class_weights
        thresholds = options.roi_sampler.cascade_iou_thresholds or []
        problems = {
            "model.roi_sampler.cascade_iou_thresholds": (
                len(thresholds) > 2,
                thresholds,
                "at most two: Model Garden knows how to code the boxes of three heads",
            ),
            "model.mask_head": (options.include_mask and not options.mask_head, None, "{}, or include_mask: false"),
            "losses.class_weights": (
                weights and len(weights) != options.num_classes,
                weights,
                f"a weight for each of {options.num_classes} columns, that of the background first",
            ),
        }
        for path, (wrong, got, expected) in problems.items():
            if wrong:
                raise ConfigError("This R-CNN can't be built.", where=f"task.{path}", got=got, expected=expected)

    def __init__(self, description, garden_task, model):
        super().__init__(description, garden_task, model)
        self.wants = () if model.mask_head is None else ("masks",)
        self.anchors = multilevel_anchors(self.task_config.model, self.input_size)
        self.targets = RegionTargets(self.task_config, self.input_size, self.anchors, self.columns_of_classes)
        self.stages = self._stages()

    def _roots(self):
        names = ("backbone", "decoder", "rpn_head", "detection_head", "mask_head")
        return {name: root for name in names if (root := getattr(self.model, name)) is not None}

    def _parts(self):
        heads = [f"detection_head/{number}" for number in range(len(self.model.detection_head))]
        parts = {
            "backbone": ("backbone",),
            "neck": ("decoder", "rpn_head"),
            "head/towers": tuple(f"{head}/_{kind}" for head in heads for kind in _TOWERS),
            "head/box_head": tuple(f"{head}/_box_regressor" for head in heads),
            "head/class_head": tuple(f"{head}/_classifier" for head in heads),
        }
        return parts if self.model.mask_head is None else parts | {"head/mask_head": ("mask_head",)}

    def class_columns(self):
        """As `Detector.class_columns`."""
        options, widths = self.task_config.model, {"_classifier": 1}
        if not options.detection_head.class_agnostic_bbox_pred:
            widths["_box_regressor"] = 4
        if self.wants and not options.mask_head.class_agnostic:
            widths["_mask_regressor"] = 1
        return {
            path: ClassColumns(1, widths[layer])
            for path, part in self.part_of().items()
            # The network of the proposals has a classifier too, but knows no classes.
            if part != "neck" and (layer := path.split("/")[-2]) in widths and not path.endswith("depthwise_kernel")
        }

    # The network

    def _stages(self) -> list[Stage]:
        parts = {name: tuple(nodes) for name, nodes in self.parts.items()}
        towers, final = parts["head/towers"], parts["head/box_head"] + parts["head/class_head"]
        stages = [Stage("backbone", parts["backbone"], self._backbone), Stage("neck", parts["neck"], self._propose)]
        if len(self.model.detection_head) == 1:
            stages += [Stage("head/towers", towers, self._towers), Stage("head/final", final, self._final)]
        else:  # what a head looks at, the one before it has found
            stages.append(Stage("head/cascade", towers + final, self._cascade))
        return [*stages, Stage("head/mask_head", parts["head/mask_head"], self._masks)] if self.wants else stages

    def predict(self, inputs, true_shapes) -> dict:
        """As `Detector.predict`."""
        return self.run({"x": inputs, "true_shapes": true_shapes}) | {"inputs": inputs}

    def _backbone(self, state: dict) -> dict:
        maps = self.model.backbone(state["x"], training=self._unfrozen("backbone"))
        if self.model.decoder is not None:  # a backbone may have more levels than the decoder reads
            maps = {level: x for level, x in maps.items() if level in self.model.decoder.input}
        return _without(state, "x") | named("map", maps)

    def _propose(self, state: dict) -> dict:
        """The maps of the decoder and the regions; in training a minibatch of them, and what the loss needs."""
        model, training, maps = self.model, self._unfrozen("neck"), levels_of(state, "map")
        if model.decoder is not None:
            maps = model.decoder(maps, training=training)
        scores, boxes = model.rpn_head(maps, training=training)
        anchors = {level: tf.constant(each[None]) for level, each in self.anchors.items()}
        learning = _learning(state)
        rois, _ = model.roi_generator(boxes, scores, anchors, _sizes(state), training=learning)
        kept = _without(state, "map/") | named("map", maps)
        if not learning:
            return kept | {"rois": rois}
        objects = self.targets.objects(truth_of(state))
        found = named("rpn_scores", scores) | named("rpn_boxes", boxes) | self.targets.of_anchors(objects)
        return kept | found | self._minibatch(0, rois, objects)

    def _minibatch(self, head: int, rois, objects: Objects) -> dict:
        weights = self.model._cascade_layer_to_weights[head]
        return self.targets.of_regions(rois, objects, self.model.roi_sampler[head], weights)

    def _towers(self, state: dict) -> dict:
        """As the first half of `DetectionHead.call`."""
        (head,), training, rois = self.model.detection_head, self._unfrozen("head/towers"), state["rois"]
        x = self.model.roi_aligner(levels_of(state, "map"), rois)
        x = tf.reshape(x, [-1, *x.shape[2:]])
        for conv, norm in zip(head._convs, head._conv_norms, strict=True):
            x = head._activation(norm(conv(x), training=training))
        x = tf.reshape(x, [-1, rois.shape[1], np.prod(x.shape[1:])])
        for dense, norm in zip(head._fcs, head._fc_norms, strict=True):
            x = head._activation(norm(dense(x), training=training))
        return self._for_masks(state, state) | {"features": x}

    def _final(self, state: dict) -> dict:
        """As the second half of `DetectionHead.call`; without truth, then what is found."""
        (head,), rest = self.model.detection_head, _without(state, "features")
        classes, boxes = head._classifier(state["features"]), head._box_regressor(state["features"])
        if _learning(rest):
            return rest | {"class_outputs": classes, "box_outputs": boxes}
        return self._detections(rest, rest["rois"], classes, boxes)

    def _cascade(self, state: dict) -> dict:
        """All heads, each on what the one before it found; source: `MaskRCNNModel._call_box_outputs`."""
        model, learning, maps = self.model, _learning(state), levels_of(state, "map")
        objects = self.targets.objects(truth_of(state)) if learning else None
        training, scores, outputs = self._unfrozen("head/towers"), [], {}
        regions, rois = state, state["rois"]
        for number, head in enumerate(model.detection_head):
            if number:
                regions = self._minibatch(number, rois, objects) if learning else {"rois": rois}
            classes, boxes = head(model.roi_aligner(maps, regions["rois"]), training=training)
            rois = self._refined(regions["rois"], boxes, number, _sizes(state))  # the next head's
            scores.append(classes)
            targets = {name: regions[name] for name in ("class_targets", "box_targets") if name in regions}
            found = {"class_outputs": classes, "box_outputs": boxes} | targets
            outputs |= {f"{name}_{number}" if number else name: value for name, value in found.items()}
        if learning:
            return self._for_masks(state, regions) | outputs
        if model.get_config()["cascade_class_ensemble"]:
            classes = tf.add_n(scores) / len(scores)
        return self._detections(state, regions["rois"], classes, boxes)

    def _refined(self, rois, boxes, head: int, sizes):
        """The regions [B, P, 4] that a head makes of those that it saw."""
        ops = upstream.module("vision.ops.box_ops")
        found = ops.decode_boxes(boxes, rois, weights=self.model._cascade_layer_to_weights[head])
        return ops.clip_boxes(found, sizes[:, None])

    def _detections(self, state: dict, rois, classes, boxes) -> dict:
        weights = self.model._cascade_layer_to_weights[len(self.model.detection_head) - 1]
        agnostic = self.task_config.model.detection_head.class_agnostic_bbox_pred
        sizes = _sizes(state)
        found = self.model.detection_generator(boxes, classes, rois, sizes, weights, bbox_per_class=not agnostic)
        rest = _without(state, "rois", *(() if self.wants else ("map/",)))
        return rest | {name: found[name] for name in FOUND}

    def _for_masks(self, state: dict, regions: dict) -> dict:
        """In training what the head of the masks needs, in place of the maps and the regions."""
        if not _learning(state):
            return state
        rest = _without(state, "map/", "rois", "matched_")
        if not self.wants:
            return rest
        found = self.targets.of_masks(regions, state[f"{TRUTH}masks"])
        features = self.model.mask_roi_aligner(levels_of(state, "map"), found.pop("mask_rois"))
        return rest | found | {"mask_features": features}

    def _masks(self, state: dict) -> dict:
        head, training = self.model.mask_head, self._unfrozen("head/mask_head")
        if _learning(state):
            logits = head([state["mask_features"], state["mask_class_targets"]], training=training)
            return _without(state, "mask_features") | {"mask_outputs": logits}
        features = self.model.mask_roi_aligner(levels_of(state, "map"), state["detection_boxes"])
        logits = head([features, state["detection_classes"]], training=training)
        return _without(state, "map/") | {MASKS: tf.sigmoid(logits)}

    # Training

    def check_data(self, dataset) -> None:
        """DataError for a dataset without masks, where the model draws them."""
        if self.wants and not dataset.has_masks:
            raise DataError(
                "The dataset has no masks, and this model learns to draw them.",
                where=self.description.experiment,
                got="boxes only",
                expected="COCO annotations with a segmentation",
                fix="Annotate the masks, or set task.model.include_mask: false in the overrides.",
            )

    def record(self, state, stage):
        """As `Network.record`: of the truth, only what the stages from there on look at."""
        needed = {
            "head/towers": self.wants,
            "head/cascade": ("boxes", "class_ids", "weights", "seed", "true_shapes", *self.wants),
            "head/final": (),
            "head/mask_head": (),
        }.get(self.stages[stage].name)
        if needed is None:
            return state
        kept = {f"{TRUTH}{name}": state[f"{TRUTH}{name}"] for name in needed}
        return _without(state, TRUTH) | kept

    def losses(self, state):
        """As `Network.losses`; source: `MaskRCNNTask.build_losses`, without the penalty on the weights."""
        if "inputs" in state:  # a prediction
            truth = {name: value for name, value in state.items() if name.startswith(TRUTH)}
            state = self.run({"x": state["inputs"]} | truth)
        maps = ("rpn_scores", "rpn_boxes", "rpn_score_targets", "rpn_box_targets")
        values = state | {name: levels_of(state, name) for name in maps}
        found, weights = self.garden_task.build_losses(values, values), self.task_config.losses
        return {
            name: weights.loss_weight * getattr(weights, weight) * found[theirs]
            for theirs, (weight, name) in _LOSSES.items()
            if self.wants or theirs != "mask_loss"
        }

    # Detections

    def postprocess(self, predictions, true_shapes=None, threshold=0.0):
        """As `Detector.postprocess`; source: `DetectionGenerator`."""
        shapes = np.asarray(predictions["true_shapes"] if true_shapes is None else true_shapes)
        masks = [on_borders(np.asarray(each)) for each in predictions[MASKS]] if MASKS in predictions else None
        arrays = [np.asarray(predictions[name]) for name in FOUND]
        return self.found(*arrays, np.tile(shapes[:, :2], (1, 2)), threshold, masks)


def on_borders(masks: np.ndarray) -> np.ndarray:
    """Masks [N, S, S], sampled at the centres of S x S cells, as sampled from border to border of their boxes.

    Around the cells there is nothing, as in Model Garden's `paste_instance_masks`.
    """
    side = masks.shape[-1]
    cells = np.pad(masks, [(0, 0), (1, 1), (1, 1)])
    place = np.linspace(0.5, side + 0.5, side, dtype=np.float32)  # of the new samples among the padded cells
    low = place.astype(int)
    share = place - low
    rows = cells[:, low] * (1 - share)[:, None] + cells[:, low + 1] * share[:, None]
    return rows[:, :, low] * (1 - share) + rows[:, :, low + 1] * share


def _learning(state: dict) -> bool:
    """Whether the stages have a truth to learn from, or what was made of it."""
    return f"{TRUTH}boxes" in state or "class_targets" in state


def _sizes(state: dict):
    """[B, 2], (height, width) of the true images."""
    shapes = state["true_shapes"] if "true_shapes" in state else state[f"{TRUTH}true_shapes"]
    return tf.cast(shapes[:, :2], tf.float32)


def _without(state: dict, *beginnings: str) -> dict:
    return {name: value for name, value in state.items() if not name.startswith(beginnings)}
