"""Faster R-CNN at inference, against what the OD API computed from the same weights and pictures."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from golden_case import Case, unmatched
from model_configs import config
from reference_weights import assign, image

from detkit import boxes as box_math
from detkit.detection import box_coder
from detkit.detection.build import build
from detkit.errors import ConfigError

NAME = "faster_rcnn_resnet50_v1_640x640"
THEIRS = {
    "rpn_box_encodings": "rpn_box_encodings",
    "rpn_objectness": "rpn_objectness_predictions_with_background",
    "box_encodings": "refined_box_encodings",
    "class_logits": "class_predictions_with_background",
}


@pytest.fixture(scope="module")
def case(shared):
    return Case(shared / "golden", NAME)


@pytest.fixture(scope="module")
def predicted(case):
    """{tag: raw outputs} for both sizes of picture."""
    return {tag: case.detector.predict(*case.detector.preprocess([case.image(tag)])) for tag in "ab"}


def order(case, predicted, tag) -> np.ndarray:
    """Our row of each reference proposal; proposals with near-equal objectness may swap places."""
    ours, theirs = predicted[tag]["proposals"][0].numpy(), case[f"{tag}/proposal_boxes_normalized"][0]
    overlaps = box_math.iou(theirs, ours)
    rows = overlaps.argmax(axis=1)
    assert overlaps.max(axis=1).min() > 0.999
    assert len(set(rows.tolist())) == len(theirs)
    return rows


@pytest.mark.parametrize("tag", ["a", "b", "c"])
def test_preprocessing(case, tag):
    inputs, true_shapes = (x.numpy() for x in case.detector.preprocess([case.image(tag)]))
    assert true_shapes.tolist() == case[f"{tag}/true_shapes"].tolist()
    assert list(inputs.shape) == case[f"{tag}/preprocessed_shape"].tolist()
    assert np.abs(inputs[:, ::17, ::17] - case[f"{tag}/preprocessed_every17"]).max() < 1e-3
    height = true_shapes[0, 0]
    assert (inputs[0, height:] == -np.float32([123.68, 116.779, 103.939])).all()


def test_anchors(case):
    anchors = case.detector.anchors((640, 640))
    assert anchors.shape == case["anchors"].shape
    assert np.abs(anchors - case["anchors"]).max() < 1e-4


@pytest.mark.parametrize("tag", ["a", "b"])
def test_first_stage(case, predicted, tag):
    for name in ("rpn_box_encodings", "rpn_objectness"):
        reference = case[f"{tag}/{THEIRS[name]}"]
        assert np.abs(predicted[tag][name].numpy() - reference).max() <= 1e-3 * reference.std()
    assert predicted[tag]["num_proposals"].numpy().tolist() == case[f"{tag}/num_proposals"].tolist()


@pytest.mark.parametrize("tag", ["a", "b"])
def test_second_stage(case, predicted, tag):
    rows = order(case, predicted, tag)
    for name in ("box_encodings", "class_logits"):
        reference = case[f"{tag}/{THEIRS[name]}"]
        assert np.abs(predicted[tag][name][0].numpy()[rows] - reference).max() <= 1e-3 * reference.std()


def test_features_of_both_stages(case, predicted):
    detector = case.detector
    inputs, true_shapes = detector.preprocess([case.image("b")])
    neck = [stage.name for stage in detector.stages].index("neck")
    state = detector.run({"x": inputs}, 0, neck)
    compare(case, "b/rpn_features_to_crop", state["x"].numpy())
    # The reference's own proposals, so that the regions have its order.
    proposals = {"proposals": tf.constant(case["b/proposal_boxes_normalized"])}
    found = detector.run(state | proposals, neck + 1, len(detector.stages) - 1)["x"]
    compare(case, "b/box_classifier_features", found[0].numpy())


def compare(case, key, found):
    reference = case[f"{key}/flat"]
    assert list(found.shape) == case[f"{key}/shape"].tolist()
    assert np.abs(found.ravel()[:: int(case[f"{key}/flat_every"])] - reference).max() <= 1e-3 * reference.std()


@pytest.mark.parametrize("tag", ["a", "b"])
def test_detections(case, predicted, tag):
    check_detections(case, tag, case.detector.postprocess(predicted[tag])[0])


def check_detections(case, tag, found):
    count = int(case[f"{tag}/num_detections"][0])
    reference = [case[f"{tag}/detection_{name}"][0, :count] for name in ("boxes", "scores", "classes")]
    assert len(found.boxes) == count
    assert unmatched(found, *reference) == []
    assert (np.diff(found.scores) <= 0).all()


def normal(seed, *shape):
    draw = np.random.Generator(np.random.PCG64(seed)).standard_normal(shape)
    return draw.astype(np.float32)


def test_postprocessing_of_synthetic_outputs(case):
    raw = {
        "box_encodings": tf.constant(normal(11, 300, 1, 4)[None]),
        "class_logits": tf.constant(normal(12, 300, 91)[None] * np.float32(2)),
        "proposals": tf.constant(case["b/proposal_boxes_normalized"]),
        "num_proposals": tf.constant(case["post/num_proposals"]),
        "true_shapes": tf.constant(case["post/true_shapes"]),
    }
    check_detections(case, "post", case.detector.postprocess(raw)[0])


# Without the reference data


def small(name=NAME, side=64, **changes):
    detector = build(config(name, side, **changes))
    assign(detector, (0.5, 0.2, 1.0))
    return detector


def test_every_class_has_a_box_of_its_own():
    detector = small("faster_rcnn_resnet50_v1_800x1333", num_classes=3)
    corners = np.sort(np.random.default_rng(3).random((1, 12, 2, 2)), axis=2).reshape(1, 12, 4).astype(np.float32)
    raw = {"box_encodings": normal(1, 1, 12, 3, 4), "class_logits": normal(2, 1, 12, 4), "proposals": corners}
    raw |= {"num_proposals": np.array([9]), "true_shapes": np.array([[40, 106, 3]])}
    raw = {name: tf.constant(value) for name, value in raw.items()}
    found = detector.postprocess(raw)[0]
    scores = tf.nn.softmax(raw["class_logits"])[0, :, 1:].numpy()
    boxes = box_coder.decode(raw["box_encodings"], raw["proposals"][:, :, None], (10.0, 10.0, 5.0, 5.0))[0].numpy()
    size = np.float32(detector.input_size * 2)
    inside = np.clip(boxes * size, 0, [40, 106, 40, 106]) / [40, 106, 40, 106]
    for box, score, class_id in zip(*found[:3], strict=True):
        row = np.abs(scores[:, class_id] - score).argmin()
        assert row < 9  # the rest are no proposals
        assert np.abs(box - inside[row, class_id]).max() < 1e-5
    assert set(found.class_ids.tolist()) == {0, 1, 2}


def test_without_padding_the_input_follows_the_images():
    changes = {"image_resizer.keep_aspect_ratio_resizer.pad_to_max_dimension": False}
    detector = small("faster_rcnn_resnet50_v1_800x1333", **changes)
    assert detector.input_size is None
    for size, resized in (((60, 75), (64, 80)), ((90, 40), (106, 47))):
        inputs, true_shapes = detector.preprocess([image(1, *size)])
        assert tuple(inputs.shape[1:3]) == resized
        found = detector.postprocess(detector.predict(inputs, true_shapes))[0]
        assert len(found.boxes) > 0 and (found.boxes >= 0).all() and (found.boxes <= 1).all()
        assert found.boxes[:, 2:].max() > 0.9


def test_a_higher_threshold_leaves_out_the_rest():
    detector = small()
    raw = detector.predict(*detector.preprocess([image(1, 60, 75)]))
    everything = detector.postprocess(raw)[0]
    middle = float(everything.scores[len(everything.scores) // 2])
    some = detector.postprocess(raw, threshold=middle)[0]
    assert np.array_equal(some.scores, everything.scores[everything.scores >= middle])


def test_the_number_of_classes_changes_the_final_layers_only():
    few, many = (
        {path: tuple(variable.shape) for path, variable in build(config(NAME, 64, num_classes=n)).variables().items()}
        for n in (2, 5)
    )
    head = "_mask_rcnn_box_predictor/_class_prediction_head/_class_predictor_layers/1"
    assert {path: shape for path, shape in many.items() if few[path] != shape} == {
        f"{head}/kernel": (2048, 6),
        f"{head}/bias": (6,),
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("number_of_stages", 1),
        ("first_stage_atrous_rate", 2),
        ("feature_extractor.first_stage_features_stride", 8),
        ("second_stage_box_predictor.mask_rcnn_box_predictor.box_code_size", 8),
        ("second_stage_post_processing.batch_non_max_suppression.soft_nms_sigma", 0.5),
        ("second_stage_post_processing.batch_non_max_suppression.use_class_agnostic_nms", True),
        ("hard_example_miner.num_hard_examples", 8),
        ("initial_crop_size", 1),
    ],
)
def test_what_detkit_cannot_honour_is_refused(field, value):
    with pytest.raises(ConfigError) as error:
        build(config(NAME, 64, **{field: value}))
    assert f"model.faster_rcnn.{field.removesuffix('.num_hard_examples')}"[:40] in str(error.value)
    assert "Use a config of the TF2 Detection Model Zoo." in str(error.value)
