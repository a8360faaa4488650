"""Trained weights for backbones: where they may come from, and what is said where they can't."""

from __future__ import annotations

import hashlib
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

import detkit
from detkit import models
from detkit.classification.architectures import backbone
from detkit.classification.build import build
from detkit.errors import CheckpointError, ConfigError, DetkitError
from detkit.pipeline.transfer import ClassificationModel

CLASSES = ("red", "green")
slow = pytest.mark.slow
# Keras' own, when it writes weights.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def classifier(weights, classes=CLASSES, **options):
    return build(ClassificationModel(**{"name": "LeNet5"} | options, weights=weights), classes)


@pytest.fixture
def lenet():
    """The features of a LeNet-5 that has been somewhere."""
    keras.utils.set_random_seed(5)
    return backbone("LeNet5")


def assert_taken(network, features):
    for layer in (layer for layer in features.layers if layer.weights):
        for name in ("kernel", "bias"):
            expected = getattr(layer, name)
            np.testing.assert_array_equal(network.variables()[f"backbone/{layer.name}/{name}"], expected)
    assert network.pretrained and network.weights_text.startswith("backbone LeNet5: 4 variables from ")


@pytest.mark.parametrize("kind", [".keras", ".weights.h5"])
def test_files_of_keras(kind, lenet, tmp_path):
    path = tmp_path / f"lenet{kind}"
    lenet.save(path) if kind == ".keras" else lenet.save_weights(path)
    assert_taken(classifier(str(path)), lenet)


def test_a_file_of_older_keras(lenet, tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "old.h5", "w") as file:
        layers = [layer for layer in lenet.layers if layer.weights]
        file.attrs["layer_names"] = [layer.name.encode() for layer in layers] + [b"predictions"]
        for name, values in {layer.name: layer.weights for layer in layers}.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{each}:0".encode() for each in ("kernel", "bias")]
            for each, value in zip(("kernel", "bias"), values, strict=True):
                group[f"{name}/{each}:0"] = value.numpy()
        file.create_group("predictions").attrs["weight_names"] = [b"predictions/kernel:0"]
        file["predictions/predictions/kernel:0"] = np.zeros((84, 1000), np.float32)
    assert_taken(classifier(str(tmp_path / "old.h5")), lenet)


def test_another_run(tmp_path):
    first = build(ClassificationModel("LeNet5", None), ("a", "b", "c"), seed=9)
    models.save(first, tmp_path)
    second = classifier(str(tmp_path))
    for path in ("backbone/conv1/kernel", "backbone/conv2/bias"):
        np.testing.assert_array_equal(second.variables()[path], first.variables()[path])


def test_a_checksum_decides_over_a_download(lenet, tmp_path, monkeypatch):
    path = tmp_path / "lenet.weights.h5"
    lenet.save_weights(path)
    monkeypatch.setenv("DETKIT_CACHE", str(tmp_path / "cache"))
    with _served(tmp_path) as address:
        url, right = f"{address}/lenet.weights.h5", hashlib.sha256(path.read_bytes()).hexdigest()
        with pytest.raises(DetkitError, match="not the one that was asked for: its SHA-256 differs"):
            classifier(f"{url}#sha256={'0' * 64}")
        assert_taken(classifier(f"{url}#sha256={right}"), lenet)
        with pytest.raises(DetkitError, match="fix: Check the address.*give its path as model.weights"):
            classifier(f"{address}/missing.h5#sha256={right}")
    assert_taken(classifier(f"{url}#sha256={right}"), lenet)  # from the cache


class _served:
    """A folder on a web server of this machine."""

    def __init__(self, folder):
        from functools import partial
        from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

        class Quiet(SimpleHTTPRequestHandler):
            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.parametrize(
    ("weights", "texts"),
    [
        ("hands", ["The weights are those of another architecture.", "got: MobileNetV2", "model.name=MobileNetV2"]),
        ("imagenet", ["no weights of ImageNet for this architecture", "model.weights=null"]),
        ("handz", ["hands"]),
        ("https://example.org/x.h5", ["does not say which file it shall be", "URL#sha256=SUM"]),
    ],
)
def test_weights_that_can_not_be(weights, texts):
    with pytest.raises(ConfigError) as error:
        classifier(weights)
    assert [text for text in texts if text not in str(error.value)] == []


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.h5", b"", "This is no file of weights.*\n.*\n.*an empty file"),
        ("a.bin", b"12345678", "This is no file of weights"),
        ("a.h5", b"\x89HDF\r\n\x1a\n" + bytes(50), "The file of weights can't be read"),
        ("a.keras", b"PK\3\4" + bytes(50), "The file of weights can't be read"),
    ],
)
def test_files_that_are_no_weights(name, content, text, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=text):
        classifier(str(tmp_path / name))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(CheckpointError, match="Can't read the file of weights.*\n.*lenet.h5.*\n  got: no such file"):
        classifier(str(tmp_path / "lenet.h5"))


def test_weights_of_another_shape(lenet, tmp_path):
    lenet.save(tmp_path / "lenet.keras")
    with pytest.raises(CheckpointError, match=r"do not fit.*\n.*\n  got: conv1/kernel: shape \[5, 5, 1, 6\]"):
        classifier(str(tmp_path / "lenet.keras"), width=2)


def test_imagenet_without_a_network(monkeypatch):
    def unreachable(*arguments, **options):
        raise Exception("URL fetch failure on https://example.org/weights.h5: None -- no route")

    monkeypatch.setattr(keras.applications, "MobileNetV2", unreachable)
    from detkit.classification.weights import _imagenet

    with pytest.raises(CheckpointError) as error:
        _imagenet("MobileNetV2", 1.0, "model.name")
    for text in ("can't be downloaded", "download https://example.org/weights.h5 elsewhere", "model.weights=hands"):
        assert text in str(error.value)


@slow
@pytest.mark.parametrize("size", [(128, 128), (320, 320), (131, 117)])
def test_the_backbone_of_a_detector_computes_the_same_features(size):
    network = build(ClassificationModel(weights="hands", size=size), CLASSES)
    images = tf.random.stateless_uniform((2, *size, 3), [1, 2], 0, 255)
    state, ours = {"x": images / 127.5 - 1}, {"image": images}
    for stage in detkit.load("hands").stages:
        state = stage.run(state)
        if stage.name == "backbone/out":
            break
    for stage in network.stages:
        ours = stage.run(ours)
        if "out_relu" in ours:
            break
    theirs = next(value for value in state.values() if value.shape == ours["out_relu"].shape)
    np.testing.assert_allclose(ours["out_relu"], theirs, atol=1e-4)
    assert np.std(theirs) > 0.1
