"""Mask R-CNN of Model Garden behind detkit's verbs: its own detections, masks, losses; checkpoints for both sides."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf

import detkit
from detkit.garden import build, load, storage, upstream
from detkit.garden.nodes import nodes_of
from detkit.garden.two_stage import on_borders
from detkit.networks.network import truth_of
from detkit.pipeline import yaml_format

TINY = {
    "num_classes": 4,
    "input_size": [96, 128, 3],
    "min_level": 3,
    "max_level": 5,
    "anchor": {"anchor_size": 3.0},
    "backbone": {"type": "resnet", "resnet": {"model_id": 10, "depth_multiplier": 0.25}},
    "decoder": {"type": "fpn", "fpn": {"num_filters": 16}},
    "rpn_head": {"num_filters": 16},
    "roi_generator": {
        **{"pre_nms_top_k": 100, "num_proposals": 60},
        **{"test_pre_nms_top_k": 50, "test_num_proposals": 20},
    },
    "roi_sampler": {"num_sampled_rois": 24},
    "detection_head": {"num_convs": 1, "num_filters": 16, "fc_dims": 32},
    "mask_head": {"num_convs": 1, "num_filters": 8},
    "mask_sampler": {"num_sampled_masks": 6},
    "mask_roi_aligner": {"crop_size": 7},
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
            variable.assign(rng.normal(0.0, 0.1 if name.startswith("rpn") else 0.5, variable.shape))
    return found


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(3).integers(0, 256, (90, 120, 3), np.uint8)


@pytest.fixture(scope="module")
def groundtruth():
    """Of three images: with objects of all classes; with one object and one to ignore; with none."""
    corners = np.array([[0.1, 0.1, 0.5, 0.4], [0.3, 0.5, 0.9, 0.95], [0.0, 0.6, 0.3, 1.0]], np.float32)
    weights = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 0]], np.float32)
    rng = np.random.default_rng(4)
    return {
        "boxes": tf.constant(np.stack([corners, corners[::-1], 0 * corners])),
        "class_ids": tf.constant([[0, 1, 2], [2, 0, 0], [0, 0, 0]]),
        "weights": tf.constant(weights),
        "seed": tf.constant([5, 6, 7]),
        "masks": tf.constant(rng.integers(0, 2, (3, 3, 56, 56), np.uint8) * np.uint8(255)),
    }


@pytest.fixture(scope="module")
def learnt(detector, image, groundtruth):
    """The state of training after the last stage."""
    inputs, shapes = detector.preprocess([image, image[::-1], image[:, ::-1]])
    state = detector.training_state(inputs, shapes, groundtruth)
    regions = detector.run(state, 0, 2)
    return {"inputs": inputs, "shapes": shapes, "regions": regions, "final": detector.run(regions, 2)}


def test_every_variable_has_a_part(detector):
    assert len(detector.variables()) == len(detector.model.variables)
    heads = {f"head/{name}" for name in ("towers", "box_head", "class_head", "mask_head")}
    assert set(detector.part_of().values()) == {"backbone", "neck"} | heads
    columns = {path.split("/")[-2] for path in detector.class_columns()}
    assert columns == {"_classifier", "_box_regressor", "_mask_regressor"}
    assert not any(path.startswith("rpn_head") for path in detector.class_columns())


def test_detections_and_masks_are_the_models_own(detector, image):
    inputs, shapes = detector.preprocess([image])
    with upstream.quiet():
        theirs = detector.model(inputs, image_shape=tf.cast(shapes[:, :2], tf.float32), training=False)
    found, count = detector.postprocess(detector.predict(inputs, shapes))[0], int(theirs["num_detections"][0])
    assert 0 < len(found.scores) == count
    np.testing.assert_allclose(found.scores, theirs["detection_scores"][0, :count], atol=1e-5)
    np.testing.assert_array_equal(found.class_ids + 1, theirs["detection_classes"][0, :count])
    np.testing.assert_allclose(found.boxes * np.tile(shapes[0, :2], 2), theirs["detection_boxes"][0, :count], atol=1e-2)
    np.testing.assert_allclose(found.masks, on_borders(theirs["detection_masks"][0, :count].numpy()), atol=1e-4)


def test_losses_are_those_of_model_gardens_task(detector, groundtruth, learnt, monkeypatch):
    """Of its own call in training, on the same regions."""
    regions, model = learnt["regions"], detector.model
    objects = detector.targets.objects(truth_of(regions))
    names = ("rois", "matched_boxes", "class_targets", "matched_rows")
    monkeypatch.setattr(model, "roi_sampler", [lambda rois, boxes, classes: [regions[name] for name in names]])
    truth = {"gt_boxes": objects.boxes, "gt_classes": objects.columns}
    # As its parser cuts them out: 112 samples from border to border.
    masks = tf.cast(groundtruth["masks"], tf.float32) / 255.0
    places = np.clip(np.linspace(0, 56, 112) - 0.5, 0, 55).astype(np.float32)
    low = np.minimum(places.astype(int), 54)
    share = (places - low)[:, None]
    masks = tf.gather(masks, low, axis=2) * (1 - share) + tf.gather(masks, low + 1, axis=2) * share
    share = share[:, 0]
    masks = tf.gather(masks, low, axis=3) * (1 - share) + tf.gather(masks, low + 1, axis=3) * share
    sizes = tf.cast(learnt["shapes"][:, :2], tf.float32)
    with upstream.quiet():
        outputs = model(learnt["inputs"], image_shape=sizes, training=True, gt_masks=masks, **truth)
    targets = {
        name: {path.partition("/")[2]: value for path, value in regions.items() if path.startswith(f"{name}/")}
        for name in ("rpn_score_targets", "rpn_box_targets")
    }
    theirs = detector.garden_task.build_losses(outputs, targets)
    ours = detector.losses(learnt["final"])
    pairs = {
        **{"rpn_localization": "rpn_box_loss", "rpn_classification": "rpn_score_loss"},
        **{"localization": "frcnn_box_loss", "classification": "frcnn_cls_loss", "mask_loss": "mask_loss"},
    }
    assert ours.keys() == pairs.keys()
    for name, value in ours.items():
        assert float(value) > 0
        np.testing.assert_allclose(value, theirs[pairs[name]], rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(sum(ours.values()), theirs["total_loss"], rtol=1e-5)


def test_targets_of_the_anchors_are_those_of_model_gardens_labeler(detector, learnt, monkeypatch):
    from official.vision.ops.anchor import RpnAnchorLabeler

    objects = detector.targets.objects(truth_of(learnt["regions"]))
    monkeypatch.setattr(detector.targets.parser, "rpn_batch_size_per_im", 10**6)  # nothing is left to chance
    ours = detector.targets.of_anchors(objects)
    anchors = {level: tf.constant(boxes) for level, boxes in detector.anchors.items()}
    for image, count in enumerate((3, 1, 0)):
        boxes, labels = objects.boxes[image, :count], objects.columns[image, :count, None]
        scores, codes = RpnAnchorLabeler(0.7, 0.3, 10**6, 0.5).label_anchors(anchors, boxes, labels)
        for level in anchors:
            np.testing.assert_array_equal(ours[f"rpn_score_targets/{level}"][image], scores[level])
            np.testing.assert_allclose(ours[f"rpn_box_targets/{level}"][image], codes[level], atol=1e-6)
        assert sum(int(tf.reduce_sum(tf.cast(x == 1, tf.int32))) for x in scores.values()) >= count


def test_a_minibatch_is_a_function_of_the_seed(detector, learnt):
    state = {name: value for name, value in learnt["regions"].items() if name.startswith("truth/")}
    objects = detector.targets.objects(truth_of(state))
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 60, (3, 60, 2))
    near = tf.repeat(objects.boxes, 10, axis=1)[:, :20]  # as good as the first two objects
    rois = tf.concat([near, tf.constant(np.concatenate([corners, corners + 20], 2), tf.float32)[:, 20:]], axis=1)
    sampler, weights = detector.model.roi_sampler[0], [10.0, 10.0, 5.0, 5.0]
    one, same = (detector.targets.of_regions(rois, objects, sampler, weights) for _ in range(2))
    other = detector.targets.of_regions(rois, objects._replace(seeds=objects.seeds + 1), sampler, weights)
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.array_equal(one["rois"], other["rois"])
    positive = (one["class_targets"].numpy() > 0).sum(axis=1)
    assert one["class_targets"].shape == (3, 24)
    assert positive[0] == 6 and positive[2] == 0  # a quarter of 24; and no object at all
    np.testing.assert_array_equal(one["box_targets"].numpy()[one["class_targets"].numpy() == 0], 0.0)


def test_steps_of_training_lower_the_loss(detector, learnt):
    """Of the heads, on a minibatch of regions; and every time in the same way."""
    parts, regions = detector.part_of(), learnt["regions"]
    tuned = [variable.value for path, variable in detector.variables().items() if parts[path].startswith("head/")]
    before, courses = [value.numpy() for value in tuned], []
    for _ in range(2):
        losses = []
        for _ in range(3):
            with tf.GradientTape() as tape:
                loss = tf.add_n(list(detector.losses(detector.run(regions, 2)).values()))
            losses.append(float(loss))
            gradients, _ = tf.clip_by_global_norm(
                tape.gradient(loss, tuned, unconnected_gradients=tf.UnconnectedGradients.ZERO), 1.0
            )
            for value, gradient in zip(tuned, gradients, strict=True):
                value.assign_sub(0.1 * gradient)
        courses.append(losses)
        for value, known in zip(tuned, before, strict=True):
            value.assign(known)
    assert courses[0][0] > courses[0][1] > courses[0][2]
    assert courses[0] == courses[1]


@pytest.mark.slow
def test_the_loss_of_a_prediction_is_that_of_training(detector, groundtruth, learnt):
    found = detector.loss(detector.predict(learnt["inputs"], learnt["shapes"]), groundtruth)
    for name, value in detector.losses(learnt["final"]).items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6)


@pytest.mark.slow
def test_records_keep_all_that_the_loss_needs(detector, groundtruth, learnt):
    state = detector.training_state(learnt["inputs"], learnt["shapes"], groundtruth)
    whole = detector.losses(learnt["final"])
    for stage in range(1, len(detector.stages)):
        record = detector.record(detector.run(state, 0, stage), stage)
        found = detector.record_loss(record, stage)
        assert all(float(found[name]) == float(value) for name, value in whole.items()), detector.stages[stage].name
    assert not any(name.startswith(("truth/", "map/")) for name in record)


def test_a_checkpoint_of_model_garden_and_detkits_own_hold_the_same(detector, tmp_path, monkeypatch):
    """In both layouts; and for other classes everything but what has columns for them."""
    before = {path: variable.numpy() for path, variable in detector.variables().items()}
    storage.save(detector, tmp_path / "saved")
    alone = tf.train.Checkpoint(model=detector.model).save(str(tmp_path / "alone" / "ckpt"))
    ours = str(tmp_path / "saved" / "checkpoint" / "ckpt-0")
    for prefix in (alone, ours):
        detector.initialize(before, seed=3)
        load.restore(detector, prefix)
        assert all(np.array_equal(variable.numpy(), before[path]) for path, variable in detector.variables().items())
    monkeypatch.setattr(detector.task_config, "init_checkpoint_modules", "all")
    for prefix in (ours, alone):  # by Model Garden's own means
        detector.initialize(before, seed=3)
        monkeypatch.setattr(detector.task_config, "init_checkpoint", prefix)
        detector.garden_task.initialize(detector.model)
        assert all(np.array_equal(variable.numpy(), before[path]) for path, variable in detector.variables().items())
    report = load.restore(detector, ours, classes=load.OTHER, seed=9)
    columns, parts = detector.class_columns(), detector.part_of()
    for path, variable in detector.variables().items():
        if path not in columns:
            assert np.array_equal(variable.numpy(), before[path]), path
        elif parts[path] == "head/class_head" and path.endswith("kernel"):
            assert not np.array_equal(variable.numpy(), before[path])
        elif path.endswith("kernel"):  # the background's column, and the mean of the classes'
            groups = before[path].reshape(*before[path].shape[:-1], 4, -1)
            mean = np.repeat(groups[..., 1:, :].mean(axis=-2, keepdims=True), 3, axis=-2)
            wanted = np.concatenate([groups[..., :1, :], mean], axis=-2).reshape(before[path].shape)
            np.testing.assert_allclose(variable.numpy(), wanted, rtol=1e-6)
    assert re.search(r"head/class_head +reset", report)
    load.restore(detector, ours)


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


@pytest.mark.slow
def test_a_model_that_model_garden_builds_restores_ours(detector, tmp_path):
    storage.save(detector, tmp_path / "saved")
    described = detector.description
    task, fresh = build.build(described.experiment, build.experiment(described.experiment, described.overrides))
    nodes = nodes_of(fresh.checkpoint_items)
    theirs = {f"{path}/{name}": value for path, node in nodes.items() for name, value in node.variables.items()}
    for variable in theirs.values():
        variable.assign(np.full(variable.shape, 3.0, np.float32))
    prefix = str(tmp_path / "saved" / "checkpoint" / "ckpt-0")
    task.task_config.override({"init_checkpoint": prefix, "init_checkpoint_modules": "all"})
    task.initialize(fresh)
    ours = {path: variable.numpy() for path, variable in detector.variables().items()}
    assert theirs.keys() == ours.keys()
    assert all(np.array_equal(theirs[path].numpy(), value) for path, value in ours.items())
