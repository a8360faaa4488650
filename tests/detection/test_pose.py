"""The keypoints of CenterNet: whose they are, what they are called, where they are found, what they cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from model_configs import KEYPOINTS, config

from detkit.detection import center_decoding, center_losses, load, pose
from detkit.detection.build import build
from detkit.errors import ConfigError
from detkit.pipeline import od_config
from detkit.zoo.source import locate

NAME = "centernet_mobilenetv2fpn_512x512_kpts"
MODEL = "model.center_net"
TASK = f"{MODEL}.keypoint_estimation_task"
LABEL_MAP = """
item { name: "bird" id: 1 }
item { name: "/m/01g317" id: 2 display_name: "human"
  keypoints { id: 0 label: "nose" } keypoints { id: 1 label: "left_hand" } keypoints { id: 2 label: "right_hand" } }
"""


def small(classes: int = 3, **changes):
    return config(NAME, 64, num_classes=classes, **changes)


def detector(classes, **changes):
    built = build(small(len(classes), **changes), classes)
    built.initialize(built.variables(), seed=2)
    return built


def test_the_zoos_keypoints_are_those_of_coco():
    found = detector(("bird", "person", "dog"))
    assert found.keypoint_names == tuple(KEYPOINTS)
    assert (found.pose.class_id, found.wants) == (1, ("keypoints",))
    assert found.pose.spreads == list(KEYPOINTS.values())


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (("person",), 0),
        (("dog", "/m/01g317"), 1),
        (None, 0),  # "class 1", ...: the machine name stands for COCO's first class
    ],
)
def test_the_class_with_the_keypoints(classes, expected):
    assert build(small(len(classes) if classes else 3), classes).pose.class_id == expected


def test_a_detector_without_that_class():
    with pytest.raises(ConfigError, match="class with the keypoints is not among") as error:
        build(small(2), ("bird", "dog"))
    assert "/m/01g317 or person" in str(error.value)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A model with a label map that names three keypoints."""
    tmp_path = tmp_path_factory.mktemp("model")
    described = od_config.with_changes(
        small(2), {f"{MODEL}.keypoint_label_map_path": "/some/where/hands.pbtxt", f"{TASK}.keypoint_label_to_std": None}
    )
    od_config.write(described, tmp_path / "pipeline.config")
    (tmp_path / "hands.pbtxt").write_text(LABEL_MAP)
    built = build(od_config.read(tmp_path / "pipeline.config"), ("bird", "human"))
    built.initialize(built.variables(), seed=2)
    load.save(built, tmp_path)
    return tmp_path


def test_the_label_map_beside_the_config_names_the_keypoints(directory):
    found = load.load(directory)
    assert found.classes == ("bird", "human")
    assert found.keypoint_names == ("nose", "left_hand", "right_hand")
    assert found.pose.class_id == 1


def test_a_saved_model_keeps_the_names_of_its_keypoints(directory, tmp_path):
    changed, _ = load.transplant(locate(directory), ("human", "duck"))
    load.save(changed, tmp_path / "again")
    found = load.load(tmp_path / "again")
    assert (found.classes, found.pose.class_id) == (("human", "duck"), 0)
    assert found.keypoint_names == ("nose", "left_hand", "right_hand")


def test_other_classes_drop_the_keypoints(directory):
    changed, report = load.transplant(locate(directory), ("duck",))
    assert report.explained
    assert (changed.keypoint_names, changed.wants) == ((), ())
    assert changed.config.model.center_net.keypoint_estimation_task == ()
    assert not any("keypoint" in path for path in changed.variables())


def test_kept_classes_keep_their_keypoints(directory):
    changed, report = load.transplant(locate(directory), ("duck",), keep_classes=True)
    assert changed.classes == ("bird", "human", "duck")
    assert changed.keypoint_names == ("nose", "left_hand", "right_hand")
    assert not report.reset


