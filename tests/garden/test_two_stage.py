"""Mask R-CNN of Model Garden behind detkit's verbs: its own detections and masks, and checkpoints for both sides."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import detkit
from detkit.garden import load, storage, upstream
from detkit.garden.two_stage import on_borders
from detkit.pipeline import yaml_format

TINY = {
    "num_classes": 4,
    "input_size": [128, 128, 3],
    "backbone": {"type": "resnet", "resnet": {"model_id": 10, "depth_multiplier": 0.25}},
    "decoder": {"type": "fpn", "fpn": {"num_filters": 16}},
    "rpn_head": {"num_filters": 16},
    "detection_head": {"num_convs": 1, "num_filters": 16, "fc_dims": 32},
    "mask_head": {"num_convs": 1, "num_filters": 8},
    "roi_generator": {"test_pre_nms_top_k": 50, "test_num_proposals": 20},
    "detection_generator": {"pre_nms_score_threshold": 0.01, "max_num_detections": 10},
}


def test_masks_go_from_border_to_border():
    cells = np.array([[[1.0, 0.0], [1.0, 0.0]]], np.float32)
    # The borders lie half a cell beyond the centres of the outermost cells, and there is nothing around them.
    np.testing.assert_allclose(on_borders(cells), [[[0.25, 0.0], [0.25, 0.0]]])
    full = on_borders(np.ones((2, 28, 28), np.float32))
    assert full.shape == (2, 28, 28)
    np.testing.assert_allclose(full[:, 1:-1, 1:-1], 1.0)


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    path = tmp_path_factory.mktemp("overrides") / "tiny.yaml"
    path.write_text(yaml_format.dumps({"task": {"model": TINY}}))
    found = load.load("garden:maskrcnn_resnetfpn_coco", config=path)
    rng = np.random.default_rng(0)
    for name, variable in found.variables().items():
        if name.endswith(("_classifier/kernel", "_box_regressor/kernel", "_mask_regressor/kernel")):
            variable.assign(rng.normal(0.0, 1.0, variable.shape))
    return found


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(3).integers(0, 256, (90, 120, 3), np.uint8)


@pytest.mark.slow
def test_every_variable_has_a_part(detector):
    assert len(detector.variables()) == len(detector.model.variables)
    heads = {f"head/{name}" for name in ("towers", "box_head", "class_head", "mask_head")}
    assert set(detector.part_of().values()) == {"backbone", "neck"} | heads


@pytest.mark.slow
def test_detections_and_masks_are_the_models_own(detector, image):
    inputs, shapes = detector.preprocess([image])
    with upstream.quiet():
        theirs = detector.model(inputs, image_shape=tf.cast(shapes[:, :2], tf.float32), training=False)
    found, count = detector.detect(image)[0], int(theirs["num_detections"][0])
    assert 0 < len(found) == count
    np.testing.assert_allclose(found.scores, theirs["detection_scores"][0, :count], atol=1e-5)
    np.testing.assert_array_equal(found.class_ids + 1, theirs["detection_classes"][0, :count])
    np.testing.assert_allclose(found.boxes * np.tile(shapes[0, :2], 2), theirs["detection_boxes"][0, :count], atol=1e-2)
    np.testing.assert_allclose(found.masks, on_borders(theirs["detection_masks"][0, :count].numpy()), atol=1e-4)


@pytest.mark.slow
def test_pasted_masks_are_as_model_garden_pastes_them(detector, image):
    from official.vision.ops import mask_ops

    inputs, shapes = detector.preprocess([image])
    predictions = detector.predict(inputs, shapes)
    found = detector.detect(image)[0]
    height, width = image.shape[:2]
    y, x, bottom, right = (found.boxes * [height, width, height, width]).T
    corners = np.stack([x, y, right - x, bottom - y], axis=1)
    masks = np.asarray(predictions["detection_masks"])[0, : len(found)]
    theirs = mask_ops.paste_instance_masks(masks, corners, height, width)
    ours = found.pasted()
    assert np.mean(ours != theirs) < 0.05
    assert ours.any()


@pytest.mark.slow
def test_a_saved_model_is_the_same_when_it_is_loaded(detector, tmp_path, image):
    storage.save(detector, tmp_path / "saved")
    again = detkit.load(tmp_path / "saved")
    one, other = detector.detect(image)[0], again.detect(image)[0]
    np.testing.assert_array_equal(one.boxes, other.boxes)
    np.testing.assert_array_equal(one.masks, other.masks)
    # A checkpoint of Model Garden's, of the model alone.
    prefix = tf.train.Checkpoint(model=detector.model).save(str(tmp_path / "alone" / "ckpt"))
    load.restore(again, prefix, seed=7)
    np.testing.assert_array_equal(again.detect(image)[0].boxes, one.boxes)
