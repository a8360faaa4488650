"""A detector with the reference weights, and what the OD API computed with them."""

from __future__ import annotations

import numpy as np
import pytest
import reference_weights

from detkit import boxes as box_math
from detkit.detection.build import build
from detkit.pipeline import od_config


class Case:
    """An architecture: its reference arrays and the detector."""

    def __init__(self, folder, name: str):
        with np.load(folder / "golden" / f"{name}.npz") as archive:
            self.arrays = dict(archive)
        self.detector = build(od_config.read(folder / "configs" / f"{name}.config"))
        reference_weights.assign(self.detector, self.arrays["meta/gains"])

    def __getitem__(self, key: str) -> np.ndarray:
        return self.arrays[key]

    def image(self, tag: str, seed: int = 7) -> np.ndarray:
        """The picture of a tag: the model's own size, 427 x 640 or 375 x 500."""
        size = {"b": (427, 640), "c": (375, 500)}.get(tag, tuple(self["meta/model_size"]))
        return reference_weights.image(seed, *map(int, size))

    def pair(self, key: str, ours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(ours, theirs) of a tensor of which the reference may hold every n-th row only."""
        if key in self.arrays:
            return ours, self[key]
        thinned = next(name for name in self.arrays if name.startswith(f"{key}/every"))
        return ours[:, :: int(thinned.rsplit("every", 1)[1])], self[thinned]


def cases(forward=(), slow=()):
    """Parameters for a module's `case` fixture."""
    return [*forward, *(pytest.param(name, marks=pytest.mark.slow) for name in slow)]


def unmatched(found, boxes, scores, class_ids) -> list[int]:
    """Reference detections without a partner of their own among `found`.

    Partners have the same class, an IoU above 0.999 and scores within 1e-4; near-equal scores may
    swap places.
    """
    left, missing = set(range(len(found[0]))), []
    overlaps = box_math.iou(boxes, found[0])
    alike = (np.abs(scores[:, None] - found[1]) <= 1e-4) & (class_ids[:, None] == found[2])
    alike &= overlaps > 0.999
    for number in range(len(boxes)):
        partners = [i for i in left if alike[number, i]]
        if not partners:
            missing.append(number)
        else:
            left.remove(max(partners, key=lambda i: overlaps[number, i]))
    return missing