def test_names_that_do_not_fit_the_config(tmp_path):
    od_config.write(small(1), tmp_path / "pipeline.config")
    (tmp_path / "mscoco_kpts_label_map.pbtxt").write_text(LABEL_MAP)
    with pytest.raises(ConfigError, match="keypoints that the model does not have") as error:
        build(od_config.read(tmp_path / "pipeline.config"), ("human",))
    assert "left_ankle" in str(error.value) and "right_hand" in str(error.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("candidate_ranking_mode", "score_distance_ratio"),
        ("predict_depth", True),
        ("rescore_instances", True),
        ("clip_out_of_frame_keypoints", True),
        ("loss.localization_loss.l1_localization_loss", None),
    ],
)
def test_settings_that_would_change_the_result_are_refused(field, value):
    changed = od_config.with_changes(small(1), {f"{TASK}.{field}": value})
    with pytest.raises(ConfigError, match="can't do what this CenterNet config asks for"):
        build(changed, ("person",))


# What is found


SETTINGS = pose.read(config(NAME)).task


def refined(regressed, points, scores, box=(0, 0, 10, 20)):
    """One object with one keypoint."""
    arrays = [np.array(each, np.float32) for each in ([[regressed]], [box], [points], [scores])]
    keypoints, found = center_decoding.refine(*arrays, SETTINGS)
    return keypoints[0, 0].tolist(), pytest.approx(float(found[0, 0]))


@pytest.mark.parametrize(
    ("points", "scores", "expected"),
    [
        ([[4, 4], [6, 5]], [0.9, 0.4], ([6, 5], 0.4)),  # the nearest, not the best
        ([[5.5, 5], [6, 5]], [0.05, 0.4], ([6, 5], 0.4)),  # too low to be a candidate
        ([[5.5, 5]], [0.05], ([5, 5], 0.1)),
        ([[5, 12.1]], [0.9], ([5, 12.1], 0.9)),  # 0.3 of the wider box: 7.2
        ([[5, 12.3]], [0.9], ([5, 5], 0.1)),
    ],
)
def test_a_keypoint_snaps_to_the_nearest_candidate(points, scores, expected):
    keypoint, score = refined([5, 5], points, scores)
    assert keypoint == pytest.approx(expected[0]) and score == expected[1]


@pytest.mark.parametrize(("row", "snaps"), [(10.9, True), (11.1, False)])
def test_a_candidate_lies_in_the_widened_box(row, snaps):
    keypoint, _ = refined([9, 5], [[row, 5]], [0.5])
    assert (keypoint[0] == pytest.approx(row)) == snaps


@pytest.fixture(scope="module")
def people():
    return detector(("bird", "person"))


def synthetic(detector, size: int = 16) -> dict:
    raw = {
        f"{name}/0": np.zeros((1, size, size, values), np.float32) for name, (values, _) in detector._values().items()
    }
    raw["object_center/0"] -= 9
    raw[f"{detector.pose.heatmap}/0"] -= 9
    raw["box/scale/0"] += 8
    return raw | {"true_shapes": np.array([[32, 64, 3]], np.int32)}


def test_only_the_class_with_keypoints_gets_them(people):
    raw = synthetic(people)
    raw["object_center/0"][0, 4, 4, 0], raw["object_center/0"][0, 5, 10, 1] = 3, 2
    raw[f"{people.pose.regression}/0"][0, 5, 10] = np.tile([1, -2], 17)
    raw[f"{people.pose.heatmap}/0"][0, 6, 9, 3] = 1.0
    raw[f"{people.pose.offset}/0"][0, 6, 9, 6:8] = 0.25, 0.75
    raw = {name: value if name == "true_shapes" else tf.constant(value) for name, value in raw.items()}
    found = people.postprocess(raw, threshold=0.3)[0]
    assert found.class_ids.tolist() == [0, 1]
    assert not found.keypoints[0].any() and not found.keypoint_scores[0].any()
    expected = np.tile([6 / 8, 8 / 16], (17, 1))  # relative to the picture, which fills eight rows of the map
    expected[3] = 6.25 / 8, 9.75 / 16
    assert found.keypoints[1] == pytest.approx(expected)
    scores = np.full(17, 0.1)
    scores[3] = 1 / (1 + np.exp(-1))
    assert found.keypoint_scores[1] == pytest.approx(scores)
    birds = people.postprocess(raw, threshold=0.9)[0]
    assert birds.class_ids.tolist() == [0] and birds.keypoints.shape == (1, 17, 2)


