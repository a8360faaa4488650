"""Pictures of other shapes than the model's input: resizing, padding, and boxes that mean the true picture."""

from __future__ import annotations

import numpy as np
import pytest
import reference_weights
import tensorflow as tf
from ssd_configs import text

from detkit.data import batches
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.detection.build import build
from detkit.detection.resizing import Resizer
from detkit.errors import ConfigError
from detkit.pipeline import od_config
from detkit.training.cache import Prefix
from detkit.training.imprint import imprint

FIXED = "fixed_shape_resizer { height: 320 width: 320 }"
GAINS = (0.85, 0.45, 1.0)


def keeping_aspect(shortest, longest, pad):
    """FPNLite for two classes with another resizer."""
    resizer = f"""keep_aspect_ratio_resizer {{
      min_dimension: {shortest} max_dimension: {longest} pad_to_max_dimension: {str(pad).lower()}
    }}"""
    whole = text("ssd_mobilenet_v2_fpnlite_320x320", 2)
    assert FIXED in whole
    return build(od_config.parse(whole.replace(FIXED, resizer), "keeping aspect"))


@pytest.fixture(scope="module")
def padded():
    """Keeps the aspect within 96 x 128, then pads to 128 x 128."""
    detector = keeping_aspect(96, 128, True)
    reference_weights.assign(detector, GAINS)
    return detector


@pytest.fixture(scope="module")
def unpadded():
    detector = keeping_aspect(96, 128, False)
    reference_weights.assign(detector, GAINS)
    return detector


def by_tensorflow(size, shortest, longest):
    """The size that the OD API's resizer gives a picture: TensorFlow's own resize, all in float32."""
    target = (shortest, longest) if size[0] < size[1] else (longest, shortest)
    return tuple(tf.image.resize(np.zeros((*size, 1)), target, preserve_aspect_ratio=True).shape[:2])


def test_sizes_that_keep_the_aspect(padded):
    for size in [(96, 128), (128, 96), (60, 80), (200, 100), (100, 200), (500, 500), (37, 411), (411, 37)]:
        assert padded.resized(size) == by_tensorflow(size, 96, 128)


def test_sizes_near_one_half_are_rounded_as_tensorflow_does():
    detector = keeping_aspect(300, 600, True)
    sizes = [(141, 72), (169, 1040), (232, 435), (288, 138), (414, 864)]
    assert [detector.resized(size) for size in sizes] == [by_tensorflow(size, 300, 600) for size in sizes]


def test_padding_is_zero_after_normalising(padded):
    wide, tall = np.full((60, 120, 3), 255, np.uint8), np.full((120, 60, 3), 255, np.uint8)
    inputs, true_shapes = padded.preprocess([wide, tall])
    assert inputs.shape == (2, 128, 128, 3)
    assert true_shapes.numpy().tolist() == [[64, 128, 3], [128, 64, 3]]
    assert (inputs[0, :64].numpy() == 1).all() and not inputs[0, 64:].numpy().any()
    assert (inputs[1, :, :64].numpy() == 1).all() and not inputs[1, :, 64:].numpy().any()


def test_detections_are_relative_to_the_true_picture(padded):
    """Every score but one is low; that anchor's box is given in the picture without its padding."""
    anchors = padded.anchors((128, 128))
    inside = np.flatnonzero((anchors[:, 0] > 0.1) & (anchors[:, 2] < 0.45) & (anchors[:, 1] > 0.2))[0]
    below = np.flatnonzero(anchors[:, 0] > 0.55)[0]
    logits = np.full((1, len(anchors), 3), -30.0, np.float32)
    logits[0, inside, 2] = logits[0, below, 1] = 3.0
    raw = {
        "box_encodings": tf.zeros((1, len(anchors), 4)), "class_logits": tf.constant(logits),
        "anchors": tf.constant(anchors), "true_shapes": tf.constant([[64, 128, 3]]),
    }  # fmt: skip
    boxes, scores, class_ids = padded.postprocess(raw)[0][:3]
    found = scores > 0.5
    assert class_ids[found].tolist() == [1]  # the other lies in the padding
    assert boxes[found][0] == pytest.approx(anchors[inside] * [2, 1, 2, 1], abs=1e-5)


