"""Fully convolutional networks: the scores of deep levels, enlarged and added to those of shallower ones."""

from __future__ import annotations

from keras import layers

from detkit.segmentation.encoders import encode
from detkit.segmentation.layers import Architecture, Bilinear, architecture, dropout

_DEEPEST = 5  # levels: the features of the encoder have a stride of 32


def fcn(
    stride: int, classes: int, width: int | None = None, drop: float = 0.0, encoder: str | None = None
) -> Architecture:  # fmt: skip
    """FCN-32, FCN-16 or FCN-8; on VGG16 with width 4096 the published one, but with "same" padding.

    Args:
        stride: 32, 16 or 8, of the finest level that is scored.
        classes: C, the background among them.
        width: channels of the two convolutions between encoder and scores, VGG16's dense layers once; None for those
            of VGG16, and for none on other encoders.
        drop: the share of features left out before the scores.
        encoder: a name of Keras Applications; VGG16 by default.

    Raises:
        ConfigError: if the encoder doesn't fit.

    Source: Long et al., Fully convolutional networks for semantic segmentation, 2015.
    """
    encoder = encoder or "VGG16"
    image, features = encode(encoder, _DEEPEST, pools=True)
    x = features[_DEEPEST]
    width = width or (4096 if encoder == "VGG16" else None)
    if width:
        for name, size in (("fc6", 7), ("fc7", 1)):
            x = layers.Conv2D(width, size, padding="same", kernel_initializer="he_normal", name=name)(x)
            x = dropout(layers.ReLU(name=f"{name}_relu")(x), drop, f"{name}_dropout")
    else:
        x = dropout(x, drop, "dropout")
    deepest, finest = _DEEPEST, {32: 5, 16: 4, 8: 3}[stride]
    x = _score(x, classes, deepest)
    for level in reversed(range(finest, deepest)):
        x = _enlarge(x, classes, 2, f"up{level + 1}_upsample")
        x = layers.Add(name=f"up{level + 1}_skip")([_score(features[level], classes, level), x])
    x = _enlarge(x, classes, stride, "upsample")
    encoded = [features[level] for level in range(finest, deepest + 1)]
    return architecture(image, layers.Activation("linear", name="logits")(x), encoded, 1 << deepest)


def _score(x, classes: int, level: int):
    # Zeros: random scores bring neither better results nor quicker ones, say the authors.
    return layers.Conv2D(classes, 1, kernel_initializer="zeros", name=f"score{level}")(x)


def _enlarge(x, classes: int, factor: int, name: str):
    options = {"strides": factor, "padding": "same", "use_bias": False, "kernel_initializer": Bilinear()}
    return layers.Conv2DTranspose(classes, 2 * factor, name=name, **options)(x)
