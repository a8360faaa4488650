"""The box predictor whose convolutions all pyramid levels share, with a batch norm per level.

Source: Lin et al., "Focal loss for dense object detection", 2017; `WeightSharedConvolutionalBoxPredictor` of the
OD API (Keras).
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from detkit.detection.layers import Conv, Hyperparameters, Norm

BOX, CLASS = "box_encodings", "class_predictions_with_background"


class Tower:
    """Convolutions shared by all levels, each followed by the level's own norm."""

    def __init__(self, name, levels, channels, depth, count, size, separable, hyper):
        self.name, self.levels, self.hyper = name, levels, hyper
        bias = hyper.force_bias or not hyper.batch_norm
        kind, regularized = ("separable", ("depthwise_kernel",)) if separable else ("dense", ("kernel",))
        self.convs = [
            Conv(channels if i == 0 else depth, depth, size, kind=kind, bias=bias, hyper=hyper, regularized=regularized)
            for i in range(count)
        ]
        self.norms = {level: [Norm(depth, hyper) for _ in range(count)] for level in levels if hyper.batch_norm}

    def __call__(self, maps: dict) -> dict:
        """{level: [B, h, w, C]} -> {level: [B, h, w, depth]}."""
        return {level: self._level(level, x) for level, x in maps.items()}

    def _level(self, level, x):
        norms = self.norms.get(level, [None] * len(self.convs))
        for conv, norm in zip(self.convs, norms, strict=True):
            x = conv(x, norm=norm, activation=self.hyper.activation)
        return x

    def nodes(self, head: str) -> dict:
        """{checkpoint path: layer}; a convolution is reached from every level and from its tower's own list."""
        step = 3 if self.hyper.batch_norm else 2
        nodes = {f"_box_predictor/_head_scope_conv_layers/{self.name}/{i}": conv for i, conv in enumerate(self.convs)}
        for index, level in enumerate(self.levels):
            prefix = f"_box_predictor/_base_tower_layers_for_heads/{head}/{index}"
            nodes |= {f"{prefix}/{step * i}": conv for i, conv in enumerate(self.convs)}
            nodes |= {f"{prefix}/{step * i + 1}": norm for i, norm in enumerate(self.norms.get(level, []))}
        return nodes

    @property
    def layers(self) -> list:
        return [*self.convs, *(norm for norms in self.norms.values() for norm in norms)]


