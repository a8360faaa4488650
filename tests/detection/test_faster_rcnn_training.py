"""Training Faster R-CNN: losses and gradients against the OD API's with the same draws, and the seams of the cache."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from model_configs import config
from reference_weights import assign, image

from detkit.detection.build import build
from detkit.detection.detector import TUNE
from detkit.errors import ConfigError
from detkit.training.selection import choose

# Made with the OD API, its sampler replaced by detkit's draw and its batch norms frozen; pictures 7 and 8 of 200 x 260.
REFERENCES = json.loads((Path(__file__).parent / "faster_rcnn_training.json").read_text())
SHARED, OWN = REFERENCES  # one box for all classes and clipped anchors; a box for every class, anchors inside only
POST = "second_stage_post_processing.batch_non_max_suppression.max_total_detections"
RESIZER = "image_resizer.keep_aspect_ratio_resizer"
CHANGES = {"first_stage_max_proposals": 100, "second_stage_batch_size": 32, POST: 100}
SCALES = "first_stage_anchor_generator.grid_anchor_generator.scales"
SIZES = {
    SHARED: {f"{RESIZER}.min_dimension": 192, f"{RESIZER}.max_dimension": 192},
    OWN: {f"{RESIZER}.min_dimension": 160, f"{RESIZER}.max_dimension": 256, SCALES: [0.0625, 0.125, 0.25, 0.5]},
}


class Model:
    """A detector, its batch and what the OD API makes of them."""

    def __init__(self, name):
        self.reference = REFERENCES[name]
        self.detector = build(config(name, **CHANGES, **SIZES[name]))
        assign(self.detector, (0.5, 0.2, 1.0))
        self.inputs, self.true_shapes = self.detector.preprocess([image(seed, 200, 260) for seed in (7, 8)])
        self.truth = padded(*(self.reference[key] for key in ("boxes", "class_ids", "weights", "seeds")))

    def state(self, **changes):
        return self.detector.training_state(self.inputs, self.true_shapes, self.truth | changes)

    def losses(self, **changes):
        return numbers(self.detector.losses(self.detector.run(self.state(**changes))))


def padded(boxes, class_ids, weights, seeds) -> dict:
    most = max(len(each) for each in boxes)
    truth = {"boxes": np.zeros((2, most, 4), np.float32), "class_ids": np.zeros((2, most), np.int32)}
    truth["weights"] = np.zeros((2, most), np.float32)
    for i in (0, 1):
        for name, values in (("boxes", boxes), ("class_ids", class_ids), ("weights", weights)):
            truth[name][i, : len(values[i])] = np.reshape(values[i], truth[name][i, : len(values[i])].shape)
    return {name: tf.constant(value) for name, value in (truth | {"seed": np.array(seeds, np.int32)}).items()}


def numbers(losses) -> dict:
    return {name: float(value) for name, value in losses.items()}


@pytest.fixture(scope="module")
def models():
    """{name: Model}, made when first asked for."""
    made = {}

    def model(name):
        if name not in made:
            made[name] = Model(name)
        return made[name]

    return model


@pytest.mark.parametrize("name", [SHARED, pytest.param(OWN, marks=pytest.mark.slow)])
def test_losses_and_gradients(models, name):
    model = models(name)
    watched = {path: variable.value for path, variable in model.detector.variables().items() if variable.trainable}

    @tf.function(autograph=False)
    def differentiate():
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(watched)
            losses = model.detector.losses(model.detector.run(model.state()))
            total = tf.add_n(list(losses.values()))
        return losses, {path: tf.norm(gradient) for path, gradient in tape.gradient(total, watched).items()}

    losses, norms = differentiate()
    assert numbers(losses) == pytest.approx(model.reference["losses"], rel=1e-4)
    found = {path: float(norms[path]) for path in model.reference["gradient_norms"]}
    assert found == pytest.approx(model.reference["gradient_norms"], rel=1e-3)


def test_losses_with_a_box_for_every_class(models):
    assert models(OWN).losses() == pytest.approx(models(OWN).reference["losses"], rel=1e-4)


@pytest.mark.parametrize("word", TUNE)
def test_the_loss_from_a_seam_is_that_of_the_whole_network(models, word):
    model = models(SHARED)
    seam = choose(model.detector, word).seam
    record = model.detector.record(model.detector.run(model.state(), 0, seam), seam)
    assert all(value.shape[0] == 2 for value in record.values())
    assert numbers(model.detector.record_loss(record, seam)) == pytest.approx(model.reference["losses"], rel=1e-4)


def test_a_record_is_no_larger_than_it_must_be(models):
    """Before the final layers, the mean feature of every region; before the towers, the smaller of map and crops."""
    model = models(SHARED)
    sizes = {}
    for word in ("towers", "heads"):
        seam = choose(model.detector, word).seam
        state = model.detector.run(model.state(), 0, seam)
        record = {name: x for name, x in model.detector.record(state, seam).items() if not name.startswith("truth/")}
        sizes[word] = sum(int(tf.size(value)) for value in record.values())
    assert sizes["heads"] < 2 * 32 * (2048 + 16)
    assert sizes["towers"] < 2 * (12 * 12 * 1024 + 32 * 16)


def test_the_loss_of_a_prediction_is_that_of_training(models):
    """Where the anchors are the same in both, so are the proposals."""
    model = models(SHARED)
    predictions = model.detector.predict(model.inputs, model.true_shapes)
    losses = numbers(model.detector.loss(predictions, model.truth))
    assert losses == pytest.approx(model.reference["losses"], rel=1e-4)


def test_the_loss_of_a_prediction_with_other_anchors(models):
    model = models(OWN)
    losses = numbers(model.detector.loss(model.detector.predict(model.inputs, model.true_shapes), model.truth))
    first = ("rpn_localization", "rpn_classification")
    assert [losses[name] for name in first] == pytest.approx([model.reference["losses"][n] for n in first], rel=1e-4)
    assert np.isfinite(list(losses.values())).all()


@pytest.fixture(scope="module")
def features(models):
    """The state before the proposal network: what these tests need not compute again."""
    model = models(SHARED)
    neck = choose(model.detector, "neck").seam
    return neck, model.detector.run(model.state(), 0, neck)


def after(model, features, **changes):
    neck, state = features
    return numbers(model.detector.record_loss(state | {f"truth/{name}": x for name, x in changes.items()}, neck))


def test_another_seed_is_another_draw(models, features):
    model = models(SHARED)
    same, other = after(model, features), after(model, features, seed=tf.constant([7, 8]))
    assert same == pytest.approx(model.reference["losses"], rel=1e-4)
    assert all(abs(same[name] / other[name] - 1) > 1e-4 for name in ("rpn_classification", "classification"))


def test_without_objects_there_is_background_only(models, features):
    model = models(SHARED)
    nothing = {"boxes": tf.zeros([2, 0, 4]), "class_ids": tf.zeros([2, 0], tf.int32), "weights": tf.zeros([2, 0])}
    losses = after(model, features, **nothing)
    assert losses["localization"] == losses["rpn_localization"] == 0
    assert losses["classification"] > 0 and losses["rpn_classification"] > 0
    # Rows of padding are the same as no rows.
    padding = {name: tf.zeros([2, 3, *value.shape[2:]], value.dtype) for name, value in nothing.items()}
    assert after(model, features, **padding) == losses


def test_more_objects_than_the_minibatch_has_room_for(models, features):
    model = models(SHARED)
    corners = np.sort(np.random.default_rng(0).random((2, 300, 2, 2)), axis=2).reshape(2, 300, 4).astype(np.float32)
    many = {"boxes": tf.constant(corners), "class_ids": tf.ones([2, 300], tf.int32), "weights": tf.ones([2, 300])}
    losses = after(model, features, **many)
    assert np.isfinite(list(losses.values())).all() and min(losses.values()) > 0


def test_gradients_reach_what_is_tuned(models, features):
    """The proposal network learns from its own losses only: the proposals carry no gradient."""
    model = models(SHARED)
    neck, state = features
    kernels = {"rpn": model.detector.neck.conv.conv.kernel.value, "class": model.detector.head.cls.kernel.value}
    with tf.GradientTape(persistent=True) as tape:
        losses = model.detector.record_loss(state, neck)
        first = losses["rpn_localization"] + losses["rpn_classification"]
        second = losses["localization"] + losses["classification"]
    assert float(tf.norm(tape.gradient(first, kernels["rpn"]))) > 0
    assert float(tf.norm(tape.gradient(second, kernels["class"]))) > 0
    assert tape.gradient(second, kernels["rpn"]) is None
    assert tape.gradient(first, kernels["class"]) is None


def test_nothing_is_regularized(models):
    """As in the OD API, whose backbones here have no weight decay of their own."""
    assert float(models(SHARED).detector.regularization_loss()) == 0.0


def test_anchors_that_all_reach_over_the_border():
    detector = build(config(OWN, 64, **{SCALES: [4.0]}))
    detector.initialize(detector.variables())
    truth = {"boxes": tf.zeros([1, 1, 4]), "class_ids": tf.zeros([1, 1], tf.int32), "weights": tf.zeros([1, 1])}
    state = detector.training_state(*detector.preprocess([image(1, 50, 60)]), truth)
    with pytest.raises(ConfigError) as error:
        detector.run(state)
    assert "No anchor of this model lies inside its input." in str(error.value)
    assert "clip_anchors_to_image: true" in str(error.value)
