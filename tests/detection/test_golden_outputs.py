"""What the detectors compute, against what the OD API computed from the same weights and pictures."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from golden_case import Case, unmatched
from reference_model import reference_value

NAMES = (
    "ssd_mobilenet_v2_320x320",
    "ssd_mobilenet_v2_fpnlite_320x320",
    "ssd_mobilenet_v1_fpn_640x640",
    "ssd_resnet50_v1_fpn_640x640",
    "efficientdet_d0",
)


@pytest.fixture(scope="module", params=NAMES)
def case(request, shared):
    return Case(shared / "golden", request.param)


@pytest.fixture(scope="module")
def predicted(case):
    """{tag: (preprocessed inputs, true shapes, raw outputs)} for both sizes of picture."""
    detector, found = case.detector, {}
    for tag in "ab":
        inputs, true_shapes = detector.preprocess([case.image(tag)])
        # Compiling a large network takes longer than running it twice.
        predict = detector.predict_graph if inputs.shape[1] <= 320 else detector.predict
        found[tag] = inputs.numpy(), true_shapes.numpy(), predict(inputs, true_shapes)
    return found


def test_weights_follow_the_published_rule(case):
    variables = case.detector.variables()
    total = sum(np.abs(variable.numpy().astype(np.float64)).sum() for variable in variables.values())
    assert total == pytest.approx(float(case["meta/weights_abs_sum"]), rel=1e-9)
    for key, values in zip(case["meta/weight_check_keys"], case["meta/weight_check_values"], strict=True):
        path = str(key).removeprefix("model/").removesuffix("/.ATTRIBUTES/VARIABLE_VALUE")
        value = reference_value(path, tuple(variables[path].shape), case["meta/gains"])
        assert value.ravel()[:4].tolist() == values.tolist()


@pytest.mark.parametrize("tag", ["a", "b", "c"])
def test_preprocessing(case, tag):
    inputs, true_shapes = (x.numpy() for x in case.detector.preprocess([case.image(tag)]))
    assert true_shapes.tolist() == case[f"{tag}/true_shapes"].tolist()
    assert list(inputs.shape) == case[f"{tag}/preprocessed_shape"].tolist()
    scale = float(inputs.std())
    assert np.abs(inputs[:, ::17, ::17] - case[f"{tag}/preprocessed_every17"]).max() < 1e-5 * scale
    channels, tolerance = inputs.astype(np.float64), 1e-5 * scale
    found = {
        "channel_mean": channels.mean(axis=(0, 1, 2)),
        "channel_std": channels.std(axis=(0, 1, 2)),
        "minmax": [channels.min(), channels.max()],
    }
    for name, values in found.items():
        assert values == pytest.approx(case[f"{tag}/preprocessed_{name}"], abs=tolerance), name


@pytest.mark.parametrize("tag", ["a", "b"])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("box_encodings", "box_encodings"), ("class_logits", "class_predictions_with_background")],
)
def test_raw_outputs(case, predicted, tag, ours, theirs):
    whole = predicted[tag][2][ours].numpy()
    assert list(whole.shape) == case[f"{tag}/{theirs}/shape"].tolist()
    found, reference = case.pair(f"{tag}/{theirs}", whole)
    assert np.abs(found - reference).max() <= 1e-3 * reference.std()
    exact = whole.astype(np.float64)
    sums = [exact.sum(), np.abs(exact).sum(), np.square(exact).sum()]
    assert sums == pytest.approx(case[f"{tag}/{theirs}/stats"][:3], rel=1e-4)


def test_feature_maps(case, predicted):
    detector = case.detector
    if detector.input_size[0] > 320:
        pytest.skip("the small models show it")
    neck = [stage.name for stage in detector.stages].index("neck")
    state = detector.run({"x": tf.constant(predicted["b"][0])}, 0, neck + 1)
    maps = [state[name] for name in sorted(state)]
    assert f"b/feature_map_{len(maps)}/shape" not in case.arrays
    for level, found in enumerate(maps):
        reference = case[f"b/feature_map_{level}/flat"]
        assert list(found.shape) == case[f"b/feature_map_{level}/shape"].tolist()
        thinned = found.numpy().ravel()[:: int(case[f"b/feature_map_{level}/flat_every"])]
        assert np.abs(thinned - reference).max() <= 1e-3 * reference.std()


def test_anchors(case, predicted):
    anchors = case.detector.anchors(case.detector.input_size)
    assert anchors.shape == case["anchors"].shape
    assert np.abs(anchors - case["anchors"]).max() < 1e-6
    assert np.array_equal(predicted["a"][2]["anchors"].numpy(), anchors)


@pytest.mark.parametrize("tag", ["a", "b"])
def test_detections(case, predicted, tag):
    _, true_shapes, raw = predicted[tag]
    found = case.detector.postprocess(raw, true_shapes)[0]
    check_detections(case, tag, found)


def test_postprocessing_of_synthetic_outputs(case):
    count, columns = len(case["anchors"]), case.detector.columns

    def normal(seed, width):
        draw = np.random.Generator(np.random.PCG64(seed)).standard_normal((1, count, width))
        return draw.astype(np.float32)

    raw = {
        "box_encodings": tf.constant(normal(11, 4)),
        "class_logits": tf.constant(normal(12, columns) * np.float32(1.5) - 3),
        "anchors": tf.constant(case["anchors"]),
        "true_shapes": tf.constant(case["post/true_shapes"]),
    }
    check_detections(case, "post", case.detector.postprocess(raw)[0])


def check_detections(case, tag, found):
    count = int(case[f"{tag}/num_detections"][0])
    reference = [case[f"{tag}/detection_{name}"][0, :count] for name in ("boxes", "scores", "classes")]
    assert len(found[0]) == count
    assert unmatched(found, *reference) == []
    assert (np.diff(found[1]) <= 0).all()


def test_a_batch_gives_what_its_pictures_give_alone(case, predicted):
    if case.detector.input_size[0] > 320:
        pytest.skip("the small models show it")
    together = case.detector.detect([case.image("a"), case.image("b")])
    for tag, found in zip("ab", together, strict=True):
        check_detections(case, tag, (found.boxes, found.scores, found.class_ids))
