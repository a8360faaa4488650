"""Makes a model directory whose weights anyone can recompute, for benchmarks that need no trained checkpoint.

Every value follows from the variable's checkpoint key: a normal draw seeded by the key's SHA-256, scaled as He
initialisation for kernels, near the identity for batch norms.

    python benchmarks/reference_model.py PIPELINE.CONFIG OUTPUT [--gains BACKBONE HEAD NECK]
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
# Where the gains apply, by parts of a checkpoint key; everything else is neck.
BACKBONE = (
    "/classification_backbone/", "/_base_model/", "/_resnet_model/", "/_efficientnet/", "_feature_extractor/_network/",
    "_feature_extractor_for_box_classifier_features/", "_feature_extractor_for_proposal_features/",
)  # fmt: skip
HEADS = (
    "_prediction_heads/", "_box_prediction_head/", "_class_prediction_head/", "_prediction_head_dict/",
    "_first_stage_box_predictor/",
)  # fmt: skip
MASK_HEAD, MASK_GAIN = "_third_stage_heads/", 0.75
# Gains that keep a forward pass within bounds, by the beginning of an architecture's name; the longest counts.
GAINS = {
    "": (0.65, 0.6, 0.75),
    "ssd_mobilenet_v1": (1.2, 0.6, 1.0),
    "ssd_mobilenet_v2": (0.85, 0.5, 1.0),
    "efficientdet": (1.05, 1.4, 1.0),
    "efficientdet_d5": (0.985, 1.4, 1.0),
    "efficientdet_d6": (0.975, 2.0, 0.7),
    "efficientdet_d7": (0.975, 2.0, 0.7),
    "faster_rcnn_resnet": (0.45, 0.6, 1.0),
    "faster_rcnn_inception": (1.05, 0.35, 1.0),
    "mask_rcnn_inception": (1.05, 0.35, 1.0),
    "mask_rcnn_resnet": (0.45, 0.6, 1.0),
    "centernet_hg104": (0.7, 0.3, 1.0),
    "centernet_mobilenet": (0.85, 0.4, 1.0),
    "centernet_resnet": (0.45, 0.18, 1.0),
    "centernet_resnet50_v2": (0.93, 0.6, 1.0),
}


def reference_value(path: str, shape: tuple, gains=(1.0, 1.0, 1.0)) -> np.ndarray:
    """The value of the variable at a checkpoint path ("_feature_extractor/..."), float32 of the given shape.

    Args:
        gains: factors for the kernels of the backbone, of the final layers, and of everything else.
    """
    key = f"model/{path}{SUFFIX}"
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")
    draw = np.random.Generator(np.random.PCG64(seed)).standard_normal(shape)
    name = path.rsplit("/", 1)[1]
    if name.endswith("kernel"):
        fan_in = np.prod(shape[:2]) if name == "depthwise_kernel" else np.prod(shape[:-1])
        value = draw * (_gain(key, gains) * np.sqrt(2.0 / fan_in))
    elif name == "moving_variance":
        value = 1.0 + 0.1 * np.abs(draw)
    else:
        value = 0.1 * draw + {"gamma": 1.0, "bifpn_combine_weights": 1.0, "bias": _prior(key)}.get(name, 0.0)
    return value.astype(np.float32)


def usual_gains(name: str) -> tuple[float, float, float]:
    """The gains of GAINS for the architecture of that name."""
    return GAINS[max((beginning for beginning in GAINS if name.startswith(beginning)), key=len)]


def _gain(key: str, gains) -> float:
    if any(part in key for part in BACKBONE):
        return gains[0]
    if MASK_HEAD in key:
        return MASK_GAIN
    return gains[1] if any(part in key for part in HEADS) else gains[2]


def _prior(key: str) -> float:
    """Biases of class scores start low; those of CenterNet's box sizes high, so that boxes are not empty."""
    if "class_predictions_with_background/" in key or "_class_prediction_head/" in key:
        return -2.0
    final = "/layer_with_weights-1/" in key
    if final and ("_prediction_head_dict/object_center/" in key or "keypoint.Sheatmap/" in key):
        return -2.0
    return 8.0 if final and "_prediction_head_dict/box.Sscale/" in key else 0.0


def reference_detector(config_path, gains):
    """The detector of a pipeline.config with reference weights."""
    from detkit.detection.build import build
    from detkit.pipeline import od_config

    detector = build(od_config.read(config_path))
    for path, variable in detector.variables().items():
        variable.assign(reference_value(path, tuple(variable.shape), gains))
    return detector


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("output")
    parser.add_argument("--gains", type=float, nargs=3, help="by default those that suit the config's name")
    arguments = parser.parse_args()
    path = Path(arguments.config)
    gains = arguments.gains or usual_gains(path.parent.name if path.stem == "pipeline" else path.stem)

    from detkit.detection.load import save

    save(reference_detector(path, gains), arguments.output)
    print(f"written: {arguments.output}")


if __name__ == "__main__":
    main()
