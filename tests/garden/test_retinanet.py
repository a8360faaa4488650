"""RetinaNet of Model Garden behind detkit's verbs: the same numbers, checkpoints for both sides, surgery."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

import detkit
from detkit.checkpoint import reader, surgery
from detkit.data.batches import Views
from detkit.data.synthesis import boats
from detkit.errors import CheckpointError, ConfigError
from detkit.garden import build, load, storage, upstream
from detkit.garden.detector import Description
from detkit.garden.nodes import nodes_of
from detkit.networks.network import truth_of
from detkit.pipeline import yaml_format
from detkit.pipeline.settings import TrainConfig
from detkit.training.optimization import Optimization
from detkit.training.selection import choose

TINY = {
    "num_classes": 91,
    "input_size": [128, 128, 3],
    "backbone": {"type": "resnet", "resnet": {"model_id": 10, "depth_multiplier": 0.25}},
    "decoder": {"type": "fpn", "fpn": {"num_filters": 16}},
    "head": {"num_convs": 1, "num_filters": 16},
}
OVERRIDES = {"task": {"model": TINY}}


def write(path, overrides):
    path.write_text(yaml_format.dumps(overrides))
    return path


@pytest.fixture(scope="module")
def overrides(tmp_path_factory):
    return write(tmp_path_factory.mktemp("overrides") / "tiny.yaml", OVERRIDES)


@pytest.fixture(scope="module")
def coco(overrides):
    """Random weights for COCO's 91 columns, and norms that have seen something."""
    detector = load.load("garden:retinanet", config=overrides)
    rng = np.random.default_rng(0)
    for path, variable in detector.variables().items():
        if path.endswith(("moving_mean", "moving_variance", "bias")):
            variable.assign(variable.numpy() + rng.uniform(0.0, 0.1, variable.shape))
        if path in ("head/_classifier/kernel", "head/_box_regressor/kernel"):
            variable.assign(rng.normal(0.0, 1.0, variable.shape))  # for scores above the threshold
    return detector


@pytest.fixture(scope="module")
def known(coco):
    """Its weights."""
    return values(coco)


@pytest.fixture
def changed(coco, known):
    """The same model for a test that gives it other weights."""
    for variable in coco.variables().values():
        variable.assign(np.full(variable.shape, 3.0, np.float32))
    described = coco.description
    yield coco
    coco.description = described
    for path, variable in coco.variables().items():
        variable.assign(known[path])


@pytest.fixture(scope="module")
def duck():
    """A model of the same kind for one class."""
    return load.assemble(Description.of_classes("retinanet", OVERRIDES, ["duck"]))


@pytest.fixture(scope="module")
def trainers(coco, tmp_path_factory):
    """Checkpoints in the layouts that Model Garden writes: {layout: prefix}."""
    folder, model = tmp_path_factory.mktemp("trainers"), coco.model
    items, step = model.checkpoint_items, tf.Variable(7, dtype=tf.int64)
    layouts = {
        "trainer": tf.train.Checkpoint(model=model, global_step=step, **items),
        "items": tf.train.Checkpoint(**items),
        "model": tf.train.Checkpoint(model=model),
    }
    return {name: layout.save(str(folder / name / "ckpt")) for name, layout in layouts.items()}


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(3).integers(0, 256, (90, 120, 3), np.uint8)


def values(detector):
    return {path: variable.numpy() for path, variable in detector.variables().items()}


def test_coco_names_the_columns(coco):
    assert len(coco.classes) == 80
    assert coco.label_ids[-1] == 90
    assert coco.classes[coco.label_ids.index(90)] == "toothbrush"


def test_every_variable_of_the_model_has_a_name_and_a_part(coco):
    assert len(coco.variables()) == len(coco.model.variables)
    assert set(coco.part_of().values()) == {"backbone", "neck", "head/towers", "head/box_head", "head/class_head"}


def test_the_same_seed_gives_the_same_weights(changed):
    weights = []
    for seed in (3, 3, 4):
        load.restore(changed, seed=seed)
        weights.append(values(changed))
    random = [path for path in weights[0] if path.endswith("kernel")]
    assert random and all(np.array_equal(weights[0][path], weights[1][path]) for path in random)
    assert not any(np.array_equal(weights[1][path], weights[2][path]) for path in random)


def test_outputs_and_detections_are_the_models_own(coco, image):
    inputs, shapes = coco.preprocess([image])
    ours = coco.predict(inputs, shapes)
    with upstream.quiet():
        theirs = coco.model(inputs, image_shape=tf.cast(shapes[:, :2], tf.float32), training=False)
    for name, width, key in (("class_logits", 91, "cls_outputs"), ("box_encodings", 4, "box_outputs")):
        flat = tf.concat([tf.reshape(theirs[key][str(level)], [1, -1, width]) for level in range(3, 8)], axis=1)
        np.testing.assert_allclose(ours[name], flat, atol=1e-5)
    # What falls on a column without a class is left out.
    named = np.isin(theirs["detection_classes"][0], coco.label_ids)
    named &= np.arange(len(named)) < int(theirs["num_detections"][0])
    found = coco.detect(image)[0]
    assert 0 < len(found) == named.sum()
    np.testing.assert_allclose(found.scores, theirs["detection_scores"][0][named], atol=1e-5)
    boxes = theirs["detection_boxes"][0][named] / np.tile(shapes[0, :2], 2)
    np.testing.assert_allclose(found.boxes, boxes, atol=1e-4)
    assert len(coco.detect(image, threshold=0.999)[0]) == 0


