"""The two layers that every network here is made of: a convolution and the batch norm after it.

They are kept apart, as in the OD API's checkpoints, but run as one: with frozen statistics a batch norm is a
scale and an offset per channel, so the scale goes into the kernel and the offset into the bias. That is exact,
differentiable in gamma, beta and the kernel, and spares a pass over every activation.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf

from detkit.errors import ConfigError

ACTIVATIONS = {"NONE": None, "RELU": tf.nn.relu, "RELU_6": tf.nn.relu6, "SWISH": tf.nn.silu}


@dataclass(frozen=True)
class Hyperparameters:
    """What a config's `conv_hyperparams` says, as the layers need it.

    Attributes:
        activation: a key of ACTIVATIONS.
        l2: the factor of the summed squares; half of the config's weight, as `keras.regularizers.l2` there.
        initializer: (kind, mean, stddev) for kernels; kind is "normal", "truncated_normal", "he", "fan_out"
            or "glorot".
        batch_norm: whether convolutions are followed by a batch norm.
        epsilon, momentum, scale: of the batch norm.
        force_bias: whether convolutions have a bias even before a batch norm.
    """

    activation: str = "RELU_6"
    l2: float = 0.0
    initializer: tuple = field(default=("he", 0.0, 1.0))
    batch_norm: bool = True
    epsilon: float = 1e-3
    momentum: float = 0.997
    scale: bool = True
    force_bias: bool = False

    @classmethod
    def from_config(cls, hyperparams) -> Hyperparameters:
        """Those of a typed `conv_hyperparams` message."""
        norm = hyperparams.batch_norm
        others = hyperparams.sync_batch_norm or hyperparams.group_norm
        if others is not None or (norm is not None and not norm.center):
            raise ConfigError(
                "detkit has batch norms with an offset only.",
                where="conv_hyperparams",
                got="sync_batch_norm, group_norm or center: false",
                expected="batch_norm with center: true, or none",
                fix="Use a config of the TF2 Detection Model Zoo.",
            )
        return cls(
            activation=_known_activation(hyperparams.activation),
            l2=_l2(hyperparams.regularizer),
            initializer=_initializer(hyperparams.initializer),
            batch_norm=norm is not None,
            epsilon=norm.epsilon if norm else 1e-3,
            momentum=norm.decay if norm else 0.997,
            scale=norm.scale if norm else True,
            force_bias=hyperparams.force_use_bias,
        )


def _known_activation(name: str) -> str:
    if name not in ACTIVATIONS:
        raise ConfigError(
            "Unknown activation.", where="conv_hyperparams.activation", got=name, expected=", ".join(ACTIVATIONS)
        )
    return name


def _l2(regularizer) -> float:
    if regularizer is None or regularizer.l2_regularizer is None:
        return 0.0
    return 0.5 * regularizer.l2_regularizer.weight


def _initializer(message) -> tuple:
    if message is not None and message.random_normal_initializer is not None:
        return "normal", message.random_normal_initializer.mean, message.random_normal_initializer.stddev
    if message is not None and message.truncated_normal_initializer is not None:
        return (
            "truncated_normal",
            message.truncated_normal_initializer.mean,
            message.truncated_normal_initializer.stddev,
        )
    return "he", 0.0, 1.0


def draw_kernel(initializer: tuple, shape: tuple, rng: np.random.Generator) -> np.ndarray:
    """A freshly initialised kernel, float32."""
    kind, mean, stddev = initializer
    if kind == "glorot":
        limit = np.sqrt(6.0 / (np.prod(shape[:-2]) * (shape[-2] + shape[-1])))
        return rng.uniform(-limit, limit, shape).astype(np.float32)
    values = rng.standard_normal(shape)
    if kind == "he":
        return (values * np.sqrt(2.0 / max(1, np.prod(shape[:-1])))).astype(np.float32)
    if kind == "fan_out":
        # Without its tails a normal distribution is narrower.
        stddev = np.sqrt(2.0 / (np.prod(shape[:-2]) * shape[-1])) / 0.87962566
    if kind in ("truncated_normal", "fan_out"):
        while (far := np.abs(values) > 2.0).any():
            values[far] = rng.standard_normal(int(far.sum()))
    return (mean + stddev * values).astype(np.float32)


class Norm(keras.layers.Layer):
    """Batch norm over the last axis.

    With `frozen` (the default, and always at inference) it uses its moving statistics and is folded into the
    convolution before it; gamma and beta stay trainable.
    """

    def __init__(self, channels: int, hyper: Hyperparameters):
        super().__init__()
        self.epsilon, self.momentum, self.frozen = hyper.epsilon, hyper.momentum, True
        self.gamma = self._weight("gamma", channels, True) if hyper.scale else None
        self.beta = self._weight("beta", channels, True)
        self.moving_mean = self._weight("moving_mean", channels, False)
        self.moving_variance = self._weight("moving_variance", channels, False)
        self.built = True

    def _weight(self, name, channels, trainable):
        return self.add_weight(name=name, shape=(channels,), initializer="zeros", trainable=trainable)

    def initial(self, name: str, rng: np.random.Generator) -> np.ndarray:
        """The initial value of the named variable: an identity."""
        shape = getattr(self, name).shape
        return np.ones(shape, np.float32) if name in ("gamma", "moving_variance") else np.zeros(shape, np.float32)

    def scale_and_offset(self):
        """(scale [C], offset [C]) of the frozen norm."""
        scale = tf.math.rsqrt(tf.convert_to_tensor(self.moving_variance) + self.epsilon)
        if self.gamma is not None:
            scale = scale * self.gamma
        return scale, self.beta - self.moving_mean * scale

    def alone(self, x):
        """The norm where no convolution that it could be folded into comes before it. x: [B, H, W, C]."""
        if not self.frozen:
            return self(x)
        scale, offset = self.scale_and_offset()
        return x * scale + offset

    def call(self, x):
        """Normalises with the batch's own statistics, and moves the moving ones. x: [B, H, W, C]."""
        mean, variance = tf.nn.moments(x, axes=[0, 1, 2])
        count = tf.cast(tf.size(x) / tf.shape(x)[-1], tf.float32)
        unbiased = variance * count / tf.maximum(count - 1.0, 1.0)
        keep = self.momentum
        self.moving_mean.assign(keep * self.moving_mean + (1.0 - keep) * mean)
        self.moving_variance.assign(keep * self.moving_variance + (1.0 - keep) * unbiased)
        gamma = None if self.gamma is None else tf.convert_to_tensor(self.gamma)
        return tf.nn.batch_normalization(x, mean, variance, tf.convert_to_tensor(self.beta), gamma, self.epsilon)


