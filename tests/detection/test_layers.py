"""The convolution with its batch norm folded in, against TensorFlow's separate operations."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from detkit.detection.layers import ACTIVATIONS, Conv, ConvNorm, Hyperparameters, Norm, draw_kernel

HYPER = Hyperparameters(epsilon=1e-3, momentum=0.9)
KINDS = ("dense", "depthwise", "separable")


def randomize(layer, seed=0):
    """Random values for all variables of a layer, positive variances."""
    rng = np.random.default_rng(seed)
    for variable in layer.weights:
        value = rng.standard_normal(variable.shape)
        positive = variable.name in ("moving_variance", "gamma")
        variable.assign(np.abs(value) + 0.5 if positive else value)
    return layer


def picture(seed=5, size=(7, 9), channels=4):
    return tf.constant(np.random.default_rng(seed).standard_normal((2, *size, channels)), tf.float32)


def convolve(conv, x):
    """The convolution alone, by TensorFlow's own operations."""
    strides = [1, conv.stride, conv.stride, 1]
    if conv.kind == "dense":
        y = tf.nn.conv2d(x, conv.kernel.value, conv.stride, conv.padding)
    else:
        y = tf.nn.depthwise_conv2d(x, conv.depthwise_kernel.value, strides, conv.padding)
    if conv.kind == "separable":
        y = tf.nn.conv2d(y, conv.pointwise_kernel.value, 1, "SAME")
    return y if conv.bias is None else y + conv.bias.value