# What it costs


GRID = (8, 8)


def losses_of(weights, points, settings=None, class_id: int = 1) -> dict:
    """The keypoint losses of one object with two keypoints in cells, where all outputs are 0."""
    task = replace(SETTINGS, **settings or {})
    described = pose.Pose(task, ("nose", "tail"), ("bird",), 1, 1)
    truth = {
        "boxes": tf.constant([[[1, 1, 5, 7]]], tf.float32) / 8,
        "class_ids": tf.constant([[class_id]]),
        "weights": tf.ones([1, 1]),
        "true_shapes": tf.constant([[32, 32, 3]]),
        "keypoints": tf.constant([[points]], tf.float32) / 8,
        "keypoint_weights": tf.constant([[weights]], tf.float32),
    }
    state = {f"{name}/0": tf.zeros([1, *GRID, values]) for name, (values, _) in described.outputs.items()}
    meta = config(NAME).model.center_net
    losses = center_losses.CenterLosses(meta, 1, truth, GRID, 2).of_keypoints(state, described)
    return {name: float(value) for name, value in losses.items()}


POINTS = [[2.25, 3.5], [4.75, 6.0]]  # the centre is (3, 4)


@pytest.mark.parametrize("per_keypoint", [True, False])
def test_offsets_and_regressions_are_means_over_labelled_keypoints(per_keypoint):
    settings = {"offset_peak_radius": 0, "per_keypoint_offset": per_keypoint}
    both = losses_of([1, 1], POINTS, settings)
    assert both["keypoint_offset_loss"] == pytest.approx((0.25 + 0.5 + 0.75 + 0) / 2)
    assert both["keypoint_regression_loss"] == pytest.approx(0.1 * (0.75 + 0.5 + 1.75 + 2.0) / 2)
    one = losses_of([0, 1], POINTS, settings)
    assert one["keypoint_offset_loss"] == pytest.approx(0.75)
    assert one["keypoint_regression_loss"] == pytest.approx(0.1 * 3.75)


def test_cells_around_a_keypoint_point_to_it():
    found = losses_of([1, 0], POINTS, {"offset_peak_radius": 1})
    cells = np.array([[1, 3], [2, 2], [2, 3], [2, 4], [3, 3]])
    assert found["keypoint_offset_loss"] == pytest.approx(np.abs(POINTS[0] - cells).sum(axis=1).mean())


@pytest.mark.parametrize("where", [{"weights": [0, 0]}, {"weights": [1, 1], "class_id": 0}])
def test_what_is_not_labelled_costs_nothing_in_its_box(where):
    found = losses_of(points=[[np.nan, np.nan]] * 2 if where["weights"] == [0, 0] else POINTS, **where)
    assert found["keypoint_offset_loss"] == found["keypoint_regression_loss"] == 0
    # Outside of the box of 24 cells every cell of both heat maps is background, with a score of one half.
    assert found["keypoint_heatmap_loss"] == pytest.approx(2 * (64 - 24) * 0.25 * np.log(2), rel=1e-5)


def test_pictures_without_keypoints_in_their_truth(people):
    inputs, true_shapes = people.preprocess([np.zeros((64, 64, 3), np.uint8)])
    truth = {
        "boxes": tf.constant([[[0.1, 0.1, 0.5, 0.5]]]),
        "class_ids": tf.constant([[1]]),
        "weights": tf.ones([1, 1]),
    }
    raw = people.predict(inputs, true_shapes)
    without = people.loss(raw, truth)
    hidden = {"keypoints": tf.zeros([1, 1, 17, 2]), "keypoint_weights": tf.zeros([1, 1, 17])}
    assert {k: float(v) for k, v in people.loss(raw, truth | hidden).items()} == {
        k: float(v) for k, v in without.items()
    }
