"""U-Net: each level of the way up sees what the way down had at its resolution."""

from __future__ import annotations

from keras import layers

from detkit.segmentation.encoders import encode
from detkit.segmentation.layers import Architecture, architecture, convolution, dropout, image_input, scores


def unet(
    classes: int, width: int = 64, depth: int = 4, drop: float = 0.0, batch_norm: bool = True,
    encoder: str | None = None,
) -> Architecture:  # fmt: skip
    """U-Net; with width 64 and depth 4, 64 to 1024 channels, the published one, but with "same" padding.

    Args:
        classes: C, the background among them.
        width: channels of the first level; each further one has twice as many.
        depth: how often the resolution is halved.
        drop: the share of features left out at the lowest resolution.
        batch_norm: whether convolutions are followed by batch normalisation.
        encoder: a name of Keras Applications for the way down.

    Raises:
        ConfigError: if the encoder doesn't fit.

    Source: Ronneberger et al., U-Net: convolutional networks for biomedical image segmentation, 2015.
    """
    image, features = _down(width, depth, batch_norm) if encoder is None else encode(encoder, depth)
    x = dropout(features[-1], drop, "dropout")
    for level in reversed(range(depth)):
        x = layers.Conv2DTranspose(width << level, 2, strides=2, name=f"up{level + 1}_upsample")(x)
        if features[level] is not None:
            x = layers.Concatenate(name=f"up{level + 1}_skip")([features[level], x])
        x = _two(x, width << level, f"up{level + 1}", batch_norm)
    encoded = [each for each in features if each is not None]
    return architecture(image, scores(x, classes), encoded, 1 << depth)


def _down(width: int, depth: int, batch_norm: bool) -> tuple:
    """An image, and the features of each level, the lowest last."""
    image, x = image_input()
    features = []
    for level in range(depth):
        x = _two(x, width << level, f"down{level + 1}", batch_norm)
        features.append(x)
        x = layers.MaxPooling2D(name=f"down{level + 1}_pool")(x)
    return image, [*features, _two(x, width << depth, "bottom", batch_norm)]


def _two(x, channels: int, name: str, batch_norm: bool):
    x = convolution(x, channels, f"{name}_conv1", batch_norm)
    return convolution(x, channels, f"{name}_conv2", batch_norm)
