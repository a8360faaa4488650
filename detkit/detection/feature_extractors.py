"""The feature extractors of the SSD family: which backbone, which of its blocks are tapped, which neck reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from detkit.detection.backbones.common import Block, number_layers
from detkit.detection.backbones.efficientnet import efficientnet
from detkit.detection.backbones.mobilenet import mobilenet_v1, mobilenet_v2
from detkit.detection.backbones.resnet import resnet_v1
from detkit.detection.layers import Hyperparameters
from detkit.detection.necks.bifpn import BiFPN
from detkit.detection.necks.fpn import FPN
from detkit.detection.necks.ssd_maps import SSDMaps

# feature_extractor.type -> (backbone, {level: the block whose output is that level}).
PYRAMIDS = {
    "ssd_mobilenet_v1_fpn_keras": ("mobilenet_v1", {3: "conv_pw_5", 4: "conv_pw_11", 5: "conv_pw_13"}),
    "ssd_mobilenet_v2_fpn_keras": ("mobilenet_v2", {3: "block_5", 4: "block_12", 5: "out"}),
    "ssd_resnet50_v1_fpn_keras": ("resnet50", {3: "conv3_block4", 4: "conv4_block6", 5: "conv5_block3"}),
    "ssd_resnet101_v1_fpn_keras": ("resnet101", {3: "conv3_block4", 4: "conv4_block23", 5: "conv5_block3"}),
    "ssd_resnet152_v1_fpn_keras": ("resnet152", {3: "conv3_block8", 4: "conv4_block36", 5: "conv5_block3"}),
}
CHAINS = {"ssd_mobilenet_v2_keras": ("mobilenet_v2", {0: "block_13_expand", 1: "out"})}
# The same blocks in every version, although in the larger ones they are not the last of their stacks.
_EFFICIENTNET_LEVELS = {
    1: "stack_0/block_0", 2: "stack_1/block_1", 3: "stack_2/block_1", 4: "stack_4/block_2", 5: "stack_6/block_0"
}  # fmt: skip
EFFICIENTDETS = {
    f"ssd_efficientnet-b{version}_bifpn_keras": (f"efficientnet-b{version}", _EFFICIENTNET_LEVELS)
    for version in range(8)
}
TYPES = PYRAMIDS | CHAINS | EFFICIENTDETS

IMAGENET_MEAN = (123.68, 116.779, 103.939)
# Of pixels in 0..1.
EFFICIENTNET_MEAN, EFFICIENTNET_STDDEV = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Backbone:
    """A backbone as a detector uses it.

    Attributes:
        blocks: in the order of the data, to the last tapped one.
        unused: the blocks after them, which only a checkpoint knows.
        taps: {level: block}.
        nodes: {checkpoint path: layer}.
        normalize: x [..., 3] of 0..255, RGB -> what the first block expects.
    """

    blocks: list[Block]
    unused: list[Block]
    taps: dict[int, Block]
    nodes: dict
    normalize: Callable

    @property
    def layers(self) -> list:
        """Of all blocks."""
        return [layer for block in (*self.blocks, *self.unused) for layer in block.layers]

    @property
    def channels(self) -> dict:
        """{level: channels}."""
        return {level: block.filters for level, block in self.taps.items()}


def backbone(extractor) -> Backbone:
    """The backbone that a typed `feature_extractor` message describes."""
    name, levels = TYPES[extractor.type]
    pyramid = extractor.fpn or extractor.bifpn
    lowest = pyramid.min_level if pyramid else 0
    blocks = _blocks(name, extractor)
    named = {block.name: block for block in blocks}
    taps = {level: named[block] for level, block in levels.items() if level >= lowest}
    used = 1 + max(blocks.index(block) for block in taps.values())
    prefix = "_feature_extractor/classification_backbone"
    nodes = number_layers(blocks, prefix)
    if extractor.type in EFFICIENTDETS:
        # The part that runs has a name of its own, under which checkpoints file it.
        nodes = number_layers(blocks[:used], "_feature_extractor/_efficientnet") | nodes
    return Backbone(blocks[:used], blocks[used:], taps, nodes, _normalization(name))


def _blocks(name: str, extractor) -> list[Block]:
    overriding = extractor.override_base_feature_extractor_hyperparams
    hyper = Hyperparameters.from_config(extractor.conv_hyperparams)
    if name.startswith("efficientnet"):
        return efficientnet(int(name[-1]), *([hyper.l2] if overriding else []))
    if name.startswith("resnet"):
        # What the OD API's resnet_v1 takes where the config does not override.
        own = Hyperparameters("RELU", l2=5e-5, epsilon=1e-5, momentum=0.999)
        return resnet_v1(int(name[6:]), hyper if overriding else own)
    own = Hyperparameters("RELU_6", epsilon=1e-3, momentum=0.999)
    build = {"mobilenet_v1": mobilenet_v1, "mobilenet_v2": mobilenet_v2}[name]
    return build(hyper if overriding else own, extractor.depth_multiplier, extractor.min_depth)


def _normalization(name: str) -> Callable:
    if name.startswith("efficientnet"):
        return lambda x: (x / 255.0 - tf.constant(EFFICIENTNET_MEAN)) / tf.constant(EFFICIENTNET_STDDEV)
    if name.startswith("resnet"):
        return lambda x: x - tf.constant(IMAGENET_MEAN)
    return lambda x: x * (2.0 / 255.0) - 1.0


def neck(extractor, channels: dict) -> FPN | BiFPN | SSDMaps:
    """The neck over the backbone's maps.

    Args:
        extractor: the typed `feature_extractor` message.
        channels: {level: channels} of the backbone's maps.
    """
    hyper = Hyperparameters.from_config(extractor.conv_hyperparams)
    if extractor.type in CHAINS:
        return SSDMaps(channels, hyper, extractor.depth_multiplier, extractor.min_depth, extractor.use_depthwise)
    if extractor.type in PYRAMIDS:
        pyramid = extractor.fpn
        return FPN(channels, pyramid.additional_layer_depth, pyramid.max_level, extractor.use_depthwise, hyper)
    return BiFPN(channels, max(extractor.bifpn.num_filters, extractor.min_depth), extractor.bifpn, hyper)
