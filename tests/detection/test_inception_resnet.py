"""Inception-ResNet-v2 in its two halves: shapes, the order of its layers, and what its blocks compute."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detkit.detection.backbones import inception_resnet
from detkit.detection.backbones.common import number_layers
from detkit.detection.layers import Conv, Norm


@pytest.fixture(scope="module")
def halves():
    """Both halves, with drawn weights; tests that change something put it back."""
    first, second = inception_resnet.inception_resnet_v2()
    rng = np.random.default_rng(0)
    for block in (*first, *second):
        for layer in block.layers:
            for name in ("kernel", "bias", "beta", "moving_mean", "moving_variance"):
                if getattr(layer, name, None) is not None:
                    getattr(layer, name).assign(layer.initial(name, rng))
    return first, second


def block_named(halves, name):
    return next(block for half in halves for block in half if block.name == name)


def noise(*shape) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(("size", "cells"), [((64, 96), (4, 6)), ((33, 17), (3, 2))])
def test_first_half_ends_at_stride_16_rounded_up(halves, size, cells):
    x = tf.constant(noise(1, *size, 3))
    for block in halves[0]:
        x = block.run(x)
        assert x.shape[-1] == block.filters
    assert tuple(x.shape) == (1, *cells, 1088)
    assert float(tf.reduce_min(x)) >= 0


@pytest.mark.parametrize(("side", "cells"), [(17, 9), (4, 2)])
def test_second_half_halves_the_crop(halves, side, cells):
    x = tf.constant(noise(2, side, side, 1088))
    for block in halves[1]:
        x = block.run(x)
    assert tuple(x.shape) == (2, cells, cells, 1536) == (2, cells, cells, halves[1][-1].filters)


def test_layers_are_numbered_by_their_distance_from_the_end_of_a_block(halves):
    kinds = [
        layer.kernel.shape if isinstance(layer, Conv) else layer.beta.shape[0]
        for layer in block_named(halves, "block35_1").layers
    ]
    assert kinds == [
        (1, 1, 320, 32), 32,
        (1, 1, 320, 32), (3, 3, 32, 48), 32, 48,
        (1, 1, 320, 32), (3, 3, 32, 32), (3, 3, 48, 64), 32, 32, 64,
        (1, 1, 128, 320),
    ]  # fmt: skip
    numbered = [number_layers(half, "half") for half in halves]
    assert [len(nodes) for nodes in numbered] == [342, 106]
    # As the training logs of the zoo's Mask R-CNN name them.
    assert isinstance(numbered[1]["half/layer_with_weights-93"], Norm)
    assert numbered[1]["half/layer_with_weights-94"].kernel.shape == (1, 1, 448, 2080)


def test_norms_have_no_scale_and_only_closing_convolutions_a_bias(halves):
    layers = [layer for half in halves for block in half for layer in block.layers]
    assert all(layer.gamma is None for layer in layers if isinstance(layer, Norm))
    with_bias = [layer.kernel.shape for layer in layers if isinstance(layer, Conv) and layer.bias is not None]
    assert len(with_bias) == 40
    assert {shape[:2] for shape in with_bias} == {(1, 1)} and {shape[3] for shape in with_bias} == {320, 1088, 2080}


@pytest.mark.parametrize(
    ("name", "channels", "scale", "activated"),
    [
        ("block35_3", 320, 0.17, True),
        ("block17_20", 1088, 0.1, True),
        ("block8_9", 2080, 0.2, True),
        ("block8_10", 2080, 1.0, False),
    ],
)
def test_residual_blocks_add_a_scaled_branch(halves, name, channels, scale, activated):
    block = block_named(halves, name)
    closing, x = block.layers[-1], noise(1, 3, 3, channels)
    kernel, bias = closing.kernel.numpy(), closing.bias.numpy()
    closing.kernel.assign(np.zeros_like(kernel))
    closing.bias.assign(np.full_like(bias, -2.0))
    found = block.run(tf.constant(x)).numpy()
    closing.kernel.assign(kernel)
    closing.bias.assign(bias)
    expected = x - 2.0 * scale
    np.testing.assert_allclose(found, np.maximum(expected, 0) if activated else expected, rtol=1e-5, atol=1e-6)


def test_pooled_branch_ends_what_a_reduction_joins(halves):
    block, x = block_named(halves, "mixed_6a"), np.abs(noise(1, 5, 5, 320))
    found = block.run(tf.constant(x)).numpy()
    assert found.shape == (1, 3, 3, block.filters)
    # SAME: the windows of a 5 x 5 map begin one cell before it.
    corner = x[:, :2, :2].max(axis=(1, 2))
    np.testing.assert_array_equal(found[:, 0, 0, -320:], corner)
