"""Weights and pictures that anyone can compute: the rule under which the reference outputs were made."""

from __future__ import annotations

import hashlib
import json

import numpy as np

KEY = "model/{}/.ATTRIBUTES/VARIABLE_VALUE"


def normal(path: str, shape) -> np.ndarray:
    """Standard normal numbers, seeded by the checkpoint key of a variable."""
    digest = hashlib.sha256(KEY.format(path).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8], "little"))).standard_normal(shape)


def _gain(path: str, gains) -> float:
    backbone, head, neck = gains
    if "/classification_backbone/" in path:
        return backbone
    return head if "_prediction_heads/" in path or "_box_prediction_head/" in path else neck


def weight(path: str, shape, gains) -> np.ndarray:
    """The value of a variable.

    Args:
        path: of the variable, without "model/".
        gains: of the backbone, the head and the neck.
    """
    draw, name = normal(path, shape), path.rsplit("/", 1)[1]
    if name.endswith("kernel"):
        fan_in = shape[0] * shape[1] if name == "depthwise_kernel" else np.prod(shape[:-1])
        value = draw * _gain(path, gains) * np.sqrt(2.0 / fan_in)
    elif name == "bias":
        value = 0.1 * draw - 2.0 * ("class_predictions_with_background/" in path)
    elif name == "moving_variance":
        value = 1.0 + 0.1 * np.abs(draw)
    else:
        value = 0.1 * draw + (name == "gamma")
    return value.astype(np.float32)


def assign(detector, gains) -> None:
    """Gives every variable of a detector its value."""
    for path, variable in detector.variables().items():
        variable.assign(weight(path, tuple(variable.shape), gains))


def image(seed: int, height: int, width: int) -> np.ndarray:
    """Noise in blocks of 8 x 8, uint8 [height, width, 3]."""
    noise = np.random.Generator(np.random.PCG64(seed)).integers(0, 256, (1, height, width, 3))[0]
    return noise[::8, ::8].repeat(8, axis=0).repeat(8, axis=1)[:height, :width].astype(np.uint8)


def shapes(detector) -> dict:
    """{checkpoint key: shape} of a detector's variables, as the manifests list them."""
    return {KEY.format(path): list(map(int, v.shape)) for path, v in detector.variables().items()}


def digest(shapes: dict) -> str:
    """A hash of keys and shapes."""
    return hashlib.sha256(json.dumps(sorted(shapes.items())).encode()).hexdigest()
