"""Localizers: what is learnt of pictures with several objects or none, losses, results, saving."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from test_classifier import SMALL, steps
from toy_classes import COLOURS, SIZE, colours

from detkit import boxes as box_math
from detkit import models
from detkit.classification.build import build
from detkit.classification.losses import box_loss
from detkit.data import batches
from detkit.errors import ConfigError, DataError
from detkit.pipeline.transfer import LocalizationModel

CLASSES = tuple(COLOURS)


@pytest.fixture(scope="module")
def localizer():
    return build(LocalizationModel(**SMALL | {"name": "MiniXception", "size": (48, 40)}), CLASSES)


@pytest.mark.parametrize("loss", ["ciou", pytest.param("smooth_l1", marks=pytest.mark.slow)])
def test_a_step_of_training_lowers_the_loss(loss):
    network = build(LocalizationModel(**SMALL | {"name": "MiniXception", "size": 64, "box_loss": loss}), CLASSES)
    network.freeze_batch_norm(False)
    first, second = steps(network, colours(boxes=True))
    assert second < first


def test_the_outputs(localizer):
    outputs = localizer.forward(tf.zeros((2, 48, 40, 3)))
    assert {name: value.shape for name, value in outputs.items()} == {"logits": (2, 3), "box": (2, 4)}


def test_there_is_one_detection_an_image(localizer):
    found = localizer.detect([example.pixels() for example in colours(2, boxes=True)])
    assert [len(each) for each in found] == [1, 1]
    assert found[0].classes == CLASSES and found[0].size == SIZE
    assert len(localizer.detect(colours(1)[0].pixels(), threshold=1.1)[0]) == 0


def test_a_saved_localizer_says_the_same(localizer, tmp_path):
    models.save(localizer, tmp_path)
    again, picture = models.load(tmp_path), colours(1, boxes=True)[0].pixels()
    old, new = localizer.detect(picture)[0], again.detect(picture)[0]
    assert again.task == "localization"
    np.testing.assert_array_equal(old.boxes, new.boxes)
    np.testing.assert_array_equal(old.scores, new.scores)


def test_the_largest_object_is_learnt_and_none_has_no_weight(localizer):
    first = colours(1, boxes=True)[0]
    boxes = [[0, 0, 0.1, 0.1], [0.2, 0.2, 0.9, 0.9], [0, 0, 1, 1]]
    several = replace(first, boxes=boxes, class_ids=[0, 1, 2], difficult=[False, False, True], crowd=None, area=None)
    none = replace(first, boxes=np.zeros((0, 4)), class_ids=[], crowd=None, difficult=None, area=None)
    dataset = replace(colours(1), examples=(several, none))
    views = batches.Views(dataset, localizer.resized, wants=localizer.wants)
    truth = localizer.truth([views.view(i) for i in range(2)])
    np.testing.assert_allclose(truth["box"], [[0.2, 0.2, 0.9, 0.9], [0, 0, 0, 0]])
    assert truth["labels"].tolist() == [[0, 1, 0], [0, 0, 0]] and truth["weight"].tolist() == [1, 0]


@pytest.mark.parametrize("kind", ["mse", "smooth_l1", "iou", "giou", "diou", "ciou"])
def test_losses_of_boxes(kind):
    rng = np.random.default_rng(0)
    corners = np.sort(rng.uniform(size=(2, 4, 2, 2)), axis=2)  # [found or true, image, first or last, y or x]
    found, truth = corners.reshape(2, 4, 4)
    weights, off = np.array([1.0, 1, 0, 1]), found - truth
    if kind == "mse":
        each = (off**2).sum(-1)
    elif kind == "smooth_l1":
        each = np.where(abs(off) < 0.05, off**2 / 0.1, abs(off) - 0.025).sum(-1)
    else:
        each = 1 - getattr(box_math, kind)(found, truth, paired=True)
    got = box_loss(*(tf.constant(x, tf.float32) for x in (found, truth, weights)), kind)
    assert float(got) == pytest.approx((each * weights).sum() / 3, rel=1e-4)


def test_one_class_is_enough_for_a_place(localizer):
    network = build(LocalizationModel(**SMALL | {"name": "MiniXception", "size": 64}), ("red",))
    assert network.detect(colours(1)[0].pixels())[0].labels == ["red"]


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        ({"labels": "several"}, ["A localizer tells one class.", "model.labels"]),
        ({"size": 32}, ["too few to tell a place", "1 x 1 features", "at least 2 x 2"]),
    ],
)
def test_options_that_do_not_fit(options, texts):
    with pytest.raises(ConfigError) as error:
        build(LocalizationModel(**SMALL | {"name": "MiniXception"} | options), CLASSES)
    assert [text for text in texts if text not in str(error.value)] == []


def test_pictures_without_boxes(localizer):
    localizer.check_data(colours(2, boxes=True))
    with pytest.raises(DataError, match="no box to learn from.*\n.*\n.*2 images without boxes"):
        localizer.check_data(colours(2))
