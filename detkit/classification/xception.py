"""A small Xception for training from scratch on a few hundred or thousand photos."""

from __future__ import annotations

from keras import layers

from detkit.classification.layers import squeeze_excite


def mini_xception(image, channels, squeeze: bool = False):
    """The features of the mini Xception, [B, h, w, 3] -> [B, h / 32, w / 32, 512].

    A convolution, then five residual blocks of two separable convolutions, each after a batch norm, with strided
    projections. Source: Chollet, "Deep Learning with Python", 2nd edition, 2021, 9.3.5, after his "Xception", 2017.

    Args:
        image: of -1..1, RGB.
        channels: how many channels the network has -> how many it shall have.
        squeeze: whether residual blocks weigh their channels (squeeze and excitation).
    """
    x = layers.Conv2D(channels(32), 5, padding="same", use_bias=False, name="stem")(image)
    for number, filters in enumerate((32, 64, 128, 256, 512), start=1):
        x = _block(x, channels(filters), f"block{number}", squeeze)
    return x


def _block(x, filters: int, name: str, squeeze: bool):
    # Not strided itself: of few channels, the gradient of such a convolution crashes TensorFlow 2.20.
    every_second = layers.MaxPooling2D(1, 2, "same", name=f"{name}_subsample")(x)
    projection = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_projection")(every_second)
    for number in (1, 2):
        x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm{number}")(x)
        x = layers.ReLU(name=f"{name}_relu{number}")(x)
        x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_conv{number}")(x)
    x = squeeze_excite(x, f"{name}_se") if squeeze else x
    x = layers.MaxPooling2D(3, 2, "same", name=f"{name}_pool")(x)
    return layers.Add(name=f"{name}_add")([x, projection])
