"""Every family of Model Garden's detectors as one graph: it finds what the detector finds."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detkit.detections import Detections
from detkit.errors import ConfigError
from detkit.explain.views import view_of
from detkit.export.export import FORMATS, Source
from detkit.export.serving import IMAGE, serving
from detkit.garden import load
from detkit.hub import od_outputs
from detkit.inference import runtimes
from detkit.inference.preprocessing import Preprocessor

pytestmark = pytest.mark.slow  # each of them takes long to be built

SMALL = {"type": "resnet", "resnet": {"model_id": 10, "depth_multiplier": 0.25}}
MODELS = {
    "maskrcnn_resnetfpn_coco": {
        **{"num_classes": 4, "input_size": [96, 128, 3], "min_level": 3, "max_level": 5, "backbone": SMALL},
        **{"anchor": {"anchor_size": 3.0}, "decoder": {"type": "fpn", "fpn": {"num_filters": 16}}},
        "rpn_head": {"num_filters": 16},
        "roi_generator": {"test_pre_nms_top_k": 50, "test_num_proposals": 20},
        "detection_head": {"num_convs": 1, "num_filters": 16, "fc_dims": 32},
        "mask_head": {"num_convs": 1, "num_filters": 8},
        "mask_roi_aligner": {"crop_size": 7},
        "detection_generator": {"pre_nms_score_threshold": 0.01, "max_num_detections": 10},
    },
    "coco_yolov7_pico": {"num_classes": 3, "input_size": [64, 96, 3], "detection_generator": {"max_boxes": 20}},
    "detr_coco": {
        **{"num_classes": 4, "input_size": [96, 96, 3], "backbone": {"resnet": SMALL["resnet"]}},
        **{"backbone_endpoint_name": "4", "hidden_size": 32, "num_queries": 12},
        **{"num_encoder_layers": 1, "num_decoder_layers": 2},
    },
}
LAST = ("_classifier/kernel", "_box_regressor/kernel", "_mask_regressor/kernel", "class_embed/kernel")


@pytest.fixture(scope="module", params=MODELS)
def detector(request):
    """With scores of all sizes."""
    found = load.load(f"garden:{request.param}", config={"task": {"model": MODELS[request.param]}})
    rng = np.random.default_rng(0)
    for name, variable in found.variables().items():
        if name.endswith(LAST) and not name.startswith("rpn"):
            variable.assign(rng.normal(0.0, 0.5, variable.shape))
        elif name.startswith("head/") and name.endswith("kernel"):  # of YOLO, whose scores hardly differ at first
            variable.assign(variable.numpy() * 30)
    return found


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (*size, 3), np.uint8) for size in ((90, 120), (150, 60), (40, 50))]


def same(found: Detections, other: Detections):
    assert len(found) == len(other) > 0
    np.testing.assert_allclose(found.scores, other.scores, atol=1e-4)
    np.testing.assert_array_equal(found.class_ids, other.class_ids)
    np.testing.assert_allclose(found.boxes, other.boxes, atol=1e-4)


def test_the_graph_finds_what_the_detector_finds(detector, images):
    graph = tf.function(serving(detector), input_signature=[IMAGE], autograph=False)
    for image in images:
        outputs = {name: value.numpy() for name, value in graph(tf.constant(image[None])).items()}
        fields = od_outputs.fields(outputs, range(1, len(detector.classes) + 1), "graph")
        expected = detector.detect(image)[0]
        given = fields.pop("masks", None)
        same(Detections(**fields, classes=detector.classes, size=image.shape[:2]), expected)
        if expected.masks is not None:
            np.testing.assert_allclose(given, expected.masks, atol=1e-4)


def test_the_compiled_network_computes_the_same(detector, images):
    runtimes.verify(runtimes.compile(detector, "tensorflow"), detector)
    preprocess = Preprocessor(detector, 1)
    for image in images:
        for given, expected in zip(preprocess([image]), detector.preprocess([image]), strict=True):
            np.testing.assert_allclose(given, expected, atol=1e-3)


def test_what_can_not_hold_it_says_so(detector, tmp_path):
    source = Source(detector, lambda: [])
    for name in ("tflite", "onnx", "keras"):
        with pytest.raises(ConfigError, match="SavedModel"):
            FORMATS[name].write(source, tmp_path / "file")


def test_only_detr_is_seen_from_inside(detector):
    assert (view_of(detector) is not None) == detector.name.endswith("detr_coco")
