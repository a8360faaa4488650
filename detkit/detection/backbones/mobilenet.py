"""MobileNet v1 and v2 as the OD API runs them: every convolution is SAME, nothing is padded by hand.

Sources: Howard et al., "MobileNets", 2017; Sandler et al., "MobileNetV2", 2018; keys as in
`object_detection/models/keras_models/mobilenet_v{1,2}.py`.
"""

from __future__ import annotations

from detkit.detection.backbones.common import Block, chain, round_to_eight
from detkit.detection.layers import ConvNorm, Hyperparameters

# (output channels, stride) of the thirteen depthwise separable blocks.
V1_BLOCKS = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)] + [(512, 1)] * 5 + [(1024, 2), (1024, 1)]
# (expansion, output channels, repeats, stride of the first) of the inverted residual stages.
V2_STAGES = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


def mobilenet_v1(hyper: Hyperparameters, multiplier: float = 1.0, min_depth: int = 16) -> list[Block]:
    """The blocks of MobileNet v1: `conv1`, then `conv_pw_1` to `conv_pw_13`."""

    def depth(channels):
        return max(int(channels * multiplier), min_depth)

    stem = ConvNorm(3, depth(32), 3, 2, hyper=hyper)
    blocks, channels = [Block("conv1", [stem], stem)], stem.filters
    for number, (filters, stride) in enumerate(V1_BLOCKS, start=1):
        spatial = ConvNorm(channels, None, 3, stride, kind="depthwise", hyper=hyper, regularized=("depthwise_kernel",))
        mix = ConvNorm(channels, depth(filters), hyper=hyper)
        blocks.append(Block(f"conv_pw_{number}", [spatial, mix], chain(spatial, mix)))
        channels = mix.filters
    return blocks


def mobilenet_v2(hyper: Hyperparameters, multiplier: float = 1.0, min_depth: int = 16) -> list[Block]:
    """The blocks of MobileNet v2: `Conv1`, `expanded_conv`, `block_1` to `block_16`, `out`.

    `block_13_expand` is a block of its own, since SSD without a pyramid reads the map inside that block.
    """

    def depth(channels):
        return max(round_to_eight(channels * multiplier), min_depth)

    stem = ConvNorm(3, depth(32), 3, 2, hyper=hyper)
    blocks, channels, number = [Block("Conv1", [stem], stem)], stem.filters, 0
    for expansion, filters, repeats, first_stride in V2_STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            blocks += _inverted_residual(number, channels, depth(filters), expansion, stride, hyper)
            channels, number = depth(filters), number + 1
    top = ConvNorm(channels, max(1280, round_to_eight(1280 * multiplier)), hyper=hyper)
    return blocks + [Block("out", [top], top)]


def faster_rcnn_mobilenet_v2() -> tuple[list[Block], list[Block]]:
    """The blocks up to the map that proposals are cut from (32 channels, stride 8), and those for each crop.

    The latter halve the crop's sides and end in 576 channels; the rest of MobileNet v2 is left out.
    """
    blocks = mobilenet_v2(Hyperparameters("RELU_6", epsilon=1e-3, momentum=0.999))
    names = [block.name for block in blocks]
    middle, end = names.index("block_6"), names.index("block_13")
    return blocks[:middle], blocks[middle:end]


def _inverted_residual(number, channels, filters, expansion, stride, hyper) -> list[Block]:
    name = f"block_{number}" if number else "expanded_conv"
    inner = channels * expansion
    expand = [ConvNorm(channels, inner, hyper=hyper)] if expansion > 1 else []
    spatial = ConvNorm(inner, None, 3, stride, kind="depthwise", hyper=hyper, regularized=("depthwise_kernel",))
    project = ConvNorm(inner, filters, hyper=hyper, activation="NONE")
    if number == 13:
        rest = Block(name, [spatial, project], chain(spatial, project))
        return [Block(f"{name}_expand", expand, expand[0]), rest]
    units = [*expand, spatial, project]
    run = chain(*units)
    residual = stride == 1 and channels == filters
    return [Block(name, units, (lambda x: x + run(x)) if residual else run)]
