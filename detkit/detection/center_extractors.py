"""The feature extractors of CenterNet: a backbone and the neck that brings it back to a quarter of the input's size."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from detkit.detection.backbones.common import Block, number_layers
from detkit.detection.backbones.hourglass import HOURGLASS_104, Hourglass
from detkit.detection.backbones.keras_resnet import keras_resnet_v1, keras_resnet_v2
from detkit.detection.backbones.mobilenet import mobilenet_v2
from detkit.detection.layers import Hyperparameters
from detkit.detection.necks.upsampling import Deconvolution, TopDown
from detkit.networks.network import Stage

# As the OD API's mobilenet_v2 is where no config says otherwise.
MOBILENET = Hyperparameters("RELU_6", initializer=("truncated_normal", 0.0, 0.09), epsilon=1e-3, momentum=0.999)
_MOBILENET = ("mobilenet_v2", ("out", "block_9", "block_5", "block_2"), (64, 32, 24))
_RESNET = ("conv5_block3", "conv4_block6", "conv3_block4", "conv2_block3")
# feature_extractor.type -> (backbone, the blocks that the neck reads, coarsest first, widths of a top-down neck).
CHAINS = {
    "resnet_v1_50_fpn": ("resnet_v1_50", _RESNET, (256, 128, 64)),
    "resnet_v1_101_fpn": ("resnet_v1_101", ("conv5_block3", "conv4_block23", *_RESNET[2:]), (256, 128, 64)),
    "resnet_v2_50": ("resnet_v2_50", _RESNET[:1], None),
    "mobilenet_v2_fpn": _MOBILENET,
    "mobilenet_v2_fpn_sep_conv": _MOBILENET,
}
HOURGLASSES = {"hourglass_104": HOURGLASS_104}
TYPES = CHAINS | HOURGLASSES
CAFFE_MEAN = (103.939, 116.779, 123.68)  # blue, green, red


@dataclass(frozen=True)
class Extractor:
    """Backbone and neck.

    Attributes:
        stages: from "x" to a map for each stack, "map/STACK".
        backbone, neck: their layers.
        nodes: {checkpoint path: layer}.
        filters: channels of the maps; stacks: how many there are.
    """

    stages: list[Stage]
    backbone: list
    neck: list
    nodes: dict
    filters: int
    stacks: int


def divisor(kind: str) -> int:
    """What both sides of the input must be multiples of, for a `feature_extractor.type`."""
    return 2 * 2 ** len(HOURGLASSES[kind].widths) if kind in HOURGLASSES else 32


def extractor(config) -> Extractor:
    """The feature extractor that a typed pipeline config describes.

    The neck of an Hourglass is the convolution after the last of its stacks: all before it also makes the maps of the
    other stacks.
    """
    kind = config.model.center_net.feature_extractor.type
    if kind in HOURGLASSES:
        return _hourglass(Hourglass(HOURGLASSES[kind]))
    name, taps, widths = CHAINS[kind]
    blocks = _blocks(name)
    filters = {block.name: block.filters for block in blocks}
    channels = [filters[tap] for tap in taps]
    neck = TopDown(channels, widths, _separable(config)) if widths else Deconvolution(channels[0])
    stages = [Stage(f"backbone/{b.name}", tuple(b.layers), _backbone_stage(b, taps)) for b in blocks]
    stages.append(Stage("neck", tuple(neck.layers), lambda state: {"map/0": neck([state[f"tap/{t}"] for t in taps])}))
    # The first layer of that model is the backbone as a whole.
    nodes = {f"_feature_extractor/_feature_extractor_model/layer_with_weights-{number}": layer
             for number, layer in enumerate(neck.layers, start=1)}  # fmt: skip
    nodes = number_layers(blocks, "_feature_extractor/_base_model") | nodes
    backbone = [layer for block in blocks for layer in block.layers]
    return Extractor(stages, backbone, neck.layers, nodes, neck.filters, 1)


def _blocks(name: str) -> list[Block]:
    if name == "mobilenet_v2":
        return mobilenet_v2(MOBILENET, 1.0, 8)
    build = keras_resnet_v1 if name.startswith("resnet_v1") else keras_resnet_v2
    return build(int(name.rsplit("_", 1)[1]))


def _backbone_stage(block: Block, taps):
    """state -> state for one block: moves "x" on, and keeps it under "tap/BLOCK" where the neck reads it."""

    def run(state):
        x = block.run(state["x"])
        rest = {name: value for name, value in state.items() if name != "x"}
        # After the first of the taps, the coarsest, nothing reads the plain chain.
        kept = {} if block.name == taps[0] else {"x": x}
        return rest | kept | ({f"tap/{block.name}": x} if block.name in taps else {})

    return run


def _separable(config) -> bool:
    """Whether the neck's 3x3 convolutions are separable.

    The OD API looks at the name of the feature extractor only where the config has the field, whatever its value: the
    zoo's MobileNetV2 is called "sep_conv" and, without the field, has dense ones.
    """
    extractor = config.model.center_net.feature_extractor
    given = config.raw.find("model.center_net.feature_extractor.use_separable_conv") is not None
    return given and (extractor.use_separable_conv or extractor.type.endswith("sep_conv"))


def _hourglass(network: Hourglass) -> Extractor:
    last, output = len(network.stacks) - 1, network.outputs[-1]
    stages = [
        Stage(f"backbone/{name}", tuple(layer for block in blocks for layer in block.layers), run)
        for name, blocks, run in network.steps()
    ]
    backbone = [layer for stage in stages for layer in stage.layers]

    def neck(state):
        rest = {name: value for name, value in state.items() if name.startswith("map/")}
        return rest | {f"map/{last}": output(state["x"])}

    stages.append(Stage("neck", tuple(output.layers), neck))
    nodes = network.nodes("_feature_extractor/_network")
    return Extractor(stages, backbone, output.layers, nodes, output.filters, last + 1)


def normalize(message, x):
    """x [..., 3] of 0..255, RGB -> what the backbone expects: what the config says, then what it was trained with.

    Args:
        message: the typed `feature_extractor` message.
    """
    if message.bgr_ordering:
        x = x[..., ::-1]
    x = (x - tf.constant(message.channel_means or (0.0,))) / tf.constant(message.channel_stds or (1.0,))
    if message.type.startswith("resnet_v1"):
        return x[..., ::-1] - tf.constant(CAFFE_MEAN)
    return x if message.type in HOURGLASSES else x / 127.5 - 1.0
