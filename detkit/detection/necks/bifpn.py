"""BiFPN: top-down and bottom-up passes over a pyramid, several times, each node a weighted sum of its inputs.

Source: Tan et al., "EfficientDet", 2020; `KerasBiFpnFeatureMaps` of the OD API.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from detkit.detection.layers import ACTIVATIONS, ConvNorm, Hyperparameters
from detkit.detection.necks.fpn import doubled

EPSILON = 1e-4


class WeightedSum(keras.layers.Layer):
    """A sum of maps [B, h, w, C] with trained weights, made positive and divided by their sum."""

    def __init__(self, count: int):
        super().__init__()
        self.bifpn_combine_weights = self.add_weight(name="bifpn_combine_weights", shape=(count, 1), initializer="ones")
        self.built = True

    def initial(self, name: str, rng: np.random.Generator) -> np.ndarray:
        """The initial value of the weights: all the same."""
        return np.ones(self.bifpn_combine_weights.shape, np.float32)

    def call(self, maps: list):
        weights = tf.nn.relu(tf.convert_to_tensor(self.bifpn_combine_weights))
        weights = tf.unstack((weights / (tf.reduce_sum(weights) + EPSILON))[:, 0])
        return tf.add_n([weight * x for weight, x in zip(weights, maps, strict=True)])


@dataclass(frozen=True)
class Node:
    """A map that the neck computes.

    Attributes:
        level: of the pyramid.
        inputs: indices of the maps it reads: first the backbone's, from fine to coarse, then the earlier nodes'.
        laterals: for each input the convolution that brings it to the neck's depth, or None.
        combine: maps -> their sum, and `smooth` the convolution after it; None for the coarse levels that are
            nothing but a smaller copy of their one input.
    """

    level: int
    inputs: list[int]
    laterals: list[ConvNorm | None]
    combine: WeightedSum | None
    smooth: ConvNorm | None


class BiFPN:
    """Bidirectional feature pyramid over the backbone's maps.

    Args:
        channels: {level: channels} of the backbone's maps.
        depth: channels of every output level.
        pyramid: the typed `bifpn` message.
    """

    def __init__(self, channels: dict, depth: int, pyramid, hyper: Hyperparameters):
        self.depth, self.activation = depth, ACTIVATIONS[hyper.activation]
        self.bases, self.levels = tuple(sorted(channels)), tuple(range(min(channels), pyramid.max_level + 1))
        self.layout = []
        for level, inputs in _topology(self.bases, pyramid.max_level, pyramid.num_iterations):
            bases = [self.bases[i] if i < len(self.bases) else None for i in inputs]
            laterals = [base and ConvNorm(channels[base], depth, hyper=hyper, activation="NONE") for base in bases]
            several = len(inputs) > 1
            combine = WeightedSum(len(inputs)) if several and pyramid.combine_method == "fast_attention" else None
            smooth = ConvNorm(depth, depth, 3, kind="separable", hyper=hyper, activation="NONE",
                              regularized=("depthwise_kernel", "pointwise_kernel")) if several else None  # fmt: skip
            self.layout.append(Node(level, inputs, laterals, combine, smooth))

    def __call__(self, maps: dict) -> dict:
        """{level: [B, h, w, C]} -> {level: [B, h, w, depth]} for every level of the pyramid."""
        known = [(level, maps[level]) for level in self.bases]
        sizes = dict(maps)
        for node in self.layout:
            inputs = [self._input(node, i, known, sizes) for i in range(len(node.inputs))]
            known.append((node.level, self._output(node, inputs)))
            sizes.setdefault(node.level, known[-1][1])
        last = dict(known)
        return {level: last[level] for level in self.levels}

    def _input(self, node, i, known, sizes):
        """The i-th input of a node at the node's own level and depth."""
        level, x = known[node.inputs[i]]
        x = x if node.laterals[i] is None else node.laterals[i](x)
        if level < node.level:
            return tf.nn.max_pool2d(x, 3, 2, "SAME")
        return doubled(x, sizes[node.level]) if level > node.level else x

    def _output(self, node, inputs):
        if node.smooth is None:
            return inputs[0]
        x = tf.add_n(inputs) if node.combine is None else node.combine(inputs)
        return node.smooth(self.activation(x))

    def nodes(self) -> dict:
        """{checkpoint path: layer}."""
        prefix, nodes = "_feature_extractor/_bifpn_stage", {}
        for number, node in enumerate(self.layout):
            for i, lateral in enumerate(node.laterals):
                path = f"{prefix}/node_input_blocks/{number}/{i}/1"
                nodes |= {f"{path}/{j}": layer for j, layer in enumerate(lateral.layers if lateral else ())}
            if node.combine is not None:
                nodes[f"{prefix}/node_combine_op/{number}"] = node.combine
            # The first place in the list is the activation's.
            path = f"{prefix}/node_post_combine_block/{number}"
            nodes |= {f"{path}/{j}": layer for j, layer in enumerate(node.smooth.layers if node.smooth else (), 1)}
        return nodes


def _topology(bases: tuple, max_level: int, iterations: int) -> list[tuple[int, list[int]]]:
    """[(level, indices of the inputs)] of the nodes in the order of the OD API, which numbers them so."""
    nodes: list = []

    def add(level, *inputs) -> int:
        nodes.append((level, list(inputs)))
        return len(bases) + len(nodes) - 1

    up = {level: index for index, level in enumerate(bases)}
    for level in range(bases[-1] + 1, max_level + 1):
        up[level] = add(level, up[level - 1])
    for _ in range(iterations):
        last, down = up[max_level], {}
        for level in range(max_level - 1, bases[0] - 1, -1):
            last = down[level] = add(level, up[level], last)
        # The finest level has no node in the upward pass: the next iteration starts from its downward one.
        passed = {bases[0]: last}
        for level in range(bases[0] + 1, max_level + 1):
            beside = [down[level]] if level < max_level else []
            last = passed[level] = add(level, up[level], *beside, last)
        up = passed
    return nodes
