"""A Keras model as a network: the same numbers wherever it is cut, frozen norms, dropout that the seeds decide."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_network import SIZE, Colours, colour_model

from detkit.networks.functional import FunctionalNetwork
from detkit.networks.layers import Dropout, Norm, dropping, plain_twin
from detkit.networks.network import TRUTH


@pytest.fixture(scope="module")
def network():
    return Colours()


def inputs(count=3):
    return tf.constant(np.random.default_rng(0).uniform(0, 255, (count, *SIZE, 3)).astype(np.float32))


def state(count=3):
    truth = {"label": tf.constant([i % 2 for i in range(count)]), "seed": tf.range(count)}
    return {"image": inputs(count)} | {f"{TRUTH}{name}": value for name, value in truth.items()}


def test_the_numbers_are_those_of_keras():
    plain = colour_model()
    network = FunctionalNetwork(plain, ("first",), "ab", options=None)
    assert network.forward(inputs())["logits"].numpy() == pytest.approx(plain(inputs()).numpy(), abs=1e-6)


def test_variables_have_the_names_of_part_and_layer(network):
    assert {path.rpartition("/")[0] for path in network.variables()} == {
        "backbone/first", "backbone/first_norm", "backbone/second", "head/logits",
    }  # fmt: skip
    assert set(network.part_of().values()) == {"backbone", "head"}


def test_no_seam_lies_in_a_residual_branch_or_behind_dropout(network):
    names = [stage.name for stage in network.stages]
    assert names == ["scale", "first", "first_norm", "second", "pool", "drop"]


@pytest.mark.parametrize("seam", range(6))
def test_every_seam_gives_the_same_loss_where_dropout_comes_after_it(network, seam):
    whole = network.record_loss(state(), 0)["classification"]
    record = network.record(network.run(state(), 0, seam), seam)
    assert float(network.record_loss(record, seam)["classification"]) == pytest.approx(float(whole), rel=1e-6)


def test_dropout_is_off_outside_of_training_and_repeats_with_its_seeds():
    layer, ones = Dropout(0.5, name="drop"), tf.ones([4, 100])
    assert np.array_equal(layer(ones), ones)
    with dropping(tf.constant([1, 2])):
        first = layer(ones).numpy()
    with dropping(tf.constant([3, 0])):
        again = layer(ones).numpy()
    with dropping(tf.constant([7])):
        other = layer(ones).numpy()
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert set(np.unique(first)) == {0.0, 2.0} and 0.35 < (first > 0).mean() < 0.65


def test_dropout_of_whole_maps():
    with dropping(tf.constant([1])):
        dropped = Dropout(0.5, (None, 1, 1, None), name="d")(tf.ones([8, 3, 3, 8])).numpy()
    assert (dropped.std(axis=(1, 2)) == 0).all() and 0 < (dropped > 0).mean() < 1


def test_a_norm_uses_the_batch_only_where_it_is_not_frozen():
    layer, x = Norm(momentum=0.5, epsilon=1e-3), inputs()
    layer.build(x.shape)
    assert layer(x).numpy() == pytest.approx(x.numpy() / np.sqrt(1.001), rel=1e-5)
    layer.frozen = False
    reference = keras.layers.BatchNormalization(momentum=0.5, epsilon=1e-3)
    assert layer(x).numpy() == pytest.approx(reference(x, training=True).numpy(), abs=1e-4)
    assert layer.moving_mean.numpy() == pytest.approx(reference.moving_mean.numpy(), rel=1e-5)


def test_initial_values_depend_on_seed_and_path_alone():
    first, second, other = Colours(), Colours(), Colours()
    other.initialize(other.variables(), 1)
    for path, variable in first.variables().items():
        assert np.array_equal(variable.numpy(), second.variables()[path].numpy())
    kernel = "backbone/first/kernel"
    assert not np.array_equal(first.variables()[kernel].numpy(), other.variables()[kernel].numpy())


def test_the_plain_twin_is_kerass_own(network):
    plain = keras.models.clone_model(network.model, clone_function=plain_twin)
    plain.set_weights(network.model.get_weights())
    assert {type(layer).__module__.split(".")[0] for layer in plain.layers} == {"keras"}
    assert plain(inputs()).numpy() == pytest.approx(network.forward(inputs())["logits"].numpy(), abs=1e-6)
