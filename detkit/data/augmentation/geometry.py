"""Where the things of a photo are in a view of it: one affine map, straight to the size of the view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from detkit import boxes as box_math
from detkit.data.class_map import IGNORED
from detkit.data.sample import Sample

_QUARTERS = np.array([[[1, 0], [0, 1]], [[0, 1], [-1, 0]], [[-1, 0], [0, -1]], [[0, -1], [1, 0]]])
KEPT, GONE = 0.6, 0.25  # visible shares: from the first on a box counts, below the second it is gone


def counted(share: np.ndarray) -> np.ndarray:
    """The weights float32 of objects of which this share shows: 1 counts, 0 is too little to ask, -1 is gone."""
    return np.where(share >= KEPT, 1.0, np.where(share >= GONE, 0.0, -1.0)).astype(np.float32)


@dataclass(frozen=True)
class Geometry:
    """The affine map of a view.

    Attributes:
        matrix: float64 [2, 3], from (y, x, 1) of the view to (y, x) of the photo, both normalised.
    """

    matrix: np.ndarray

    @property
    def straight(self) -> bool:
        """Whether the sides of a box stay sides of a box: nothing is turned but by multiples of 90 degrees."""
        linear = self.matrix[:, :2]
        return not (linear[0, 1] or linear[1, 0]) or not (linear[0, 0] or linear[1, 1])

    @property
    def mirrored(self) -> bool:
        """Whether left is right."""
        return np.linalg.det(self.matrix[:, :2]) < 0

    def points(self, points) -> np.ndarray:
        """Points [..., 2] of the photo, normalised (y, x), in the view, float64."""
        return (np.asarray(points, np.float64) - self.matrix[:, 2]) @ np.linalg.inv(self.matrix[:, :2]).T

    def original(self, points) -> np.ndarray:
        """Points [..., 2] of the view in the photo, float64."""
        return np.asarray(points, np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]

    def extents(self, sample: Sample) -> np.ndarray:
        """The boxes of a photo's objects in the view, float64 [N, 4], not clipped.

        What is turned by other than multiples of 90 degrees gets the box of its turned mask. Without a mask it is
        taken for the ellipse inside its box, since the box of the turned corners is larger than the object (Kalra et
        al., "Towards Rotation Invariance in Object Detection", 2021); labelled keypoints in its box stay in the box.
        """
        boxes = np.asarray(sample.boxes, np.float64)
        centres = self.points((boxes[:, :2] + boxes[:, 2:]) / 2)
        half = np.sqrt(((boxes[:, 2:] - boxes[:, :2]) / 2) ** 2 @ np.linalg.inv(self.matrix[:, :2]).T ** 2)
        moved = np.concatenate([centres - half, centres + half], axis=1)
        if not self.straight:
            self._fit_keypoints(moved, sample)
            self._fit_masks(moved, sample)
        return moved

    def _fit_keypoints(self, moved, sample: Sample) -> None:
        if sample.keypoints is None or not sample.keypoints.size:
            return
        low, high = sample.boxes[:, None, :2], sample.boxes[:, None, 2:]  # [N, 1, 2]
        held = ((sample.keypoints >= low) & (sample.keypoints <= high)).all(-1) & (sample.keypoint_weights > 0)
        points = self.points(sample.keypoints)
        moved[:, :2] = np.minimum(moved[:, :2], np.where(held[..., None], points, np.inf).min(1))
        moved[:, 2:] = np.maximum(moved[:, 2:], np.where(held[..., None], points, -np.inf).max(1))

    def _fit_masks(self, moved, sample: Sample) -> None:
        for n, mask in enumerate(sample.masks or ()):
            if mask is not None and mask.inside.any():
                points = self.points(_corners(mask) / sample.size)
                moved[n] = [*points.min(0), *points.max(0)]

    def boxes(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """The boxes of a photo's objects in the view.

        Returns:
            float32 [N, 4], clipped to the view; and weights float32 [N]: 1 for an object that counts, 0 for one of
            which too little is left, -1 for one that is gone.
        """
        moved = self.extents(sample)
        clipped = np.clip(moved, 0, 1)
        share = box_math.area(clipped) / np.maximum(box_math.area(moved), 1e-12)
        return clipped.astype(np.float32), counted(share)


UNCHANGED = Geometry(np.eye(2, 3))


def _corners(mask) -> np.ndarray:
    """The corners of the first and last pixel of each row of a mask, float64 [P, 2], (y, x) in the photo's pixels."""
    rows = np.flatnonzero(mask.inside.any(1))
    first = mask.inside[rows].argmax(1)
    last = mask.inside.shape[1] - mask.inside[rows, ::-1].argmax(1)
    points = np.stack([np.tile([rows, rows + 1], (2, 1)), np.repeat([first, last], 2, axis=0)], -1)  # [4, rows, 2]
    return points.reshape(-1, 2) + [mask.top, mask.left]


