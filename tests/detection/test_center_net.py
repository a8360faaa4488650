"""CenterNet: its stacks, its settings, and how its outputs are read."""

from __future__ import annotations

import numpy as np
import pytest
import reference_weights
import tensorflow as tf
from model_configs import config
from model_kit import small_config

from detkit.detection import center_extractors
from detkit.detection.backbones.hourglass import Shape
from detkit.detection.build import build
from detkit.errors import ConfigError

MOBILENET = "centernet_mobilenetv2fpn_512x512_od"
RESNET = "centernet_resnet50_v1_fpn_512x512"


# Two stacks


@pytest.fixture(scope="module")
def small_hourglass():
    """An Hourglass of two stacks and two levels."""
    with pytest.MonkeyPatch.context() as patch:
        # With fewer channels TensorFlow's gradient of a strided convolution writes beyond its memory.
        patch.setitem(center_extractors.HOURGLASSES, "hourglass_104", Shape(16, (16, 16, 32), (2, 2, 2), 2))
        return build(config("centernet_hg104_512x512_kpts", 64, num_classes=3), ("dog", "person", "cat"))


@pytest.fixture
def stacked(small_hourglass):
    """That network with fresh weights."""
    small_hourglass.initialize(small_hourglass.variables(), seed=1)
    return small_hourglass


def groundtruth(detector, count: int = 2) -> dict:
    truth = {
        "boxes": np.array([[[0.1, 0.1, 0.6, 0.5], [0.3, 0.4, 0.9, 0.9]]], np.float32)[:, :count],
        "class_ids": np.array([[1, 0]], np.int32)[:, :count],
        "weights": np.ones((1, 2), np.float32)[:, :count],
    }
    if detector.wants:
        truth["keypoints"] = np.full((1, count, 17, 2), 0.4, np.float32)
        truth["keypoint_weights"] = np.ones((1, count, 17), np.float32)
    return {name: tf.constant(value) for name, value in truth.items()}


def picture(height: int = 64, width: int = 64) -> np.ndarray:
    return reference_weights.image(5, height, width)


def test_only_the_loss_needs_the_outputs_of_other_stacks(stacked):
    inputs, true_shapes = stacked.preprocess([picture()])
    raw = stacked.predict(inputs, true_shapes)
    assert {name for name in raw if name.endswith("/0")} == {"map/0"}
    assert {name.rsplit("/", 1)[0] for name in raw if name.endswith("/1")} == set(stacked.head.names)
    truth = groundtruth(stacked)
    after = stacked.loss(raw, truth)
    within = stacked.losses(stacked.run(stacked.training_state(inputs, true_shapes, truth)))
    assert {k: float(v) for k, v in after.items()} == pytest.approx({k: float(v) for k, v in within.items()})


def test_the_loss_from_a_seam_is_that_of_the_whole_network(stacked):
    inputs, true_shapes = stacked.preprocess([picture(), picture(40, 64)])
    truth = {name: tf.concat([value, value], 0) for name, value in groundtruth(stacked).items()}
    state = stacked.training_state(inputs, true_shapes, truth)
    whole = {name: float(value) for name, value in stacked.losses(stacked.run(state)).items()}
    seams, done = (3, 9, 12, 13, 14), 0
    assert [stacked.stages[seam].name for seam in seams][2:] == ["neck", "head/towers", "head/final"]
    for number in seams:
        state, done = stacked.run(state, done, number), number
        record = stacked.record(state, number)
        assert all(value.shape[0] == 2 for value in record.values())
        found = {name: float(value) for name, value in stacked.record_loss(record, number).items()}
        assert found == pytest.approx(whole, rel=1e-5), stacked.stages[number].name


def test_descent_lowers_the_loss_of_both_stacks(stacked):
    inputs, true_shapes = stacked.preprocess([picture()])
    truth, variables = groundtruth(stacked), [v.value for v in stacked.variables().values() if v.trainable]
    losses = []
    for _ in range(4):
        with tf.GradientTape() as tape:
            parts = stacked.loss(stacked.predict(inputs, true_shapes), truth)
            total = tf.add_n(list(parts.values()))
        losses.append(float(total))
        gradients = tape.gradient(total, variables)
        assert all(gradient is not None for gradient in gradients)
        norm = tf.linalg.global_norm(gradients)
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.assign_sub(0.1 * gradient / norm)
    assert losses[-1] < 0.95 * losses[0]


