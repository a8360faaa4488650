"""The graph of an exported SavedModel: the OD API's signature, and the detections of the model."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detkit.errors import ConfigError
from detkit.export import saved_model
from detkit.export.serving import IMAGE, serving
from detkit.hub import od_outputs


def agrees(detector, outputs, image) -> None:
    """That the outputs are what the detector finds."""
    fields, expected = (
        od_outputs.fields(outputs, range(1, len(detector.classes) + 1), "test"),
        detector.detect(image)[0],
    )
    assert len(expected) and len(fields["scores"]) == len(expected)
    np.testing.assert_array_equal(fields.pop("class_ids"), expected.class_ids)
    for name, value in fields.items():
        np.testing.assert_allclose(value, getattr(expected, name), atol=2e-6, err_msg=name)


@pytest.fixture(scope="module")
def written(small, tmp_path_factory):
    directory = tmp_path_factory.mktemp("exports") / "small"
    saved_model.write(serving(small), [IMAGE], directory, {"notes.txt": "an asset"})
    return directory


def test_serving_code_of_the_od_api_works_unchanged(written, small, images):
    detect_fn = tf.saved_model.load(str(written))
    detections = detect_fn(tf.convert_to_tensor(images[0])[tf.newaxis, ...])
    num_detections = int(detections.pop("num_detections")[0])
    detections = {key: value[0, :num_detections].numpy() for key, value in detections.items()}
    assert detections["detection_classes"].astype(np.int64).min() >= 1
    assert detections["detection_boxes"].shape == (num_detections, 4)


def test_the_signature_is_the_od_apis(written, small):
    signature = tf.saved_model.load(str(written)).signatures["serving_default"]
    assert signature.structured_input_signature[1] == {"input_tensor": IMAGE}
    shapes = {name: tuple(spec.shape) for name, spec in signature.structured_outputs.items()}
    anchors = len(small.anchors(small.input_size))
    assert shapes == {
        "detection_anchor_indices": (1, 100),
        "detection_boxes": (1, 100, 4),
        "detection_classes": (1, 100),
        "detection_multiclass_scores": (1, 100, 4),
        "detection_scores": (1, 100),
        "num_detections": (1,),
        "raw_detection_boxes": (1, anchors, 4),
        "raw_detection_scores": (1, anchors, 4),
    }
    assert {spec.dtype for spec in signature.structured_outputs.values()} == {tf.float32}


def test_it_finds_what_the_model_finds(written, small, images):
    detect_fn = tf.saved_model.load(str(written))
    for image in images:
        agrees(small, detect_fn(tf.constant(image[None])), image)


def test_scores_and_anchors_belong_to_the_detections(written, images):
    found = {name: value[0].numpy() for name, value in tf.saved_model.load(str(written))(images[0][None]).items()}
    rows = found["detection_anchor_indices"].astype(int)
    np.testing.assert_array_equal(found["raw_detection_scores"][rows], found["detection_multiclass_scores"])
    columns = found["detection_classes"].astype(int)  # the first column is the background's
    best = found["detection_multiclass_scores"][np.arange(len(rows)), columns]
    np.testing.assert_array_equal(best, found["detection_scores"])


def test_a_directory_with_other_things_is_left_alone(small, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(ConfigError, match="Something else is where the SavedModel shall be"):
        saved_model.write(lambda x: {"y": x}, [tf.TensorSpec([1], name="x")], tmp_path, {})
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "efficientdet_small",
        "ssd_mobilenet_v2_320x320",
        "faster_rcnn_resnet50_v1_640x640",
        "mask_rcnn_resnet50",
        "centernet_resnet50_v1_fpn_512x512",
        "centernet_mobilenetv2fpn_512x512_kpts",
    ],
)
def test_every_family_finds_what_the_model_finds(name, images):
    from model_kit import draw_weights, small_config

    from detkit.detection.build import build

    detector = draw_weights(build(small_config(name), name=name))
    serve = tf.function(serving(detector), input_signature=[IMAGE], autograph=False)
    for image in images:
        agrees(detector, serve(tf.constant(image[None])), image)
