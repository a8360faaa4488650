"""What the tests of all architectures share: small detectors with drawn weights, pictures, and what is true of them."""

from __future__ import annotations

import numpy as np
import pytest
import reference_weights
from model_configs import ARCHITECTURES, KEYPOINTS, config
from reference_model import usual_gains

from detkit.detection.build import FAMILIES, build
from detkit.pipeline import od_config

# Not of the zoo: the third stage on a small backbone.
MASKS_ON_RESNET = {
    "feature_extractor.type": "faster_rcnn_resnet50_keras",
    "initial_crop_size": 14,
    "maxpool_kernel_size": 2,
    "maxpool_stride": 2,
}
VARIANTS = {"mask_rcnn_resnet50": ("mask_rcnn_inception_resnet_v2", MASKS_ON_RESNET)}
# One of each family runs through everything, one of each kind of backbone, neck and head through the forward pass.
THOROUGH = (
    "ssd_mobilenet_v2_fpnlite_320x320",
    "efficientdet_d0",
    "faster_rcnn_resnet50_v1_640x640",
    "centernet_mobilenetv2fpn_512x512_kpts",
)
FORWARD = (
    "ssd_mobilenet_v2_320x320",
    "ssd_mobilenet_v1_fpn_640x640",
    "ssd_resnet50_v1_fpn_640x640",
    "faster_rcnn_resnet50_v1_800x1333",
    "mask_rcnn_inception_resnet_v2",
    "centernet_mobilenetv2fpn_512x512_od__densefpn",
    "centernet_resnet50_v1_fpn_512x512",
    "centernet_resnet50_v2_512x512_kpts",
    "centernet_hg104_512x512",
)
OTHERS = tuple(name for name in ARCHITECTURES if name not in THOROUGH + FORWARD)
ALL = (*THOROUGH, *VARIANTS, *FORWARD, *OTHERS)
QUICK = {"keys": THOROUGH + FORWARD, "forward": (*THOROUGH, *VARIANTS, *FORWARD), "training": (*THOROUGH, *VARIANTS)}
SIZES = ((48, 80), (90, 40), (3, 5))  # of the pictures


def over(kind: str):
    """Parametrises a test over all architectures; those that the kind of test runs through quickly are not slow."""
    names = [pytest.param(name, marks=[] if name in QUICK[kind] else pytest.mark.slow) for name in ALL]
    return pytest.mark.parametrize("model", names, indirect=True, scope="module")


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


def small_detector(name: str, **changes):
    """A detector with a small input and drawn weights."""
    detector = build(small_config(name, **changes), name=name)
    reference_weights.assign(detector, usual_gains(name))
    return detector


def pictures() -> list[np.ndarray]:
    """Noise in several sizes, the last one tiny."""
    return [reference_weights.image(seed, *size) for seed, size in enumerate(SIZES)]


def batch(detector, images=None, seed: int = 0) -> tuple:
    """(inputs, true shapes, ground truth) of two pictures; the second has one object less, and one to ignore."""
    import tensorflow as tf

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
