"""Classifiers and localizers on feature vectors of TensorFlow Hub: trained, saved, loaded, measured."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import feature_maker as maker
import numpy as np
import pytest
import tensorflow as tf
from toy_classes import colours

import detkit
from detkit import models
from detkit.classification.build import build
from detkit.errors import CheckpointError, ConfigError
from detkit.pipeline import pipeline as pipelines
from detkit.pipeline.transfer import ClassificationModel, ClassificationPipeline, LocalizationModel
from detkit.training.finetune import finetune
from detkit.training.phases import plan

CLASSES = ("red", "green", "blue")
TRAIN = {"steps": 60, "batch_size": 6, "learning_rate": 0.05, "views": 2, "validate_every": None}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    maker.main(folder)
    (folder / "signed/notes.txt").write_text("not of the SavedModel")
    return folder


@pytest.fixture(scope="module")
def run(made, tmp_path_factory):
    """A run on the module of TensorFlow 1."""
    return trained(made / "version1", tmp_path_factory.mktemp("runs") / "one")


def trained(saved_model, output, model=(), **train):
    pipeline = ClassificationPipeline(
        model={"name": f"hub:{saved_model}", **dict(model)}, train=TRAIN | train, output=str(output)
    )
    return finetune(pipeline, colours(12), test=colours(6), show_progress=False)


def weights(network) -> dict:
    return {path: variable.numpy() for path, variable in network.variables().items()}


def test_a_head_learns_on_its_features(run):
    assert run.metrics["accuracy"] == 1.0
    assert run.history[-1]["loss"] < run.history[0]["loss"] / 2
    assert list(run.model.variables()) == ["head/logits/kernel", "head/logits/bias"]
    log = (run.directory / "log.txt").read_text()
    assert "version1, as it is; head: initial" in log and "first tuned: " in log


def test_a_run_does_without_the_saved_model_it_came_from(run, made, tmp_path):
    kept = shutil.copytree(run.directory, tmp_path / "elsewhere")
    assert str(made) not in (kept / "model.yaml").read_text()
    again = models.load(kept)
    assert again.saved_model == kept / "backbone"
    pictures = [example.pixels() for example in colours(3)]
    for ours, theirs in zip(run.model.classify(pictures), again.classify(pictures), strict=True):
        np.testing.assert_array_equal(ours.scores, theirs.scores)
    assert detkit.evaluate(again, colours(6)).numbers["accuracy"] == 1.0
    assert "image_feature_vector/default" in detkit.api.inspect(kept)
    models.save(again, tmp_path / "second")
    assert weights(models.load(tmp_path / "second")).keys() == weights(again).keys()
    models.save(again, kept)  # onto itself
    assert models.load(kept).classes == CLASSES


def test_only_the_saved_model_is_copied(made, tmp_path):
    models.save(build(ClassificationModel(f"hub:{made / 'signed'}"), CLASSES), tmp_path)
    assert {path.name for path in (tmp_path / "backbone").iterdir()} <= {
        "saved_model.pb", "variables", "assets", "fingerprint.pb",
    }  # fmt: skip


def test_cached_features_change_nothing(made, tmp_path):
    options = {"steps": 3, "seed": 3, "augment": {"flip": 0.5}}  # as many views as rounds of the pictures
    kinds = {"first": "on", "plain": "off", "second": "on"}
    runs = [trained(made / "reusable", tmp_path / name, cache=cache, **options) for name, cache in kinds.items()]
    cached, plain, again = (weights(each.model) for each in runs)
    for path, value in cached.items():
        np.testing.assert_allclose(value, plain[path], atol=1e-6)
        np.testing.assert_array_equal(value, again[path])


@pytest.mark.parametrize("strategy", ["finetune", "two_stage", "full"])
def test_a_saved_model_stays_as_it_is(strategy, made):
    network = build(ClassificationModel(f"hub:{made / 'signed'}"), CLASSES)
    settings = ClassificationPipeline(train={"strategy": strategy}).train
    with pytest.raises(ConfigError, match="(?s)SavedModel can't be trained.*fix: Set train.strategy=head"):
        plan(network, settings)


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        ({"weights": "hands"}, ["taken as it is", "model.weights", "expected: null", "Leave it out"]),
        ({"width": 0.5}, ["taken as it is", "model.width"]),
        ({"squeeze_excite": True}, ["taken as it is", "model.squeeze_excite"]),
        ({"signature": "logits"}, ["no such signature", "serving_default/feature_vector"]),
        ({"size": 32}, ["images of another size", "24 x 24"]),
        ({"name": "LeNet5", "weights": None, "signature": "default"}, ["Only SavedModels", "model.signature"]),
        ({"name": "hub:"}, ["model.name can't have this value", "hub: with a directory"]),
    ],
)
def test_options_that_a_saved_model_does_not_have(options, texts, made):
    with pytest.raises(ConfigError) as error:
        build(ClassificationModel(**{"name": f"hub:{made / 'signed'}"} | options), CLASSES)
    assert [text for text in texts if text not in str(error.value)] == []


def test_maps_of_features_tell_places(made):
    options = {"name": f"hub:{made / 'version1'}", "signature": "default/Net/maps"}
    network = build(LocalizationModel(**options), CLASSES)
    (found,) = network.detect(colours(1)[0].pixels())
    assert found.boxes.shape == (1, 4)
    with pytest.raises(ConfigError, match=r"(?s)does not tell where.*-> \[6\].*maps of features"):
        build(LocalizationModel(f"hub:{made / 'version1'}"), CLASSES)


def test_a_pipeline_names_it_relative_to_its_folder(made, tmp_path):
    shutil.copytree(made / "signed", tmp_path / "vector")
    (tmp_path / "mine.yaml").write_text("task: classification\nmodel: {name: hub:vector, dropout: 0}\n")
    assert pipelines.load(tmp_path / "mine.yaml").model.name == f"hub:{tmp_path / 'vector'}"
    text = "task: classification\nmodel: {name: 'hub:https://tfhub.dev/google/vector/1'}\n"
    (tmp_path / "hub.yaml").write_text(text)
    assert pipelines.load(tmp_path / "hub.yaml").model.name == "hub:https://tfhub.dev/google/vector/1"


def test_an_archive_will_do(made, tmp_path, monkeypatch):
    monkeypatch.setenv("DETKIT_CACHE", str(tmp_path / "cache"))
    with tarfile.open(tmp_path / "vector.tar.gz", "w:gz") as tar:
        tar.add(made / "reusable", ".")
    network = build(ClassificationModel(f"hub:{tmp_path / 'vector.tar.gz'}"), CLASSES)
    assert tmp_path / "cache" in network.saved_model.parents


def test_a_run_that_lost_its_backbone_says_so(run, tmp_path):
    kept = shutil.copytree(run.directory, tmp_path / "run")
    shutil.rmtree(kept / "backbone")
    with pytest.raises(CheckpointError, match="(?s)no saved_model.pb.*run/backbone.*no such directory"):
        models.load(kept)


def test_its_gradients_reach_the_pixels(run):
    image = tf.Variable(np.float32(colours(1)[0].pixels()[None, :24, :24]))
    with tf.GradientTape() as tape:
        logits = run.model.finish({run.model.input_name: image}, 0)["logits"]
    assert float(tf.reduce_max(tf.abs(tape.gradient(logits, image)))) > 0


@pytest.mark.slow
@pytest.mark.parametrize("to", ["savedmodel", "tflite", "onnx"])
def test_it_is_exported_with_its_backbone(to, run, tmp_path):
    if to == "onnx":
        pytest.importorskip("tf2onnx")
    report = detkit.export(run.model, to, tmp_path / f"model.{to}", data=colours(2), show_progress=False)
    assert report.table()
    with pytest.raises(ConfigError, match="(?s)holds layers of Keras 3.*Export it as a SavedModel"):
        detkit.export(run.model, "keras", tmp_path / "model.keras", show_progress=False)


@pytest.mark.slow
def test_feature_vectors_made_and_used_in_other_processes(tmp_path):
    here = Path(__file__).parent
    subprocess.run([sys.executable, str(here / "feature_maker.py"), str(tmp_path)], check=True)
    for name in ("version1", "reusable", "signed"):
        trained(tmp_path / name, tmp_path / "runs" / name)
    code = (
        "import json, sys, numpy as np, detkit\n"
        "picture = np.full((30, 50, 3), (220, 40, 30), np.uint8)\n"
        "for name in ('version1', 'reusable', 'signed'):\n"
        "    print(json.dumps(detkit.load(f'{sys.argv[1]}/{name}').classify(picture)[0].label))\n"
        "print(json.dumps([name for name in ('tf_keras', 'official', 'tensorflow_hub') if name in sys.modules]))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "runs")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert [json.loads(line) for line in done.stdout.splitlines()] == ["red", "red", "red", []]