def test_preprocessing_is_model_gardens_own(coco, image):
    from official.vision.ops import preprocess_ops

    inputs, shapes = coco.preprocess([image])
    theirs, info = preprocess_ops.resize_and_crop_image(
        preprocess_ops.normalize_image(image), [128, 128], [128, 128], keep_aspect_ratio=True
    )
    np.testing.assert_allclose(inputs[0], theirs, atol=1e-4)
    np.testing.assert_allclose(shapes[0, :2], np.array(image.shape[:2]) * info[2], atol=1e-3)


@pytest.mark.parametrize("layout", ["trainer", "items", "model"])
def test_checkpoints_in_every_layout_restore_bit_for_bit(trainers, known, changed, layout):
    load.restore(changed, trainers[layout], seed=6)
    ours = values(changed)
    assert ours.keys() == known.keys()
    assert all(np.array_equal(ours[path], value) for path, value in known.items())


@pytest.mark.parametrize("layout", ["trainer", "items", "model"])
def test_surgery_keeps_everything_but_the_classifier(duck, trainers, known, layout):
    text = load.restore(duck, trainers[layout], classes=load.OTHER)
    assert re.search(r"head/class_head +reset", text)
    ours = values(duck)
    assert ours.keys() == known.keys()
    afresh = {path for path in ours if not np.array_equal(ours[path], known[path])}
    assert afresh == {"head/_classifier/kernel", "head/_classifier/bias"}
    # As in a new model, every class is rare at first.
    np.testing.assert_allclose(ours["head/_classifier/bias"], -np.log(99), atol=1e-5)


def test_classes_that_differ_are_not_restored_by_accident(duck, trainers):
    with pytest.raises(CheckpointError, match="The class count differs"):
        surgery.apply(duck, reader.open_checkpoint(trainers["trainer"]))


def test_a_misspelled_part_raises(coco, trainers):
    with pytest.raises(ConfigError, match="A rule matches no variable"):
        load.restore(coco, trainers["trainer"], reset=("head/clas_head",))


def test_modules_are_named_as_in_model_garden(trainers, known, changed):
    described = changed.description

    def started_from(modules):
        initial = {"init_checkpoint": trainers["trainer"], "init_checkpoint_modules": modules}
        changed.description = replace(described, overrides={"task": OVERRIDES["task"] | initial})
        load.restore(changed, seed=5)
        return values(changed)

    ours = started_from(["backbone"])
    kept = [path for path in ours if path.endswith("kernel") and np.array_equal(ours[path], known[path])]
    assert {path.partition("/")[0] for path in kept} == {"backbone"}
    with pytest.raises(ConfigError, match="The model has no such module") as error:
        started_from(["backbnoe"])
    assert "Did you mean backbone?" in str(error.value)


def test_what_detkit_saves_model_garden_restores(coco, tmp_path):
    storage.save(coco, tmp_path / "saved")
    task, fresh = build.build("retinanet", build.experiment("retinanet", OVERRIDES))
    prefix = str(tmp_path / "saved" / "checkpoint" / "ckpt-0")
    whole = tf.train.Checkpoint(model=fresh, **fresh.checkpoint_items).restore(prefix)
    whole.assert_existing_objects_matched()
    nodes = nodes_of(fresh.checkpoint_items)
    theirs = {f"{path}/{name}": value for path, node in nodes.items() for name, value in node.variables.items()}
    assert theirs.keys() == values(coco).keys()
    assert all(np.array_equal(theirs[path].numpy(), value) for path, value in values(coco).items())
    params = build.read_overrides(tmp_path / "saved" / "params.yaml")
    assert build.experiment("retinanet", params).task.as_dict() == coco.task_config.as_dict()
    # And as its trainer starts from a checkpoint, in both ways.
    for modules in ("all", ["backbone", "decoder"]):
        for variable in fresh.variables:
            variable.assign(tf.ones_like(variable) * 3)
        task.task_config.override({"init_checkpoint": prefix, "init_checkpoint_modules": modules})
        task.initialize(fresh)
        restored = {path for path, value in values(coco).items() if np.array_equal(theirs[path].numpy(), value)}
        assert restored == {path for path in theirs if modules == "all" or path.startswith(tuple(modules))}


def test_a_saved_model_is_the_same_when_it_is_loaded(coco, tmp_path, image):
    storage.save(coco, tmp_path / "saved")
    again = detkit.load(tmp_path / "saved")
    assert coco.untrained and not again.untrained
    assert (again.classes, again.label_ids) == (coco.classes, coco.label_ids)
    one, other = coco.detect(image)[0], again.detect(image)[0]
    np.testing.assert_array_equal(one.boxes, other.boxes)
    np.testing.assert_array_equal(one.scores, other.scores)


