"""Exports of networks that are no detectors: what belongs before the network is in them, and they answer the same."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from small_network import SIZE, Colours

import detkit
from detkit.errors import ConfigError
from detkit.export.export import export


@pytest.fixture(scope="module")
def network():
    made = Colours()
    made.name = "colours"
    return made


def test_saved_model_and_keras_take_pixels_and_give_scores(network, tmp_path):
    import tensorflow as tf

    report = export(network, ["savedmodel", "keras"], tmp_path, show_progress=False)
    assert [each.format for each in report] == ["savedmodel", "keras"] and "colours.keras" in report.table()
    assert all(each.agreement.score < 1e-5 for each in report)
    picture = np.random.default_rng(0).uniform(0, 255, (2, *SIZE, 3)).astype(np.float32)
    served = tf.saved_model.load(str(tmp_path / "colours.savedmodel"))
    scores = served.signatures["serving_default"](image=tf.constant(picture))["scores"].numpy()
    wanted = tf.nn.softmax(network.forward(tf.constant(picture))["logits"]).numpy()
    assert scores == pytest.approx(wanted, abs=1e-6)
    assert (tmp_path / "colours.savedmodel/assets/labelmap.txt").read_text() == "dark\nlight\n"


@pytest.mark.slow
def test_the_keras_file_needs_no_detkit(network, tmp_path):
    export(network, "keras", tmp_path / "colours.keras", show_progress=False)
    code = "import keras, sys; m = keras.saving.load_model(sys.argv[1]); print(m.output_shape, 'detkit' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "colours.keras")], capture_output=True, text=True)
    assert done.stdout.strip() == "(None, 2) False", done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tflite", "tflite-float16", "tflite-dynamic", "tflite-int8", "onnx"])
def test_the_other_formats(network, tmp_path, name):
    from detkit.data.synthesis import boats

    if name == "onnx":
        pytest.importorskip("tf2onnx")
        pytest.importorskip("onnxruntime")
    boats.few_shot_set(tmp_path, train=4, test=1, size=(60, 80))
    data = detkit.data.read(tmp_path / "train.json")
    (tmp_path / "out").mkdir()
    report = export(network, name, tmp_path / "out", data, show_progress=False)
    assert report[0].agreement.score < (1e-5 if name in ("tflite", "onnx") else 0.1)


def test_int8_without_images(network, tmp_path):
    with pytest.raises(ConfigError, match="int8 needs images"):
        export(network, "tflite-int8", tmp_path)
