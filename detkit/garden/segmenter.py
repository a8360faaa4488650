"""DeepLabV3, DeepLabV3+ and FPN segmentation of Model Garden as detkit segmenters.

Sources: Chen et al., "Rethinking atrous convolution for semantic image segmentation", 2017; Chen et al.,
"Encoder-decoder with atrous separable convolution for semantic image segmentation", 2018;
`official.vision.tasks.semantic_segmentation`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from detkit.data.class_map import IGNORED
from detkit.detection.detector import ClassColumns
from detkit.errors import ConfigError
from detkit.garden import upstream
from detkit.garden.levels import levels_of
from detkit.garden.network import Description, GardenNetwork
from detkit.networks.layers import Dropout
from detkit.networks.network import TRUTH, Stage
from detkit.pipeline.transfer import SegmentationModel
from detkit.segmentation.losses import segmentation_losses
from detkit.segmentation.segmenter import Segmenter

HEAD = ("head/decoder", "head/towers", "head/class_head")
_NEVER = -1e4  # the logit of a background that has no column
_LARGE = 1024  # images with a longer side are predicted in tiles
_FUSION = "deeplabv3plus"
_TOWERS = ("_convs", "_norms", "_dlv3p_conv", "_dlv3p_norm")


class GardenSegmenter(GardenNetwork, Segmenter):
    """A segmentation model; it runs in float32, and its norms are frozen outside of training.

    Args:
        description: of the model; without options, images are scaled down as far as for Model Garden's evaluation.
        garden_task: Model Garden's task, for its losses; model: its tf_keras model.
    """

    tunable = {"head": HEAD, "all": ("backbone", *HEAD)}
    unneeded = ()

    def __init__(self, description: Description, garden_task, model):
        name = f"garden:{description.experiment}"
        options = SegmentationModel(name=name, **(description.options or _usual(garden_task.task_config)))
        super().__init__(description.classes, description.label_ids, name=name, options=options)
        self._take(description, garden_task, model)
        self.parts["backbone"].sort(key=lambda node: _natural(node.name))
        self.stride, self.smallest = _stride(self.task_config.model), _smallest(self.task_config.model)
        self._columns = self.columns_of_classes
        self._others = np.setdiff1d(np.arange(description.columns), self._columns)
        if options.class_weights:
            self.task_config.losses.class_weights = self._weights_of_columns()
        self._decoder = None if model.decoder is None else _told(model.decoder)
        self._head = _told(lambda maps, decoded: model.head((maps, decoded)))
        self._dropout = Dropout(options.dropout, name="dropout")
        self.stages = self._stages()

    @classmethod
    def check_options(cls, config) -> None:
        """As `GardenNetwork.check_options`."""
        model, losses = config.task.model, config.task.losses
        fusion = model.head.feature_fusion
        fused = None if (fusion or "").startswith(_FUSION) else fusion
        for path, value, plain, reason, fix in (
            ("model.input_size", model.input_size[-1], 3, "images have three channels", "Leave it out."),
            ("model.mask_scoring_head", model.mask_scoring_head, None, "detkit has no use for it", "Leave it out."),
            ("model.head.logit_activation", model.head.logit_activation, None, "it wants the logits", "Leave it out."),
            ("model.head.feature_fusion", fused, None, "it wants images of one size", f"Take {_FUSION}, or none."),
            ("losses.use_binary_cross_entropy", losses.use_binary_cross_entropy, False, *_ONE_CLASS),
            ("losses.gt_is_matting_map", losses.gt_is_matting_map, False, *_ONE_CLASS),
            ("losses.ignore_label", losses.ignore_label, IGNORED, "its class maps have 255", "Leave it out."),
            ("model.decoder.aspp.dropout_rate", model.decoder.aspp.dropout_rate, 0.0, *_DROPOUT),
        ):
            if value != plain:
                what = f"detkit can't honour this option: {reason}."
                raise ConfigError(what, where=f"task.{path}", got=value, expected=plain, fix=fix)

    def _roots(self) -> dict:
        return dict(self.model.checkpoint_items)

    def _parts(self):
        return {
            "backbone": ("backbone",),
            "head/decoder": ("decoder",),
            "head/towers": tuple(f"head/{name}" for name in _TOWERS),
            "head/class_head": ("head/_classifier",),
        }

    def class_columns(self) -> dict:
        """As `detkit.detection.detector.Detector.class_columns`."""
        columns = ClassColumns(background=self.description.first_column)
        return {path: columns for path, part in self.part_of().items() if part == "head/class_head"}

    # The forward pass: as `official.vision.modeling.segmentation_model`

    def _stages(self) -> list[Stage]:
        parts = self.parts
        stages = [Stage("backbone", tuple(parts["backbone"]), self._run_backbone)]
        if self._decoder is not None:
            stages.append(Stage("decoder", tuple(parts["head/decoder"]), self._run_decoder))
        return [*stages, Stage("head", (*parts["head/towers"], *parts["head/class_head"]), self._run_head)]

    def _run_backbone(self, state: dict) -> dict:
        x, image = state[self.input_name], self.task_config.train_data.image_feature
        maps = self.model.backbone((x - image.mean) / image.stddev, training=self._unfrozen("backbone"))
        read = self._low_levels() | (self._read_by_head() if self._decoder is None else self._read_by_decoder())
        size = tf.tile([tf.shape(x)[1:3]], [tf.shape(x)[0], 1])
        return {f"map/{level}": maps[level] for level in sorted(read)} | {"size": size}

    def _run_decoder(self, state: dict) -> dict:
        maps = {level: state[f"map/{level}"] for level in sorted(self._read_by_decoder())}
        decoded = self._decoder(maps, training=self._unfrozen("head/decoder"))
        if not isinstance(decoded, dict):
            decoded = {str(self.task_config.model.head.level): decoded}
        kept = {f"map/{level}": state[f"map/{level}"] for level in self._low_levels()}
        read = {f"decoded/{level}": decoded[level] for level in self._read_by_head()}
        return kept | read | {"size": state["size"]}

    def _run_head(self, state: dict) -> dict:
        maps = levels_of(state, "map")
        decoded = maps if self._decoder is None else levels_of(state, "decoded")
        decoded = {level: self._dropout(x) for level, x in decoded.items()}
        scores = self._head(maps, decoded, training=self._unfrozen("head/towers"))
        return {"scores": scores, "size": state["size"]}

    def _read_by_decoder(self) -> set[str]:
        """The levels of the backbone that the decoder reads."""
        if self.task_config.model.decoder.type == "aspp":
            return {str(self.task_config.model.decoder.aspp.level)}
        return set(self.model.decoder.input)

    def _low_levels(self) -> set[str]:
        """The levels of the backbone that the head reads beside what the decoder makes of them."""
        head = self.task_config.model.head
        return {str(head.low_level)} if head.feature_fusion else set()

    def _read_by_head(self) -> set[str]:
        """The level of the decoder that the head reads."""
        return {str(self.task_config.model.head.level)}

    def finish(self, record: dict, stage: int) -> dict:
        """As `PictureNetwork.finish`: logits at the size of the input, the background's first."""
        return {"logits": self._logits(self.run(record, stage))}

    def _logits(self, state: dict):
        logits = tf.image.resize(state["scores"], state["size"][0])
        if np.array_equal(self._columns, np.arange(1, logits.shape[-1])):
            return logits
        others = tf.reduce_logsumexp(tf.gather(logits, self._others, axis=-1), axis=-1, keepdims=True)
        return tf.concat([tf.maximum(others, _NEVER), tf.gather(logits, self._columns, axis=-1)], axis=-1)

    # Training

    def losses(self, state: dict) -> dict:
        """As `Network.losses`: those of the options, or Model Garden's, without its penalty on the weights."""
        truth, options = state[f"{TRUTH}semantic"], self.options
        if not len(self._others):
            truth = tf.where(truth == 0, tf.cast(IGNORED, truth.dtype), truth)
        if options.loss:
            weights = options.class_weights or None
            return segmentation_losses(self._logits(state), truth, options.loss, weights)
        labels = tf.gather(self._columns_of_values(), tf.cast(truth, tf.int32))[..., None]
        outputs = {"logits": state["scores"]}
        return {"cross_entropy_loss": self.garden_task.build_losses(labels={"masks": labels}, model_outputs=outputs)}

    def _columns_of_values(self) -> np.ndarray:
        """int32 [256]: the column of each value of a class map."""
        columns = np.full(256, IGNORED, np.int32)
        columns[: 1 + len(self._columns)] = [self._others[0] if len(self._others) else IGNORED, *self._columns]
        return columns

    def _weights_of_columns(self) -> list[float]:
        background, *weights = self.options.class_weights
        columns = np.full(self.description.columns, background)
        columns[self._columns] = weights
        return columns.tolist()


