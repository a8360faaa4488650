"""EfficientNet B0 to B7 as EfficientDet runs it: inverted residuals with squeeze and excitation, swish throughout.

The layers behind the last map that a detector reads (the rest of `stack_6`, the top convolution, the ImageNet
classifier) are in every checkpoint, so they are built here too, though nothing runs them. Drop-connect is left out of
training: it would make the outputs of a frozen backbone differ from step to step.

Sources: Tan and Le, "EfficientNet", 2019; Hu et al., "Squeeze-and-excitation networks", 2018; names as in
`efficientnet_model.py` of the TensorFlow Model Garden, which the OD API takes its backbone from.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import tensorflow as tf

from detkit.detection.backbones.common import Block, round_to_eight
from detkit.detection.layers import ConvNorm, Dense, Hyperparameters

# (width, depth) relative to B0.
VERSIONS = (
    (1.0, 1.0), (1.0, 1.1), (1.1, 1.2), (1.2, 1.4), (1.4, 1.8), (1.6, 2.2), (1.8, 2.6), (2.0, 3.1),
)  # fmt: skip
# (expansion, channels, repeats, stride of the first, kernel size) of B0's stacks.
STACKS = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)  # fmt: skip
STEM, TOP, LOGITS = 32, 1280, 1000
L2 = 5e-6
REGULARIZED = ("kernel", "bias")


def efficientnet(version: int, l2: float = L2) -> list[Block]:
    """The blocks of EfficientNet: `stem`, `stack_0/block_0` and so on, `top`, `logits`.

    Args:
        version: 0 to 7, for B0 to B7.
        l2: the factor of the summed squares of kernels and biases, but for the depthwise kernels, which have none.
    """
    hyper = Hyperparameters("SWISH", l2, ("fan_out", 0.0, 1.0), epsilon=1e-3, momentum=0.99)
    width, depth = VERSIONS[version]
    stem = ConvNorm(3, round_to_eight(STEM * width), 3, 2, hyper=hyper, regularized=REGULARIZED)
    blocks, channels = [Block("stem", [stem], stem)], stem.filters
    for stack, (expansion, base, repeats, first_stride, size) in enumerate(STACKS):
        filters = round_to_eight(base * width)
        for repeat in range(ceil(repeats * depth)):
            name, stride = f"stack_{stack}/block_{repeat}", first_stride if repeat == 0 else 1
            blocks.append(_inverted_residual(name, channels, filters, expansion, stride, size, hyper))
            channels = filters
    top = ConvNorm(channels, round_to_eight(TOP * width), hyper=hyper, regularized=REGULARIZED)
    logits = Dense(top.filters, LOGITS, hyper=hyper, regularized=REGULARIZED)
    return [*blocks, Block("top", [top], top), Block("logits", [], logits, [logits])]


def _inverted_residual(name, channels, filters, expansion, stride, size, hyper) -> Block:
    inner, options = channels * expansion, {"hyper": hyper, "regularized": REGULARIZED}
    expand = [ConvNorm(channels, inner, **options)] if expansion > 1 else []
    # Without a penalty of its own, but initialised as the rest.
    spatial = ConvNorm(inner, None, size, stride, kind="depthwise", hyper=replace(hyper, l2=0.0),
                       regularized=("depthwise_kernel",))  # fmt: skip
    plain = {"hyper": replace(hyper, batch_norm=False), "regularized": REGULARIZED}
    squeeze = ConvNorm(inner, max(1, channels // 4), **plain)
    excite = ConvNorm(squeeze.filters, inner, **plain, activation="NONE")
    project = ConvNorm(inner, filters, **options, activation="NONE")
    residual = stride == 1 and channels == filters

    def run(inputs):
        x = inputs
        for unit in (*expand, spatial):
            x = unit(x)
        x *= tf.sigmoid(excite(squeeze(tf.reduce_mean(x, [1, 2], keepdims=True))))  # [B, h, w, C] * [B, 1, 1, C]
        x = project(x)
        return x + inputs if residual else x

    return Block(name, [*expand, spatial, squeeze, excite, project], run)
