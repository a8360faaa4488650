"""ResNet v1 as the OD API runs it under SSD and Faster R-CNN.

The stride of a stage sits in its first 1x1, convolutions have no bias, the pooling is SAME and only the stem is
padded by hand. Source: He et al., "Deep residual learning", 2015; keys as in
`object_detection/models/keras_models/resnet_v1.py`.
"""

from __future__ import annotations

import tensorflow as tf

from detkit.detection.backbones.common import Block
from detkit.detection.layers import ACTIVATIONS, ConvNorm, Hyperparameters

REPEATS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def resnet_v1(depth: int, hyper: Hyperparameters, last_stride: int = 2) -> list[Block]:
    """The blocks of ResNet-50, -101 or -152: `conv1`, then `conv2_block1` and so on.

    Args:
        last_stride: of `conv5_block1`.
    """
    stem = ConvNorm(3, 64, 7, 2, hyper=hyper, padding=3)
    blocks = [Block("conv1", [stem], lambda x: tf.nn.max_pool2d(stem(x), 3, 2, "SAME"))]
    channels = 64
    for stage, repeats in enumerate(REPEATS[depth]):
        for repeat in range(repeats):
            stride = (1, 2, 2, last_stride)[stage] if repeat == 0 else 1
            name = f"conv{stage + 2}_block{repeat + 1}"
            blocks.append(_bottleneck(name, channels, 64 * 2**stage, stride, repeat == 0, hyper))
            channels = 256 * 2**stage
    return blocks


def faster_rcnn_resnet(depth: int) -> tuple[list[Block], list[Block]]:
    """The blocks up to the map that proposals are cut from (1024 channels, stride 16), and those for each crop.

    The first of the latter strides over the crop; here it does not, so give it every second cell only.
    """
    hyper = Hyperparameters("RELU", epsilon=1e-5, momentum=0.997)
    blocks = resnet_v1(depth, hyper, last_stride=1)
    return blocks[:-3], blocks[-3:]


def _bottleneck(name, channels, width, stride, projects, hyper) -> Block:
    reduce = ConvNorm(channels, width, 1, stride, hyper=hyper)
    spatial = ConvNorm(width, width, 3, hyper=hyper)
    expand = ConvNorm(width, 4 * width, hyper=hyper, activation="NONE")
    shortcut = ConvNorm(channels, 4 * width, 1, stride, hyper=hyper, activation="NONE") if projects else None
    activation = ACTIVATIONS[hyper.activation]

    def run(x):
        return activation((x if shortcut is None else shortcut(x)) + expand(spatial(reduce(x))))

    if shortcut is None:
        return Block(name, [reduce, spatial, expand], run)
    # Graph depth order puts the shortcut's convolution and norm beside those of the last unit.
    order = [*reduce.layers, *spatial.layers, shortcut.conv, expand.conv, shortcut.norm, expand.norm]
    return Block(name, [reduce, spatial, shortcut, expand], run, order)
