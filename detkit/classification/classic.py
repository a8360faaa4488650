"""The two networks that convolutions began with: LeNet-5 and AlexNet, up to their last pooling."""

from __future__ import annotations

import keras
from keras import layers

from detkit.classification.layers import LocalResponseNorm


def lenet5(image, channels):
    """The features of LeNet-5, [B, h, w, 3] -> [B, h', w', 16]; of 32 x 32 pixels 5 x 5.

    Every map of the second convolution sees all of the first, as is usual today. Source: LeCun et al., "Gradient-Based
    Learning Applied to Document Recognition", 1998.

    Args:
        image: of -1..1, RGB.
        channels: how many channels the network has -> how many it shall have.
    """
    x = keras.ops.image.rgb_to_grayscale(image)
    for number, filters in enumerate((6, 16), start=1):
        x = layers.Conv2D(channels(filters), 5, activation="tanh", name=f"conv{number}")(x)
        x = layers.AveragePooling2D(2, name=f"pool{number}")(x)
    return x


def alexnet(image, channels):
    """The features of AlexNet, [B, h, w, 3] -> [B, h', w', 256]; of 227 x 227 pixels 6 x 6.

    The second, fourth and fifth convolution are two side by side, each on half of the channels, as on the paper's two
    GPUs. Source: Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", 2012.

    Args:
        image: normalised, RGB.
        channels: as for `lenet5`.
    """
    x = _conv(channels(96), 11, "conv1", strides=4, padding="valid")(image)
    x = layers.MaxPooling2D(3, 2, name="pool1")(LocalResponseNorm(name="norm1")(x))
    x = _side_by_side(x, channels(256), 5, "conv2")
    x = layers.MaxPooling2D(3, 2, name="pool2")(LocalResponseNorm(name="norm2")(x))
    x = _conv(channels(384), 3, "conv3")(x)
    x = _side_by_side(x, channels(384), 3, "conv4")
    x = _side_by_side(x, channels(256), 3, "conv5")
    return layers.MaxPooling2D(3, 2, name="pool5")(x)


def _conv(filters: int, size: int, name: str, strides: int = 1, padding: str = "same"):
    return layers.Conv2D(filters, size, strides, padding, activation="relu", kernel_initializer="he_normal", name=name)


def _side_by_side(x, filters: int, size: int, name: str):
    halves = keras.ops.split(x, 2, axis=-1)
    branches = [_conv(filters // 2, size, f"{name}_{side}")(half) for side, half in zip("ab", halves, strict=True)]
    return layers.Concatenate(name=name)(branches)
