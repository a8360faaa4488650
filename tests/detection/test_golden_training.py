"""Targets, losses and gradients, against the OD API's."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from golden_case import Case, cases
from reference_weights import KEY

from detkit.detection import box_coder, targets

NAMES = ("ssd_mobilenet_v2_320x320", "ssd_mobilenet_v2_fpnlite_320x320", "efficientdet_d0")
LARGE = ("ssd_mobilenet_v1_fpn_640x640", "ssd_resnet50_v1_fpn_640x640")


@pytest.fixture(scope="module", params=cases(NAMES, LARGE))
def case(request, shared):
    return Case(shared / "golden", request.param)


@pytest.fixture(scope="module")
def groundtruth(case):
    """The two pictures' boxes, padded to the same number."""
    most = max(len(case[f"train/gt_boxes_{i}"]) for i in (0, 1))
    boxes, weights = np.zeros((2, most, 4), np.float32), np.zeros((2, most), np.float32)
    class_ids = np.zeros((2, most), np.int32)
    for i in (0, 1):
        count = len(case[f"train/gt_boxes_{i}"])
        boxes[i, :count], class_ids[i, :count] = case[f"train/gt_boxes_{i}"], case[f"train/gt_classes_{i}"]
        weights[i, :count] = 1
    arrays = {"boxes": boxes, "class_ids": class_ids, "weights": weights}
    return {name: tf.constant(array) for name, array in arrays.items()}


@pytest.fixture(scope="module")
def differentiated(case, groundtruth):
    """(losses, {variable path: norm of the gradient of their sum})."""
    detector = case.detector
    inputs, true_shapes = detector.preprocess([case.image("a", seed) for seed in (7, 8)])
    trainable = {path: v.value for path, v in detector.variables().items() if v.trainable}
    with tf.GradientTape() as tape:
        losses = detector.loss(detector.predict(inputs, true_shapes), groundtruth)
        total = losses["localization"] + losses["classification"]
    gradients = tape.gradient(total, trainable)
    # -1: the losses do not depend on it.
    return losses, {path: -1.0 if each is None else float(tf.norm(each)) for path, each in gradients.items()}


def test_matches(case, groundtruth):
    anchors = tf.constant(case["anchors"])
    rows = targets.match(groundtruth["boxes"], groundtruth["weights"], anchors).numpy()
    assert np.array_equal(np.where(rows == targets.BACKGROUND, -1, rows), case["train/match"])


def test_target_assignment(case, groundtruth):
    detector, anchors = case.detector, tf.constant(case["anchors"])
    found = detector.assign(groundtruth, anchors)
    pairs = np.stack([found.image, found.anchor], axis=1)
    assert pairs.tolist() == case["train/matched_index"].tolist()
    assert float(tf.reduce_sum(found.weights)) == float(case["train/reg_weights_sum"])
    coder = case.detector.config.model.ssd.box_coder.faster_rcnn_box_coder
    scales = (coder.y_scale, coder.x_scale, coder.height_scale, coder.width_scale)
    codes = box_coder.encode(found.boxes, tf.gather(anchors, found.anchor), scales).numpy()
    assert np.abs(codes - case["train/matched_reg_targets"]).max() < 1e-4
    first = int(detector.meta.add_background_class)
    columns = np.bincount(found.class_ids.numpy() + first, minlength=detector.columns)
    assert columns.tolist() == case["train/cls_targets_column_sums"].tolist()


def test_losses(case, differentiated):
    losses, _ = differentiated
    for name in ("localization", "classification"):
        assert float(losses[name]) == pytest.approx(float(case[f"train/Loss/{name}_loss"]), rel=1e-4)
    assert float(sum(losses.values())) == pytest.approx(float(case["train/total_loss"]), rel=1e-4)


def test_regularization(case):
    counts = [getattr(layer, "l2_count", 0) for layer in case.detector.paths().values()]
    assert sum(counts) == int(case["train/num_regularization_terms"])
    reference = float(case["train/regularization_loss"])
    assert float(case.detector.regularization_loss()) == pytest.approx(reference, rel=1e-5)


def test_gradient_norms(case, differentiated):
    reference = dict(zip(map(str, case["train/grad_keys"]), case["train/grad_norms"], strict=True))
    found = {KEY.format(path): norm for path, norm in differentiated[1].items()}
    assert found.keys() == reference.keys()
    assert found == pytest.approx(reference, rel=1e-3)
