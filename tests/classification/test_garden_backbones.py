"""Classifiers and localizers on backbones of Model Garden."""

from __future__ import annotations

import hashlib
import tarfile

import numpy as np
import pytest
import tensorflow as tf
from toy_classes import colours

from detkit import models
from detkit.classification.build import build
from detkit.errors import CheckpointError, ConfigError, DetkitError
from detkit.garden import classifiers
from detkit.pipeline.transfer import ClassificationModel, ClassificationPipeline, LocalizationModel
from detkit.training.finetune import finetune

CLASSES = ("red", "green", "blue")
NAME, TINY = "garden:MobileNetV4ConvSmall", {"size": 64, "width": 0.25}
slow = pytest.mark.slow


def classifier(weights=None, classes=CLASSES, **options):
    return build(ClassificationModel(**{"name": NAME, **TINY} | options, weights=weights), classes)


def trained(output, weights=None, **train):
    settings = {"batch_size": 12, "learning_rate": 0.003, "warmup_steps": 0, "augment": None, "validate_every": None}
    pipeline = ClassificationPipeline(
        model={"name": NAME, "weights": weights, **TINY}, train=settings | train, output=str(output)
    )
    return finetune(pipeline, colours(12), show_progress=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run from scratch."""
    return trained(tmp_path_factory.mktemp("runs") / "scratch", steps=8)


@pytest.fixture(scope="module")
def theirs(run):
    """Model Garden's own model, with the weights of the run."""
    from official.core import exp_factory
    from official.vision.tasks import image_classification

    config = exp_factory.get_exp_config("mobilenet_imagenet")
    mobilenet = {"model_id": "MobileNetV4ConvSmall", "filter_size_scale": 0.25}
    model = {"num_classes": 3, "input_size": [64, 64, 3], "backbone": {"type": "mobilenet", "mobilenet": mobilenet}}
    config.override({"task": {"model": model}})
    model = image_classification.ImageClassificationTask(config.task).build_model()
    status = tf.train.Checkpoint(model=model).read(str(run.directory / "checkpoint/ckpt-0"))
    status.expect_partial().assert_existing_objects_matched()
    return model


def values(network, part: str = "") -> dict:
    return {path: each.numpy() for path, each in network.variables().items() if path.startswith(part)}


def equal(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[path], second[path]) for path in first)


def pictures():
    return [example.pixels() for example in colours(3)]


def test_training_from_scratch_lowers_the_loss(run):
    losses = [row["loss"] for row in run.history]
    assert losses[-1] < 0.7 * losses[0]
    assert "tune backbone x1" in (run.directory / "log.txt").read_text()


def test_a_run_is_a_model_directory(run):
    again = models.load(run.directory)
    assert equal(values(run.model), values(again)) and again.classes == CLASSES
    for ours, stored in zip(run.model.classify(pictures()), again.classify(pictures()), strict=True):
        np.testing.assert_array_equal(ours.scores, stored.scores)


def test_model_garden_restores_a_run_and_computes_the_same(run, theirs):
    """The whole model, and the backbone alone as `init_checkpoint_modules: backbone` reads it."""
    inputs, _ = run.model.preprocess(pictures())
    mean, deviation = np.float32([0.485, 0.456, 0.406]) * 255, np.float32([0.229, 0.224, 0.225]) * 255
    expected = theirs((inputs - mean) / deviation, training=False)
    np.testing.assert_allclose(run.model.forward(inputs)["logits"], expected, atol=1e-4)
    status = tf.train.Checkpoint(backbone=theirs.backbone).read(str(run.directory / "checkpoint/ckpt-0"))
    status.expect_partial().assert_existing_objects_matched()


@pytest.mark.parametrize("layout", ["trainer", pytest.param("model", marks=slow), pytest.param("items", marks=slow)])
def test_checkpoints_of_model_garden_are_weights(layout, run, theirs, tmp_path):
    roots = {"trainer": {"model": theirs, **theirs.checkpoint_items}, "model": {"model": theirs}}
    path = tf.train.Checkpoint(**roots.get(layout, theirs.checkpoint_items)).save(str(tmp_path / "ckpt"))
    network = classifier(path, classes=("a", "b"))
    assert equal(values(network, "backbone/"), values(run.model, "backbone/")) and network.pretrained
    assert "restored" in network.weights_text and "reset" in network.weights_text


