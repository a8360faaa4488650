"""The training of Model Garden's YOLO detectors: targets and losses."""

from __future__ import annotations

import tensorflow as tf

from detkit.garden import upstream
from detkit.garden.levels import levels_of, named
from detkit.garden.yolo import Yolo
from detkit.networks.network import TRUTH, Stage, truth_of

# What no object is: too small to overlap anything, and not there.
NOTHING = (0.0, 0.0, -20.0, -20.0, -20.0)
LABELS = ("inds", "upds", "true_conf")
LOSS = "detection_loss"


class YoloV7(Yolo):
    """A YOLOv7; its raw outputs are "raw/LEVEL" [B, h, w, anchors, 5 + classes]."""

    def __init__(self, description, garden_task, model):
        super().__init__(description, garden_task, model)
        self._loss_of = _graph(garden_task.build_losses)
        height, width = self.input_size
        self._side = max(height, width)
        # It counts the objectness of all cells of the square, of which those outside of the input say nothing.
        garden_task._loss_fn._obj_weight *= self._side**2 / (height * width)

    def _parts(self):
        return super()._parts() | {
            "head/towers": ("head/_implicit_adds",),
            "head/class_head": ("head/_convs", "head/_implicit_muls"),
        }

    def _head_stages(self) -> list[Stage]:
        """The two halves of `YoloV7DetectionHead.call`."""
        head, levels = self.model.head, range(self.task_config.model.min_level, self.task_config.model.max_level + 1)

        def towers(state):
            return {f"map/{level}": head._implicit_adds[i] + state[f"map/{level}"] for i, level in enumerate(levels)}

        def final(state):
            return {f"raw/{level}": self._last(i, state[f"map/{level}"]) for i, level in enumerate(levels)}

        return [
            Stage("head/towers", tuple(self.parts["head/towers"]), towers),
            Stage("head/final", tuple(self.parts["head/class_head"]), final),
        ]

    def _last(self, i: int, x):
        head = self.model.head
        x = head._implicit_muls[i] * head._convs[i](x)
        return tf.reshape(x, [-1, *x.shape[1:3], head._num_anchors, x.shape[-1] // head._num_anchors])

    def losses(self, state):
        """As `Network.losses`; source: `YoloV7LossOTA`, or `YoloV7Loss` if the configuration says so."""
        truth, (height, width) = truth_of(state), self.input_size
        columns = tf.gather(tf.constant(self.columns_of_classes), truth["class_ids"])
        labels = {
            "bbox": truth["boxes"] * tf.constant([height, width] * 2, tf.float32) / self._side,
            "classes": tf.where(truth["weights"] > 0, columns, -1),
            "image_info": tf.fill([tf.shape(columns)[0], 4, 2], float(self._side)),
        }
        raw = {level: _square(x) for level, x in levels_of(state, "raw").items()}
        return {LOSS: tf.reduce_sum(self._loss_of(raw, labels))}


def _square(x):
    """A raw output [B, h, w, anchors, columns] with cells below or to the right of it where nothing is.

    Model Garden's loss takes the height of the maps for their width in places.
    """
    height, width, anchors, columns = x.shape[1:]
    side = max(height, width)
    if height == width:
        return x
    nothing = tf.constant([*NOTHING, *[0.0] * (columns - len(NOTHING))])
    rest = [side - height, side] if height < side else [side, side - width]
    padding = tf.broadcast_to(nothing, [tf.shape(x)[0], *rest, anchors, columns])
    return tf.concat([x, padding], axis=1 if height < side else 2)


class YoloV4(Yolo):
    """A YOLOv4; its raw outputs are "raw/LEVEL" [B, h, w, anchors * (5 + classes)]."""

    def __init__(self, description, garden_task, model):
        super().__init__(description, garden_task, model)
        self._labeler = self._new_labeler()
        self._labels_of = _graph(self._labeler.__call__)
        self._most = self.task_config.train_data.parser.max_num_instances
        for layer in model.submodules:
            if type(layer).__name__ == "ConvBN" and layer._activation == "mish":
                layer._activation_fn = _mish

    def _new_labeler(self):
        """As `YoloTask.build_inputs` makes it."""
        options, parser = self.task_config.model, self.task_config.train_data.parser
        levels, generator = options.backbone.get(), options.detection_generator
        anchors, limits = options.anchor_boxes.get(levels.min_level, levels.max_level)
        return upstream.module("projects.yolo.ops.anchor").YoloAnchorLabeler(
            anchors=anchors,
            anchor_free_level_limits=limits,
            level_strides=generator.path_scales.get(),
            center_radius=generator.scale_xy.get(),
            max_num_instances=parser.max_num_instances,
            match_threshold=parser.anchor_thresh,
            best_matches_only=parser.best_match_only,
            use_tie_breaker=parser.use_tie_breaker,
            darknet=options.darknet_based_model,
        )

    def targets(self, truth: dict) -> dict:
        """What the outputs should be, by Model Garden's own labeler.

        Args:
            truth: "boxes" [B, M, 4] relative to the padded input, "class_ids" [B, M], "weights" [B, M].

        Returns:
            Of every level "inds/LEVEL" int32 [B, N, 3], the cells and anchors that answer for an object; "upds/LEVEL"
            [B, N, 6], what they should say; "true_conf/LEVEL" [B, h, w, anchors, 1], how many objects; and "bbox"
            [B, P, 4] with "classes" [B, P], -1 for padding, where P is the parser's `max_num_instances`.
        """
        columns = tf.gather(tf.constant(self.columns_of_classes), truth["class_ids"])
        images = (truth["boxes"], columns, truth["weights"])
        return tf.map_fn(self._targets_of_image, images, fn_output_signature=self._signature())

    def _targets_of_image(self, image) -> dict:
        boxes, columns, weights = image
        counts = (weights > 0) & tf.reduce_all(boxes[:, 2:] > boxes[:, :2], axis=-1)
        boxes, columns = tf.boolean_mask(boxes, counts), tf.boolean_mask(columns, counts)
        height, width = self.input_size
        pad = upstream.module("projects.yolo.ops.preprocessing_ops").pad_max_instances
        made = {"bbox": pad(boxes, self._most), "classes": pad(tf.cast(columns, tf.float32), self._most, -1)}
        for name, levels in zip(LABELS, self._labels_of(boxes, columns, width, height), strict=True):
            made |= named(name, levels)
        return made

    def _signature(self) -> dict:
        """The shapes and types of an image's targets."""
        shapes = {"bbox": [self._most, 4], "classes": [self._most]}
        for level, anchors in self._labeler.anchors.items():
            cells = [side // self._labeler.level_strides[level] for side in self.input_size]
            count = int(self._labeler.num_instances[level])
            shapes |= {f"inds/{level}": [count, 3], f"upds/{level}": [count, 6]}
            shapes[f"true_conf/{level}"] = [*cells, len(anchors), 1]
        return {
            name: tf.TensorSpec(shape, tf.int32 if name.startswith("inds") else tf.float32)
            for name, shape in shapes.items()
        }

    def record(self, state, stage):
        """As `Network.record`: with the targets instead of the truth that they were made of."""
        if f"{TRUTH}bbox" in state:
            return state
        made = {f"{TRUTH}{name}": value for name, value in self.targets(truth_of(state)).items()}
        return {name: value for name, value in state.items() if not name.startswith(TRUTH)} | made

    def losses(self, state):
        """As `Network.losses`; source: `DarknetLoss` and `ScaledLoss`."""
        truth = truth_of(state)
        targets = truth if "bbox" in truth else self.targets(truth)
        objects = {name: targets[name] for name in ("bbox", "classes")}
        labels = objects | {name: levels_of(targets, name) for name in LABELS}
        with upstream.replaced(upstream.module("projects.yolo.ops.loss_utils"), "build_grid", _grid):
            return {LOSS: self.garden_task.build_losses(levels_of(state, "raw"), labels)[0]}


def _grid(indices, values, outputs, counts, update=False):
    """As `loss_utils.build_grid`, which puts what does not count at -1, where only accelerators take it.

    Args:
        indices: [B, N, 3]; values: [B, N, K]; counts: [B, N, 1], 0 or 1.
        outputs: [B, h, w, anchors, K], for their shape.
        update: whether the last value of a place remains, instead of the greatest.
    """
    rows = tf.where(counts[..., 0] > 0)
    places = tf.concat([tf.cast(rows[:, :1], indices.dtype), tf.gather_nd(indices, rows)], axis=-1)
    values = upstream.module("projects.yolo.ops.math_ops").rm_nan_inf(tf.gather_nd(values, rows))
    scatter = tf.tensor_scatter_nd_update if update else tf.tensor_scatter_nd_max
    return scatter(tf.zeros_like(outputs), places, values)


def _mish(x):
    """As in `nn_blocks.ConvBN`, but for the check of the shape.

    Without it TensorFlow joins convolution, norm and activation, which on CPUs it can't run where maps are small.
    """
    x = tf.ensure_shape(x, x.shape)
    return x * tf.math.tanh(tf.math.softplus(x))


def _graph(function):
    """A function of Model Garden that decides by tensors in plain Python, in a graph."""
    return tf.function(function, autograph=True, reduce_retracing=True)
