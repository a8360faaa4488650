"""Classifiers: losses, results, a step of training, saving, and input that can't be used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from toy_classes import COLOURS, colours

from detkit import models
from detkit.classification.build import build
from detkit.classification.losses import class_loss
from detkit.classification.results import Classified
from detkit.data import batches
from detkit.errors import ConfigError, DataError
from detkit.pipeline.transfer import ClassificationModel

CLASSES = tuple(COLOURS)
SMALL = {"weights": None, "width": 0.125, "size": 32}


def steps(network, dataset, count: int = 2, rate: float = 0.02) -> list[float]:
    """The loss before each of some steps of gradient descent on all pictures."""
    views = batches.Views(dataset, network.resized, wants=network.wants)
    record = network.training_state(*network.batch([views.view(i) for i in range(len(dataset))]))
    variables, losses = network.model.trainable_variables, []
    for _ in range(count):
        with tf.GradientTape() as tape:
            loss = tf.add_n(list(network.record_loss(record, 0).values()))
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.assign_sub(rate * gradient / (tf.norm(gradient) + 1e-6))
        losses.append(float(loss))
    return losses


@pytest.mark.parametrize(
    "options",
    [
        {"name": "LeNet5"},
        {"name": "AlexNet", "size": 67, "hidden": [8], "dropout": 0.0},
        pytest.param({"name": "ResNet18"}, marks=pytest.mark.slow),
        pytest.param({"name": "ResNet18", "squeeze_excite": True}, marks=pytest.mark.slow),
        pytest.param({"name": "MiniXception", "labels": "several", "label_smoothing": 0.1}, marks=pytest.mark.slow),
        {"name": "MiniXception", "squeeze_excite": True, "hidden": [8]},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_a_step_of_training_lowers_the_loss(options):
    network = build(ClassificationModel(**SMALL | options), CLASSES)
    network.freeze_batch_norm(False)
    first, second = steps(network, colours())
    assert second < first


def test_the_same_seed_gives_the_same_classifier():
    first, same, other = (build(ClassificationModel("LeNet5", None), CLASSES, seed=seed) for seed in (1, 1, 2))
    for path, variable in first.variables().items():
        np.testing.assert_array_equal(variable, same.variables()[path])
    assert not np.array_equal(*(each.variables()["backbone/conv1/kernel"] for each in (first, other)))


@pytest.mark.parametrize(("name", "labels"), [("MiniXception", "one"), ("LeNet5", "binary"), ("LeNet5", "several")])
def test_a_saved_classifier_says_the_same(name, labels, tmp_path):
    classes = CLASSES[:2] if labels == "binary" else CLASSES
    network = build(ClassificationModel(**SMALL | {"name": name, "labels": labels}), classes, seed=3)
    models.save(network, tmp_path)
    again = models.load(tmp_path)
    pictures = [example.pixels() for example in colours(3)]
    for old, new in zip(network.classify(pictures), again.classify(pictures), strict=True):
        np.testing.assert_array_equal(old.scores, new.scores)
        assert (new.classes, new.size) == (classes, (40, 48))
    assert (again.task, again.options) == ("classification", replace(network.options, size=(32, 32)))


def test_scores_are_probabilities():
    picture = colours(1)[0].pixels()
    one = build(ClassificationModel(**SMALL | {"name": "LeNet5"}), CLASSES).classify(picture)[0]
    assert one.scores.sum() == pytest.approx(1)
    binary = build(ClassificationModel(**SMALL | {"name": "LeNet5", "labels": "binary"}), CLASSES[:2])
    assert binary.model.output.shape == (None, 1)
    assert binary.classify(picture)[0].scores.sum() == pytest.approx(1)


def softmax(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def test_cross_entropy_of_one_class():
    rng = np.random.default_rng(0)
    logits, ids, factors = rng.normal(size=(5, 3)), rng.integers(0, 3, 5), np.array([1.0, 2.0, 0.5])
    truth, weights = np.eye(3)[ids], np.array([1.0, 1, 0, 1, 1])
    targets = truth * 0.9 + 0.1 / 3
    each = -(targets * np.log(softmax(logits))).sum(-1) * factors[ids]
    got = class_loss(*(tf.constant(x, tf.float32) for x in (logits, truth, weights)), "one", 0.1, tuple(factors))
    assert float(got) == pytest.approx((each * weights).sum() / 4, rel=1e-5)


@pytest.mark.parametrize("labels", ["binary", "several"])
def test_cross_entropy_of_sigmoids(labels):
    rng = np.random.default_rng(1)
    columns, factors = (1, (2.0, 1.0)) if labels == "binary" else (3, (1.0, 2.0, 0.5))
    logits = rng.normal(size=(4, columns))
    truth = np.eye(2)[[0, 1, 1, 0]] if labels == "binary" else rng.integers(0, 2, (4, 3)).astype(float)
    wanted = truth[:, 1:] if labels == "binary" else truth
    p, targets = 1 / (1 + np.exp(-logits)), wanted * 0.8 + 0.1
    each = -(targets * np.log(p) + (1 - targets) * np.log(1 - p))
    factor = (truth * factors).sum(-1, keepdims=True) if labels == "binary" else np.array(factors)
    arguments = (tf.constant(x, tf.float32) for x in (logits, truth, np.ones(4)))
    assert float(class_loss(*arguments, labels, 0.2, factors)) == pytest.approx((each * factor).mean(), rel=1e-5)


def test_no_image_with_a_weight_is_no_loss():
    zeros = tf.zeros((2, 3))
    assert float(class_loss(zeros, zeros, tf.zeros(2), "one")) == 0


def test_results_of_a_classifier():
    found = Classified([0.2, 0.7, 0.6], CLASSES, (10, 20), "photo.jpg")
    assert (found.label, found.class_id, found.score) == ("green", 1, pytest.approx(0.7))
    assert [name for name, _ in found.top(2)] == ["green", "blue"]
    assert found.above(0.5) == ["green", "blue"]
    with pytest.raises(DataError, match="Each class has one score"):
        Classified([0.2, 0.8], CLASSES, (10, 20))


@pytest.mark.parametrize(
    ("options", "classes", "texts"),
    [
        ({}, ("red",), ["nothing to tell apart", "got: red", "expected: 2 classes or more", "labels=several"]),
        ({}, (), ["nothing to tell apart", "got: no class"]),
        ({"labels": "binary"}, CLASSES, ["model.labels: binary", "expected: 2 classes", "labels=one"]),
        ({"class_weights": [1, 2]}, CLASSES, ["not the weights of the classes", "3 numbers"]),
        ({"class_weights": [0, 0, 0]}, CLASSES, ["not all 0"]),
    ],
)
def test_classes_that_do_not_fit(options, classes, texts):
    with pytest.raises(ConfigError) as error:
        build(ClassificationModel(**{"name": "LeNet5", "weights": None} | options), classes)
    assert [text for text in texts if text not in str(error.value)] == []


def test_a_class_may_be_told_from_nothing():
    network = build(ClassificationModel("LeNet5", None, labels="several"), ("red",))
    assert network.classify(colours(1)[0].pixels())[0].scores.shape == (1,)


def test_pictures_without_one_class():
    dataset = colours(3)
    bare = replace(dataset, examples=(*dataset.examples, replace(dataset[0], image_labels=[], image_id=7)))
    network = build(ClassificationModel("LeNet5", None), CLASSES)
    network.check_data(dataset)
    with pytest.raises(DataError, match="doesn't have one class.*\n.*7\n.*got: none"):
        network.check_data(bare)
    build(ClassificationModel("LeNet5", None, labels="several"), CLASSES).check_data(bare)


def test_what_is_no_picture():
    network = build(ClassificationModel("LeNet5", None), CLASSES)
    with pytest.raises(DataError, match="This is no RGB image"):
        network.classify(np.zeros((4, 5, 1), np.uint8))


def test_pictures_of_any_size_are_stretched_as_tensorflow_does():
    image = np.random.default_rng(0).integers(0, 255, (50, 17, 3), dtype=np.uint8)
    inputs, shapes = build(ClassificationModel("LeNet5", None), CLASSES).preprocess([image])
    expected = tf.raw_ops.ResizeBilinear(images=image[None].astype(np.float32), size=(32, 32))
    assert np.abs(inputs - expected).max() <= 4.5  # whole levels, and positions in 32nds of a pixel
    assert shapes.numpy().tolist() == [[32, 32, 3]]