class Kernels(keras.layers.Layer):
    """What layers with kernels and biases have in common: how they start, and their L2 term.

    Args:
        hyper: initializer and L2 factor.
        regularized: the variables that the L2 term covers, by default the kernel.
    """

    def __init__(self, hyper: Hyperparameters, regularized=None):
        super().__init__()
        self.hyper, self.bias_prior = hyper, 0.0
        self.regularized = ("kernel",) if regularized is None else regularized
        self.kernel = self.depthwise_kernel = self.pointwise_kernel = self.bias = None

    def _weight(self, name, shape):
        return self.add_weight(name=name, shape=shape, initializer="zeros")

    def initial(self, name: str, rng: np.random.Generator) -> np.ndarray:
        """The initial value of the named variable: kernels drawn, the bias at its prior."""
        shape = tuple(getattr(self, name).shape)
        if name == "bias":
            return np.full(shape, self.bias_prior, np.float32)
        # The OD API hands the config's initializer to a separable convolution's depthwise kernel only, and in the final
        # layers not even to that; the rest start as Keras has it.
        configured = name == "kernel" or name in self.regularized
        return draw_kernel(self.hyper.initializer if configured else ("glorot", 0.0, 1.0), shape, rng)

    def l2_term(self):
        """The L2 penalty of this layer, a scalar."""
        kernels = [getattr(self, name) for name in self.regularized if getattr(self, name) is not None]
        return self.hyper.l2 * sum(tf.reduce_sum(tf.square(tf.convert_to_tensor(kernel))) for kernel in kernels)

    @property
    def l2_count(self) -> int:
        """How many variables the L2 penalty covers."""
        return sum(getattr(self, name) is not None for name in self.regularized) if self.hyper.l2 else 0


class Dense(Kernels):
    """A fully connected layer with a bias: [..., channels] -> [..., filters]."""

    def __init__(self, channels: int, filters: int, *, hyper: Hyperparameters, regularized=None):
        super().__init__(hyper, regularized)
        self.kernel = self._weight("kernel", (channels, filters))
        self.bias = self._weight("bias", (filters,))
        self.filters, self.built = filters, True

    def call(self, x):
        return tf.matmul(x, tf.convert_to_tensor(self.kernel)) + self.bias


