"""Layers that stand in for Keras' own in training: norms that can be frozen, dropout that a batch's seed decides."""

from __future__ import annotations

import zlib
from contextlib import contextmanager
from contextvars import ContextVar

import keras
import tensorflow as tf

_SEEDS: ContextVar = ContextVar("seeds", default=None)


@contextmanager
def dropping(seeds):
    """Inside the `with` block, and in graphs traced in it, dropout is on.

    Args:
        seeds: int32 [B], of the batch's views.
    """
    token = _SEEDS.set(tf.reduce_sum(seeds))
    try:
        yield
    finally:
        _SEEDS.reset(token)


@keras.saving.register_keras_serializable("detkit")
class Norm(keras.layers.BatchNormalization):
    """Batch normalisation by its moving statistics where `frozen`, else by each batch's own, whatever the phase."""

    frozen = True

    def call(self, inputs, training=None, mask=None):
        if len(inputs.shape) != 4 or self.axis not in (-1, 3):
            return super().call(inputs, training=not self.frozen)
        # One fused operation: Keras' several cost as much time as the convolutions.
        scale = self.gamma if self.scale else tf.ones_like(self.moving_mean)
        offset = self.beta if self.center else tf.zeros_like(self.moving_mean)
        statistics = {"mean": self.moving_mean, "variance": self.moving_variance} if self.frozen else {}
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, scale, offset, epsilon=max(self.epsilon, 1.001e-5), is_training=not self.frozen, **statistics
        )
        if not self.frozen:
            for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return outputs


@keras.saving.register_keras_serializable("detkit")
class Dropout(keras.layers.Layer):
    """Dropout that is on inside `dropping` only, and the same for the same seeds.

    Args:
        rate: the share of the values that become 0.
        noise_shape: as for `keras.layers.Dropout`.
    """

    def __init__(self, rate: float, noise_shape=None, **options):
        super().__init__(**options)
        self.rate, self.noise_shape = rate, noise_shape

    def call(self, inputs):
        seed = _SEEDS.get()
        if seed is None or not self.rate:
            return inputs
        shape = tf.shape(inputs)
        if self.noise_shape is not None:
            shape = [shape[i] if side is None else side for i, side in enumerate(self.noise_shape)]
        own = zlib.crc32(self.name.encode()) >> 1
        kept = tf.random.stateless_uniform(shape, [seed, own]) >= self.rate
        return inputs * tf.cast(kept, inputs.dtype) / (1.0 - self.rate)

    def get_config(self):
        return super().get_config() | {"rate": self.rate, "noise_shape": self.noise_shape}


def trainable_twin(layer):
    """The layer of this module in the place of one of Keras, or another layer of the same configuration."""
    config = layer.get_config()
    if type(layer) is keras.layers.BatchNormalization:
        return Norm.from_config(config)
    if isinstance(layer, keras.layers.SpatialDropout2D):
        return Dropout(layer.rate, (None, 1, 1, layer.output.shape[-1]), name=layer.name)
    if type(layer) is keras.layers.Dropout:
        return Dropout(layer.rate, layer.noise_shape, name=layer.name)
    return type(layer).from_config(config)


def plain_twin(layer):
    """The layer of Keras that one of this module stands in for; `trainable_twin`'s inverse."""
    config = layer.get_config()
    if isinstance(layer, Norm):
        return keras.layers.BatchNormalization.from_config(config)
    if isinstance(layer, Dropout):
        return keras.layers.Dropout(layer.rate, layer.noise_shape, name=layer.name)
    return type(layer).from_config(config)