def views(detector, size=(60, 120)):
    """Two noisy photos with two objects and one."""
    photos = [
        Example(reference_weights.image(1, *size), [[0.1, 0.2, 0.7, 0.5], [0.4, 0.5, 0.9, 0.95]], [0, 1], size),
        Example(reference_weights.image(2, *size), [[0.2, 0.1, 0.9, 0.6]], [1], size),
    ]
    return batches.Views(Dataset(tuple(photos), ("a", "b")), detector.resized)


@pytest.mark.parametrize("stage", ["head/final", "neck"])
def test_losses_from_a_seam_equal_those_of_the_whole_network(padded, stage):
    each = [views(padded).view(i) for i in (0, 1)]
    inputs, true_shapes = padded.preprocess([view.image for view in each])
    truth = {name: tf.constant(value) for name, value in batches.groundtruth(each).items()}
    whole = padded.loss(padded.predict(inputs, true_shapes), truth)
    seam = [s.name for s in padded.stages].index(stage)
    found = padded.record_loss(Prefix(padded, seam).records(each), seam)
    for name, value in whole.items():
        assert float(found[name]) == pytest.approx(float(value), rel=1e-5)
    # The boxes of the true picture are not those of the padded input: taken for those, the loss is another.
    wrong = padded.loss(padded.predict(inputs, None), truth)
    assert float(wrong["localization"]) != pytest.approx(float(whole["localization"]), rel=1e-3)


def test_imprinting_a_padded_model(padded):
    detector = keeping_aspect(96, 128, True)
    reference_weights.assign(detector, GAINS)
    imprint(detector, views(detector))
    logits = {0: [], 1: []}
    for i in (0, 1):
        view = views(detector).view(i)
        inputs, true_shapes = detector.preprocess([view.image])
        raw = detector.predict(inputs, true_shapes)
        truth = {name: tf.constant(value) for name, value in batches.groundtruth([view]).items()}
        truth["boxes"] *= tf.constant([0.5, 1, 0.5, 1])
        matched = detector.assign(truth, raw["anchors"])
        for anchor, class_id in zip(matched.anchor.numpy(), matched.class_ids.numpy(), strict=True):
            logits[int(class_id)].append(raw["class_logits"].numpy()[0, anchor, 1 + class_id])
    assert [np.mean(each) for each in logits.values()] == pytest.approx([0, 0], abs=0.05)


def test_a_model_as_large_as_its_pictures_detects(unpadded):
    assert unpadded.input_size is None
    found = unpadded.detect(reference_weights.image(1, 60, 120))[0]
    assert len(found) > 0
    assert (found.boxes >= 0).all() and (found.boxes <= 1).all()


def test_a_model_as_large_as_its_pictures_trains_or_says_why_not(unpadded):
    seam = len(unpadded.stages) - 1
    each = [views(unpadded).view(i) for i in (0, 1)]
    try:
        losses = unpadded.record_loss(Prefix(unpadded, seam).records(each), seam)
    except ConfigError:
        return
    assert all(np.isfinite(float(value)) for value in losses.values())


@pytest.mark.parametrize(
    ("resizer", "expected"),
    [
        ("fixed_shape_resizer { height: 96 width: 96 resize_method: AREA }", "BILINEAR"),
        ("fixed_shape_resizer { height: 96 width: 96 convert_to_grayscale: true }", "False"),
        ("keep_aspect_ratio_resizer { per_channel_pad_value: [1, 2, 3] }", "zeros"),
        ("pad_to_multiple_resizer { }", "identity_resizer"),
    ],
)
def test_resizing_that_would_give_other_pixels_is_refused(resizer, expected):
    config = od_config.parse(
        f"model {{ ssd {{ num_classes: 1 feature_extractor {{ }} image_resizer {{ {resizer} }} }} }}"
    )
    with pytest.raises(ConfigError, match="detkit can't resize images like this") as error:
        Resizer(config, "ssd")
    assert expected in str(error.value.expected)


def test_the_identity_resizer_leaves_pictures_alone():
    config = od_config.parse(
        "model { ssd { num_classes: 1 feature_extractor { } image_resizer { identity_resizer { } } } }"
    )
    resizer = Resizer(config, "ssd")
    image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    assert resizer.input_size is None and np.array_equal(resizer(image), image)
