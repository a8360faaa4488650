"""Of every family the raw output that became a detection is found again: its logit gives the detection's score."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from model_kit import draw_weights, eagerly, pictures, small_config

from detkit.detection.build import build
from detkit.detection.center_net import CenterNet
from detkit.detection.faster_rcnn import FasterRCNN
from detkit.errors import ConfigError
from detkit.explain.detections import detection_target
from detkit.explain.methods import explain_by
from detkit.explain.options import How, What
from detkit.explain.subject import Subject
from detkit.explain.views import view_of

FAMILIES = (
    "ssd_mobilenet_v1_fpn_small",
    pytest.param("efficientdet_small", marks=pytest.mark.slow),
    pytest.param("faster_rcnn_resnet50_v1_640x640", marks=pytest.mark.slow),
    pytest.param("centernet_resnet50_v1_fpn_512x512", marks=pytest.mark.slow),
)


@pytest.fixture(scope="module", params=FAMILIES)
def detector(request):
    config = small_config(request.param)
    return draw_weights(build(config, name=request.param))


@pytest.fixture(scope="module")
def subject(detector):
    with eagerly():
        return Subject(detector, pictures()[0], What(threshold=0.0))


def test_the_logit_gives_the_score(detector, subject):
    logit = subject.logit(subject.x[None]).numpy()
    assert logit.shape == (1,)
    outputs = subject.view.trace(subject.x[None]).outputs
    if isinstance(detector, FasterRCNN):
        rows = outputs["class_logits"][0].numpy()
        row = rows[np.abs(rows[:, subject.target.class_id + 1] - logit[0]).argmin()]
        score = tf.nn.softmax(row)[subject.target.class_id + 1].numpy()
    else:
        score = tf.sigmoid(logit[0]).numpy()
    assert score == pytest.approx(subject.target.score, abs=1e-4)


def test_gradients_reach_the_chosen_layer(detector, subject):
    assert subject.layer.startswith("backbone/")
    assert np.abs(subject.derivatives).max() > 0
    assert explain_by("grad-cam", subject, How()).shape == subject.picture.shape[:2]


def test_any_layer_alone_is_as_in_the_whole(detector, subject):
    trace = view_of(detector).trace(subject.x[None])
    assert isinstance(detector, (FasterRCNN, CenterNet)) or any(name.startswith("neck/") for name in trace.maps)
    for name in list(trace.maps)[:: max(1, len(trace.maps) // 3)]:
        found = subject.view.map_of(name, subject.x[None])
        np.testing.assert_allclose(found, trace.maps[name], rtol=1e-4, atol=1e-5)


def test_a_layer_that_is_not_there_names_the_nearest(detector, subject):
    name = subject.layer
    with pytest.raises(ConfigError, match=f"no such layer.*\n.*\n.*\n.*Did you mean {name}"):
        subject.view.checked(f"{name}x", subject.view.trace(subject.x[None]).maps)


def test_the_second_detection_is_another(detector):
    with eagerly():
        first, second = (
            detection_target(detector, pictures()[0], number=number, threshold=0.0)[0] for number in (0, 1)
        )
    assert (
        first.score >= second.score and np.abs(first.box - second.box).max() > 1e-4 or first.class_id != second.class_id
    )
