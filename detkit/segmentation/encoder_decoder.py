"""Down by strided convolutions, up by transposed ones, nothing in between."""

from __future__ import annotations

from detkit.segmentation.layers import Architecture, architecture, convolution, dropout, image_input, scores


def encoder_decoder(
    classes: int, width: int = 64, depth: int = 3, drop: float = 0.0, batch_norm: bool = False
) -> Architecture:
    """The encoder-decoder without skips; with width 64, depth 3 and no batch normalisation that of Keras' author.

    Args:
        classes: C, the background among them.
        width: channels of the first level; each further one has twice as many.
        depth: how often the resolution is halved.
        drop: the share of features left out at the lowest resolution.
        batch_norm: whether convolutions are followed by batch normalisation.

    Source: Chollet, Deep learning with Python, second edition, 2021, chapter 9.
    """
    image, x = image_input()
    for level in range(depth):
        x = convolution(x, width << level, f"down{level + 1}_conv1", batch_norm, strides=2)
        x = convolution(x, width << level, f"down{level + 1}_conv2", batch_norm)
    encoded = x
    x = dropout(x, drop, "dropout")
    for level in reversed(range(depth)):
        x = convolution(x, width << level, f"up{level + 1}_conv1", batch_norm, transposed=True)
        x = convolution(x, width << level, f"up{level + 1}_conv2", batch_norm, strides=2, transposed=True)
    return architecture(image, scores(x, classes, 3), encoded, 1 << depth)
