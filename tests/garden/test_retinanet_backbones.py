"""RetinaNet of Model Garden on each kind of backbone: the same outputs, training, and the model on disk."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detkit import models
from detkit.data.batches import Views
from detkit.data.synthesis import boats
from detkit.garden import load, upstream
from detkit.garden.detector import Description
from detkit.pipeline.settings import TrainConfig
from detkit.training.optimization import Optimization
from detkit.training.selection import choose

pytestmark = pytest.mark.slow

FPN, NONE = {"type": "fpn", "fpn": {"num_filters": 16}}, {"type": "identity"}
SMALL = {"model_id": "MobileNetV3Small", "filter_size_scale": 0.5}
MODELS = {
    "resnet": {"backbone": {"type": "resnet", "resnet": {"model_id": 18, "depth_multiplier": 0.25}}, "decoder": FPN},
    "mobilenet": {"backbone": {"type": "mobilenet", "mobilenet": SMALL}, "decoder": FPN},
    "efficientnet": {"backbone": {"type": "efficientnet", "efficientnet": {"model_id": "b0"}}, "decoder": FPN},
    "spinenet": {"backbone": {"type": "spinenet", "spinenet": {"model_id": "49S"}}, "decoder": NONE},
    "spinenet_mobile": {
        "backbone": {"type": "spinenet_mobile", "spinenet_mobile": {"model_id": "49XS"}},
        "decoder": NONE,
        "head": {"num_convs": 1, "num_filters": 16, "use_separable_conv": True},
    },
    "nasfpn": {
        "backbone": {"type": "mobilenet", "mobilenet": SMALL},
        "decoder": {"type": "nasfpn", "nasfpn": {"num_filters": 16, "num_repeats": 1}},
    },
    "own towers of each level": {
        "backbone": {"type": "mobilenet", "mobilenet": SMALL},
        "decoder": FPN,
        "head": {"num_convs": 1, "num_filters": 16, "share_level_convs": False},
    },
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return boats.few_shot_set(tmp_path_factory.mktemp("photos"), train=2, test=1, size=(96, 128))[0]


@pytest.mark.parametrize("name", MODELS)
def test_a_backbone_predicts_learns_and_is_saved(name, photos, tmp_path):
    options = {"input_size": [128, 128, 3], "head": {"num_convs": 1, "num_filters": 16}} | MODELS[name]
    overrides = {"task": {"model": options}}
    detector = load.assemble(Description.of_classes("retinanet", overrides, photos.classes))
    load.restore(detector, seed=0)
    assert len(detector.variables()) == len(detector.model.variables)
    inputs, shapes = detector.preprocess([example.pixels() for example in photos])
    check_outputs(detector, inputs, shapes)
    check_training(detector, photos)
    models.save(detector, tmp_path / "saved")
    again = models.load(tmp_path / "saved")
    ours, theirs = (each.predict_graph(inputs, shapes)["class_logits"] for each in (detector, again))
    np.testing.assert_array_equal(ours, theirs)


def check_outputs(detector, inputs, shapes):
    """They are what Model Garden's model itself says."""
    ours = detector.predict(inputs, shapes)
    with upstream.quiet():
        theirs = detector.model(inputs, training=False)
    for key, width in (("cls_outputs", 2), ("box_outputs", 4)):
        mine = ours[{"cls_outputs": "class_logits", "box_outputs": "box_encodings"}[key]]
        flat = tf.concat([tf.reshape(x, [len(x), -1, width]) for _, x in sorted(theirs[key].items())], axis=1)
        np.testing.assert_allclose(mine, flat, atol=1e-4)


def check_training(detector, photos):
    """A step of gradient descent over all of the model lowers the loss."""
    views = Views(photos, detector.resized, wants=detector.wants)
    settings = TrainConfig(optimizer="momentum", momentum=0.0, clip_norm=1.0, freeze_batch_norm=False, ema=None)
    optimization = Optimization(detector, choose(detector, "all"), settings)
    optimization.set_learning_rate(0.0003)  # small norms of two pictures bend the loss strongly
    record = detector.record(detector.training_state(*detector.batch([views.view(0), views.view(1)])), 0)
    losses = [float(optimization.step(record)["loss"]) for _ in range(2)]
    detector.freeze_batch_norm(True)
    assert losses[1] < losses[0]