@slow
def test_a_checkpoint_of_another_width_is_refused(run):
    with pytest.raises(CheckpointError, match="(?s)does not fit the backbone.*shape mismatch.*model.width"):
        classifier(str(run.directory / "checkpoint"), width=0.5)


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        ({"weights": "imagenet"}, ["weights of their own kind", "got: imagenet", "model.weights=null"]),
        ({"weights": "hands"}, ["weights of their own kind"]),
        pytest.param({"weights": "no/such/ckpt-1"}, ["No checkpoint here"], marks=slow),
        ({"name": "garden:MobileNetV4ConvSmal"}, ["Did you mean garden:MobileNetV4ConvSmall?"]),
        ({"squeeze_excite": True}, ["do not have this option", "model.squeeze_excite"]),
        ({"name": "garden:ViTTi16"}, ["ViTTi16 has no other width"]),
        ({"signature": "default"}, ["Only SavedModels have signatures"]),
    ],
)
def test_options_that_do_not_fit(options, texts):
    with pytest.raises(DetkitError) as error:
        classifier(**options)
    assert [text for text in texts if text not in str(error.value)] == []


def test_weights_of_a_run_of_another_backbone(run):
    with pytest.raises(ConfigError, match="weights are those of another architecture"):
        classifier(str(run.directory), name="garden:MobileNetV3EdgeTPU")


@slow
def test_the_head_alone_is_trained_on_cached_features(run, tmp_path):
    options = {"strategy": "head", "steps": 2, "augment": {"flip": 0.5}, "weights": str(run.directory)}
    cached, plain = (trained(tmp_path / cache, cache=cache, **options) for cache in ("on", "off"))
    for path, value in values(cached.model).items():
        np.testing.assert_allclose(value, values(plain.model)[path], atol=1e-5)
    assert equal(values(cached.model, "backbone/"), values(run.model, "backbone/"))


@slow
def test_the_end_of_the_backbone_is_trained_at_a_lower_rate(run, tmp_path):
    done = trained(tmp_path / "run", str(run.directory), strategy="finetune", unfreeze=0.2, steps=2)
    before, after = values(run.model, "backbone/"), values(done.model, "backbone/")
    changed = [number for number, path in enumerate(before) if not np.array_equal(before[path], after[path])]
    assert 0 < len(changed) < 0.4 * len(before) and min(changed) > 0.6 * len(before)


@slow
def test_the_same_seed_gives_the_same_run(run, tmp_path):
    again = trained(tmp_path / "again", steps=8)
    assert [row["loss"] for row in again.history] == [row["loss"] for row in run.history]
    assert equal(values(again.model), values(run.model))


@slow
def test_an_archive_of_a_checkpoint_comes_from_an_address(run, tmp_path, monkeypatch):
    from detkit.classification import files

    with tarfile.open(tmp_path / "ckpt.tar.gz", "w:gz") as tar:
        tar.add(run.directory / "checkpoint", "mobilenet")
    monkeypatch.setenv("DETKIT_CACHE", str(tmp_path / "cache"))
    content = (tmp_path / "ckpt.tar.gz").read_bytes()
    monkeypatch.setattr(files, "download", lambda url, path: path.write_bytes(content))
    address = f"https://example.com/ckpt.tar.gz#sha256={hashlib.sha256(content).hexdigest()}"
    assert equal(values(classifier(address), "backbone/"), values(run.model, "backbone/"))


@slow
def test_a_localizer_sees_the_last_map_of_several_places():
    network = build(LocalizationModel(NAME, None, 64, width=0.25), CLASSES)
    assert network.detect(pictures())[0].boxes.shape == (1, 4)
    with pytest.raises(ConfigError, match="(?s)features of ViTTi16 tell no places.*a MobileNet or a ResNet"):
        build(LocalizationModel("garden:ViTTi16", None), CLASSES)


@slow
@pytest.mark.parametrize("entry", classifiers.CLASSIFIERS, ids=lambda entry: entry.name)
def test_every_one_is_built_with_the_parameters_that_are_told(entry):
    network = build(ClassificationModel(f"garden:{entry.name}", None), CLASSES)
    own, parts = network.variables(), network.part_of()
    trainable = [each for path, each in own.items() if each.trainable and parts[path] == "backbone"]
    assert sum(int(np.prod(each.shape)) for each in trainable) == entry.parameters
    assert network.input_size == entry.size
