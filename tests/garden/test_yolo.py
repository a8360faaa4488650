"""YOLOv7 of Model Garden behind detkit's verbs: the same numbers, checkpoints for both sides, surgery, training."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import detkit
from detkit.data.batches import Views
from detkit.data.synthesis import boats
from detkit.errors import CheckpointError, ConfigError
from detkit.garden import build, load, storage, upstream
from detkit.garden.detector import Description
from detkit.garden.yolo_options import check
from detkit.pipeline import yaml_format
from detkit.pipeline.settings import TrainConfig
from detkit.training.optimization import Optimization
from detkit.training.selection import choose

NAME = "coco_yolov7_pico"
ANCHORS = [{"box": [8, 8]}, {"box": [16, 12]}, {"box": [12, 20]}] * 3
MODEL = {"num_classes": 3, "input_size": [64, 96, 3], "detection_generator": {"max_boxes": 20}}
OVERRIDES = {"task": {"model": MODEL}}


def write(path, overrides):
    path.write_text(yaml_format.dumps(overrides))
    return path


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    overrides = write(tmp_path_factory.mktemp("overrides") / "tiny.yaml", OVERRIDES)
    detector = load.load(f"garden:{NAME}", config=overrides)
    rng = np.random.default_rng(0)
    for path, variable in detector.variables().items():
        if path.endswith(("moving_mean", "moving_variance")):
            variable.assign(variable.numpy() + rng.uniform(0.0, 0.1, variable.shape))
    return detector


@pytest.fixture(scope="module")
def duck():
    """A model of the same kind for one class."""
    return load.assemble(Description.of_classes(NAME, OVERRIDES, ["duck"]))


@pytest.fixture(scope="module")
def saved(detector, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    storage.save(detector, folder)
    return folder


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(3).integers(0, 256, (45, 90, 3), np.uint8)


def values(detector):
    return {path: variable.numpy() for path, variable in detector.variables().items()}


def test_every_variable_of_the_model_has_a_name_and_a_part(detector):
    held = {variable.value.ref() for variable in detector.variables().values()}
    assert held == {variable.ref() for variable in detector.model.variables}
    assert len(held) == len(detector.variables())
    assert set(detector.part_of().values()) == {"backbone", "neck", "head/towers", "head/class_head"}


@pytest.mark.parametrize(
    ("tune", "parts"),
    [
        ("heads", {"head/class_head"}),
        ("towers", {"head/class_head", "head/towers"}),
        ("neck", {"head/class_head", "head/towers", "neck"}),
        ("all", {"head/class_head", "head/towers", "neck", "backbone"}),
    ],
)
def test_the_words_of_tune_select_from_the_head_on(detector, tune, parts):
    of = detector.part_of()
    assert {of[path] for path in choose(detector, tune).paths} == parts


def test_images_lie_in_the_middle_of_a_grey_frame(detector, image):
    inputs, shapes = detector.preprocess([image, image[:, :20]])
    assert inputs.shape == (2, 64, 96, 3)
    assert shapes.numpy().tolist() == [[48, 96, 3], [64, 28, 3]]
    np.testing.assert_allclose(inputs[0, :8], 114 / 255, atol=1e-6)
    np.testing.assert_allclose(inputs[0, 56:], 114 / 255, atol=1e-6)
    np.testing.assert_allclose(inputs[1, :, :34], 114 / 255, atol=1e-6)
    boxes = detector.in_padding(tf.constant([[[0.0, 0.0, 1.0, 1.0]]] * 2), shapes)
    np.testing.assert_allclose(boxes, [[[0.125, 0.0, 0.875, 1.0]], [[0.0, 34 / 96, 1.0, 62 / 96]]], atol=1e-6)


@pytest.mark.parametrize("size", [(30, 60), (150, 300)])
def test_preprocessing_is_model_gardens_own(detector, size):
    """Of images smaller than the frame, and of larger ones, whose pixels it averages."""
    from official.projects.yolo.ops import preprocessing_ops

    image = np.random.default_rng(4).integers(0, 256, (*size, 3), np.uint8)
    with upstream.quiet():
        theirs, *_ = preprocessing_ops.resize_and_jitter_image(
            tf.cast(image, tf.float32), [64, 96], letter_box=True, random_pad=False, jitter=0.0
        )
    ours = detector.preprocess([image])[0][0] * 255.0
    np.testing.assert_allclose(ours[:7], theirs[:7], atol=1e-3)
    # It pads before it resizes: the outermost pixels of the image mix with the padding.
    np.testing.assert_allclose(ours[9:55], theirs[9:55], atol=0.01)


@pytest.mark.parametrize("size", [(1, 300), (300, 1), (1, 1), (2000, 3)])
def test_images_of_any_size_go_in(detector, size):
    inputs, shapes = detector.preprocess([np.full((*size, 3), 7, np.uint8)])
    height, width = shapes[0, :2].numpy()
    assert min(height, width) >= 1
    top, left = (64 - height) // 2, (96 - width) // 2
    np.testing.assert_allclose(inputs[0, top : top + height, left : left + width], 7 / 255, atol=1e-6)


def test_outputs_and_detections_are_the_models_own(detector, image):
    inputs, shapes = detector.preprocess([image])
    with upstream.quiet():
        theirs = detector.model(inputs, training=False)
    ours = detector.predict(inputs, shapes)
    for level, raw in theirs["raw_output"].items():
        np.testing.assert_array_equal(ours[f"raw/{level}"], raw)
    found, count = detector.detect(image)[0], int(theirs["num_detections"][0])
    assert 0 < len(found) == count
    np.testing.assert_allclose(found.scores, theirs["confidence"][0, :count], atol=1e-5)
    np.testing.assert_array_equal(found.class_ids, theirs["classes"][0, :count])
    pixels = theirs["bbox"][0, :count].numpy() * [64, 96, 64, 96] - [8, 0, 8, 0]
    np.testing.assert_allclose(found.boxes, np.clip(pixels / [48, 96, 48, 96], 0, 1), atol=1e-4)
    assert len(detector.detect(image, threshold=0.999)[0]) == 0


def test_what_detkit_saves_it_loads_and_model_garden_restores(detector, saved):
    again = detkit.load(saved)
    assert (again.classes, again.label_ids) == (detector.classes, detector.label_ids)
    assert all(np.array_equal(values(again)[path], value) for path, value in values(detector).items())
    for variable in again.model.variables:
        variable.assign(tf.ones_like(variable) * 3)
    held = tf.train.Checkpoint(model=again.model, **again.model.checkpoint_items)
    held.restore(str(saved / "checkpoint" / "ckpt-0")).assert_existing_objects_matched()
    assert all(np.array_equal(values(again)[path], value) for path, value in values(detector).items())
    params = build.read_overrides(saved / "params.yaml")
    assert build.experiment(NAME, params).task.as_dict() == detector.task_config.as_dict()


@pytest.mark.parametrize("layout", ["trainer", "items", "model"])
def test_surgery_keeps_all_but_the_columns_of_the_classes(detector, duck, tmp_path, layout):
    model, items = detector.model, detector.model.checkpoint_items
    held = {"trainer": {"model": model, **items}, "items": items, "model": {"model": model}}[layout]
    prefix = tf.train.Checkpoint(**held).save(str(tmp_path / "ckpt"))
    text = load.restore(duck, prefix, classes=load.OTHER, seed=1)
    assert "of 9 variables the columns of the classes start afresh, and only those" in text
    ours, known = values(duck), values(detector)
    for path, value in known.items():
        if path in detector.class_columns():
            theirs = value.reshape(*value.shape[:-1], 3, 5 + 3)
            new = ours[path].reshape(*value.shape[:-1], 3, 5 + 1)
            np.testing.assert_array_equal(new[..., :5], theirs[..., :5], err_msg=path)
            if path.endswith("kernel"):
                assert not np.isin(new[..., 5], theirs[..., 5:]).any(), path
        else:
            np.testing.assert_array_equal(ours[path], value, err_msg=path)
    # As in a new model.
    np.testing.assert_allclose(ours["head/_convs/0/bias"].reshape(3, 6)[:, 5], np.log(0.6 / 0.01), atol=1)


@pytest.mark.slow
def test_a_head_with_other_anchors_is_refused(saved):
    anchors = {"anchor_boxes": {"anchors_per_scale": 5, "boxes": [{"box": [8, 8]}] * 15}}
    other = load.assemble(Description.of_classes(NAME, {"task": {"model": MODEL | anchors}}, ["duck"]))
    with pytest.raises(CheckpointError, match="The checkpoint's class head is another one"):
        load.restore(other, saved, classes=load.OTHER)


def test_steps_lower_the_loss(duck, saved, tmp_path):
    photos, _ = boats.few_shot_set(tmp_path, train=2, test=1, size=(48, 64))
    views = Views(photos.rename_classes({"toy_boat": "duck"}), duck.resized, wants=duck.wants)
    settings = TrainConfig(optimizer="momentum", momentum=0.0, clip_norm=1.0, freeze_batch_norm=False, ema=None)
    load.restore(duck, saved, classes=load.OTHER)
    optimization = Optimization(duck, choose(duck, "all"), settings)
    optimization.set_learning_rate(0.05)
    record = duck.record(duck.training_state(*duck.batch([views.view(0), views.view(1)])), 0)
    tf.config.run_functions_eagerly(True)  # the graph of Model Garden's loss takes long to make
    try:
        losses = [float(optimization.step(record)["loss"]) for _ in range(4)]
    finally:
        tf.config.run_functions_eagerly(False)
        duck.freeze_batch_norm(True)
    assert losses[-1] < losses[0] * 0.95


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"input_size": [100, 96, 3]}, r"multiple of its largest stride.*\[96, 96, 3\]"),
        ({"input_size": [96, 96]}, "no size of colour images"),
        ({"num_classes": 0}, "no column for a class"),
        ({"anchor_boxes": {"boxes": ANCHORS[:4]}}, "4 anchors.*9 of"),
        ({"anchor_boxes": {"boxes": [{"box": [3]}, *ANCHORS[1:]]}}, "anchors do not fit"),
        ({"anchor_boxes": {"generate_anchors": True}}, "generate_anchors"),
        ({"anchor_boxes": {"level_limits": [32, 64]}}, "YOLOv7 learns from anchors"),
        ({"loss": {"auto_balance": True}}, "auto_balance"),
        ({"detection_generator": {"nms_version": "batched"}}, "greedy, v1, v2, iou"),
    ],
)
def test_options_that_can_not_be_are_refused(model, message):
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        check(build.experiment(NAME, {"task": {"model": model}}).task)


@pytest.mark.parametrize("name", ["yolo", "yolov7"])
def test_the_bare_experiments_ask_for_anchors_with_an_example(name):
    with pytest.raises(ConfigError, match=f"{name} needs task.model.anchor_boxes.boxes") as error:
        build.experiment(name, {})
    example = str(error.value).partition("Write in the overrides ")[2]
    check(build.experiment(name, yaml_format.loads(example, "example")[0]).task)


def test_the_letterbox_of_training_is_that_of_prediction():
    config = build.experiment(NAME, {"task": {"validation_data": {"parser": {"letter_box": False}}}})
    with pytest.raises(ConfigError, match="letter_box"):
        check(config.task)