_ONE_CLASS = ("a pixel has one class", "Leave it out.")
_DROPOUT = ("it is not repeatable", "Leave it out; set model.dropout of the pipeline, which does the same.")


def _told(function: Callable):
    """A function of maps as a layer, which tells the layers inside of it whether they are trained.

    Model Garden's decoders and heads do not pass that on themselves.
    """

    class Told(upstream.module("tf_keras").layers.Layer):
        def call(self, *inputs, training=None):
            return function(*inputs)

    return Told()


def _natural(path: str) -> list:
    """What paths are sorted by for layer 10 to come after layer 9."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path)]


def _usual(config) -> dict:
    """Options for what a model was made for."""
    size = config.validation_data.output_size
    tiles = {"tile": size} if size and max(size) > _LARGE else {}
    return {"max_side": max(size), **tiles} if size else {}


def _stride(options) -> int:
    """What the sides of images have to be multiples of, for maps to be as large as what they are added to."""
    levels = {"aspp": options.decoder.aspp.level, "fpn": options.max_level, "nasfpn": options.max_level}
    return 2 ** levels.get(options.decoder.type, options.head.level)


def _smallest(options) -> tuple[int, int]:
    """(height, width) of what is pooled, which images have to have."""
    pooled = options.decoder.aspp.pool_kernel_size if options.decoder.type == "aspp" else None
    return tuple(pooled or (1, 1))
