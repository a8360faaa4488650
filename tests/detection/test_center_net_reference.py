"""What CenterNet computes from known weights, against the OD API."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import reference_weights
import tensorflow as tf
from golden_case import Case, unmatched
from model_configs import config
from reference_weights import KEY

from detkit.detection.build import build

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
    found = case.detector.postprocess(raw)[0]
    # Those whose centres lie in the padding are empty, so that no IoU could tell.
    assert found.class_ids.tolist() == case["post/detection_classes"][0].tolist()
    assert np.abs(found.scores - case["post/detection_scores"][0]).max() < 1e-5
    assert np.abs(found.boxes - case["post/detection_boxes"][0]).max() < 1e-5


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