class Pose(NamedTuple):
    """How a view shows a photo: turned about its centre, cut to a window, flipped.

    Attributes:
        window: the part of the turned photo that the view shows, float64 [ymin, xmin, ymax, xmax], normalised; it may
            reach beyond the photo.
        flips: whether top and bottom, and whether left and right are exchanged.
        quarters: turns by 90 degrees, counter-clockwise.
        angle: of a turn beside these, in degrees, counter-clockwise; what it moves out of the photo's frame is cut.
    """

    window: np.ndarray
    flips: tuple[bool, bool] = (False, False)
    quarters: int = 0
    angle: float = 0.0

    def turned(self, shape: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of a turned photo of this shape."""
        return shape[::-1] if self.quarters % 2 else shape

    def geometry(self, shape: tuple[int, int]) -> Geometry:
        """The map of the view of a photo of this shape."""
        turned, shape = np.array(self.turned(shape)), np.array(shape)
        turn = self._turn(turned, shape)
        turn = np.concatenate([turn[:, :2] * turned, turn[:, 2:]], axis=1) / shape[:, None]
        return Geometry(self._onto(turn, np.ones(2), np.ones(2), np.ones(2)))

    def sampling(self, shape: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
        """From pixels of a view of `size` to pixels of the photo, float64 [2, 3], in (y, x).

        Pixels are sampled as the model's own resize does, without half-pixel centres.
        """
        turned, size = np.array(self.turned(shape)), np.array(size)
        return self._onto(self._turn(turned - 1, np.array(shape) - 1), turned, size, size - 1)

    def _turn(self, ends, photo_ends) -> np.ndarray:
        """From the turned photo to the photo, [2, 3]; each begins at 0 and has its last point at `ends`."""
        angle = np.deg2rad(self.angle)
        cos, sin = np.cos(angle), np.sin(angle)
        linear = _QUARTERS[self.quarters % 4] @ np.array([[cos, sin], [-sin, cos]])
        return np.column_stack([linear, photo_ends / 2 - linear @ (ends / 2)])

    def _onto(self, turn, turned, size, ends) -> np.ndarray:
        """From a view to a photo: flips, then the window, then the turn."""
        scale = (self.window[2:] - self.window[:2]) * turned / size
        offset = self.window[:2] * turned + np.where(self.flips, ends * scale, 0)
        scale = np.where(self.flips, -scale, scale)
        return np.column_stack([turn[:, :2] * scale, turn[:, :2] @ offset + turn[:, 2]])


def draw(sample: Sample, settings, rng: np.random.Generator) -> Pose:
    """A random pose: a `zoom_in` never cuts one of the objects, chosen at random, so that a crop keeps something.

    Args:
        sample: the photo.
        settings: a `detkit.pipeline.settings.Augment`.
        rng: decides everything.
    """
    whole = np.array([0.0, 0, 1, 1])
    pose = Pose(whole)
    if settings.rotate90 > 0 and rng.random() < settings.rotate90:
        pose = pose._replace(quarters=int(rng.integers(1, 4)))
    if settings.rotate > 0:
        pose = pose._replace(angle=float(rng.uniform(-1, 1) * settings.rotate))
    turns = pose.quarters or pose.angle
    boxes = pose.geometry(sample.size).extents(sample) if turns else sample.boxes
    window = _window(boxes, settings, rng)
    mirrored = bool(rng.random() < settings.flip)
    upside_down = settings.vertical_flip > 0 and bool(rng.random() < settings.vertical_flip)
    return pose._replace(window=window, flips=(upside_down, mirrored))


def _window(boxes, settings, rng) -> np.ndarray:
    """The part of the photo to show: [ymin, xmin, ymax, xmax], normalised, possibly larger than the photo."""
    zoom = np.exp(rng.uniform(-np.log(settings.zoom_in), np.log(settings.zoom_out)))
    stretch = np.exp(rng.uniform(-1, 1) * np.log(settings.stretch) / 2)
    sides = np.array([zoom * stretch, zoom / stretch])  # height, width as shares of the photo's
    keeps = None
    if len(boxes):
        chosen = np.asarray(boxes[rng.integers(len(boxes))], np.float64)
        sides = np.maximum(sides, (chosen[2:] - chosen[:2]) * 1.05)
        keeps = chosen[2:] - sides, chosen[:2]
    # Inside the photo where the view is smaller than it, around the photo where it is larger.
    low, high = np.minimum(0, 1 - sides), np.maximum(0, 1 - sides)
    if keeps is not None:
        low, high = np.clip(low, *keeps), np.clip(high, *keeps)
    start = rng.uniform(low, high)
    return np.concatenate([start, start + sides])


def warp(image: np.ndarray, sampling: np.ndarray, size: tuple[int, int], fill) -> np.ndarray:
    """The picture uint8 [h, w, 3] of a view; `fill`, three values, is what is beyond the photo."""
    # OpenCV takes a third of the time for four channels that it takes for three, to the same values.
    pays = image.shape[0] * image.shape[1] < 4 * size[0] * size[1]
    image = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA) if pays else image
    view = _warped(image, sampling, size, cv2.INTER_LINEAR, fill)
    return cv2.cvtColor(view, cv2.COLOR_RGBA2RGB) if pays else view


def warp_classes(semantic: np.ndarray, sampling: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The class of each pixel of a view, uint8 [h, w], that of the nearest pixel of the photo."""
    return _warped(semantic, sampling, size, cv2.INTER_NEAREST, IGNORED)


def _warped(image, sampling, size, interpolation, fill) -> np.ndarray:
    matrix = sampling[::-1, [1, 0, 2]]  # (x, y)
    flags, border = interpolation | cv2.WARP_INVERSE_MAP, cv2.BORDER_CONSTANT
    return cv2.warpAffine(image, matrix, tuple(size)[::-1], flags=flags, borderMode=border, borderValue=fill)