class WeightSharedHead:
    """Towers and the two final convolutions.

    Args:
        predictor: the typed `weight_shared_convolutional_box_predictor` message.
        levels: the pyramid's levels.
        channels: of the pyramid's maps.
        anchors: per location.
        columns: class columns per anchor, the background's included where there is one.
    """

    def __init__(self, predictor, levels: tuple, channels: int, anchors: int, columns: int):
        hyper = Hyperparameters.from_config(predictor.conv_hyperparams)
        shape = (levels, channels, predictor.depth, predictor.num_layers_before_predictor, predictor.kernel_size)
        self.levels, self.anchors, self.columns, self.size = levels, anchors, columns, predictor.kernel_size
        if predictor.share_prediction_tower:
            self.towers = {BOX: Tower("PredictionTower", *shape, predictor.use_depthwise, hyper)}
        else:
            self.towers = {
                BOX: Tower("BoxPredictionTower", *shape, predictor.use_depthwise, hyper),
                CLASS: Tower("ClassPredictionTower", *shape, predictor.use_depthwise, hyper),
            }
        inputs = predictor.depth if predictor.num_layers_before_predictor else channels
        kind = "separable" if predictor.use_depthwise else "dense"
        options = {"size": predictor.kernel_size, "kind": kind, "bias": True, "hyper": hyper}
        self.box = Conv(inputs, anchors * 4, **options)
        self.cls = Conv(inputs, anchors * columns, **options)
        self.cls.bias_prior = predictor.class_prediction_bias_init

    def run_towers(self, maps: dict) -> dict:
        """{level: [B, h, w, C]} -> {"box/LEVEL", "class/LEVEL": [B, h, w, depth]}."""
        box = self.towers[BOX](maps)
        cls = self.towers[CLASS](maps) if CLASS in self.towers else box
        return {f"box/{level}": x for level, x in box.items()} | {f"class/{level}": x for level, x in cls.items()}

    def class_logits(self, features: dict):
        """The tower features -> [B, A, columns]."""
        return _flatten([self.cls(features[f"class/{level}"]) for level in self.levels], self.columns)

    def box_encodings(self, features: dict):
        """The tower features -> [B, A, 4]."""
        return _flatten([self.box(features[f"box/{level}"]) for level in self.levels], 4)

    def patches(self, features: dict, branch: str, image, anchor):
        """What a final convolution sees at some anchors.

        Args:
            features: the tower features.
            branch: "box" or "class".
            image, anchor: int [M], the image of the batch and the index of the anchor.

        Returns:
            [M, size * size * depth]: the zero-padded neighbourhood of each anchor's cell, row by row.
        """
        patches, first = 0.0, 0
        image, anchor = tf.cast(image, tf.int32), tf.cast(anchor, tf.int32)
        for level in self.levels:
            x = features[f"{branch}/{level}"]
            shape = tf.shape(x)
            cells = shape[1] * shape[2]
            cell = (anchor - first) // self.anchors
            here = (anchor >= first) & (cell < cells)
            cell = tf.where(here, cell, 0)
            patch = _neighbourhood(x, image, cell // shape[2], cell % shape[2], self.size)
            patches += tf.where(here[:, None], patch, 0.0)
            first += cells * self.anchors
        return patches

    def box_encodings_at(self, patches, anchor):
        """The box head at some anchors only.

        Args:
            patches: [M, size * size * depth], of the branch "box".
            anchor: int [M], the index of each anchor.

        Returns:
            [M, 4], equal to the rows of `box_encodings`.
        """
        features, kernel = _linear(self.box, patches)
        outputs = tf.reshape(features @ kernel + self.box.bias, [-1, self.anchors, 4])
        return tf.gather(outputs, tf.cast(anchor, tf.int32) % self.anchors, batch_dims=1)

    def class_features(self, features: dict, image, anchor):
        """[M, F]: what the last linear map of the class head sees at some anchors."""
        return _linear(self.cls, self.patches(features, "class", image, anchor))[0]

    def set_class_weights(self, column: int, weights, bias: float) -> None:
        """Gives a class column, at every anchor shape, these weights [F] and this bias."""
        kernel = self.cls.kernel if self.cls.kind == "dense" else self.cls.pointwise_kernel
        values, biases = kernel.numpy(), self.cls.bias.numpy()
        values.reshape(-1, self.anchors, self.columns)[:, :, column] = np.asarray(weights)[:, None]
        biases.reshape(self.anchors, self.columns)[:, column] = bias
        kernel.assign(values)
        self.cls.bias.assign(biases)

    def parts(self) -> dict:
        """{part of the head: layers}."""
        towers = [layer for tower in self.towers.values() for layer in tower.layers]
        return {"towers": towers, "box_head": [self.box], "class_head": [self.cls]}

    def nodes(self) -> dict:
        """{checkpoint path: layer}."""
        nodes = {}
        for head, tower in self.towers.items():
            nodes |= tower.nodes(head)
        nodes["_box_predictor/_box_prediction_head/_box_encoder_layers/0"] = self.box
        nodes[f"_box_predictor/_prediction_heads/{CLASS}/_class_predictor_layers/0"] = self.cls
        return nodes


def _flatten(maps: list, width: int):
    """Level maps [B, h, w, anchors * width] -> [B, A, width], level by level, row by row."""
    return tf.concat([tf.reshape(x, [tf.shape(x)[0], -1, width]) for x in maps], axis=1)


def _linear(conv: Conv, patches) -> tuple:
    """(features [M, F], kernel [F, filters]) whose product is the convolution, without bias, at M patches."""
    if conv.kind == "dense":
        return patches, tf.reshape(conv.kernel, [-1, conv.filters])
    depthwise = tf.convert_to_tensor(conv.depthwise_kernel)[..., 0]
    depthwise = tf.reshape(depthwise, [1, -1, depthwise.shape[-1]])
    taps = tf.reshape(patches, [-1, *depthwise.shape[1:]])
    # [M, taps, C] * [1, taps, C] -> [M, C]
    return tf.reduce_sum(taps * depthwise, axis=1), tf.convert_to_tensor(conv.pointwise_kernel)[0, 0]


def _neighbourhood(x, image, row, column, size):
    """The size x size neighbourhood of each (image, row, column) in x [B, h, w, C] -> [M, size * size * C]."""
    half = size // 2
    padded = tf.pad(x, [[0, 0], [half, half], [half, half], [0, 0]])
    taps = [
        tf.gather_nd(padded, tf.stack([image, row + dy, column + dx], axis=1))
        for dy in range(size)
        for dx in range(size)
    ]
    return tf.concat(taps, axis=1)
