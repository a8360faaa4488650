"""What the tests of all architectures share: small detectors with drawn weights, pictures, and what is true of them."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import reference_weights
import tensorflow as tf
from model_configs import ARCHITECTURES, KEYPOINTS, config
from reference_model import usual_gains

from detkit.detection.build import FAMILIES
from detkit.pipeline import od_config

_PYRAMID = "box_predictor.weight_shared_convolutional_box_predictor"
# As small as they get, and not of the zoo: {name: (architecture, changes)}.
VARIANTS = {
    "ssd_mobilenet_v1_fpn_small": (
        "ssd_mobilenet_v2_fpnlite_320x320",
        {
            "feature_extractor.type": "ssd_mobilenet_v1_fpn_keras",
            "feature_extractor.depth_multiplier": 0.25,
            f"{_PYRAMID}.num_layers_before_predictor": 1,
        },
    ),
    "efficientdet_small": (
        "efficientdet_d0",
        {"feature_extractor.bifpn.num_iterations": 1, f"{_PYRAMID}.num_layers_before_predictor": 1},
    ),
    "mask_rcnn_resnet50": (
        "mask_rcnn_inception_resnet_v2",
        {
            "feature_extractor.type": "faster_rcnn_resnet50_keras",
            "initial_crop_size": 14,
            "maxpool_kernel_size": 2,
            "maxpool_stride": 2,
            "second_stage_box_predictor.mask_rcnn_box_predictor.mask_height": 9,
            "second_stage_box_predictor.mask_rcnn_box_predictor.mask_width": 9,
        },
    ),
}
# One of each family runs through everything.
THOROUGH = ("centernet_mobilenetv2fpn_512x512_kpts", *VARIANTS)
# One of each other kind of backbone, neck and head detects; of the largest only the variables are looked at.
FORWARD = (
    "ssd_mobilenet_v2_320x320",
    "ssd_mobilenet_v2_fpnlite_320x320",
    "ssd_resnet50_v1_fpn_640x640",
    "efficientdet_d0",
    "faster_rcnn_resnet50_v1_640x640",
    "centernet_resnet50_v1_fpn_512x512",
    "centernet_resnet50_v2_512x512_kpts",
)
LARGE = ("mask_rcnn_inception_resnet_v2", "centernet_hg104_512x512")
QUICK = {"variables": THOROUGH + FORWARD + LARGE, "forward": THOROUGH + FORWARD, "training": THOROUGH}
SIZES = ((48, 80), (90, 40), (3, 5))  # of the pictures


def over(kind: str, names=(*ARCHITECTURES, *VARIANTS)):
    """Parametrises a test over architectures; those that the kind of test runs through quickly are not slow."""
    cases = [pytest.param(name, marks=[] if name in QUICK[kind] else pytest.mark.slow) for name in names]
    return pytest.mark.parametrize("built", cases, indirect=True, scope="module")


def side(name: str) -> int:
    """The smallest input that passes through the network: a pyramid that adds maps needs whole strides."""
    return 128 if name.startswith(("efficientdet", "centernet_hg104")) else 64


def small_config(name: str, **changes):
    """The config of an architecture with a small input, or of one of VARIANTS."""
    base, more = VARIANTS.get(name, (name, {}))
    return config(base, side(base), **more | changes)


def registered(config) -> bool:
    """Whether detkit builds the architecture."""
    family = od_config.architecture(config)
    return od_config.meta_architecture(config).feature_extractor.type in FAMILIES.get(family, (None, ()))[1]


def draw_weights(detector):
    """The detector with drawn weights."""
    reference_weights.assign(detector, usual_gains(detector.name))
    return detector


@contextmanager
def eagerly():
    """Runs compiled functions step by step: what runs only a few times is not worth compiling."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


def pictures() -> list[np.ndarray]:
    """Noise in several sizes, the last one tiny."""
    return [reference_weights.image(seed, *size) for seed, size in enumerate(SIZES)]


def batch(detector, images=None, seed: int = 0) -> tuple:
    """(inputs, true shapes, ground truth) of two pictures; the second has one object less, and one to ignore."""
    inputs, true_shapes = detector.preprocess(pictures()[:2] if images is None else images)
    rng, last = np.random.default_rng(seed), len(detector.classes) - 1
    truth = {
        "boxes": np.array(
            [[[0.1, 0.1, 0.7, 0.6], [0.3, 0.4, 0.9, 0.9], [0.05, 0.5, 0.4, 1.0]],
             [[0.2, 0.0, 0.8, 0.5], [0.5, 0.5, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]], np.float32
        ),
        "class_ids": np.array([[0, last, 0], [last, 0, 0]], np.int32),
        "weights": np.array([[1, 1, 1], [1, 0, 0]], np.float32),
        "seed": np.array([11, 12], np.int32),
    }  # fmt: skip
    if "masks" in detector.wants:
        truth["masks"] = (rng.random((2, 3, 24, 24)) < 0.6).astype(np.uint8) * 255
    if "keypoints" in detector.wants:
        corners, extents = truth["boxes"][:, :, None, :2], np.diff(truth["boxes"].reshape(2, 3, 1, 2, 2), axis=3)
        places = rng.random((2, 3, len(KEYPOINTS), 2)).astype(np.float32)
        truth["keypoints"] = corners + places * extents[:, :, :, 0]
        truth["keypoint_weights"] = truth["weights"][..., None] * (places[..., 0] < 0.7)
    return inputs, true_shapes, {name: tf.constant(value) for name, value in truth.items()}


def values(detector) -> dict:
    """{path: a copy of the value} of every variable."""
    return {path: variable.numpy() for path, variable in detector.variables().items()}


def outputs(detector) -> dict:
    """The raw outputs for the pictures, as arrays."""
    inputs, true_shapes = detector.preprocess(pictures()[:2])
    return {name: np.asarray(value) for name, value in detector.predict(inputs, true_shapes).items()}
