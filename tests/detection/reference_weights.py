"""Weights and pictures that anyone can compute: the rule under which the reference outputs were made."""

from __future__ import annotations

import hashlib
import json

import numpy as np
from reference_model import reference_value

KEY = "model/{}/.ATTRIBUTES/VARIABLE_VALUE"


def assign(detector, gains) -> None:
    """Gives every variable of a detector its value."""
    for path, variable in detector.variables().items():
        variable.assign(reference_value(path, tuple(variable.shape), gains))


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
