"""DETR of Model Garden behind detkit's verbs: the same numbers and losses, training, checkpoints for both sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

import detkit
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.data.synthesis import boats
from detkit.errors import CheckpointError, ConfigError, DataError
from detkit.garden import build, load, storage, upstream
from detkit.garden.detector import Description
from detkit.garden.detr import match
from detkit.garden.letterbox import ShortSide
from detkit.pipeline import yaml_format

TINY = {
    "num_classes": 4,
    "input_size": [96, 96, 3],
    "backbone": {"resnet": {"model_id": 10, "depth_multiplier": 0.25}},
    "backbone_endpoint_name": "4",
    "hidden_size": 32,
    "num_queries": 12,
    "num_encoder_layers": 1,
    "num_decoder_layers": 2,
}
OVERRIDES = {"task": {"model": TINY}}


@pytest.fixture(scope="module")
def overrides(tmp_path_factory):
    path = tmp_path_factory.mktemp("overrides") / "tiny.yaml"
    path.write_text(yaml_format.dumps(OVERRIDES))
    return path


@pytest.fixture(scope="module")
def detector(overrides):
    found = load.load("garden:detr_coco", config=overrides)
    rng = np.random.default_rng(0)
    for name, variable in found.variables().items():
        if name.endswith(("bias", "beta")):
            variable.assign(rng.normal(0.0, 0.3, variable.shape))
    return found


@pytest.fixture(scope="module")
def other():
    """A model of the same kind for one class; tests give it the weights that they need."""
    return load.assemble(Description.of_classes("detr_coco", OVERRIDES, ["duck"]))


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (*size, 3), np.uint8) for size in ((60, 90), (80, 40))]


TRUTH = {
    "boxes": np.array([[[0.1, 0.2, 0.5, 0.6], [0.3, 0.3, 0.9, 0.8]], [[0.2, 0.0, 1.0, 0.4], [0, 0, 0, 0]]], np.float32),
    "class_ids": np.array([[2, 0], [1, 0]], np.int32),
    "weights": np.array([[1, 1], [1, 0]], np.float32),
    "seed": np.array([0, 1], np.int32),
}


def values(detector):
    return {path: variable.numpy() for path, variable in detector.variables().items()}


def test_the_cheapest_matching_leaves_out_padding():
    costs = np.array([[[5.0, -9.0, 1.0], [1.0, -9.0, 2.0], [7.0, -9.0, 7.0]]])
    assert match(costs, np.array([[True, False, True]])).tolist() == [[2, 0, -1]]
    # Of more objects than queries, those that cost most get none.
    crowded = np.array([[[5.0, 1.0, 9.0], [1.0, 2.0, 9.0]]])
    assert match(crowded, np.ones([1, 3], bool)).tolist() == [[1, 0]]


def test_outputs_and_detections_are_the_models_own(detector, images):
    from official.projects.detr.modeling import detr

    inputs, shapes = detector.preprocess(images)
    assert inputs.shape == (2, 96, 96, 3)
    ours = detector.predict(inputs, shapes)
    with upstream.quiet():
        *earlier, theirs = detector.model(inputs, training=False)
    np.testing.assert_allclose(ours["class_logits"], theirs["cls_outputs"], atol=1e-5)
    np.testing.assert_allclose(ours["box_encodings"], theirs["box_outputs"], atol=1e-5)
    np.testing.assert_allclose(ours["auxiliary/class_logits"][:, 0], earlier[0]["cls_outputs"], atol=1e-5)
    np.testing.assert_allclose(ours["auxiliary/box_encodings"][:, 0], earlier[0]["box_outputs"], atol=1e-5)
    for found, boxes, scores, columns in zip(
        detector.detect(images),
        *(detr.postprocess(theirs)[f"detection_{name}"].numpy() for name in ("boxes", "scores", "classes")),
        strict=True,
    ):
        order = np.argsort(-scores)
        np.testing.assert_allclose(found.scores, scores[order], atol=1e-5)
        np.testing.assert_array_equal(found.class_ids + 1, columns[order])
        np.testing.assert_allclose(found.boxes, np.clip(boxes[order], 0, 1), atol=1e-5)
    assert len(detector.detect(images[0], threshold=1.0)[0]) == 0


def test_losses_are_model_gardens_own(detector, images):
    inputs, shapes = detector.preprocess(images)
    predictions = detector.predict(inputs, shapes)
    ours = detector.loss(predictions, {name: tf.constant(value) for name, value in TRUTH.items()})
    corners, boxes, columns = TRUTH["boxes"], np.zeros((2, 12, 4), np.float32), np.zeros((2, 12), np.int32)
    boxes[:, :2, :2] = (corners[..., :2] + corners[..., 2:]) / 2
    boxes[:, :2, 2:] = corners[..., 2:] - corners[..., :2]
    columns[:, :2] = (TRUTH["class_ids"] + 1) * TRUTH["weights"]
    labels = {"boxes": tf.constant(boxes), "classes": tf.constant(columns)}
    with upstream.quiet():
        layers = detector.model(inputs, training=False)
        theirs = np.sum([detector.garden_task.build_losses(layer, labels)[1:] for layer in layers], axis=0)
    np.testing.assert_allclose([ours["classification"], ours["localization"], ours["overlap_loss"]], theirs, rtol=1e-4)


def test_surgery_keeps_everything_but_the_class_head(detector, other, tmp_path):
    prefix = tf.train.Checkpoint(model=detector.model, global_step=tf.Variable(7)).save(str(tmp_path / "ckpt"))
    load.restore(other, prefix, classes=load.OTHER)
    ours, known = values(other), values(detector)
    assert len(ours) == len(detector.model.variables)
    changed = {path for path in ours if ours[path].shape != known[path].shape or np.any(ours[path] != known[path])}
    assert changed == {"class_embed/kernel", "class_embed/bias"}
    with pytest.raises(CheckpointError, match="The class count differs"):
        load.restore(other, prefix)


def test_what_detkit_saves_model_garden_restores(detector, tmp_path):
    storage.save(detector, tmp_path / "saved")
    prefix = str(tmp_path / "saved" / "checkpoint" / "ckpt-0")
    config = build.experiment("detr_coco", build.read_overrides(tmp_path / "saved" / "params.yaml"))
    assert config.task.model.as_dict() == detector.task_config.model.as_dict()
    assert tuple(config.task.train_data.output_size) == (96, 96)
    model, task = detector.model, detector.garden_task
    ours = [variable.numpy() for variable in model.variables]
    for variable in model.variables:
        variable.assign(tf.fill(variable.shape, -7.0))

    def restored():
        return [np.array_equal(own, variable.numpy()) for own, variable in zip(ours, model.variables, strict=True)]

    # As its trainer starts from a checkpoint of a backbone ...
    task.task_config.override({"init_checkpoint": prefix, "init_checkpoint_modules": "backbone"})
    task.initialize(model)
    task.task_config.override({"init_checkpoint": ""})
    count = len(model.backbone.variables)
    assert all(restored()[:count]) and not any(restored()[count:])
    # ... and as it goes on in its model directory.
    whole = tf.train.Checkpoint(model=model, global_step=tf.Variable(0))
    manager = tf.train.CheckpointManager(whole, str(tmp_path / "saved" / "checkpoint"), max_to_keep=1)
    assert manager.restore_or_initialize() == prefix
    assert all(restored())


def test_training_lowers_the_loss_and_is_repeatable(detector, images):
    before = values(detector)
    runs = []
    for _ in range(2):
        runs.append([descend(detector, images) for _ in range(2)])
        for path, variable in detector.variables().items():
            variable.assign(before[path])
    assert runs[0] == runs[1]
    assert runs[0][0] > runs[0][1]


def descend(detector, images):
    """The loss before a step of gradient descent."""
    state = detector.training_state(
        *detector.preprocess(images), {name: tf.constant(value) for name, value in TRUTH.items()}
    )
    variables = [variable.value for variable in detector.variables().values() if variable.trainable]
    with tf.GradientTape() as tape:
        total = tf.add_n(list(detector.record_loss(state, 0).values()))
    for variable, gradient in zip(variables, tape.gradient(total, variables), strict=True):
        if gradient is not None:
            variable.assign_sub(0.005 * tf.clip_by_norm(gradient, 1.0))
    return float(total)


@pytest.mark.slow
def test_preprocessing_is_model_gardens_own(detector, images):
    from official.projects.detr.dataloaders import detr_input

    parser = detr_input.Parser(output_size=(96, 96))
    inputs, shapes = detector.preprocess(images)
    for ours, shape, image in zip(inputs, shapes, images, strict=True):
        boxes = {"groundtruth_boxes": tf.zeros([0, 4]), "groundtruth_classes": tf.zeros([0], tf.int32)}
        crowd = {"groundtruth_is_crowd": tf.zeros([0], tf.bool), "source_id": 1}
        theirs, labels = parser._parse_eval_data({"image": image} | boxes | crowd)
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
        np.testing.assert_array_equal(shape[:2], labels["image_info"][1])


@pytest.mark.slow
def test_sizes_are_model_gardens_own():
    from official.vision.ops import preprocess_ops

    for size in [(480, 640), (640, 480), (333, 500), (427, 640), (800, 800), (900, 700), (1, 3), (2000, 333)]:
        _, info = preprocess_ops.resize_image(tf.zeros([*size, 1]), 800.0, 1333)
        assert ShortSide((1333, 1333), 800).resized(size) == tuple(info[1].numpy().astype(int))


@pytest.mark.parametrize("size", [(1, 4000), (4000, 1), (1, 1), (50, 70)])
def test_every_image_fits_into_every_frame(size):
    for frame in ((64, 128), (128, 64), (32, 32)):
        sides = ShortSide(frame, 800).resized(size)
        assert all(1 <= side <= most for side, most in zip(sides, frame, strict=True))
        assert max(np.array(sides) / frame) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wide", "low", "dot"])
def test_any_image_has_detections(detector, kind):
    size = {"wide": (10, 2000), "low": (1, 300), "dot": (1, 1)}[kind]
    found = detector.detect(np.full((*size, 3), 200, np.uint8))[0]
    assert len(found) == 12
    assert np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()


@pytest.mark.slow
def test_a_saved_model_is_the_same_when_it_is_loaded(detector, tmp_path, images):
    storage.save(detector, tmp_path / "saved")
    again = detkit.load(tmp_path / "saved")
    one, two = detector.detect(images[0])[0], again.detect(images[0])[0]
    np.testing.assert_array_equal(one.boxes, two.boxes)
    np.testing.assert_array_equal(one.scores, two.scores)


@pytest.mark.slow
def test_a_record_at_any_seam_has_the_loss_of_the_whole(detector, images):
    state = detector.training_state(
        *detector.preprocess(images), {name: tf.constant(value) for name, value in TRUTH.items()}
    )
    whole = detector.losses(detector.run(state))
    for seam in range(len(detector.stages)):
        part = detector.record_loss(detector.record(detector.run(state, 0, seam), seam), seam)
        assert {name: float(value) for name, value in part.items()} == {n: float(v) for n, v in whole.items()}


@pytest.mark.slow
def test_a_backbone_alone_starts_the_rest_afresh(other, detector, tmp_path):
    prefix = tf.train.Checkpoint(backbone=detector.model.backbone).save(str(tmp_path / "ckpt"))
    described = other.description

    def started_from(modules):
        initial = {"init_checkpoint": prefix, "init_checkpoint_modules": modules}
        other.description = replace(described, overrides={"task": OVERRIDES["task"] | initial})
        try:
            load.restore(other, seed=5)
        finally:
            other.description = described

    started_from("backbone")
    ours, known = values(other), values(detector)
    same = {
        path.partition("/")[0] for path in ours if path.endswith("kernel") and np.array_equal(ours[path], known[path])
    }
    assert same == {"backbone"}
    with pytest.raises(ConfigError, match="The model has no such module"):
        started_from("backbnoe")
    with pytest.raises(CheckpointError, match="does not fit the model"):
        started_from("all")


@pytest.mark.slow
def test_eighty_classes_are_cocos(overrides):
    named = load._described("detr_coco", {"task": {"model": {"num_queries": 5}}}, None)
    assert (named.classes[0], named.classes[-1], named.label_ids[-1]) == ("person", "toothbrush", 80)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"input_size": [None, None, 3]}, "no size of colour images"),
        ({"input_size": []}, "no size of colour images"),
        ({"hidden_size": 36}, "a multiple of 8"),
        ({"num_queries": 0}, "1 or more"),
        ({"backbone_endpoint_name": "9"}, "KeyError: '9'"),
        ({"num_queriez": 5}, "Did you mean num_queries?"),
        ({"num_decoder_layers": 0}, "task.model.num_decoder_layers"),
    ],
)
def test_overrides_that_can_not_be_are_refused(model, message):
    with pytest.raises(ConfigError, match=message):
        load.assemble(Description.of_classes("detr_coco", {"task": {"model": TINY | model}}, ["duck"]))


# Fine-tuning by detkit's own loop


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return boats.few_shot_set(tmp_path_factory.mktemp("photos"), train=4, test=1, size=(72, 96))


@pytest.fixture(scope="module")
def known(overrides, photos, tmp_path_factory):
    """A run from scratch, for all of the network."""
    output = tmp_path_factory.mktemp("runs") / "scratch"
    options = {"steps": 150, "batch_size": 4, "learning_rate": 1e-3, "freeze_batch_norm": False, "augment": None}
    return detkit.finetune(
        "garden:detr_coco", photos[0], config=overrides, output=output, ema=None, optimizer="adam", **options
    )


@pytest.mark.slow
def test_it_learns_a_few_photos_from_scratch(known, photos):
    assert np.mean([row["loss"] for row in known.history[-5:]]) < known.history[0]["loss"] / 10
    assert set(detkit.evaluate(detkit.load(known.directory), photos[1])) >= {"AP", "AP50"}


@pytest.mark.slow
@pytest.mark.parametrize("tune", ["heads", "neck"])
def test_the_cache_changes_nothing_but_the_time(known, photos, tmp_path, tune):
    """And what is not tuned stays as it was."""
    data = photos[0].with_classes(("toy_boat", "rock"))
    options = {"tune": tune, "steps": 3, "batch_size": 2, "augment": None, "ema": None}
    runs = {
        cache: detkit.finetune(str(known.directory), data, output=tmp_path / cache, cache=cache, **options)
        for cache in ("on", "off")
    }
    cached, plain = (values(run.detector) for run in runs.values())
    before, parts = values(known.detector), runs["on"].detector.part_of()
    for path, value in cached.items():
        np.testing.assert_allclose(value, plain[path], atol=1e-5, err_msg=path)
    kept = ("backbone",) if tune == "neck" else ("backbone", "neck", "head/towers")
    assert all(np.array_equal(cached[path], before[path]) for path in cached if parts[path] in kept)
    assert any(not np.array_equal(cached[path], before[path]) for path in cached if parts[path] == "head/box_head")


@pytest.mark.slow
def test_more_objects_than_queries_are_refused(known, photos, tmp_path):
    known.detector.check_data(photos[0])
    example, many = photos[0][0], np.tile(photos[0][0].boxes[:1], (13, 1))
    crowded = Example(image=example.image, boxes=many, class_ids=np.zeros(13, np.int32), size=example.size)
    crowded = Dataset([crowded], photos[0].classes)
    with pytest.raises(DataError, match="more objects than the model has queries"):
        detkit.finetune(str(known.directory), crowded, output=tmp_path / "run", steps=1)
