"""Small layers and blocks that Keras does not have."""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable("detkit")
class LocalResponseNorm(keras.layers.Layer):
    """Divides each value by those of the channels beside it; with the constants of Krizhevsky et al., 2012.

    [B, h, w, C] -> [B, h, w, C].
    """

    BESIDE, BIAS, SCALE, POWER = 2, 2.0, 1e-4, 0.75

    def call(self, inputs):
        squares = ops.pad(ops.square(inputs), [[0, 0]] * 3 + [[self.BESIDE, self.BESIDE]])
        channels = inputs.shape[-1]
        around = sum(squares[..., first : first + channels] for first in range(2 * self.BESIDE + 1))
        return inputs / ops.power(self.BIAS + self.SCALE * around, self.POWER)


@keras.saving.register_keras_serializable("detkit")
class SpatialExpectation(keras.layers.Layer):
    """The box whose borders are the mean positions under four heat maps.

    [B, h, w, 4], logits of where the top, left, bottom and right border are -> [B, 4], normalised yxyx, top <= bottom
    and left <= right. Source: Sun et al., "Integral Human Pose Regression", 2018, for borders in the place of joints.
    """

    def call(self, inputs):
        height, width = inputs.shape[1:3]
        heat = ops.softmax(ops.reshape(inputs, (-1, height * width, 4)), axis=1)
        heat = ops.reshape(heat, (-1, height, width, 4))
        # From border to border: means of cell centres would never reach the border of the picture.
        rows = ops.tensordot(ops.sum(heat, axis=2), ops.linspace(0.0, 1.0, height), [[1], [0]])  # [B, 4]
        columns = ops.tensordot(ops.sum(heat, axis=1), ops.linspace(0.0, 1.0, width), [[1], [0]])
        ends = ops.stack([rows[:, 0], columns[:, 1], rows[:, 2], columns[:, 3]], axis=1)
        first, last = ends[:, :2], ends[:, 2:]
        return ops.concatenate([ops.minimum(first, last), ops.maximum(first, last)], axis=1)


def squeeze_excite(x, name: str, ratio: int = 16):
    """Weighs the channels of x [B, h, w, C] by what they are on the whole picture.

    Source: Hu et al., "Squeeze-and-Excitation Networks", 2018.
    """
    channels = x.shape[-1]
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
    few = keras.layers.Dense(max(channels // ratio, 1), "relu", kernel_initializer="he_normal", name=f"{name}_reduce")
    weight = keras.layers.Dense(channels, "sigmoid", name=f"{name}_expand")(few(mean))
    return keras.layers.Multiply(name=f"{name}_excite")([x, weight])
