"""SegNet: the decoder puts its features where the encoder's maxima were."""

from __future__ import annotations

from detkit.segmentation.layers import (
    Architecture,
    MaxPoolingWithIndices,
    Unpooling,
    architecture,
    convolution,
    dropout,
    image_input,
    scores,
)

_CONVOLUTIONS = (2, 2, 3, 3, 3)  # of VGG16, in each level


def segnet(
    classes: int, width: int = 64, depth: int = 5, drop: float = 0.0, batch_norm: bool = True
) -> Architecture:  # fmt: skip
    """SegNet; with width 64 and depth 5 the published one, whose encoder is VGG16's.

    Args:
        classes: C, the background among them.
        width: channels of the first level; each further one has twice as many, up to eight times.
        depth: how often the resolution is halved, at most 5.
        drop: the share of features left out at the lowest resolution.
        batch_norm: whether convolutions are followed by batch normalisation.

    Source: Badrinarayanan et al., SegNet: a deep convolutional encoder-decoder architecture for image segmentation,
    2017.
    """
    image, x = image_input()
    channels = [width << min(level, 3) for level in range(depth)]
    indices = []
    for level in range(depth):
        for n in range(_CONVOLUTIONS[level]):
            x = convolution(x, channels[level], f"block{level + 1}_conv{n + 1}", batch_norm)
        x, where = MaxPoolingWithIndices(name=f"block{level + 1}_pool")(x)
        indices.append(where)
    encoded = [x, *indices]
    x = dropout(x, drop, "dropout")
    for level in reversed(range(depth)):
        x = Unpooling(name=f"up{level + 1}_unpool")([x, indices[level]])
        for n in range(_CONVOLUTIONS[level]):
            last = n + 1 == _CONVOLUTIONS[level]
            if level or not last:
                x = convolution(x, channels[level - last], f"up{level + 1}_conv{n + 1}", batch_norm)
    return architecture(image, scores(x, classes, 3), encoded, 1 << depth)