@pytest.mark.slow
def test_losses_are_model_gardens_own(coco, image):
    from official.vision.ops import anchor

    boxes = np.array([[0.1, 0.2, 0.5, 0.6], [0.3, 0.3, 0.9, 0.8], [0.0, 0.0, 0.0, 0.0]], np.float32)
    inputs, shapes = coco.preprocess([image, image])
    truth = {
        "boxes": tf.constant([boxes, np.zeros_like(boxes)]),
        "class_ids": tf.constant([[3, 79, 0], [0, 0, 0]]),
        "weights": tf.constant([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]),
        "seed": tf.constant([0, 1]),
    }
    predictions = coco.predict(inputs, shapes)
    ours = coco.loss(predictions, truth)
    labeler = anchor.AnchorLabeler()
    with upstream.quiet():
        outputs = coco.model(inputs, training=True)
    options = coco.task_config.model
    anchors = anchor.Anchor(3, 7, 3, options.anchor.aspect_ratios, options.anchor.anchor_size, (128, 128))
    pixels = (boxes[:2] * np.tile(shapes[0, :2], 2)).astype(np.float32)
    labels = [
        labeler.label_anchors(anchors.multilevel_boxes, pixels, tf.constant([[4], [90]])),
        labeler.label_anchors(anchors.multilevel_boxes, tf.zeros([0, 4]), tf.zeros([0, 1], tf.int32)),
    ]
    kinds = ("cls_targets", "box_targets", None, "cls_weights", "box_weights")
    batched = {kind: tf.nest.map_structure(lambda *x: tf.stack(x), *parts)
               for kind, *parts in zip(kinds, *labels, strict=True) if kind}  # fmt: skip
    _, classification, localization, _ = coco.garden_task.build_losses(outputs, batched)
    np.testing.assert_allclose(ours["classification"], classification, rtol=1e-4)
    np.testing.assert_allclose(ours["localization"], 50 * localization, rtol=1e-4)


def test_a_step_lowers_the_loss(duck, trainers, tmp_path):
    load.restore(duck, trainers["trainer"], classes=load.OTHER)
    photos, _ = boats.few_shot_set(tmp_path, train=2, test=1, size=(96, 128))
    views = Views(photos.rename_classes({"toy_boat": "duck"}), duck.resized, wants=duck.wants)
    settings = TrainConfig(optimizer="momentum", momentum=0.0, clip_norm=1.0, ema=None)
    optimization = Optimization(duck, choose(duck, "heads"), settings)
    optimization.set_learning_rate(0.01)
    state = duck.training_state(*duck.batch([views.view(0), views.view(1)]))
    record = duck.record(duck.run(state, 0, optimization.seam), optimization.seam)
    losses = [float(optimization.step(record)["loss"]) for _ in range(3)]
    assert losses[0] > losses[1] > losses[2]


def test_a_record_at_any_seam_has_the_loss_of_the_whole(coco, image):
    truth = {
        "boxes": tf.constant([[[0.1, 0.2, 0.5, 0.6]]]),
        "class_ids": tf.constant([[2]]),
        "weights": tf.constant([[1.0]]),
        "seed": tf.constant([0]),
    }
    state = coco.training_state(*coco.preprocess([image]), truth)
    whole = coco.losses(coco.run(state))
    for seam in range(len(coco.stages)):
        record = coco.record(coco.run(state, 0, seam), seam)
        assert ("class_targets" in truth_of(record)) == (seam > 0)
        part = coco.record_loss(record, seam)
        assert {name: float(value) for name, value in part.items()} == {n: float(v) for n, v in whole.items()}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"task": {"model": {"num_clases": 3}}}, "Did you mean num_classes?"),
        ({"task": {"model": {"head": {"attribute_heads": [{"name": "age"}]}}}}, "can't honour this option"),
        ({"task": {"model": {"num_classes": 3}}}, "retinanet needs task.model.input_size"),
        ({"task": {"model": {"num_classes": 1, "input_size": [64, 64, 3]}}}, "no column for a class"),
        ({"task": {"model": {"num_classes": 3, "input_size": [64, 64, 1]}}}, "no size of colour images"),
        ({"task": {"model": {"num_classes": 3, "input_size": [64, 64]}}}, "no size of colour images"),
    ],
)
def test_overrides_that_can_not_be_are_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        build.experiment("retinanet", overrides)


def test_the_defaults_suit_one_machine():
    config = build.experiment("retinanet_mobile_coco", {})
    assert config.task.model.norm_activation.use_sync_bn is False
    assert config.task.model.backbone.spinenet_mobile.stochastic_depth_drop_rate == 0.0
    assert config.task.model.detection_generator.nms_version == "batched"
    chosen = build.experiment(
        "retinanet_mobile_coco", {"task": {"model": {"detection_generator": {"nms_version": "v2"}}}}
    )
    assert chosen.task.model.detection_generator.nms_version == "v2"
