"""Compiled networks: the numbers of the plain model, whatever computes them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from model_kit import draw_weights, pictures, small_config

from detkit.detection.build import build
from detkit.detection.postprocessing import likely
from detkit.errors import ConfigError
from detkit.export.frozen import freeze
from detkit.inference import runtimes, workers
from detkit.inference.predictor import Predictor
from detkit.inference.preprocessing import Preprocessor, colours

QUICK = "ssd_mobilenet_v1_fpn_small"
SLOW = (
    "ssd_mobilenet_v2_320x320", "efficientdet_small", "centernet_mobilenetv2fpn_512x512_kpts",
    "faster_rcnn_resnet50_v1_640x640", "mask_rcnn_resnet50",
)  # fmt: skip
FAMILIES = [QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
# Whose colours are prepared in different ways.
COLOURS = ("efficientdet_small", "faster_rcnn_resnet50_v1_640x640", "centernet_resnet50_v2_512x512_kpts")


@pytest.fixture(scope="module")
def models():
    """A function of a name that gives a small detector with drawn weights, once made for all tests."""
    made = {}

    def model(name):
        if name not in made:
            made[name] = draw_weights(build(small_config(name), name=name))
        return made[name]

    return model


@pytest.fixture(scope="module")
def small(models):
    return models(QUICK)


@pytest.fixture(scope="module")
def frozen(small):
    return freeze(small, 1)


def assert_same(found, expected, tolerance=1e-4):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert len(one) == len(other) > 0 and one.size == other.size
        assert one.scores == pytest.approx(other.scores, abs=tolerance)
        assert one.boxes == pytest.approx(other.boxes, abs=tolerance)
        assert (one.class_ids == other.class_ids).mean() > 0.9  # equal scores may change places


@pytest.mark.parametrize("name", FAMILIES)
def test_raw_outputs_and_detections_are_those_of_the_plain_model(models, name):
    detector = models(name)
    inputs, true_shapes = detector.preprocess(pictures()[:2])
    plain, frozen = detector.predict(inputs, true_shapes), freeze(detector, 2)
    given = {"inputs": inputs, "true_shapes": true_shapes}
    outputs = frozen.function(*(given[each] for each in frozen.inputs))
    predictions = frozen.predictions(outputs, true_shapes)
    for output in frozen.outputs:
        assert np.asarray(predictions[output]) == pytest.approx(np.asarray(plain[output]), abs=1e-3)
    pairs = zip(detector.postprocess(predictions), detector.postprocess(plain), strict=True)
    for one, other in pairs:
        assert one.scores == pytest.approx(other.scores, abs=1e-3) and len(one.scores)


def test_a_frozen_network_is_convolutions_and_constants(small, frozen):
    kinds = {op.type for op in frozen.function.graph.get_operations()}
    assert {"Conv2D", "DepthwiseConv2dNative"} <= kinds
    assert not kinds & {"Rsqrt", "Sub", "Mul", "RealDiv", "ReadVariableOp", "FusedBatchNormV3", "PartitionedCall"}
    assert frozen.inputs == ("inputs",) and frozen.outputs == ("box_encodings", "class_logits")
    assert [x.shape[0] for x in frozen.function.outputs] == [1, 1]
    assert np.array_equal(frozen.constants["anchors"], small.anchors(small.input_size))


def test_a_frozen_network_keeps_its_weights(small, frozen):
    inputs, _ = small.preprocess(pictures()[:1])
    before, variables = frozen.function(inputs)[1].numpy(), small.variables()
    path = next(path for path in variables if path.endswith("bias"))
    value = variables[path].numpy()
    variables[path].assign(value + 1)
    try:
        assert np.array_equal(frozen.function(inputs)[1].numpy(), before)
        assert not np.allclose(small.predict(inputs, None)["class_logits"], before) or "Box" in path
    finally:
        variables[path].assign(value)


def test_a_network_without_a_size_of_its_own():
    detector = SimpleNamespace(input_size=None, config=small_config(QUICK))
    with pytest.raises(ConfigError, match="This model's input follows the images") as caught:
        freeze(detector)
    assert "Give a size (height, width)" in str(caught.value)


@pytest.mark.parametrize("name", [QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in COLOURS)])
def test_preprocessing_is_the_detectors_own(models, name):
    detector = models(name)
    preprocess = Preprocessor(detector, 4)
    for images in (pictures(), pictures()[::-1]):  # the memory is used again
        inputs, true_shapes = preprocess(images)
        expected = detector.preprocess(images)
        assert np.array_equal(true_shapes[:3], expected[1])
        assert inputs[:3] == pytest.approx(expected[0].numpy(), abs=1e-4)


def test_colours_in_any_order():
    found = colours(lambda x: (x[..., ::-1] - [104.0, 117.0, 124.0]) / [1.0, 2.0, 4.0])
    assert found.order == [2, 1, 0] and found.scale.tolist() == [1.0, 0.5, 0.25]
    assert found.offset.tolist() == [-104.0, -58.5, -31.0]
    with pytest.raises(ValueError, match="no order, scale and offset"):
        colours(lambda x: x**2)


@pytest.fixture(scope="module")
def expected(small):
    """What is in five pictures: two batches of two, and one that is left over."""
    return small.detect([*pictures(), *pictures()[:2]], threshold=0.05)


SLOWLY_COMPILED = [pytest.param(name, marks=pytest.mark.slow) for name in ("tensorflow", "xla", "onnxruntime")]


@pytest.mark.parametrize("runtime", ["litert", *SLOWLY_COMPILED])
def test_every_runtime_detects_the_same(small, expected, runtime):
    if runtime not in runtimes.installed():
        pytest.skip("not installed")
    images = [*pictures(), *pictures()[:2]]
    predictor = Predictor(small, runtime, batch_size=2)
    predictor.warm_up()
    assert predictor.runtime == runtime
    assert_same(predictor.detect(images, threshold=0.05), expected)
    assert_same(predictor.detect(images[0], threshold=0.05), expected[:1])


@pytest.mark.slow
def test_mixed_precision_is_near(small):
    inputs, true_shapes = small.preprocess(pictures()[:1])
    plain = small.predict(inputs, true_shapes)
    compiled = runtimes.compile(small, "tensorflow", precision="mixed")
    try:
        got = compiled.open(1)(inputs, true_shapes)
    finally:
        tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": False})
    for name, value in zip(compiled.frozen.outputs, got, strict=True):
        error = np.abs(value - plain[name].numpy())
        assert error.mean() < 0.05 * plain[name].numpy().std()


def fake(*operations):
    """A frozen network of these operations."""
    listed = [SimpleNamespace(type=each) for each in operations]
    return SimpleNamespace(function=SimpleNamespace(graph=SimpleNamespace(get_operations=lambda: listed)))


@pytest.mark.parametrize("operations, frames, runtime", [
    (("Conv2D", "DepthwiseConv2dNative"), None, "litert"),
    (("Conv2D", "DepthwiseConv2dNative"), 1000, "litert"),
    (("Conv2D", "DepthwiseConv2dNative"), 3, "tensorflow"),
    (("Conv2D",), None, "tensorflow"),
    (("DepthwiseConv2dNative", "CropAndResize"), None, "tensorflow"),
])  # fmt: skip
def test_auto_is_a_rule(operations, frames, runtime):
    assert runtimes.fastest(fake(*operations), frames) == runtime


def test_a_runtime_that_computes_something_else_is_refused(small, frozen):
    wrong = runtimes.Compiled("litert", frozen, 1, lambda threads: lambda inputs, true_shapes: [
        x.numpy() + 0.01 for x in frozen.function(tf.constant(inputs))
    ])  # fmt: skip
    with pytest.raises(ConfigError, match="The network computes something else with litert") as caught:
        runtimes.verify(wrong, small)
    assert "got: box_encodings differs by 0.01" in str(caught.value)


def test_a_runtime_that_is_not_installed(small, monkeypatch):
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="This runtime is not installed.") as caught:
        Predictor(small, "onnxruntime")
    assert "pip install 'detkit[onnx]'" in str(caught.value)


def test_what_does_not_go_together(small):
    with pytest.raises(ConfigError, match="This runtime computes in float32 only."):
        Predictor(small, "litert", precision="mixed")
    plain = SimpleNamespace(classes=("a",), detect=None)
    with pytest.raises(ConfigError, match="This detector has no network that could be compiled."):
        Predictor(plain, "litert")


@pytest.mark.parametrize("options, plain", [({}, True), ({"frames": None}, False), ({"frames": 9}, False),
                                            ({"tiles": 64}, False), ({"runtime": "tensorflow"}, False)])  # fmt: skip
def test_for_a_few_images_nothing_is_compiled(small, monkeypatch, options, plain):
    monkeypatch.setattr(workers, "Workers", lambda *_, **__: SimpleNamespace(runtime="compiled", batch_size=1))
    predictor = Predictor(small, **{"frames": 1} | options)
    assert predictor.runtime == ("plain" if plain else "compiled")


@pytest.mark.parametrize("threshold", [0.0, 0.01, 0.1, 0.5, 0.9999, 1.0])
def test_no_likely_row_is_overlooked(threshold):
    logits = np.random.default_rng(0).normal(-6, 3, (500, 4)).astype(np.float32)
    logits[7] = [20.0, -30, -30, -30]  # background alone
    scores = 1 / (1 + np.exp(-logits[:, 1:].astype(np.float64)))
    rows = np.arange(500)[likely(logits, "SIGMOID", threshold, background=1)]
    assert set(np.flatnonzero((scores >= threshold).any(axis=1))) <= set(rows)
    assert threshold < 0.1 or threshold == 1.0 or (len(rows) < 500 and 7 not in rows)
