"""From a pretrained detector to one for other classes: what stays, what starts afresh, and imprinting."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pytest
from small_models import CLASSES, equal, values

from detkit.data import batches
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.detection import load
from detkit.training.imprint import imprint
from detkit.zoo.source import locate

CLASS_HEAD = "head/class_head"
PRIOR = -4.6


@pytest.fixture(scope="module")
def source(directory):
    return locate(directory)


def picture(seed):
    return np.random.default_rng(seed).integers(0, 255, (64, 64, 3), np.uint8)


def logits(detector, image):
    inputs, true_shapes = detector.preprocess([image])
    return detector.predict(inputs, true_shapes)["class_logits"].numpy()[0]


def test_other_classes_reset_the_class_head_only(source, original):
    detector, report = load.transplant(source, ("cat", "dog"))
    assert detector.classes == ("cat", "dog")
    assert detector.label_ids == (1, 2)
    parts = detector.part_of()
    assert {parts[path] for path in report.reset} == {CLASS_HEAD}
    found, stored = values(detector), values(original)
    kept = [path for path in found if parts[path] != CLASS_HEAD]
    assert equal({path: found[path] for path in kept}, {path: stored[path] for path in kept}) == []


def test_the_same_classes_keep_everything(source, original):
    detector, report = load.transplant(source, CLASSES)
    assert report.reset == ()
    assert equal(values(detector), values(original)) == []


def test_the_same_classes_in_another_order_reset_the_class_head(source):
    _, report = load.transplant(source, CLASSES[::-1])
    assert len(report.reset) == 3


def test_the_class_head_starts_from_the_prior(source):
    detector, _ = load.transplant(source, ("cat",))
    scores = 1 / (1 + np.exp(-logits(detector, picture(0))))
    assert np.median(scores) == pytest.approx(0.01, rel=0.3)


def test_further_parts_can_be_reset(source):
    detector, report = load.transplant(source, ("cat",), reset=("head/box_head", "neck"))
    assert {detector.part_of()[path] for path in report.reset} == {CLASS_HEAD, "head/box_head", "neck"}


def test_keep_classes_keeps_the_old_logits(source, original):
    detector, report = load.transplant(source, ("boat", "cat", "dog"), keep_classes=True)
    assert detector.classes == (*CLASSES, "cat", "dog")
    assert report.explained
    for seed in range(3):
        old, new = logits(original, picture(seed)), logits(detector, picture(seed))
        assert new.shape == (old.shape[0], 1 + 5)
        assert np.array_equal(new[:, :4], old)  # the background's column and the three classes
    prior = new[:, 4:]
    assert np.median(prior) == pytest.approx(PRIOR, abs=0.5)


def test_seed_decides_the_fresh_values(source):
    a, b, c = (values(load.transplant(source, ("cat",), seed=seed)[0]) for seed in (1, 1, 2))
    assert equal(a, b) == []
    assert any("class_predictions_with_background" in path for path in equal(a, c))


def test_a_loaded_transplant_is_the_saved_one(source, tmp_path):
    detector, _ = load.transplant(source, ("cat", "dog"), keep_classes=True)
    load.save(detector, tmp_path / "model")
    again = load.load(tmp_path / "model")
    assert again.classes == (*CLASSES, "cat", "dog")
    assert equal(values(again), values(detector)) == []


class Imprinted:
    """A detector imprinted from examples of "cat" and "dog", and the photos' logits before and after."""

    def __init__(self, source):
        boxes = [[0.1, 0.1, 0.6, 0.6], [0.5, 0.4, 0.9, 0.9]]
        examples = [Example(picture(seed), boxes, [0, 1], (64, 64)) for seed in range(3)]
        self.dataset = Dataset(tuple(examples), ("cat", "dog", "bird"))
        self.detector, _ = load.transplant(source, self.dataset.classes, init="imprint")
        self.before = values(self.detector)
        self.logits_before = [logits(self.detector, picture(seed)) for seed in range(3)]
        views = batches.Views(self.dataset, self.detector.resized)
        self.matched = [self._matched(views.view(i)) for i in range(3)]
        imprint(self.detector, views)

    def _matched(self, view):
        import tensorflow as tf

        truth = {name: tf.constant(value) for name, value in batches.groundtruth([view]).items()}
        found = self.detector.assign(truth, tf.constant(self.detector.anchors((64, 64))))
        return found.anchor.numpy(), found.class_ids.numpy()

    @cached_property
    def logits(self):
        return [logits(self.detector, picture(seed)) for seed in range(3)]

    def own(self, logits, class_id):
        """The logits of a class at the anchors of its own examples."""
        return np.concatenate([
            rows[anchors[class_ids == class_id], 1 + class_id]
            for rows, (anchors, class_ids) in zip(logits, self.matched, strict=True)
        ])  # fmt: skip


@pytest.fixture(scope="module")
def imprinted(source):
    return Imprinted(source)


@pytest.mark.parametrize("class_id", [0, 1])
def test_imprinting_raises_the_scores_of_a_class_at_its_examples(imprinted, class_id):
    before, after = (imprinted.own(each, class_id) for each in (imprinted.logits_before, imprinted.logits))
    assert len(after) > 0
    assert after.mean() > before.mean() + 1
    assert after.mean() == pytest.approx(0, abs=0.05)  # the mean example scores one half


def test_imprinting_leaves_the_background_at_the_prior(imprinted):
    rows = np.concatenate(imprinted.logits)
    assert np.median(rows[:, 1:3]) == pytest.approx(PRIOR, abs=1.0)


def test_imprinting_leaves_classes_without_examples_and_the_background_column(imprinted):
    for rows, before in zip(imprinted.logits, imprinted.logits_before, strict=True):
        assert np.array_equal(rows[:, [0, 3]], before[:, [0, 3]])


def test_imprinting_changes_nothing_but_the_class_columns(imprinted):
    different = equal(values(imprinted.detector), imprinted.before)
    last = "class_predictions_with_background/_class_predictor_layers/0/"
    assert sorted(path.split(last)[-1] for path in different) == ["bias", "pointwise_kernel"]


def test_imprinting_keeps_the_trained_depthwise_kernel(source, original, imprinted):
    found, stored = values(imprinted.detector), values(original)
    kept = [path for path in stored if path.endswith("_class_predictor_layers/0/depthwise_kernel")]
    assert len(kept) == 1
    assert np.array_equal(found[kept[0]], stored[kept[0]])


def test_imprinting_ignores_crowds(source):
    """A crowd is a region of which nothing is known; it must not become an example of a class."""
    box = np.array([12, 12, 44, 44]) / 64  # an anchor, so that the crowd is matched without being forced
    example = Example(picture(0), [[0.1, 0.1, 0.6, 0.6], box], [0, 1], (64, 64), crowd=[False, True])
    detector, _ = load.transplant(source, ("cat", "dog"), init="imprint")
    before = logits(detector, picture(0))
    imprint(detector, batches.Views(Dataset((example,), ("cat", "dog")), detector.resized))
    after = logits(detector, picture(0))
    assert not np.array_equal(after[:, 1], before[:, 1])
    assert np.array_equal(after[:, 2], before[:, 2])
