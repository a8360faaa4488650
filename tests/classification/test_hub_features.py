"""Feature vectors of TensorFlow Hub, read from SavedModels of both versions of TensorFlow."""

from __future__ import annotations

import feature_maker as maker
import numpy as np
import pytest
import tensorflow as tf

from detkit.api import inspect
from detkit.errors import CheckpointError, ConfigError
from detkit.hub import features

IMAGES = np.random.default_rng(0).integers(0, 256, (3, maker.SIZE, maker.SIZE, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    maker.main(folder)
    return folder


def vectors(found) -> np.ndarray:
    return found(tf.constant(IMAGES)).numpy()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("version1", "image_feature_vector/default: float32 (None, 24, 24, 3) -> [6]"),
        ("reusable", "__call__: float32 (None, 24, 24, 3) -> [6]"),
        ("signed", "serving_default/feature_vector: float32 (None, 24, 24, 3) -> [6]"),
    ],
)
def test_each_kind_gives_the_features_of_its_maker(name, text, made):
    found = features.load(made / name)
    np.testing.assert_allclose(vectors(found), maker.features(IMAGES), atol=1e-6)
    assert (found.text(), found.size, found.shape) == (text, (24, 24), (6,))


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(tf.TensorSpec([None, 24, 24, 3], tf.uint8), id="whole-numbers"),
        pytest.param(tf.TensorSpec([None, None, None, 3], tf.int32), id="of-any-size"),
        pytest.param(tf.TensorSpec([1, 24, 24, 3], tf.float32), id="one-by-one"),
        pytest.param(tf.TensorSpec(None, tf.float32), id="of-unknown-rank"),
    ],
)
def test_images_are_given_as_the_input_asks(spec, tmp_path):
    found = features.load(maker.signed(tmp_path / "model", spec=spec), size=(24, 24))
    np.testing.assert_allclose(vectors(found), maker.features(IMAGES), atol=1e-6)


def test_an_option_names_another_output(made):
    found = features.load(made / "version1", "default/Net/maps")
    assert found.shape == (3, 3, 3)
    np.testing.assert_allclose(vectors(found).mean(axis=(1, 2)), (IMAGES / 255).mean(axis=(1, 2)), atol=1e-6)
    assert features.load(made / "version1", "default").shape == (6,)


@pytest.mark.parametrize(
    ("signature", "texts"),
    [
        ("defualt", ["no such signature", "Did you mean default?", "output Net/maps: float32"]),
        ("default/Net/map", ["no such signature", "Did you mean default/Net/maps"]),
    ],
)
def test_a_wrong_signature_shows_what_there_is(signature, texts, made):
    with pytest.raises(ConfigError) as error:
        features.load(made / "version1", signature)
    assert [text for text in texts if text not in str(error.value)] == []


@pytest.mark.parametrize(
    ("outputs", "spec", "texts"),
    [
        pytest.param(
            lambda vector, x: {"a": vector.of(x), "b": vector.of(x)}, None,
            ["can't be told", "output b: float32 (None, 6)", "serving_default/a, serving_default/b", "model.signature"],
            id="two-vectors",
        ),
        pytest.param(
            lambda vector, text: {"length": tf.strings.length(text)}, tf.TensorSpec([None], tf.string, "text"),
            ["no images into features", "input text: string (None,)", "an image [B, height, width, 3] in"],
            id="texts",
        ),
        pytest.param(
            lambda vector, x: {"id": tf.argmax(vector.of(x), axis=-1)}, None, ["no images into features"], id="numbers"
        ),
        pytest.param(
            lambda vector, x: {"sum": tf.reduce_sum(vector.of(x), -1)}, None, ["no images into features"], id="one"
        ),
        pytest.param(
            lambda vector, x: {"detection_boxes": x[:, 0], "detection_scores": x[:, 0, :, 0]}, None,
            ["is a detector", 'detkit.load("'],
            id="a-detector",
        ),
        pytest.param(
            lambda vector, x: {"default": vector.of(x)}, tf.TensorSpec([None, None, None, 3], tf.float32),
            ["images of any size", "Set model.size"],
            id="no-size",
        ),
    ],
)  # fmt: skip
def test_what_gives_no_features_is_told(outputs, spec, texts, tmp_path):
    with pytest.raises(ConfigError) as error:
        features.load(maker.signed(tmp_path / "model", outputs, spec))
    assert [text for text in texts if text not in str(error.value)] == []


def test_another_size_than_the_model_takes_is_told(made, tmp_path):
    with pytest.raises(ConfigError, match="(?s)images of another size.*got: 32 x 24.*expected: 24 x 24"):
        features.load(made / "signed", size=(32, 24))
    spec = tf.TensorSpec(None, tf.float32)
    path = maker.signed(tmp_path / "model", lambda vector, x: {"x": tf.ensure_shape(x, [None, 9, 9, 3])[:, 0, 0]}, spec)
    with pytest.raises(ConfigError, match="(?s)does not take images of this size.*got: 8 x 8"):
        features.load(path, size=(8, 8))


def test_what_is_not_there_or_damaged_is_told(made, tmp_path):
    with pytest.raises(CheckpointError, match="(?s)no saved_model.pb.*no such directory"):
        features.load(tmp_path / "none")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "saved_model.pb").write_bytes((made / "signed/saved_model.pb").read_bytes())
    with pytest.raises(CheckpointError, match="can't be loaded"):
        features.load(damaged)


def test_inspect_shows_how_to_use_it(made):
    text = inspect(str(made / "version1"))
    assert "input images: float32 (None, 24, 24, 3)" in text and "output Net/maps" in text
    assert f"features: image_feature_vector/default\nUse it as a backbone: model.name=hub:{made}/version1" in text


def test_inspect_shows_what_there_is_to_choose_from(tmp_path):
    path = maker.signed(tmp_path / "model", lambda vector, x: {"a": vector.of(x), "b": vector.of(x)})
    text = inspect(str(path))
    assert "features: serving_default/a, serving_default/b" in text and "model.signature=serving_default/a" in text
    assert features.load(path, "serving_default/b").shape == (6,)
    with pytest.raises(ConfigError, match=r"(?s)no such signature.*fix: Did you mean serving_default/[ab]\?"):
        features.load(path, "serving_default")
