"""RetinaNet of Model Garden as a detkit detector.

Sources: Lin et al., "Focal loss for dense object detection", 2017; `official.vision.tasks.retinanet`.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from detkit.detection.detector import ClassColumns
from detkit.garden import upstream
from detkit.garden.anchors import multilevel_anchors
from detkit.garden.detector import GardenDetector
from detkit.garden.levels import levels_of, named
from detkit.networks.network import TRUTH, Stage, truth_of

TARGETS = ("class_targets", "box_targets", "class_weights", "box_weights")


class RetinaNet(GardenDetector):
    """A RetinaNet; arguments and attributes as of every `GardenDetector`.

    Of its raw outputs, "class_logits" [B, A, columns] has a column for every label id, and one for the background
    first, which nothing ever trains; "box_encodings" [B, A, 4] are relative to "anchors" [A, 4] in pixels.
    """

    def __init__(self, description, garden_task, model):
        super().__init__(description, garden_task, model)
        self.stages = self._stages()
        self._boxes = self._anchors()
        parser = self.task_config.train_data.parser
        weights = self.task_config.model.detection_generator.box_coder_weights
        labeler = upstream.module("vision.ops.anchor").AnchorLabeler
        self._labeler = labeler(parser.match_threshold, parser.unmatched_threshold, weights)

    def _roots(self) -> dict:
        roots = {"backbone": self.model.backbone, "decoder": self.model.decoder, "head": self.model.head}
        return {name: root for name, root in roots.items() if root is not None}

    def _parts(self):
        return {
            "backbone": ("backbone",),
            "neck": ("decoder",),
            "head/towers": tuple(f"head/_{net}_{kind}" for net in ("cls", "box") for kind in ("convs", "norms")),
            "head/box_head": ("head/_box_regressor",),
            "head/class_head": ("head/_classifier",),
        }

    def _stages(self) -> list[Stage]:
        parts, model = self.parts, self.model

        def backbone(state):
            return named("map", model.backbone(state["x"], training=self._unfrozen("backbone")))

        def neck(state):
            # A backbone may have more levels than the decoder reads.
            maps = {level: x for level, x in levels_of(state, "map").items() if level in model.decoder.input}
            return named("map", model.decoder(maps, training=self._unfrozen("neck")))

        stages = [Stage("backbone", tuple(parts["backbone"]), backbone)]
        if model.decoder is not None:
            stages.append(Stage("neck", tuple(parts["neck"]), neck))
        stages.append(Stage("head/towers", tuple(parts["head/towers"]), self._towers))
        final = tuple(parts["head/box_head"] + parts["head/class_head"])
        return [*stages, Stage("head/final", final, self._final)]

    def _towers(self, state: dict) -> dict:
        """As the first half of `RetinaNetHead.call`."""
        head, training = self.model.head, self._unfrozen("head/towers")
        features, out = levels_of(state, "map"), {}
        for net in ("cls", "box"):
            convs, norms = getattr(head, f"_{net}_convs"), getattr(head, f"_{net}_norms")
            for number, (level, x) in enumerate(sorted(features.items(), key=lambda item: int(item[0]))):
                own = convs if head.get_config()["share_level_convs"] else convs[number]
                for conv, norm in zip(own, norms[number], strict=True):
                    x = head._activation(norm(conv(x), training=training))
                out[f"{net}/{level}"] = x
        return out

    def _final(self, state: dict) -> dict:
        """As the second half of `RetinaNetHead.call`, all levels in one."""
        head = self.model.head
        return {
            "class_logits": self._predict_levels(head._classifier, levels_of(state, "cls"), self._columns),
            "box_encodings": self._predict_levels(head._box_regressor, levels_of(state, "box"), 4),
        }

    def _predict_levels(self, predictor, features: dict, width: int):
        """[B, A, width]: what the last layer says at every anchor."""
        outputs = []
        for number, (_, x) in enumerate(sorted(features.items(), key=lambda item: int(item[0]))):
            own = predictor[number] if isinstance(predictor, list) else predictor
            # [B, h, w, anchors * width] -> [B, h * w * anchors, width]
            outputs.append(tf.reshape(own(x), [tf.shape(x)[0], -1, width]))
        return tf.concat(outputs, axis=1)

    @property
    def _columns(self) -> int:
        return self.task_config.model.num_classes

    def _anchors(self) -> np.ndarray:
        """[A, 4], yxyx in pixels of the padded input, in the order of the outputs."""
        levels = multilevel_anchors(self.task_config.model, self.input_size)
        return np.concatenate([np.reshape(boxes, [-1, 4]) for boxes in levels.values()])

    def anchors(self, size) -> np.ndarray:
        """[A, 4], yxyx relative to the padded input, whose size is always the same; for `detkit.detection.coverage`."""
        return self._boxes / np.tile(self.input_size, 2).astype(np.float32)

    def class_columns(self):
        """As `Detector.class_columns`."""
        columns = ClassColumns(background=1)
        own = {id(node) for node in self.parts["head/class_head"]}
        return {
            f"{path}/{name}": columns
            for path, node in self.paths().items()
            if id(node) in own
            for name in node.variables
            if name != "depthwise_kernel"
        }

    def _outputs(self, state, inputs=None, true_shapes=None) -> dict:
        return state | {"anchors": tf.constant(self._boxes), "true_shapes": true_shapes}

    # Training

    def targets(self, truth: dict) -> dict:
        """What the outputs should be at every anchor, by Model Garden's own labeler.

        Args:
            truth: "boxes" [B, M, 4] relative to the padded input, "class_ids" [B, M], "weights" [B, M].

        Returns:
            "class_targets" int32 [B, A], the column, -1 for background; "box_targets" [B, A, 4], encoded; their
            "class_weights" and "box_weights" [B, A].
        """
        scale = tf.constant(self.input_size * 2, tf.float32)
        columns = tf.gather(tf.constant(self.columns_of_classes), truth["class_ids"])

        @tf.autograph.experimental.do_not_convert
        def of_image(image):
            boxes, labels, weights = image
            counts = weights > 0
            boxes, labels = tf.boolean_mask(boxes, counts) * scale, tf.boolean_mask(labels, counts)
            # One level, of A rows with a place each.
            anchors = {"all": tf.constant(self._boxes[:, None])}
            classes, codes, _, class_weights, box_weights = self._labeler.label_anchors(anchors, boxes, labels[:, None])
            return classes["all"][:, 0, 0], codes["all"][:, 0], class_weights, box_weights

        kinds = (tf.int32, tf.float32, tf.float32, tf.float32)
        shapes = tuple(tf.TensorSpec([len(self._boxes), *tail], kind) for tail, kind in zip(_TAILS, kinds, strict=True))
        values = tf.map_fn(of_image, (truth["boxes"], columns, truth["weights"]), fn_output_signature=shapes)
        return dict(zip(TARGETS, values, strict=True))

    def record(self, state, stage):
        """As `Network.record`: with the targets instead of the truth that they were made of.

        Before the first stage, which no cache is filled at, that is left to the compiled step.
        """
        if stage == 0 or f"{TRUTH}class_targets" in state:
            return state
        made = {f"{TRUTH}{name}": value for name, value in self.targets(truth_of(state)).items()}
        return {name: value for name, value in state.items() if not name.startswith(TRUTH)} | made

    def losses(self, state):
        """As `Network.losses`; source: `RetinaNetTask.build_losses`, without the penalty on the weights."""
        truth = truth_of(state)
        targets = truth if "class_targets" in truth else self.targets(truth)
        outputs = {"cls_outputs": {"all": state["class_logits"]}, "box_outputs": {"all": state["box_encodings"]}}
        labels = {
            "cls_targets": {"all": targets["class_targets"]},
            "box_targets": {"all": targets["box_targets"]},
            "cls_weights": targets["class_weights"],
            "box_weights": targets["box_weights"],
        }
        _, classification, localization, _ = self.garden_task.build_losses(outputs, labels)
        weights = self.task_config.losses
        return {
            "localization": weights.loss_weight * weights.box_loss_weight * localization,
            "classification": weights.loss_weight * classification,
        }

    # Detections

    def postprocess(self, predictions, true_shapes=None, threshold=0.0):
        """As `Detector.postprocess`; source: `MultilevelDetectionGenerator`."""
        shapes = tf.convert_to_tensor(predictions["true_shapes"] if true_shapes is None else true_shapes)
        codes, logits = (tf.convert_to_tensor(predictions[name]) for name in ("box_encodings", "class_logits"))
        anchors = tf.tile(tf.constant(self._boxes)[None], [codes.shape[0], 1, 1])
        sizes = tf.cast(shapes[:, :2], tf.float32)
        # One level, with one anchor at each of A places.
        found = self.model.detection_generator(
            {"0": codes[:, :, None]}, {"0": logits[:, :, None]}, {"0": anchors}, sizes
        )
        names = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
        arrays = [found[name].numpy() for name in names]
        windows = np.tile(sizes.numpy(), (1, 2))
        return self.found(*arrays, windows, threshold)


_TAILS = ((), (4,), (), ())