# Small matters


@pytest.fixture(scope="module")
def mobilenet():
    detector = build(config(MOBILENET, 64, num_classes=3))
    detector.initialize(detector.variables())
    return detector


def test_class_scores_start_at_the_prior(mobilenet):
    found = mobilenet.predict(*mobilenet.preprocess([picture()]))["object_center/0"].numpy()
    assert np.median(found) == pytest.approx(-2.19, abs=0.3)


@pytest.mark.parametrize("count", [0, 2])
def test_pictures_without_objects_have_a_loss_of_their_centres_only(mobilenet, count):
    truth = groundtruth(mobilenet, count)
    truth["boxes"], truth["weights"] = truth["boxes"] * 0, truth["weights"] * 0
    losses = mobilenet.loss(mobilenet.predict(*mobilenet.preprocess([picture()])), truth)
    assert float(losses["center_loss"]) > 0
    assert float(losses["scale_loss"]) == float(losses["offset_loss"]) == 0


def test_padding_has_no_centre_loss(mobilenet):
    raw = mobilenet.predict(*mobilenet.preprocess([picture(32, 64)]))
    elsewhere = np.ones((1, 16, 16, 1), np.float32)
    elsewhere[:, :8] = 0
    changed = raw | {"object_center/0": raw["object_center/0"] + 9 * elsewhere}
    truth = groundtruth(mobilenet)
    assert float(mobilenet.loss(changed, truth)["center_loss"]) == float(mobilenet.loss(raw, truth)["center_loss"])


def synthetic(size: int = 16, classes: int = 3) -> dict:
    """Outputs without a peak above 0.5 per cent; every box has one cell."""
    return {
        "object_center/0": np.full((1, size, size, classes), -5.3, np.float32),
        "box/scale/0": np.ones((1, size, size, 2), np.float32),
        "box/offset/0": np.full((1, size, size, 2), 0.5, np.float32),
        "true_shapes": np.array([[64, 64, 3]], np.int32),
    }


def found_in(detector, raw: dict, threshold: float = 0.1):
    raw = {name: value if name == "true_shapes" else tf.constant(value) for name, value in raw.items()}
    return detector.postprocess(raw, threshold=threshold)[0]


def test_peaks_become_boxes_in_the_order_of_their_scores(mobilenet):
    raw = synthetic()
    raw["object_center/0"][0, 4, 6, 2], raw["object_center/0"][0, 10, 3, 1] = 2.0, 3.0
    raw["object_center/0"][0, 10, 4, 1] = 2.9  # beside a higher one of its class: no peak
    raw["object_center/0"][0, 10, 4, 0] = 1.0  # of another class
    raw["box/scale/0"][0, 4, 6] = 4, 2
    found = found_in(mobilenet, raw)
    assert found.class_ids.tolist() == [1, 2, 0]
    assert found.scores == pytest.approx(1 / (1 + np.exp(-np.array([3.0, 2.0, 1.0]))))
    expected = np.array([[10, 3, 11, 4], [2.5, 5.5, 6.5, 7.5], [10, 4, 11, 5]]) / 16
    assert found.boxes == pytest.approx(expected)
    assert len(found_in(mobilenet, raw, threshold=0.8).boxes) == 2
    assert found.keypoints is None


def test_boxes_overlap_as_they_like_and_end_at_the_border(mobilenet):
    raw = synthetic()
    raw["object_center/0"][0, 8, [6, 8], 0] = 2.0
    raw["box/scale/0"][:] = 100, -3
    found = found_in(mobilenet, raw)
    assert found.boxes == pytest.approx(np.array([[0, 6.5, 16, 6.5], [0, 8.5, 16, 8.5]]) / 16)


