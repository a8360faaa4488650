"""Training of Model Garden's YOLO detectors: its own losses and labels, seams, and that they learn."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import detkit
from detkit.data.synthesis import boats
from detkit.garden import load, upstream
from detkit.pipeline import yaml_format
from detkit.pipeline.settings import TrainConfig
from detkit.training.optimization import Optimization
from detkit.training.selection import choose

pytestmark = pytest.mark.slow

ANCHORS = {"boxes": [{"box": [side, side]} for side in (8, 12, 16, 24, 32, 40, 48, 64, 96)]}
PICO = {"num_classes": 3, "input_size": [64, 64, 3], "anchor_boxes": ANCHORS}
DARKNET = {
    "num_classes": 3,
    "input_size": [64, 96, 3],
    "anchor_boxes": ANCHORS,
    "backbone": {"type": "darknet", "darknet": {"model_id": "cspdarknet53", "width_scale": 0.25, "depth_scale": 0.25}},
}
TRUTH = {
    "boxes": tf.constant([[[0.1, 0.2, 0.5, 0.6], [0.3, 0.7, 0.9, 1.0], [0.0, 0.0, 0.0, 0.0]], [[0.0] * 4] * 3]),
    "class_ids": tf.constant([[1, 2, 0], [0, 0, 0]]),
    "weights": tf.constant([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]),
    "seed": tf.constant([0, 1]),
}


def made(name, model, folder):
    path = folder / f"{name}.yaml"
    path.write_text(yaml_format.dumps({"task": {"model": model}}))
    return load.load(f"garden:{name}", config=path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("overrides")


@pytest.fixture(scope="module")
def pico(folder):
    return made("coco_yolov7_pico", PICO, folder)


@pytest.fixture(scope="module", params=["yolo_darknet", "scaled_yolo"])
def darknet(request, folder):
    detector = made(request.param, DARKNET, folder)
    rng = np.random.default_rng(0)
    for path in detector.class_columns():  # for scores that differ
        variable = detector.variables()[path]
        variable.assign(variable.numpy() + rng.normal(0.0, 0.3, variable.shape))
    return detector


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(3).integers(0, 256, (2, 45, 60, 3), np.uint8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return boats.few_shot_set(tmp_path_factory.mktemp("photos"), train=3, test=1, size=(96, 128))


def values(detector):
    return {path: variable.numpy() for path, variable in detector.variables().items()}


def test_the_loss_of_yolov7_is_model_gardens_own(pico, images):
    inputs, shapes = pico.preprocess(images)
    ours = pico.loss(pico.predict(inputs, shapes), TRUTH)
    labels = {
        "bbox": TRUTH["boxes"] * tf.constant([0.75, 1.0] * 2) + tf.constant([0.125, 0.0] * 2),
        "classes": tf.constant([[1, 2, -1], [-1, -1, -1]]),
        "image_info": tf.fill([2, 4, 2], 64.0),
    }
    with upstream.quiet():
        raw = pico.model(inputs, training=True)["raw_output"]
    np.testing.assert_allclose(ours["detection_loss"], pico.garden_task.build_losses(raw, labels)[0], rtol=1e-5)


def test_yolov7_learns_alike_from_wide_and_from_tall_inputs(folder):
    """Model Garden's own loss looks for the objects at the right of a wide input elsewhere."""
    boxes = np.array([[[0.1, 0.7, 0.5, 0.95], [0.3, 0.1, 0.8, 0.3]]], np.float32)
    rng, losses = np.random.default_rng(0), []
    raw = {level: rng.normal(0, 1, (1, 64 >> level, 96 >> level, 3, 8)).astype(np.float32) for level in (3, 4, 5)}
    truth = {"class_ids": tf.constant([[0, 2]]), "weights": tf.ones([1, 2]), "seed": tf.constant([0])}
    for size, turn in (((64, 96), False), ((96, 64), True)):
        detector = made("coco_yolov7_pico", PICO | {"input_size": [*size, 3]}, folder)
        swapped = [1, 0, 3, 2, 4, 5, 6, 7]
        turned = {k: x.transpose(0, 2, 1, 3, 4)[..., swapped] if turn else x for k, x in raw.items()}
        state = {f"raw/{level}": tf.constant(x) for level, x in turned.items()}
        state["true_shapes"] = tf.constant([[*size, 3]])
        placed = boxes[..., [1, 0, 3, 2]] if turn else boxes
        losses.append(float(detector.loss(state, truth | {"boxes": tf.constant(placed)})["detection_loss"]))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_the_outputs_of_yolov4_are_the_models_own(darknet, images):
    inputs, shapes = darknet.preprocess(images)
    with upstream.quiet():
        theirs = darknet.model(inputs, training=False)
    ours = darknet.predict(inputs, shapes)
    for level, raw in theirs["raw_output"].items():
        np.testing.assert_allclose(ours[f"raw/{level}"], raw, atol=1e-5)
    found, count = darknet.detect(images[0])[0], int(theirs["num_detections"][0])
    assert 0 < len(found) == count
    np.testing.assert_allclose(found.scores, theirs["confidence"][0, :count], atol=1e-5)
    stretched = not darknet.task_config.validation_data.parser.letter_box
    assert shapes.numpy().tolist()[0] == ([64, 96, 3] if stretched else [64, 85, 3])
    offset, width = (0, 96) if stretched else (5, 85)
    pixels = theirs["bbox"][0, :count].numpy() * [64, 96, 64, 96] - [0, offset, 0, offset]
    boxes = np.clip(pixels / [64, width, 64, width], 0, 1)
    # Among scores that are equal to the last digits but one, any may be first.
    np.testing.assert_allclose(np.sort(found.boxes, axis=0), np.sort(boxes, axis=0), atol=1e-4)


