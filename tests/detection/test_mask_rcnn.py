"""Mask R-CNN: targets, loss and detections of the third stage, at sizes that run in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from golden_case import Case, unmatched
from PIL import Image

from detkit import data as datasets
from detkit.checkpoint import reader
from detkit.detection import borrow, mask_rcnn
from detkit.detection.build import build
from detkit.detection.heads import mask
from detkit.detection.load import load, save, transplant
from detkit.errors import CheckpointError, ConfigError
from detkit.pipeline import od_config, pipeline
from detkit.training.finetune import finetune
from detkit.zoo.source import locate

NUCLEI = Path(__file__).resolve().parents[2] / "pipelines" / "nuclei_mask_rcnn.config"
PATH = "model.faster_rcnn"
BOXES = np.array([[[0.1, 0.1, 0.6, 0.5], [0.4, 0.5, 0.9, 1.0]], [[0.3, 0.2, 0.8, 0.9], [0, 0, 0, 0]]], np.float32)


def small(**changes):
    """The config of a Mask R-CNN with an input of 64 x 64 pixels."""
    values = {
        "image_resizer.fixed_shape_resizer.height": 64,
        "image_resizer.fixed_shape_resizer.width": 64,
        "num_classes": 3,
        "first_stage_max_proposals": 150,
        "second_stage_batch_size": 48,
    } | changes
    return od_config.with_changes(od_config.read(NUCLEI), {f"{PATH}.{name}": value for name, value in values.items()})


def built(**changes):
    detector = build(small(**changes))
    detector.initialize(detector.variables())
    return detector


@pytest.fixture(scope="module")
def detector():
    """Tests must leave it as it is."""
    return built()


@pytest.fixture(scope="module")
def batch(detector):
    """(inputs, true shapes, ground truth) of two pictures with discs."""
    rng = np.random.default_rng(0)
    inputs, shapes = detector.preprocess(list(rng.integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)))
    y, x = np.mgrid[-1:1:40j, -1:1:40j]
    discs = np.tile(np.where(y**2 + x**2 < 1, 255, 0).astype(np.uint8), (2, 2, 1, 1))
    truth = {"boxes": BOXES, "class_ids": [[0, 2], [1, 0]], "weights": [[1.0, 1.0], [1.0, 0.0]], "masks": discs}
    return inputs, shapes, {name: tf.constant(value) for name, value in truth.items()} | {"seed": tf.constant([3, 4])}


def losses(detector, batch, **changed) -> dict:
    inputs, shapes, truth = batch
    found = detector.losses(detector.run(detector.training_state(inputs, shapes, truth | changed)))
    return {name: float(value) for name, value in found.items()}


# Targets


def half() -> np.ndarray:
    """The left half of a box."""
    return np.repeat([[255] * 4 + [0] * 4], 8, axis=0).astype(np.uint8)[None]


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ([0.2, 0.2, 0.6, 0.6], [0.5, 1, 0.5, 0, 0]),  # the object's own box: its mask, fading at the border
        ([0.2, 0.2, 0.6, 0.4], [0.5, 1, 1, 1, 0.5]),  # the covered half
        ([0.2, 0.0, 0.6, 0.8], [0, 0.5, 0.5, 0, 0]),  # twice as wide
        ([0.2, 0.7, 0.6, 0.9], [0, 0, 0, 0, 0]),  # beside it
    ],
)
def test_targets_show_the_mask_through_the_proposal(window, expected):
    box = tf.constant([[0.2, 0.2, 0.6, 0.6]])
    found = mask.targets(half(), box, tf.constant([window]), (5, 5)).numpy()
    assert found.shape == (1, 5, 5)
    np.testing.assert_allclose(found[0, 2], expected, atol=1e-5)


def test_targets_are_exact_where_a_mask_is_linear():
    ramp = np.repeat(np.arange(0, 250, 25, np.uint8)[None], 10, axis=0)[None]
    box, window = tf.constant([[10.0, 10.0, 30.0, 30.0]]), tf.constant([[12.0, 12.0, 28.0, 28.0]])
    found = mask.targets(ramp, box, window, (3, 5)).numpy()
    # Cell k of ten lies at 10 + 2 (k + 1/2): the samples at 12, 16, 20, 24 and 28 are half a cell off.
    np.testing.assert_allclose(found[0, 1] * 255, [12.5, 62.5, 112.5, 162.5, 212.5], atol=1e-3)


@pytest.mark.parametrize(("channels", "classes", "depth"), [(1536, 90, 256), (1536, 1, 16), (2048, 20, 128)])
def test_automatic_depth_lies_between_features_and_classes(channels, classes, depth):
    assert mask.automatic_depth(channels, classes) == depth


# The model


def test_names_and_shapes_of_the_mask_head(detector):
    shapes = {path: tuple(v.shape) for path, v in detector.variables().items() if path.startswith(mask.PREFIX)}
    assert shapes == {
        f"{mask.PREFIX}/0/kernel": (3, 3, 576, 32), f"{mask.PREFIX}/0/bias": (32,),
        f"{mask.PREFIX}/3/kernel": (3, 3, 32, 32), f"{mask.PREFIX}/3/bias": (32,),
        f"{mask.PREFIX}/6/kernel": (3, 3, 32, 3), f"{mask.PREFIX}/6/bias": (3,),
    }  # fmt: skip
    assert {part for path, part in detector.part_of().items() if path in shapes} == {"head/mask_head"}
    final = {path for path in detector.class_columns() if path.startswith(mask.PREFIX)}
    assert final == {f"{mask.PREFIX}/6/kernel", f"{mask.PREFIX}/6/bias"}
    assert detector.wants == ("masks",)
    assert detector.towers[-1].filters == detector.extractor.channels


def test_one_mask_for_all_classes_if_asked_for():
    predictor = f"{mask_rcnn.HEAD}.masks_are_class_agnostic"
    agnostic = built(**{predictor: True})
    assert agnostic.variables()[f"{mask.PREFIX}/6/kernel"].shape == (3, 3, 32, 1)
    assert not any(path.startswith(mask.PREFIX) for path in agnostic.class_columns())
    features = tf.constant(np.random.default_rng(0).standard_normal((2, 7, 7, 576)).astype(np.float32))
    one, other = (agnostic.mask_head.of_class(features, tf.constant([n, n])).numpy() for n in (0, 2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("predict_instance_masks", False),
        ("convolve_then_upsample_masks", True),
        ("predict_keypoints", True),
        ("conv_hyperparams", None),
    ],
)
def test_what_cannot_be_built_is_refused_by_name(setting, value):
    with pytest.raises(ConfigError) as error:
        build(small(**{f"{mask_rcnn.HEAD}.{setting}": value}))
    assert error.value.where == f"{PATH}.{mask_rcnn.HEAD}.{setting}"


# Training


def test_masks_take_part_in_the_loss(detector, batch):
    assert losses(detector, batch)["mask_loss"] > 0


def test_loss_of_a_prediction_is_that_of_training(detector, batch):
    inputs, shapes, truth = batch
    found = detector.loss(detector.predict(inputs, shapes), truth)
    assert {name: float(value) for name, value in found.items()} == pytest.approx(losses(detector, batch), rel=1e-5)


@pytest.mark.parametrize("name", ["neck", "head/final", "head/mask_head"])
def test_loss_from_a_seam_is_that_of_the_whole_network(detector, batch, name):
    seam = next(i for i, stage in enumerate(detector.stages) if stage.name == name)
    record = detector.record(detector.run(detector.training_state(*batch), 0, seam), seam)
    swapped = {name: tf.gather(value, [1, 0]) for name, value in record.items()}
    found = {name: float(value) for name, value in detector.record_loss(swapped, seam).items()}
    assert found == pytest.approx(losses(detector, batch), rel=1e-5)


def test_objects_without_a_mask_do_not_count(detector, batch):
    whole, masks = losses(detector, batch), batch[2]["masks"].numpy()
    without = losses(detector, batch, masks=tf.constant(masks * np.uint8([[[[1]], [[0]]], [[[0]], [[1]]]])))
    nothing = losses(detector, batch, masks=tf.zeros_like(masks))
    assert nothing["mask_loss"] == 0 < without["mask_loss"] != whole["mask_loss"]
    assert {**whole, "mask_loss": 0} == {**without, "mask_loss": 0} == {**nothing, "mask_loss": 0}


def test_only_the_masks_of_the_matched_classes_learn(detector, batch):
    inputs, shapes, truth = batch
    truth = truth | {"class_ids": tf.constant([[2, 2], [2, 2]])}
    final = detector.mask_head.final
    with tf.GradientTape() as tape:
        loss = detector.losses(detector.run(detector.training_state(inputs, shapes, truth)))["mask_loss"]
    gradient = tape.gradient(loss, final.bias.value).numpy()
    assert gradient[:2].tolist() == [0, 0] and gradient[2] != 0


def test_training_without_any_proposal_on_an_object_is_finite(detector, batch):
    tiny, last = tf.constant([[[0.0, 0.0, 0.01, 0.01]] * 2] * 2), len(detector.stages) - 1
    state = detector.run(detector.training_state(*batch[:2], batch[2] | {"boxes": tiny}), 0, last)

    @tf.function(autograph=False)
    def step(record):
        with tf.GradientTape() as tape:
            loss = detector.record_loss(record, last)["mask_loss"]
        return loss, tape.gradient(loss, detector.mask_head.final.kernel.value)

    loss, gradient = step(state)
    assert float(loss) == 0 and not gradient.numpy().any()


# Detection


def test_every_detection_has_a_mask(detector):
    picture = np.random.default_rng(1).integers(0, 256, (50, 90, 3)).astype(np.uint8)
    found = detector.detect(picture)[0]
    assert len(found) > 0 and found.masks.shape == (len(found), 20, 20)
    assert 0 <= found.masks.min() < found.masks.max() <= 1
    assert detector.detect(picture, threshold=1.0)[0].masks.shape == (0, 20, 20)


def test_masks_are_drawn_from_the_boxes_and_classes_that_were_found(detector, batch):
    predictions = detector.predict(*batch[:2])
    found = detector.postprocess(predictions)
    for image in (0, 1):
        some = slice(1, 6)
        boxes, class_ids = tf.constant(found[image].boxes[some]), tf.constant(found[image].class_ids[some], tf.int32)
        masks = detector.draw(predictions["map"][image : image + 1], boxes, class_ids).numpy()
        np.testing.assert_allclose(masks, found[image].masks[some], atol=1e-5)


def test_boxes_in_a_padded_input_are_cut_from_where_they_are():
    resizer = "keep_aspect_ratio_resizer { min_dimension: 64 max_dimension: 64 pad_to_max_dimension: true }"
    detector = built(image_resizer=od_config.parse(f"model {{ ssd {{ image_resizer {{ {resizer} }} }} }}")
                     .raw.message("model").message("ssd").message("image_resizer"))  # fmt: skip
    picture = np.random.default_rng(1).integers(0, 256, (64, 32, 3)).astype(np.uint8)
    inputs, shapes = detector.preprocess([picture])
    predictions = detector.predict(inputs, shapes)
    found = detector.postprocess(predictions)[0]
    assert shapes.numpy().tolist() == [[64, 32, 3]]
    in_padding = tf.constant(found.boxes * [1, 0.5, 1, 0.5], tf.float32)
    masks = detector.draw(predictions["map"], in_padding, tf.constant(found.class_ids, tf.int32)).numpy()
    np.testing.assert_allclose(found.masks, masks, atol=1e-5)


# Other classes, other backbones


def test_new_classes_start_from_the_mean_mask_at_the_old_depth(tmp_path):
    automatic = {f"{mask_rcnn.HEAD}.mask_prediction_conv_depth": 0}
    original = built(**automatic)
    save(original, tmp_path / "model")
    changed, report = transplant(locate(tmp_path / "model"), ("only",))
    assert report.explained
    before, after = original.variables(), changed.variables()
    hidden, final = f"{mask.PREFIX}/0/kernel", f"{mask.PREFIX}/6/kernel"
    assert mask.automatic_depth(576, 3) != mask.automatic_depth(576, 1)
    np.testing.assert_array_equal(after[hidden].numpy(), before[hidden].numpy())
    np.testing.assert_allclose(after[final].numpy()[..., 0], before[final].numpy().mean(-1), rtol=1e-5, atol=1e-7)
    save(changed, tmp_path / "changed")
    np.testing.assert_array_equal(load(tmp_path / "changed").variables()[final].numpy(), after[final].numpy())


def test_backbone_of_another_model_is_taken_layer_by_layer(hands):
    source = locate("hands")
    borrower, report = transplant(locate(NUCLEI), ("nucleus",), backbone=source, seed=1)
    theirs, ours = hands.variables(), borrower.variables()
    first = "_feature_extractor_for_proposal_features/layer_with_weights-0/kernel"
    crop = "_feature_extractor_for_box_classifier_features/layer_with_weights-35/moving_variance"
    prefix = "_feature_extractor/classification_backbone/layer_with_weights"
    np.testing.assert_array_equal(ours[first].numpy(), theirs[f"{prefix}-0/kernel"].numpy())
    assert report.restored[crop].endswith(
        "_feature_extractor/classification_backbone/layer_with_weights-71/moving_variance"
    )
    np.testing.assert_array_equal(ours[crop].numpy(), theirs[f"{prefix}-71/moving_variance"].numpy())
    parts = borrower.part_of()
    assert {parts[path] for path in report.restored} == {"backbone", "head/towers"}
    assert {parts[path] for path in report.reset} == {"neck", "head/box_head", "head/class_head", "head/mask_head"}
    assert ours[f"{mask.PREFIX}/0/kernel"].numpy().std() > 0


def test_backbone_of_another_architecture_is_refused(tmp_path, detector):
    resnet = small(
        **{
            "feature_extractor.type": "faster_rcnn_resnet50_keras",
            "feature_extractor.first_stage_features_stride": 16,
            "first_stage_anchor_generator.grid_anchor_generator.height_stride": 16,
            "first_stage_anchor_generator.grid_anchor_generator.width_stride": 16,
        }
    )
    with pytest.raises(CheckpointError, match="shape mismatch"):
        borrow.restore_backbone(build(resnet), reader.open_checkpoint(locate("hands").checkpoint))
    tf.train.Checkpoint(model=tf.Variable(1.0)).write(str(tmp_path / "ckpt-0"))
    with pytest.raises(CheckpointError, match="no backbone"):
        borrow.restore_backbone(detector, reader.open_checkpoint(tmp_path))


# The pipeline that comes with detkit


def discs(folder) -> Path:
    """A COCO file of four pictures of bright discs, each with its outline."""
    rng, turn = np.random.default_rng(0), np.linspace(0, 2 * np.pi, 24, endpoint=False)
    y, x = np.mgrid[:128, :128]
    images, annotations = [], []
    for number in range(4):
        picture = rng.normal(60, 10, (128, 128))
        for corner in ((0, 0), (0, 64), (64, 0), (64, 64)):
            radius = rng.uniform(10, 20)
            cy, cx = corner + rng.uniform(radius + 2, 62 - radius, 2)
            picture[(y + 0.5 - cy) ** 2 + (x + 0.5 - cx) ** 2 < radius**2] += 120
            outline = np.stack([cx + radius * np.cos(turn), cy + radius * np.sin(turn)], 1).ravel().tolist()
            box = [cx - radius, cy - radius, 2 * radius, 2 * radius]
            shape = {"bbox": box, "area": np.pi * radius**2, "segmentation": [outline], "iscrowd": 0}
            annotations.append(shape | {"id": len(annotations) + 1, "image_id": number, "category_id": 1})
        pixels = np.repeat(np.clip(picture, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "height": 128, "width": 128})
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "disc"}]}
    (folder / "discs.json").write_text(json.dumps(document))
    return folder / "discs.json"


def test_the_pipeline_names_its_config_and_a_backbone():
    plan = pipeline.load(NUCLEI.with_suffix(".yaml"))
    assert Path(plan.model.name).samefile(NUCLEI) and plan.model.backbone == "hands"


@pytest.mark.slow
def test_the_pipeline_learns_to_draw_discs(tmp_path):
    sides = {f"{PATH}.image_resizer.fixed_shape_resizer.{name}": 128 for name in ("height", "width")}
    od_config.write(od_config.with_changes(od_config.read(NUCLEI), sides), tmp_path / "pipeline.config")
    changes = {"model.name": tmp_path, "output": tmp_path / "run", "train.steps": 60, "train.augment": "none"}
    plan = pipeline.load(NUCLEI.with_suffix(".yaml"), [f"{key}={value}" for key, value in changes.items()])
    data = datasets.read(discs(tmp_path))
    run = finetune(plan, data, test=data, show_progress=False)
    assert run.history[-1]["mask_loss"] < 0.5 * max(row["mask_loss"] for row in run.history)
    assert run.metrics["mask_AP50"] > 0.7


# Against the OD API


@pytest.mark.slow
def test_detections_and_masks_are_those_of_the_od_api(shared):
    case = Case(shared / "golden", "mask_rcnn_inception_resnet_v2")
    detector = case.detector
    inputs, shapes = detector.preprocess([case.image("b")])
    predictions = detector.predict(inputs, shapes)
    for name, key in (
        ("rpn_box_encodings", "b/rpn_box_encodings"),
        ("rpn_objectness", "b/rpn_objectness_predictions_with_background"),
    ):
        assert np.abs(predictions[name].numpy() - case[key]).max() <= 1e-3 * case[key].std(), name
    # Near-equal objectness lets proposals swap places.
    far = np.abs(predictions["proposals"].numpy()[0] - case["b/proposal_boxes_normalized"][0][:, None]).max(axis=2)
    order = far.argmin(axis=1)
    assert len(set(order.tolist())) == 300 and far.min(axis=1).max() < 1e-5
    for name, key in (
        ("box_encodings", "b/refined_box_encodings"),
        ("class_logits", "b/class_predictions_with_background"),
    ):
        assert np.abs(predictions[name].numpy()[0][order] - case[key]).max() <= 1e-3 * case[key].std(), name
    found = detector.postprocess(predictions)[0]
    reference = [case[f"b/detection_{name}"][0] for name in ("boxes", "scores", "classes")]
    assert unmatched(found[:3], *reference) == []
    assert np.abs(found.masks[:10] - case["b/detection_masks_first10"][0]).max() < 1e-4
    flat = found.masks.ravel()[:: int(case["b/detection_masks/flat_every"])]
    assert np.abs(flat - case["b/detection_masks/flat"]).max() < 1e-4