def test_centres_in_the_padding_are_found_at_the_border(mobilenet):
    raw = synthetic()
    raw["object_center/0"][0, 12, 5, 0] = 2.0
    raw["true_shapes"] = np.array([[32, 64, 3]], np.int32)
    assert found_in(mobilenet, raw).boxes == pytest.approx(np.array([[1, 5 / 16, 1, 6 / 16]]))
    raw["true_shapes"] = np.array([[12, 64, 3]], np.int32)  # cells from the twelfth on are out of the picture
    assert len(found_in(mobilenet, raw).boxes) == 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (RESNET, (-103.939, -116.779, -123.68)),
        ("centernet_resnet50_v2_512x512", (-1.0, -1.0, -1.0)),
        (MOBILENET, (-1.0, -1.0, -1.0)),
        (
            "centernet_hg104_512x512",
            (-104.01362025 / 73.6027665, -114.03422265 / 69.89082075, -119.9165958 / 70.9150767),
        ),
    ],
)
def test_normalisation(name, expected):
    message = config(name).model.center_net.feature_extractor
    black = center_extractors.normalize(message, tf.zeros([1, 1, 3])).numpy().ravel()
    assert black == pytest.approx(expected)
    red = center_extractors.normalize(message, tf.constant([[[255.0, 0.0, 0.0]]])).numpy().ravel()
    blue_first = "resnet50_v1" in name or "hg104" in name
    assert np.flatnonzero(red - black > 0.1).tolist() == [2 if blue_first else 0]


def test_padding_is_normalised_as_black_pixels(mobilenet):
    inputs, true_shapes = mobilenet.preprocess([picture(32, 64)])
    assert true_shapes.numpy().tolist() == [[32, 64, 3]]
    assert inputs.shape == (1, 64, 64, 3)
    assert (inputs.numpy()[:, 32:] == -1).all()


@pytest.mark.parametrize(
    ("kind", "given", "separable"),
    [
        ("mobilenet_v2_fpn_sep_conv", None, False),  # as the OD API has it, whatever the name says
        ("mobilenet_v2_fpn_sep_conv", True, True),
        ("mobilenet_v2_fpn_sep_conv", False, True),
        ("mobilenet_v2_fpn", None, False),
        ("mobilenet_v2_fpn", True, True),
        ("mobilenet_v2_fpn", False, False),
    ],
)
def test_separable_convolutions_in_the_neck(kind, given, separable):
    changes = {"feature_extractor.type": kind, "feature_extractor.use_separable_conv": given}
    detector = build(config(MOBILENET, 64, **changes))
    assert (
        any(path.endswith("depthwise_kernel") for path, part in detector.part_of().items() if part == "neck")
        == separable
    )


@pytest.mark.parametrize(
    ("name", "side", "divisor"),
    [(RESNET, 80, 32), (MOBILENET, 100, 32), ("centernet_hg104_512x512", 192, 128)],
)
def test_sides_that_the_backbone_can_not_halve(name, side, divisor):
    with pytest.raises(ConfigError, match=f"multiples of {divisor}"):
        build(config(name, side))


def test_inputs_that_follow_the_pictures():
    changes = {"image_resizer.keep_aspect_ratio_resizer.pad_to_max_dimension": False}
    with pytest.raises(ConfigError, match="a size that follows the images"):
        build(config(MOBILENET, 64, **changes))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("object_detection_task", None),
        ("object_center_params.classification_loss.penalty_reduced_logistic_focal_loss", None),
        ("object_detection_task.localization_loss.l1_localization_loss", None),
        ("object_center_params.center_head_num_filters", [128]),
        ("object_detection_task.scale_head_kernel_sizes", [5]),
        ("feature_extractor.depth_multiplier", 0.5),
        ("feature_extractor.use_depthwise", True),
        ("feature_extractor.upsampling_interpolation", "bilinear"),
        ("object_center_params.use_labeled_classes", True),
        ("mask_estimation_task.task_loss_weight", 1.0),
    ],
)
def test_settings_that_would_change_the_result_are_refused(field, value):
    with pytest.raises(ConfigError, match="can't do what this CenterNet config asks for") as error:
        build(small_config(MOBILENET, **{field: value}))
    assert field.split(".")[1 if "." in field and not field.startswith("mask") else 0] in str(error.value)