def test_the_loss_of_yolov4_is_model_gardens_own(darknet, images):
    inputs, shapes = darknet.preprocess(images[:1])
    truth = {name: value[:1] for name, value in TRUTH.items()}
    ours = darknet.loss(darknet.predict(inputs, shapes), truth)["detection_loss"]
    boxes = darknet.in_padding(truth["boxes"], shapes)[0, :2]
    most = darknet.task_config.train_data.parser.max_num_instances
    labels = {
        "bbox": tf.pad(boxes, [[0, most - 2], [0, 0]])[None],
        "classes": tf.constant([[1.0, 2.0, *[-1.0] * (most - 2)]]),
    }
    for name, levels in zip(("inds", "upds", "true_conf"), darknet._labels_of(boxes, [1, 2], 96, 64), strict=True):
        labels[name] = {level: value[None] for level, value in levels.items()}
    for level, values_ in labels["upds"].items():  # without the padding, which CPUs can't scatter
        count = int(tf.reduce_sum(values_[..., 4]))
        labels["upds"][level] = values_[:, :count]
        labels["inds"][level] = labels["inds"][level][:, :count]
    assert sum(value.shape[1] for value in labels["inds"].values()) >= 2
    with upstream.quiet():
        raw = darknet.model(inputs, training=True)["raw_output"]
    theirs, *_ = darknet.garden_task.build_losses(raw, labels)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_a_record_at_any_seam_has_the_loss_of_the_whole(pico, darknet, images):
    for detector in (pico, darknet):
        state = detector.training_state(*detector.preprocess(images), TRUTH)
        whole = float(detector.losses(detector.run(state))["detection_loss"])
        assert whole > 0
        for seam in range(len(detector.stages)):
            record = detector.record(detector.run(state, 0, seam), seam)
            assert float(detector.record_loss(record, seam)["detection_loss"]) == whole


def test_steps_lower_the_loss_of_yolov7_always_alike(pico, images):
    lowers_always_alike(pico, images, 0.02)


def test_steps_lower_the_loss_of_yolov4_always_alike(darknet, images):
    lowers_always_alike(darknet, images, 0.002)


def lowers_always_alike(detector, images, rate):
    settings = TrainConfig(optimizer="momentum", momentum=0.0, clip_norm=1.0, freeze_batch_norm=False, ema=None)
    record = detector.record(detector.training_state(*detector.preprocess(images), TRUTH), 0)
    before, runs = values(detector), []
    for _ in range(2):
        optimization = Optimization(detector, choose(detector, "all"), settings)
        optimization.set_learning_rate(rate)
        runs.append([float(optimization.step(record)["loss"]) for _ in range(4)])
        detector.freeze_batch_norm(True)
        for path, variable in detector.variables().items():
            variable.assign(before[path])
    assert runs[0] == runs[1]
    assert runs[0][-1] < runs[0][0]


@pytest.fixture(scope="module")
def known(photos, folder, tmp_path_factory):
    """A run of YOLOv7-pico from scratch, for all of the network."""
    model = PICO | {"input_size": [96, 128, 3], "loss": {"obj_weight": 20.0}}
    (folder / "scratch.yaml").write_text(yaml_format.dumps({"task": {"model": model}}))
    options = {"steps": 200, "batch_size": 3, "learning_rate": 0.01, "freeze_batch_norm": False, "augment": None}
    return detkit.finetune(
        "garden:coco_yolov7_pico",
        photos[0],
        config=folder / "scratch.yaml",
        output=tmp_path_factory.mktemp("runs") / "scratch",
        ema=None,
        **options,
    )


def test_yolov7_learns_its_photos(known, photos):
    assert known.history[-1]["loss"] < known.history[0]["loss"] / 5
    assert detkit.evaluate(known.detector, photos[0])["AP50"] > 0.9
    again = detkit.load(known.directory)
    assert again.classes == ("toy_boat",)
    ours, stored = values(known.detector), values(again)
    assert all(np.array_equal(ours[path], stored[path]) for path in ours)


@pytest.mark.parametrize(("tune", "kept"), [("heads", {"backbone", "neck", "head/towers"}), ("neck", {"backbone"})])
def test_the_cache_changes_nothing_and_neither_does_what_is_not_tuned(known, photos, tmp_path, tune, kept):
    data = photos[0].with_classes(("toy_boat", "rock"))
    options = {"tune": tune, "steps": 3, "batch_size": 2, "augment": None, "ema": None, "show_progress": False}
    runs = [detkit.finetune(str(known.directory), data, output=tmp_path / c, cache=c, **options) for c in ("on", "off")]
    before, parts = values(known.detector), runs[0].detector.part_of()
    trained = [values(run.detector) for run in runs]
    for path, value in trained[0].items():
        np.testing.assert_allclose(value, trained[-1][path], atol=1e-6, err_msg=path)
    columns = runs[0].detector.class_columns()
    changed = {parts[path] for path in before if path not in columns and np.any(trained[0][path] != before[path])}
    assert changed == {"backbone", "neck", "head/towers"} - kept


def test_yolov4_learns_its_photos(photos, folder, tmp_path):
    (folder / "v4.yaml").write_text(yaml_format.dumps({"task": {"model": DARKNET | {"input_size": [96, 128, 3]}}}))
    options = {"steps": 250, "batch_size": 3, "learning_rate": 0.003, "freeze_batch_norm": False, "augment": None}
    run = detkit.finetune(
        "garden:scaled_yolo", photos[0], config=folder / "v4.yaml", output=tmp_path / "run", ema=None, **options
    )
    assert run.history[-1]["loss"] < run.history[0]["loss"] / 5
    assert detkit.evaluate(run.detector, photos[0])["AP50"] > 0.9