def make(kind, bias=False, stride=1):
    conv = randomize(Conv(4, 6, 3, stride, kind=kind, bias=bias, hyper=HYPER), 1)
    return conv, randomize(Norm(conv.filters, HYPER), 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("activation", ["NONE", "RELU_6"])
def test_folded_norm_equals_convolution_then_norm(kind, bias, stride, activation):
    conv, norm = make(kind, bias, stride)
    keras_norm = keras.layers.BatchNormalization(momentum=norm.momentum, epsilon=norm.epsilon)
    x = picture()
    expected = convolve(conv, x)
    keras_norm.build(expected.shape)
    for name in ("gamma", "beta", "moving_mean", "moving_variance"):
        getattr(keras_norm, name).assign(getattr(norm, name))
    expected = keras_norm(expected, training=False)
    if ACTIVATIONS[activation]:
        expected = ACTIVATIONS[activation](expected)
    found = conv(x, norm=norm, activation=activation)
    assert np.abs(found - expected).max() < 1e-4 * max(1.0, float(np.std(expected)))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_the_folded_norm(kind):
    conv, norm = make(kind, bias=True)
    x = picture()
    weights = [v.value for v in [*conv.weights, norm.gamma, norm.beta]]

    def gradients(function):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(tf.sin(function()))
        return tape.gradient(total, weights)

    def separate():
        y = convolve(conv, x)
        statistics = norm.moving_mean.value, norm.moving_variance.value
        return tf.nn.batch_normalization(y, *statistics, norm.beta.value, norm.gamma.value, norm.epsilon)

    for ours, theirs in zip(gradients(lambda: conv(x, norm=norm)), gradients(separate), strict=True):
        assert np.abs(ours - theirs).max() < 1e-3 * float(np.abs(theirs).max())


def test_unfrozen_norm_uses_and_moves_batch_statistics():
    conv, norm = make("dense")
    norm.frozen = False
    before = norm.moving_mean.numpy(), norm.moving_variance.numpy()
    y = convolve(conv, picture()).numpy()
    mean, variance = y.mean(axis=(0, 1, 2)), y.var(axis=(0, 1, 2))
    expected = (y - mean) / np.sqrt(variance + norm.epsilon) * norm.gamma.numpy() + norm.beta.numpy()
    assert np.abs(conv(picture(), norm=norm) - expected).max() < 1e-3
    count = y[..., 0].size
    assert norm.moving_mean.numpy() == pytest.approx(0.9 * before[0] + 0.1 * mean, abs=1e-5)
    unbiased = variance * count / (count - 1)  # as TensorFlow's fused batch norm, which the OD API uses
    assert norm.moving_variance.numpy() == pytest.approx(0.9 * before[1] + 0.1 * unbiased, abs=1e-4)


def test_frozen_norm_leaves_its_statistics():
    conv, norm = make("dense")
    before = norm.moving_mean.numpy()
    conv(picture(), norm=norm)
    assert np.array_equal(before, norm.moving_mean.numpy())


def test_norm_without_scale_has_no_gamma():
    norm = randomize(Norm(6, Hyperparameters(scale=False)))
    assert norm.gamma is None
    scale, offset = norm.scale_and_offset()
    expected = 1 / np.sqrt(norm.moving_variance.numpy() + norm.epsilon)
    assert scale.numpy() == pytest.approx(expected, rel=1e-5)
    assert offset.numpy() == pytest.approx(norm.beta.numpy() - norm.moving_mean.numpy() * expected, rel=1e-4)


def test_explicit_padding_is_symmetric():
    conv = randomize(Conv(4, 5, 7, 2, hyper=HYPER, padding=3))
    padded = tf.pad(picture(size=(8, 8)), [[0, 0], [3, 3], [3, 3], [0, 0]])
    expected = tf.nn.conv2d(padded, conv.kernel.value, 2, "VALID")
    assert np.abs(conv(picture(size=(8, 8))) - expected).max() < 1e-4


def test_separable_equals_keras():
    conv = randomize(Conv(4, 5, 3, kind="separable", bias=True, hyper=HYPER))
    layer = keras.layers.SeparableConv2D(5, 3, padding="same")
    layer.build((None, 7, 9, 4))
    values = [conv.depthwise_kernel, conv.pointwise_kernel, conv.bias]
    layer.set_weights([value.numpy() for value in values])
    assert np.abs(conv(picture()) - layer(picture())).max() < 1e-5


def test_force_bias_gives_a_bias_before_the_norm():
    assert ConvNorm(3, 4, hyper=Hyperparameters()).conv.bias is None
    assert ConvNorm(3, 4, hyper=Hyperparameters(force_bias=True)).conv.bias is not None
    assert ConvNorm(3, 4, hyper=Hyperparameters(batch_norm=False)).conv.bias is not None


def test_truncated_normal_stays_within_two_deviations():
    kernel = draw_kernel(("truncated_normal", 0.5, 0.03), (3, 3, 32, 64), np.random.default_rng(0))
    assert kernel.dtype == np.float32
    assert np.abs(kernel - 0.5).max() <= 0.06 + 1e-6
    assert kernel.mean() == pytest.approx(0.5, abs=1e-3)
    assert kernel.std() == pytest.approx(0.03 * 0.87962566, rel=0.02)  # of the truncated distribution


def test_normal_and_he_initializers():
    rng = np.random.default_rng(0)
    assert draw_kernel(("normal", 0.0, 0.01), (3, 3, 32, 64), rng).std() == pytest.approx(0.01, rel=0.02)
    he = draw_kernel(("he", 0.0, 1.0), (3, 3, 32, 64), rng)
    assert he.std() == pytest.approx(np.sqrt(2 / (3 * 3 * 32)), rel=0.02)


def test_l2_covers_the_regularized_kernels_only():
    hyper = Hyperparameters(l2=0.5)
    regularized = ("depthwise_kernel",)
    conv = randomize(Conv(4, 5, 3, kind="separable", bias=True, hyper=hyper, regularized=regularized))
    squares = float(np.square(conv.depthwise_kernel.numpy()).sum())
    assert conv.l2_count == 1
    assert float(conv.l2_term()) == pytest.approx(0.5 * squares, rel=1e-5)


def test_an_initial_norm_changes_nothing_but_epsilon():
    norm, rng = Norm(4, HYPER), np.random.default_rng(0)
    for name in ("gamma", "beta", "moving_mean", "moving_variance"):
        getattr(norm, name).assign(norm.initial(name, rng))
    scale, offset = norm.scale_and_offset()
    assert scale.numpy() == pytest.approx(1 / np.sqrt(1.001), rel=1e-5)
    assert not offset.numpy().any()
