"""Test-time augmentation: an image looked at in several ways, and the boxes averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from detkit import fusion
from detkit.detections import Detections
from detkit.inference import tiling

_OVERLAP = 0.2  # of the parts that an enlarged image is looked at in


@dataclass(frozen=True)
class Augmentation:
    """Views of an image beside itself, and what to make of the detections in all of them.

    Attributes:
        names: "flip", mirrored from left to right; or a scale: objects appear so much larger in the model's input,
            which then sees an enlarged image in parts, or a smaller one with black around it.

    Source: Solovyev et al., Weighted boxes fusion, 2021.
    """

    names: tuple[str, ...]

    def lowest(self, threshold: float) -> float:
        """The lowest score to ask for in the views: what only some of them see loses score."""
        return threshold / (1 + len(self.names))

    def views(self, image: np.ndarray) -> list[np.ndarray]:
        """All pictures to look at: uint8 [H, W, 3] each, the image itself first."""
        return [image, *(view for name in self.names for view in _views(name, image))]

    def merged(self, found: Sequence[Detections], size: tuple[int, int], threshold: float) -> Detections:
        """The detections in an image of this (height, width) from those in its `views`."""
        rest, looks = list(found[1:]), [found[0]]
        for name in self.names:
            count = len(_regions(name, size))
            looks.append(_undone(name, rest[:count], size))
            del rest[:count]
        columns = ([getattr(look, name) for look in looks] for name in ("boxes", "scores", "class_ids"))
        boxes, scores, class_ids = fusion.weighted_boxes_fusion(*columns)
        fused = Detections(boxes, scores, class_ids, found[0].classes, tuple(size), found[0].source)
        return fused.above(threshold)


def _views(name: str, image: np.ndarray) -> list[np.ndarray]:
    if name == "flip":
        return [np.ascontiguousarray(image[:, ::-1])]
    if float(name) > 1:
        return tiling.cut(image, _regions(name, image.shape[:2]))
    canvas = np.zeros((*_scaled(image.shape[:2], name), 3), np.uint8)
    canvas[: image.shape[0], : image.shape[1]] = image
    return [canvas]


def _regions(name: str, size: tuple[int, int]) -> np.ndarray:
    """The parts of the image that a view shows, a picture for each: (top, left, bottom, right) in pixels."""
    if name == "flip" or float(name) <= 1:
        return np.array([(0, 0, *size)])
    return tiling.regions(size, _scaled(size, name), _OVERLAP)


def _scaled(size: tuple[int, int], name: str) -> tuple[int, int]:
    """The (height, width) of what fills the model's input at a scale."""
    return tuple(max(1, round(side / float(name))) for side in size)


def _undone(name: str, found: Sequence[Detections], size: tuple[int, int]) -> Detections:
    """The detections in the pictures of a view as detections in the image."""
    if name == "flip":
        ymin, xmin, ymax, xmax = found[0].boxes.T
        return replace(found[0], boxes=np.stack([ymin, 1 - xmax, ymax, 1 - xmin], axis=1))
    if float(name) > 1:
        return tiling.merge(found, _regions(name, size), size)
    factor = np.array(_scaled(size, name)) / np.array(size)
    boxes = np.clip(found[0].boxes * np.tile(factor, 2), 0, 1)
    return replace(found[0], boxes=boxes)[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)]
