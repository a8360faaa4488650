"""Inception-ResNet-v2 as Faster R-CNN runs it: every convolution and pooling is SAME, and the stride ends at 16.

The second half of it (from `mixed_7a` on) runs on each proposal. Source: Szegedy et al., "Inception-v4,
Inception-ResNet and the impact of residual connections on learning", 2016; keys as in
`object_detection/models/keras_models/inception_resnet_v2.py`.
"""

from __future__ import annotations

from dataclasses import replace

import tensorflow as tf

from detkit.detection.backbones.common import Block, chain
from detkit.detection.layers import ACTIVATIONS, ConvNorm, Hyperparameters

HYPER = Hyperparameters("RELU", initializer=("glorot", 0.0, 1.0), epsilon=1e-3, momentum=0.9997, scale=False)
# What closes a residual block has a bias instead of a norm.
CLOSING = replace(HYPER, batch_norm=False, activation="NONE")
# The branches of the residual blocks: (filters, kernel) of each convolution.
BLOCK35 = [[(32, 1)], [(32, 1), (32, 3)], [(32, 1), (48, 3), (64, 3)]]
BLOCK17 = [[(192, 1)], [(128, 1), (160, (1, 7)), (192, (7, 1))]]
BLOCK8 = [[(192, 1)], [(192, 1), (224, (1, 3)), (256, (3, 1))]]
# Those of the others; the third number is the stride.
MIXED_5B = [[(96, 1)], [(48, 1), (64, 5)], [(64, 1), (96, 3), (96, 3)]]
MIXED_6A = [[(384, 3, 2)], [(256, 1), (256, 3), (384, 3, 2)]]
MIXED_7A = [[(256, 1), (384, 3, 2)], [(256, 1), (288, 3, 2)], [(256, 1), (288, 3), (320, 3, 2)]]


def inception_resnet_v2() -> tuple[list[Block], list[Block]]:
    """The blocks up to the map that proposals are cut from (1088 channels, stride 16), and those for each crop.

    The latter halve the crop's sides and end in 1536 channels.
    """
    first = [*_stem(), _mixed_5b(192)]
    first += [_residual(f"block35_{i}", 320, BLOCK35, 0.17) for i in range(1, 11)]
    first.append(_reduction("mixed_6a", 320, MIXED_6A))
    first += [_residual(f"block17_{i}", 1088, BLOCK17, 0.1) for i in range(1, 21)]
    second = [_reduction("mixed_7a", 1088, MIXED_7A)]
    second += [_residual(f"block8_{i}", 2080, BLOCK8, 0.2) for i in range(1, 10)]
    second.append(_residual("block8_10", 2080, BLOCK8, 1.0, activation="NONE"))
    top = ConvNorm(2080, 1536, hyper=HYPER)
    return first, [*second, Block("conv_7b", [top], top)]


def _stem() -> list[Block]:
    """`stem_1`: [B, H, W, 3] -> [B, H/4, W/4, 64]; `stem_2`: -> [B, H/8, W/8, 192]."""
    one = _units(3, [(32, 3, 2), (32, 3), (64, 3)])
    two = _units(64, [(80, 1), (192, 3)])
    return [Block(f"stem_{i}", units, chain(*units, _max_pool)) for i, units in enumerate((one, two), start=1)]


def _units(channels, layout) -> list[ConvNorm]:
    """A chain of convolutions."""
    units = []
    for filters, *shape in layout:
        units.append(ConvNorm(channels, filters, *shape, hyper=HYPER))
        channels = filters
    return units


def _max_pool(x):
    return tf.nn.max_pool2d(x, 3, 2, "SAME")


def _mixed_5b(channels) -> Block:
    branches = [_units(channels, layout) for layout in MIXED_5B]
    pooled = _units(channels, [(64, 1)])
    runs = [*(chain(*units) for units in branches), chain(lambda x: tf.nn.avg_pool2d(x, 3, 1, "SAME"), *pooled)]
    return _joined("mixed_5b", [*branches, pooled], runs, 0)


def _reduction(name, channels, layouts) -> Block:
    branches = [_units(channels, layout) for layout in layouts]
    return _joined(name, branches, [*(chain(*units) for units in branches), _max_pool], channels)


def _joined(name, branches, runs, pooled: int) -> Block:
    """A block of branches side by side; `pooled` channels come from its pooling."""
    units = [unit for branch in branches for unit in branch]
    width = pooled + sum(branch[-1].filters for branch in branches)
    return Block(name, units, lambda x: tf.concat([run(x) for run in runs], -1), _depth_order(branches), width)


def _residual(name, channels, layouts, scale, activation="RELU") -> Block:
    branches = [_units(channels, layout) for layout in layouts]
    closing = ConvNorm(sum(branch[-1].filters for branch in branches), channels, hyper=CLOSING)
    runs = [chain(*units) for units in branches]
    function = ACTIVATIONS[activation] or tf.identity

    def run(x):
        return function(x + scale * closing(tf.concat([run(x) for run in runs], -1)))

    units = [*(unit for branch in branches for unit in branch), closing]
    return Block(name, units, run, [*_depth_order(branches), closing.conv])


def _depth_order(branches) -> list:
    """The layers of branches side by side as Keras numbers them: by their distance from the end, then by branch."""
    order = []
    for distance in range(max(map(len, branches)), 0, -1):
        units = [branch[-distance] for branch in branches if len(branch) >= distance]
        order += [unit.conv for unit in units] + [unit.norm for unit in units]
    return order
