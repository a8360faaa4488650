"""DETR of Model Garden as a detkit detector.

Sources: Carion et al., "End-to-end object detection with transformers", 2020; `official.projects.detr`.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from scipy.optimize import linear_sum_assignment

from detkit.detection.detector import ClassColumns
from detkit.errors import ConfigError, DataError
from detkit.garden import upstream
from detkit.garden.detector import GardenDetector
from detkit.garden.letterbox import ShortSide
from detkit.garden.nodes import Node, Variable
from detkit.networks.network import Stage, truth_of

QUERIES = "_query_embeddings"  # a variable of the model itself
OUTPUTS = ("class_logits", "box_encodings")
AUXILIARY = "auxiliary/"
HEADS = 8  # of each attention, in Model Garden's DETR always
_EXPECTED = {"input_size": "[height, width, 3]", "hidden_size": f"a multiple of {HEADS}"}


class Detr(GardenDetector):
    """A DETR; arguments and attributes as of every `GardenDetector`.

    Of its raw outputs, "class_logits" [B, Q, columns] has for every query a column for every label id, and one for the
    background first; "box_encodings" [B, Q, 4] are (cy, cx, height, width) relative to the true image. Under
    "auxiliary/" are those of all decoder layers but the last, [B, L - 1, Q, ...].

    Nothing is dropped out in training, which would not be repeatable.
    """

    loss_only = (AUXILIARY,)

    def __init__(self, description, garden_task, model):
        super().__init__(description, garden_task, model)
        self.stages = self._stages()
        for data in (self.task_config.train_data, self.task_config.validation_data):
            if hasattr(data, "output_size"):  # where it must be that of the model
                data.output_size = self.input_size

    @classmethod
    def check_options(cls, config) -> None:
        """As `GardenNetwork.check_options`."""
        options = config.task.model
        fine = {
            "input_size": len(options.input_size) == 3 and all(options.input_size),
            "hidden_size": options.hidden_size > 0 and options.hidden_size % HEADS == 0,
            "num_queries": options.num_queries > 0,
            "num_decoder_layers": options.num_decoder_layers > 0,
        }
        for name in (name for name, is_fine in fine.items() if not is_fine):
            where, got = f"task.model.{name}", getattr(options, name)
            raise ConfigError("There is no such DETR.", where=where, got=got, expected=_EXPECTED.get(name, "1 or more"))

    def _letterbox(self) -> ShortSide:
        """As both of Model Garden's loaders do it for evaluation."""
        options, data = self.task_config.model, self.task_config.validation_data
        plain = upstream.module("projects.detr.dataloaders.detr_input").RESIZE_SCALES
        return ShortSide(options.input_size[:2], int(getattr(data, "resize_scales", plain)[-1]))

    def _roots(self) -> dict:
        names = ("backbone", "input_proj", "transformer", "class_embed", "bbox_embed")
        return {name: getattr(self.model, f"_{name}") for name in names}

    def _loose(self) -> dict:
        return {".": Node(self.model, {QUERIES: Variable(self._queries)})}

    def _parts(self):
        return {
            "backbone": ("backbone",),
            "neck": ("input_proj", "transformer", "."),
            "head/towers": ("bbox_embed/0", "bbox_embed/1"),
            "head/box_head": ("bbox_embed/2",),
            "head/class_head": ("class_embed",),
        }

    @property
    def _queries(self) -> tf.Variable:
        return getattr(self.model, QUERIES)

    def _stages(self) -> list[Stage]:
        parts = self.parts
        return [
            Stage("backbone", tuple(parts["backbone"]), self._features),
            Stage("neck", tuple(parts["neck"]), self._decode),
            Stage("head/towers", tuple(parts["head/towers"]), self._towers),
            Stage("head/final", tuple(parts["head/box_head"] + parts["head/class_head"]), self._final),
        ]

    # The four stages, together as `DETR.call`

    def _features(self, state: dict) -> dict:
        """The map, and where it shows the image and where padding."""
        x, endpoint = state["x"], self.task_config.model.backbone_endpoint_name
        features = self.model.backbone(x, training=self._unfrozen("backbone"))[endpoint]
        return {"map": features, "mask": self.model._generate_image_mask(x, tf.shape(features)[1:3])[..., 0]}

    def _decode(self, state: dict) -> dict:
        """What each decoder layer makes of each query, [B, L, Q, D]."""
        model, mask, width = self.model, state["mask"], self.task_config.model.hidden_size
        positions = upstream.module("projects.detr.modeling.detr").position_embedding_sine(mask, width)
        batch = tf.shape(mask)[0]
        sequences = {"inputs": model._input_proj(state["map"]), "pos_embed": positions}
        sequences = {name: tf.reshape(value, [batch, -1, width]) for name, value in sequences.items()}
        queries = tf.tile(self._queries[None], [batch, 1, 1])
        # Called without a word about training, it drops nothing out.
        decoded = model._transformer(sequences | {"targets": queries, "mask": tf.reshape(mask, [batch, -1])})
        return {"decoded": tf.stack(decoded, axis=1)}

    def _towers(self, state: dict) -> dict:
        first, second, _ = self.model._bbox_embed
        return state | {"box": second(first(state["decoded"]))}

    def _final(self, state: dict) -> dict:
        outputs = (self.model._class_embed(state["decoded"]), tf.sigmoid(self.model._bbox_embed[2](state["box"])))
        named = dict(zip(OUTPUTS, outputs, strict=True))
        last = {name: value[:, -1] for name, value in named.items()}
        return last | {f"{AUXILIARY}{name}": value[:, :-1] for name, value in named.items()}

    def class_columns(self):
        """As `Detector.class_columns`."""
        return {f"class_embed/{name}": ClassColumns(background=1) for name in ("kernel", "bias")}

    def in_padding(self, boxes, true_shapes):
        """The boxes as they are: DETR's are relative to the true image."""
        return boxes

    def _outputs(self, state, inputs=None, true_shapes=None) -> dict:
        return state | {"true_shapes": true_shapes}

    # Training

    def check_data(self, dataset) -> None:
        """DataError if an image has more objects than the model can find in one."""
        queries = self.task_config.model.num_queries
        counts = [int(example.counts.sum()) for example in dataset]
        if (most := max(counts, default=0)) > queries:
            raise DataError(
                "An image has more objects than the model has queries, and each query finds one.",
                where=dataset[counts.index(most)].label,
                got=f"{most} objects",
                expected=f"at most {queries}",
                fix="Cut it into smaller images, or train a model with more task.model.num_queries from scratch.",
            )

    def losses(self, state):
        """As `Network.losses`; source: `DetectionTask.train_step`, the losses of all decoder layers in one."""
        layers, ops = self._layers, upstream.module("vision.ops.box_ops")
        logits, boxes = (self._of_all_layers(state, name) for name in OUTPUTS)
        found, columns, true_boxes = self._goals(logits, boxes, truth_of(state))
        weights = self.task_config.losses
        importance = tf.where(found > 0, 1.0, weights.background_cls_weight)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(columns, logits)
        pairs = [tf.reshape(ops.cycxhw_to_yxyx(each), [-1, 1, 4]) for each in (boxes, true_boxes)]
        overlap = tf.reshape(ops.bbox_generalized_overlap(*pairs), tf.shape(found))
        distance = tf.reduce_sum(tf.abs(boxes - true_boxes), axis=-1)

        def mean(values, counts):
            """Of a layer, summed over the layers."""
            return layers * tf.math.divide_no_nan(tf.reduce_sum(values * counts), tf.reduce_sum(counts))

        return {
            "localization": weights.lambda_box * mean(distance, found),
            "overlap_loss": weights.lambda_giou * mean(1.0 - overlap, found),
            "classification": weights.lambda_cls * mean(entropy, importance),
        }

    @property
    def _layers(self) -> int:
        return self.task_config.model.num_decoder_layers

    def _goals(self, logits, boxes, truth: dict) -> tuple:
        """What every query of every layer should find, matched at the cost of `DetectionTask`.

        Args:
            logits: [B * L, Q, columns]; boxes: [B * L, Q, 4]; truth: of B images.

        Returns:
            [B * L, Q] each: 1 where there is something to find, else 0; its column; its box [..., 4].
        """
        columns = tf.gather(tf.constant(self.columns_of_classes), truth["class_ids"])
        columns = tf.where(truth["weights"] > 0, columns, 0)
        true_boxes = upstream.module("vision.ops.box_ops").yxyx_to_cycxhw(truth["boxes"])
        columns, true_boxes = (tf.repeat(value, self._layers, axis=0) for value in (columns, true_boxes))
        cost = self.garden_task._compute_cost(logits, boxes, columns, true_boxes)
        rows = tf.ensure_shape(tf.numpy_function(match, [cost, columns > 0], tf.int32), logits.shape[:2])
        found, rows = rows >= 0, tf.maximum(rows, 0)
        columns = tf.where(found, tf.gather(columns, rows, batch_dims=1), 0)
        return tf.cast(found, tf.float32), columns, tf.gather(true_boxes, rows, batch_dims=1)

    def _of_all_layers(self, state: dict, name: str):
        """[B * L, Q, ...]: an output of every decoder layer."""
        together = tf.concat([state[f"{AUXILIARY}{name}"], state[name][:, None]], axis=1)
        return tf.reshape(together, [-1, *together.shape[2:]])

    # Detections

    def postprocess(self, predictions, true_shapes=None, threshold=0.0):
        """As `Detector.postprocess`; source: `official.projects.detr.modeling.detr.postprocess`."""
        logits, boxes = (tf.convert_to_tensor(predictions[name]) for name in OUTPUTS)
        made = upstream.module("projects.detr.modeling.detr").postprocess({"cls_outputs": logits, "box_outputs": boxes})
        scores = made["detection_scores"].numpy()
        order = np.argsort(-scores, axis=1, kind="stable")
        scores, columns = (
            np.take_along_axis(each, order, axis=1) for each in (scores, made["detection_classes"].numpy())
        )
        boxes = np.clip(np.take_along_axis(made["detection_boxes"].numpy(), order[..., None], axis=1), 0.0, 1.0)
        count, queries = scores.shape
        return self.found(boxes, scores, columns, np.full(count, queries), np.ones([count, 4], np.float32), threshold)


def match(costs: np.ndarray, real: np.ndarray) -> np.ndarray:
    """The cheapest way to give every object a query of its own.

    Where there are more objects than queries, the dearest objects get none.

    Args:
        costs: [B, Q, M]; real: bool [B, M], which of the M objects there are.

    Returns:
        int32 [B, Q]: the object of each query, -1 for none.
    """
    found = np.full(costs.shape[:2], -1, np.int32)
    for row, (cost, there) in enumerate(zip(costs, real, strict=True)):
        objects = np.flatnonzero(there)
        queries, chosen = linear_sum_assignment(cost[:, objects])
        found[row, queries] = objects[chosen]
    return found
