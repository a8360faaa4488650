"""Blocks that segmentation networks share, pooling that remembers its places, bilinear upsampling as a start."""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers

# Near 1 the statistics of a few hundred steps would still show where they began.
_MOMENTUM = 0.9


class Architecture(NamedTuple):
    """A network as its builder returns it.

    Attributes:
        model: from "image", float32 [B, h, w, 3] of 0..255, h and w multiples of the stride, to "logits" [B, h, w, C].
        backbone: the names of the layers of the encoder.
        stride: what the sides of its input have to be multiples of.
    """

    model: keras.Model
    backbone: tuple[str, ...]
    stride: int


def image_input():
    """An input of any size, and the same in -1..1."""
    image = keras.Input((None, None, 3), name="image")
    return image, layers.Rescaling(1 / 127.5, -1.0, name="rescale")(image)


def architecture(image, logits, encoded, stride: int) -> Architecture:
    """What a builder returns: all layers up to the tensors `encoded` are the backbone."""
    model = keras.Model(image, logits)
    backbone = keras.Model(image, encoded)
    return Architecture(model, tuple(layer.name for layer in backbone.layers), stride)


def convolution(
    x, channels: int, name: str, batch_norm: bool, *, size: int = 3, strides: int = 1, transposed: bool = False
):  # fmt: skip
    """Convolution, normalisation if asked for, and ReLU; "same" padding."""
    kind = layers.Conv2DTranspose if transposed else layers.Conv2D
    options = {"padding": "same", "use_bias": not batch_norm, "kernel_initializer": "he_normal"}
    x = kind(channels, size, strides=strides, name=name, **options)(x)
    if batch_norm:
        x = layers.BatchNormalization(momentum=_MOMENTUM, epsilon=1e-3, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def dropout(x, rate: float, name: str):
    """Dropout if there is a rate."""
    return layers.Dropout(rate, name=name)(x) if rate else x


def scores(x, classes: int, size: int = 1, **options):
    """The layer "logits" [B, h, w, classes]."""
    return layers.Conv2D(classes, size, padding="same", name="logits", **options)(x)


@keras.saving.register_keras_serializable("detkit")
class Bilinear(keras.initializers.Initializer):
    """The kernel [h, w, channels, channels] of a transposed convolution that enlarges bilinearly, channel by channel.

    Source: Long et al., Fully convolutional networks for semantic segmentation, 2015.
    """

    def __call__(self, shape, dtype=None):
        kernel = np.zeros(shape, np.float32)
        both = np.arange(min(shape[2:]))
        kernel[:, :, both, both] = np.outer(_triangle(shape[0]), _triangle(shape[1]))[..., None]
        return tf.constant(kernel, dtype or "float32")


def _triangle(size: int) -> np.ndarray:
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    return 1 - np.abs(np.arange(size) - centre) / factor


@keras.saving.register_keras_serializable("detkit")
class MaxPoolingWithIndices(layers.Layer):
    """Maxima of 2 x 2 pixels, and which of the four each one is: [B, h/2, w/2, C] and int32 of that shape, 0..3.

    What is told is the place within its window, not within the image as in `tf.nn.max_pool_with_argmax`: that makes
    unpooling a rearrangement, which is quick, deterministic and there in every runtime.
    """

    def call(self, x):
        pooled = tf.nn.max_pool2d(x, 2, 2, "VALID")
        shape = tf.shape(pooled)
        windows = tf.reshape(tf.nn.space_to_depth(x, 2), [shape[0], shape[1], shape[2], 4, x.shape[-1]])
        return pooled, tf.argmax(windows, axis=3, output_type=tf.int32)

    def compute_output_spec(self, x):
        batch, height, width, channels = x.shape
        shape = (batch, height and height // 2, width and width // 2, channels)
        return keras.KerasTensor(shape, x.dtype), keras.KerasTensor(shape, "int32")


@keras.saving.register_keras_serializable("detkit")
class Unpooling(layers.Layer):
    """Puts values [B, h, w, C] where the maxima were, zeros elsewhere: [B, 2h, 2w, C].

    Source: Badrinarayanan et al., SegNet, 2017.
    """

    def call(self, inputs):
        x, indices = inputs
        places = [x * tf.cast(indices == place, x.dtype) for place in range(4)]
        return tf.nn.depth_to_space(tf.concat(places, axis=-1), 2)

    def compute_output_spec(self, inputs):
        batch, height, width, channels = inputs[0].shape
        return keras.KerasTensor((batch, height and 2 * height, width and 2 * width, channels), inputs[0].dtype)
