"""CenterNet: what it computes from known weights, and what its settings do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import reference_weights
import tensorflow as tf
from golden_case import Case, unmatched
from model_configs import config
from model_kit import small_config
from reference_weights import KEY

from detkit.detection import center_extractors
from detkit.detection.backbones.hourglass import Shape
from detkit.detection.build import build
from detkit.errors import ConfigError

# What the OD API computes with the reference weights: outputs (thinned), detections and losses.
REFERENCES = json.loads((Path(__file__).parent / "center_net.json").read_text())
LARGE = ("centernet_hg104_512x512_kpts", "centernet_resnet101_v1_fpn_512x512", "centernet_resnet50_v1_fpn_512x512_kpts")
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE)) for name in REFERENCES]
LOSSES = {
    "center_loss": "object_center",
    "scale_loss": "box/scale",
    "offset_loss": "box/offset",
    "keypoint_heatmap_loss": "human_pose/keypoint/heatmap",
    "keypoint_offset_loss": "human_pose/keypoint/offset",
    "keypoint_regression_loss": "human_pose/keypoint/regression",
}
MOBILENET = "centernet_mobilenetv2fpn_512x512_od"
RESNET = "centernet_resnet50_v1_fpn_512x512"


class Reference:
    """A detector with the reference weights, and what the OD API computes with them."""

    def __init__(self, name: str):
        self.values = REFERENCES[name]
        self.side = self.values["side"]
        self.detector = build(config(name, self.side))
        reference_weights.assign(self.detector, self.values["gains"])
        picture = reference_weights.image(7, self.side * 3 // 4, self.side)
        self.raw = self.detector.predict(*self.detector.preprocess([picture]))

    def truth(self) -> dict:
        """Objects in two pictures, two of them with one centre; three in ten keypoints are not labelled."""
        rng, classes = np.random.default_rng(3), len(self.detector.classes)
        truth = {
            "boxes": np.zeros((2, 5, 4), np.float32),
            "class_ids": np.zeros((2, 5), np.int32),
            "weights": np.zeros((2, 5), np.float32),
            "keypoints": np.zeros((2, 5, 17, 2), np.float32),
            "keypoint_weights": np.zeros((2, 5, 17), np.float32),
        }
        for picture, count in enumerate((5, 3)):
            corners, sizes = rng.uniform(0.05, 0.6, (count, 2)), rng.uniform(0.08, 0.39, (count, 2))
            boxes = np.concatenate([corners, corners + sizes], axis=1).astype(np.float32)
            if picture == 0:
                boxes[4] = boxes[3]
            places = boxes[:, None, :2] + rng.uniform(-0.1, 1.1, (count, 17, 2)) * (
                boxes[:, None, 2:] - boxes[:, None, :2]
            )
            truth["boxes"][picture, :count], truth["keypoints"][picture, :count] = boxes, places
            truth["class_ids"][picture, :count] = np.array([0, 0, 2, 0, 5])[:count] % classes
            truth["weights"][picture, :count] = 1
            truth["keypoint_weights"][picture, :count] = rng.uniform(size=(count, 17)) >= 0.3
        return {f"truth/{name}": tf.constant(value) for name, value in truth.items()}

    def losses(self) -> dict:
        """Those of two pictures, of which the second is padded from two thirds of its height on."""
        inputs, _ = self.detector.preprocess([reference_weights.image(seed, self.side, self.side) for seed in (7, 8)])
        shapes = tf.constant([[self.side, self.side, 3], [self.side * 2 // 3, self.side, 3]])
        return self.detector.losses(
            self.detector.predict(inputs, shapes) | self.truth() | {"truth/true_shapes": shapes}
        )


@pytest.fixture(scope="module", params=NAMES)
def reference(request):
    return Reference(request.param)


def test_outputs_are_those_of_the_od_api(reference):
    outputs, last = dict(reference.raw), reference.detector.extractor.stacks - 1
    for stack in range(last):
        made = reference.detector.head.run(outputs[f"map/{stack}"], stack)
        outputs |= {f"{name}/{stack}": value for name, value in made.items()}
    for name, expected in reference.values["outputs"].items():
        found = outputs[name].numpy().ravel()
        sampled = found[:: max(1, found.size // 12)][:12]
        assert sampled == pytest.approx(expected["sampled"], abs=1e-3 * expected["std"]), name
        assert found.std() == pytest.approx(expected["std"], rel=1e-3), name


def test_detections_are_those_of_the_od_api(reference):
    expected, found = reference.values["detections"], reference.detector.postprocess(reference.raw)[0]
    assert len(found.boxes) == expected["count"]
    assert found.class_ids.tolist() == expected["class_ids"]
    assert found.scores == pytest.approx(expected["scores"], abs=1e-4)
    assert found.boxes[::10].ravel() == pytest.approx(expected["boxes"], abs=1e-4)
    if "keypoints" in expected:
        assert found.keypoints[::5, ::4].ravel() == pytest.approx(expected["keypoints"], abs=1e-4)
        assert found.keypoint_scores[::5, ::4].ravel() == pytest.approx(expected["keypoint_scores"], abs=1e-4)


def test_losses_are_those_of_the_od_api(reference):
    found = {LOSSES[name]: float(value) for name, value in reference.losses().items()}
    assert found == pytest.approx(reference.values["losses"], rel=1e-4)
    assert float(reference.detector.regularization_loss()) == 0


# The reference run of the ResNet-50


@pytest.fixture(scope="module")
def case(shared):
    return Case(shared / "golden", RESNET)


@pytest.mark.parametrize("tag", ["a", "b"])
def test_a_picture_of_the_reference_run(case, tag):
    inputs, true_shapes = case.detector.preprocess([case.image(tag)])
    assert true_shapes.numpy().tolist() == case[f"{tag}/true_shapes"].tolist()
    assert np.abs(inputs.numpy()[:, ::17, ::17] - case[f"{tag}/preprocessed_every17"]).max() < 1e-3
    raw = case.detector.predict(inputs, true_shapes)
    for name in case.detector.head.names:
        found, expected = raw[f"{name}/0"].numpy(), case[f"{tag}/head/{name}/0/flat"]
        assert list(found.shape) == case[f"{tag}/head/{name}/0/shape"].tolist()
        thinned = found.ravel()[:: int(case[f"{tag}/head/{name}/0/flat_every"])]
        assert np.abs(thinned - expected).max() <= 1e-3 * expected.std()
    check(case, tag, case.detector.postprocess(raw)[0])


def test_decoding_of_synthetic_outputs(case):
    raw = {"true_shapes": case["post/true_shapes"]}
    for name in case.detector.head.names:
        draw = np.random.Generator(np.random.PCG64(int(case[f"post/seed/{name}"])))
        z = draw.standard_normal(case[f"b/head/{name}/0/shape"]).astype(np.float32)
        raw[f"{name}/0"] = tf.constant({"object_center": z * 1.5 - 3, "box/scale": np.abs(z) * 4 + 6}.get(name, z))
    check(case, "post", case.detector.postprocess(raw)[0])


def check(case, tag, found):
    count = int(case[f"{tag}/num_detections"][0])
    assert len(found.boxes) == count
    assert (
        unmatched(found, *(case[f"{tag}/detection_{name}"][0, :count] for name in ("boxes", "scores", "classes"))) == []
    )


@pytest.mark.slow
def test_losses_and_gradients_of_the_reference_run(case):
    detector = case.detector
    inputs, true_shapes = detector.preprocess([case.image("a", seed) for seed in (7, 8)])
    truth = {"boxes": np.zeros((2, 2, 4), np.float32), "class_ids": np.zeros((2, 2), np.int32)}
    for i, count in enumerate((2, 1)):
        truth["boxes"][i, :count] = case[f"train/gt_boxes_{i}"]
        truth["class_ids"][i, :count] = case[f"train/gt_classes_{i}"]
    truth["weights"] = np.array([[1, 1], [1, 0]], np.float32)
    trainable = {path: variable.value for path, variable in detector.variables().items() if variable.trainable}
    with tf.GradientTape() as tape:
        predictions = detector.predict(inputs, true_shapes)
        losses = detector.loss(predictions, {name: tf.constant(value) for name, value in truth.items()})
        total = tf.add_n(list(losses.values()))
    for name, loss in losses.items():
        assert float(loss) == pytest.approx(float(case[f"train/Loss/{LOSSES[name]}"]), rel=1e-4)
    gradients = tape.gradient(total, trainable)
    norms = {KEY.format(path): -1.0 if g is None else float(tf.norm(g)) for path, g in gradients.items()}
    expected = dict(zip(map(str, case["train/grad_keys"]), case["train/grad_norms"], strict=True))
    assert norms == pytest.approx(expected, rel=1e-3)


# Two stacks


@pytest.fixture
def stacked(monkeypatch):
    """A small Hourglass of two stacks."""
    # With fewer channels TensorFlow's gradient of a strided convolution writes beyond its memory.
    monkeypatch.setitem(center_extractors.HOURGLASSES, "hourglass_104", Shape(16, (16, 16, 32), (2, 2, 2), 2))
    detector = build(config("centernet_hg104_512x512_kpts", 64, num_classes=3), ("dog", "person", "cat"))
    detector.initialize(detector.variables(), seed=1)
    return detector


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


def test_the_loss_from_every_seam_is_that_of_the_whole_network(stacked):
    inputs, true_shapes = stacked.preprocess([picture(), picture(40, 64)])
    truth = {name: tf.concat([value, value], 0) for name, value in groundtruth(stacked).items()}
    state = stacked.training_state(inputs, true_shapes, truth)
    whole = {name: float(value) for name, value in stacked.losses(stacked.run(state)).items()}
    for number in range(len(stacked.stages)):
        record = stacked.record(state, number)
        assert all(value.shape[0] == 2 for value in record.values())
        found = {name: float(value) for name, value in stacked.record_loss(record, number).items()}
        assert found == pytest.approx(whole, rel=1e-5), stacked.stages[number].name
        state = stacked.run(state, number, number + 1)


def test_descent_lowers_the_loss_of_both_stacks(stacked):
    inputs, true_shapes = stacked.preprocess([picture()])
    truth, variables = groundtruth(stacked), [v.value for v in stacked.variables().values() if v.trainable]
    losses = []
    for _ in range(6):
        with tf.GradientTape() as tape:
            parts = stacked.loss(stacked.predict(inputs, true_shapes), truth)
            total = tf.add_n(list(parts.values()))
        losses.append(float(total))
        gradients = tape.gradient(total, variables)
        assert all(gradient is not None for gradient in gradients)
        norm = tf.linalg.global_norm(gradients)
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.assign_sub(0.1 * gradient / norm)
    assert losses[-1] < 0.9 * losses[0]


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
