"""ResNet v1 and v2 as `keras.applications` has them, which is how the OD API runs them under CenterNet.

Unlike the ResNet under SSD these pad by hand, and their convolutions have biases. Sources: He et al., "Deep residual
learning", 2015, and "Identity mappings in deep residual networks", 2016.
"""

from __future__ import annotations

from dataclasses import replace

import tensorflow as tf

from detkit.detection.backbones.common import Block
from detkit.detection.backbones.resnet import REPEATS, resnet_v1
from detkit.detection.layers import ConvNorm, Hyperparameters, Norm

HYPER = Hyperparameters("RELU", initializer=("glorot", 0.0, 1.0), epsilon=1.001e-5, momentum=0.99)


def keras_resnet_v1(depth: int) -> list[Block]:
    """The blocks of ResNet-50 or -101: `conv1`, then `conv2_block1` and so on."""
    stem, *rest = resnet_v1(depth, replace(HYPER, force_bias=True))
    return [Block(stem.name, stem.units, lambda x: _pool(stem.units[0](x))), *rest]


def keras_resnet_v2(depth: int) -> list[Block]:
    """The blocks of ResNet-50 v2, where the norm comes first; named as those of v1.

    The output is the bare sum of the last block: the norm that follows it in the classifier is filed with that block,
    since checkpoints hold it, but does not run.
    """
    stem = ConvNorm(3, 64, 7, 2, hyper=replace(HYPER, batch_norm=False), activation="NONE", padding=3)
    blocks, channels = [Block("conv1", [stem], lambda x: _pool(stem(x)))], 64
    for stage, repeats in enumerate(REPEATS[depth]):
        for repeat in range(repeats):
            stride = 2 if repeat == repeats - 1 and stage < 3 else 1
            name = f"conv{stage + 2}_block{repeat + 1}"
            blocks.append(_preactivated(name, channels, 64 * 2**stage, stride, repeat == 0))
            channels = 256 * 2**stage
    blocks[-1].order.append(Norm(channels, HYPER))
    return blocks


def _pool(x):
    """A 3x3 maximum of every second pixel, with a border of zeros, which can win over negative values."""
    return tf.nn.max_pool2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID")


def _preactivated(name, channels, width, stride, projects) -> Block:
    bare = replace(HYPER, batch_norm=False)
    first = Norm(channels, HYPER)
    reduce = ConvNorm(channels, width, hyper=HYPER)
    spatial = ConvNorm(width, width, 3, stride, hyper=HYPER, padding=1)
    expand = ConvNorm(width, 4 * width, hyper=bare, activation="NONE")
    shortcut = ConvNorm(channels, 4 * width, 1, stride, hyper=bare, activation="NONE") if projects else None

    def run(x):
        activated = tf.nn.relu(first.alone(x))
        rest = x[:, ::stride, ::stride] if shortcut is None else shortcut(activated)
        return rest + expand(spatial(reduce(activated)))

    units = [reduce, spatial, *([shortcut] if projects else []), expand]
    return Block(name, units, run, [first, *(layer for unit in units for layer in unit.layers)])
