"""The layers of segmentation networks against slow references."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from detkit.segmentation.layers import Bilinear, MaxPoolingWithIndices, Unpooling


@pytest.mark.parametrize("factor", [2, 8])
def test_bilinear_upsampling_is_exact_on_a_plane(factor):
    rows, columns = np.mgrid[:6, :7].astype(np.float32)
    planes = np.stack([rows, 2 * columns - rows], -1)[None]  # [1, h, w, 2]
    layer = keras.layers.Conv2DTranspose(
        2, 2 * factor, factor, "same", use_bias=False, kernel_initializer=Bilinear()
    )  # fmt: skip
    enlarged = layer(planes).numpy()[0]
    assert enlarged.shape == (6 * factor, 7 * factor, 2)
    y, x = ((np.arange(n * factor) + 0.5) / factor - 0.5 for n in (6, 7))  # centres of the small pixels
    wanted = np.stack(np.broadcast_arrays(y[:, None], 2 * x - y[:, None]), -1)
    inside = np.s_[factor:-factor, factor:-factor]
    np.testing.assert_allclose(enlarged[inside], wanted[inside], atol=1e-5)


def test_bilinear_kernel_does_not_mix_channels():
    kernel = Bilinear()((4, 4, 3, 3)).numpy()
    np.testing.assert_allclose(kernel[..., 0, 0], np.outer([0.25, 0.75, 0.75, 0.25], [0.25, 0.75, 0.75, 0.25]))
    assert not kernel[..., 0, 1].any()
    assert not kernel[..., 2, 0].any()


def test_pooling_and_unpooling_are_those_of_indices_and_scatter():
    x = np.random.default_rng(0).normal(size=(2, 6, 8, 3)).astype(np.float32)
    pooled, where = MaxPoolingWithIndices()(x)
    maxima, indices = tf.nn.max_pool_with_argmax(x, 2, 2, "VALID", include_batch_in_index=True)
    np.testing.assert_array_equal(pooled, maxima)
    scattered = np.zeros(x.size, np.float32)
    scattered[indices.numpy().ravel()] = maxima.numpy().ravel()
    np.testing.assert_array_equal(Unpooling()([pooled, where]), scattered.reshape(x.shape))


def test_of_equal_values_the_first_one_gets_the_maximum():
    x = np.zeros((1, 2, 2, 1), np.float32) + 3
    unpooled = Unpooling()(list(MaxPoolingWithIndices()(x))).numpy()
    assert unpooled.ravel().tolist() == [3, 0, 0, 0]