class Conv(Kernels):
    """A dense, depthwise or separable convolution with explicit input channels.

    Args:
        channels: input channels.
        filters: output channels (ignored when depthwise).
        size: kernel height and width, or (height, width).
        stride: in both directions.
        kind: "dense", "depthwise", "separable" (depthwise without bias, then 1x1) or "transposed" (dense, and `stride`
            enlarges; its kernel is [h, w, filters, channels]).
        bias: whether it has one.
        hyper: initializer and L2 factor.
        padding: "SAME", or the number of zero pixels on every side.
        regularized: the kinds of kernel that the L2 term covers.
    """

    def __init__(
        self, channels, filters, size=1, stride=1, *, kind="dense", bias=False, hyper, padding="SAME", regularized=None
    ):
        super().__init__(hyper, regularized)
        self.kind, self.stride = kind, stride
        self.filters = channels if kind == "depthwise" else filters
        self.padding = padding if padding == "SAME" else [[0, 0], [padding] * 2, [padding] * 2, [0, 0]]
        size = (size, size) if isinstance(size, int) else tuple(size)
        if kind == "dense":
            self.kernel = self._weight("kernel", (*size, channels, filters))
        elif kind == "transposed":
            self.kernel = self._weight("kernel", (*size, filters, channels))
        else:
            self.depthwise_kernel = self._weight("depthwise_kernel", (*size, channels, 1))
        if kind == "separable":
            self.pointwise_kernel = self._weight("pointwise_kernel", (1, 1, channels, filters))
        if bias:
            self.bias = self._weight("bias", (self.filters,))
        self.built = True

    def call(self, x, norm: Norm | None = None, activation: str = "NONE"):
        """Convolution, then `norm`, then the activation. x: [B, H, W, channels] -> [B, H', W', filters]."""
        if norm is None:
            y = self._convolve(x, None, None)
        elif norm.frozen:
            y = self._convolve(x, *norm.scale_and_offset())
        else:
            y = norm(self._convolve(x, None, None))
        function = ACTIVATIONS[activation]
        return y if function is None else function(y)

    def _convolve(self, x, scale, offset):
        """The convolution with a scale [filters] in the kernel and an offset [filters] in the bias."""
        if self.kind == "dense":
            y = self._dense(x, _scaled(self.kernel, scale))
        elif self.kind == "depthwise":
            # The depthwise kernel is [h, w, C, 1]: the channel axis is the third.
            y = self._depthwise(x, _scaled(self.depthwise_kernel, None if scale is None else scale[:, None]))
        elif self.kind == "transposed":
            y = self._transposed(x, _scaled(self.kernel, None if scale is None else scale[:, None]))
        else:
            y = self._depthwise(x, tf.convert_to_tensor(self.depthwise_kernel))
            y = tf.nn.conv2d(y, _scaled(self.pointwise_kernel, scale), 1, "SAME")
        bias = self._bias(scale, offset)
        return y if bias is None else tf.nn.bias_add(y, bias)

    def _bias(self, scale, offset):
        if self.bias is None:
            return offset
        bias = tf.convert_to_tensor(self.bias)
        return bias if scale is None else bias * scale + offset

    def _dense(self, x, kernel):
        return tf.nn.conv2d(x, kernel, self.stride, self.padding)

    def _transposed(self, x, kernel):
        batch, size = tf.shape(x)[:1], tf.shape(x)[1:3] * self.stride
        y = tf.nn.conv2d_transpose(x, kernel, tf.concat([batch, size, [self.filters]], 0), self.stride, self.padding)
        sides = [None if n is None else n * self.stride for n in x.shape[1:3]]
        return tf.ensure_shape(y, [None, *sides, self.filters])

    def _depthwise(self, x, kernel):
        return tf.nn.depthwise_conv2d(x, kernel, [1, self.stride, self.stride, 1], self.padding)


def _scaled(kernel, scale):
    kernel = tf.convert_to_tensor(kernel)
    return kernel if scale is None else kernel * scale


class ConvNorm:
    """A convolution, its batch norm and an activation, in that order.

    A plain pair and no layer of its own, so that the two keep the separate places that checkpoints give them.
    """

    def __init__(self, channels, filters, size=1, stride=1, *, hyper, kind="dense", activation=None, **options):
        bias = hyper.force_bias or not hyper.batch_norm
        self.conv = Conv(channels, filters, size, stride, kind=kind, bias=bias, hyper=hyper, **options)
        self.norm = Norm(self.conv.filters, hyper) if hyper.batch_norm else None
        self.activation = hyper.activation if activation is None else activation
        self.filters = self.conv.filters

    @property
    def layers(self) -> list:
        """[conv, norm], or [conv]."""
        return [self.conv] if self.norm is None else [self.conv, self.norm]

    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H', W', filters]."""
        return self.conv(x, norm=self.norm, activation=self.activation)
