"""Augmentation that knows where things are: one affine warp straight to the model's size, then one colour transform."""

from __future__ import annotations

import re
from dataclasses import dataclass

import cv2
import numpy as np

from detkit import boxes as box_math

KEPT, IGNORED = 0.6, 0.25  # visible shares: above the first a box counts, between the two nothing is asked of it


@dataclass(frozen=True)
class Geometry:
    """Where the things of a photo are in a view of it.

    Attributes:
        window: the part of the photo that the view shows, float64 [ymin, xmin, ymax, xmax], normalised; it may reach
            beyond the photo.
        mirrored: whether left and right are exchanged.
    """

    window: np.ndarray
    mirrored: bool

    def boxes(self, boxes) -> tuple[np.ndarray, np.ndarray]:
        """Boxes [N, 4] of the photo, normalised yxyx, in the view.

        Returns:
            float32 [N, 4], clipped to the view; and weights float32 [N]: 1 for an object that counts, 0 for one of
            which too little is left, -1 for one that is gone.
        """
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        moved = (boxes - np.tile(self.window[:2], 2)) / np.tile(self._extent, 2)
        if self.mirrored:
            moved = _mirror(moved)
        clipped = np.clip(moved, 0, 1)
        share = box_math.area(clipped) / np.maximum(box_math.area(moved), 1e-12)
        weights = np.where(share >= KEPT, 1.0, np.where(share >= IGNORED, 0.0, -1.0))
        return clipped.astype(np.float32), weights.astype(np.float32)

    def original(self, boxes) -> np.ndarray:
        """Boxes [N, 4] of the view in the photo, float64 [N, 4]; mirrored boxes are, their content is not."""
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        boxes = _mirror(boxes) if self.mirrored else boxes
        return boxes * np.tile(self._extent, 2) + np.tile(self.window[:2], 2)

    def keypoints(self, keypoints) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints [N, K, 2] of the photo, normalised (y, x), in the view, and which are inside it, bool [N, K]."""
        moved = (np.asarray(keypoints, np.float64) - self.window[:2]) / self._extent
        if self.mirrored:
            moved = moved * [1, -1] + [0, 1]
        return moved.astype(np.float32), ((moved >= 0) & (moved <= 1)).all(-1)

    @property
    def _extent(self) -> np.ndarray:
        return self.window[2:] - self.window[:2]


UNCHANGED = Geometry(np.array([0.0, 0.0, 1.0, 1.0]), False)


def _mirror(boxes):
    return boxes[:, [0, 3, 2, 1]] * [1, -1, 1, -1] + [0, 1, 0, 1]


def augment(image, boxes, settings, size, rng: np.random.Generator) -> tuple[np.ndarray, Geometry]:
    """A random view of a photo, at the size that the model reads.

    Args:
        image: uint8 [H, W, 3].
        boxes: [N, 4], normalised yxyx; one of them stays whole.
        settings: a `detkit.pipeline.settings.Augment`.
        size: (height, width) of the view.
        rng: decides everything.

    Returns:
        The view, uint8 [h, w, 3], and where things are in it.
    """
    window = _window(boxes, image.shape[:2], settings, rng)
    geometry = Geometry(window, bool(rng.random() < settings.flip))
    view = _warp(image, window, geometry.mirrored, size, rng)
    if settings.colour > 0:
        view = _recolour(view, settings.colour, rng)
    return view, geometry


def mirrored_order(names: tuple[str, ...]) -> list[int]:
    """Which keypoint each one is called in a mirrored view: left and right in the names change places."""
    other = {"left": "right", "right": "left"}

    def exchange(match: re.Match) -> str:
        word = match.group()
        changed = other[word.lower()]
        return changed.upper() if word.isupper() else changed.title() if word.istitle() else changed

    twins = [re.sub("left|right", exchange, name, flags=re.IGNORECASE) for name in names]
    return [names.index(twin) if twin in names else i for i, twin in enumerate(twins)]


def _window(boxes, shape, settings, rng) -> np.ndarray:
    """The part of the photo to show: [ymin, xmin, ymax, xmax], normalised, possibly larger than the photo."""
    zoom = np.exp(rng.uniform(-np.log(settings.zoom_in), np.log(settings.zoom_out)))
    stretch = np.exp(rng.uniform(-1, 1) * np.log(settings.stretch) / 2)
    sides = np.array([zoom * stretch, zoom / stretch])  # height, width as shares of the photo's
    if not len(boxes):
        low = rng.uniform(np.minimum(0, 1 - sides), np.maximum(0, 1 - sides))
        return np.concatenate([low, low + sides])
    chosen = np.asarray(boxes[rng.integers(len(boxes))], np.float64)
    sides = np.maximum(sides, (chosen[2:] - chosen[:2]) * 1.05)
    # Inside the photo where the view is smaller than it, around the photo where it is larger.
    low, high = np.minimum(0, 1 - sides), np.maximum(0, 1 - sides)
    low, high = np.maximum(low, chosen[2:] - sides), np.minimum(high, chosen[:2])
    start = rng.uniform(np.minimum(low, high), np.maximum(low, high))
    return np.concatenate([start, start + sides])


def _warp(image, window, mirrored, size, rng):
    """The window of the photo at `size`, sampled as the model's own resize does (no half-pixel centres)."""
    height, width = image.shape[:2]
    scale = (window[2:] - window[:2]) * [height, width] / size  # photo pixels per view pixel
    offset = window[:2] * [height, width]
    matrix = np.array([[scale[1], 0, offset[1]], [0, scale[0], offset[0]]], np.float64)
    if mirrored:
        matrix[0] = [-scale[1], 0, offset[1] + (size[1] - 1) * scale[1]]
    fill = rng.integers(60, 196, 3).tolist()
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        image, matrix, (size[1], size[0]), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=fill
    )


def _recolour(view, strength, rng):
    """Brightness, contrast, saturation, hue and white balance as one 3x3 matrix and an offset."""
    grey = np.full((3, 3), [0.299, 0.587, 0.114])
    saturation = np.exp(rng.uniform(-1, 1) * strength * 0.9)
    matrix = grey + saturation * (_hue(rng.uniform(-1, 1) * strength * 0.25) - grey)
    contrast = np.exp(rng.uniform(-1, 1) * strength * 0.6)
    balance = np.exp(rng.uniform(-1, 1, 3) * strength * 0.2)
    matrix = contrast * balance[:, None] * matrix
    mean = np.array(cv2.mean(view)[:3])
    offset = mean - contrast * mean + rng.uniform(-1, 1) * strength * 64
    return cv2.transform(view, np.column_stack([matrix, offset]))  # rounds and saturates


def _hue(angle):
    """Rotation by `angle` (radians) about the grey axis of RGB."""
    axis = np.full(3, 3**-0.5)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.cos(angle) * np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * np.outer(axis, axis)
