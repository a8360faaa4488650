"""From a photo to a random view of it."""

from __future__ import annotations

import cv2
import numpy as np

from detkit import masks as mask_math
from detkit.data.augmentation import geometry as geometries
from detkit.data.augmentation.colour import recolour
from detkit.data.augmentation.geometry import UNCHANGED, Geometry
from detkit.data.sample import CutMask, Sample, View

MASK_SIDE = 112  # cells of a mask, over its box
FINEST = 4  # samples of a turned mask across a cell, at most


def vary(sample: Sample, settings, size: tuple[int, int], rng: np.random.Generator, swaps=slice(None)) -> View:
    """A random view of a photo, geometry and colour.

    Args:
        sample: the photo.
        settings: a `detkit.pipeline.settings.Augment`.
        size: (height, width) of the view.
        rng: decides everything.
        swaps: as for `moved`.
    """
    pose = geometries.draw(sample, settings, rng)
    sampling = pose.sampling(sample.size, size)
    image = geometries.warp(sample.image, sampling, size, rng.integers(60, 196, 3).tolist())
    if settings.colour > 0:
        image = recolour(image, settings.colour, rng)
    semantic = sample.semantic
    if semantic is not None:
        semantic = geometries.warp_classes(semantic, sampling, size)
    return moved(sample, pose.geometry(sample.size), image, semantic, swaps)


def unvaried(sample: Sample) -> View:
    """A photo as it is."""
    return moved(sample, UNCHANGED, sample.image, sample.semantic)


def moved(sample: Sample, geometry: Geometry, image, semantic=None, swaps=slice(None)) -> View:
    """A view with the objects of a photo where the geometry moves them; those that are out of it are left out.

    Args:
        sample: the photo; geometry: of the view.
        image: uint8 [h, w, 3], what the view shows; semantic: uint8 [h, w], the classes of its pixels, or None.
        swaps: which keypoint each one is called in a mirrored view.
    """
    boxes, weights = (sample.boxes, 1.0) if geometry is UNCHANGED else geometry.boxes(sample)
    weights = np.where(sample.weights > 0, weights, np.minimum(weights, 0.0)).astype(np.float32)
    here = np.flatnonzero(weights >= 0)
    kept = sample.only(here)
    view = View(image, boxes[here], kept.class_ids, weights[here], semantic=semantic, labels=sample.labels)
    if kept.masks is not None:
        masks = [_stretched(mask, box, sample.size, geometry) for mask, box in zip(kept.masks, view.boxes, strict=True)]
        view = view._replace(masks=np.array(masks, np.uint8).reshape(-1, MASK_SIDE, MASK_SIDE))
    if kept.keypoints is not None:
        view = view._replace(**_keypoints(kept, geometry, swaps))
    return view


def _keypoints(kept: Sample, geometry: Geometry, swaps) -> dict[str, np.ndarray]:
    if geometry is UNCHANGED:
        return {"keypoints": kept.keypoints, "keypoint_weights": kept.keypoint_weights}
    points = geometry.points(kept.keypoints)
    inside = ((points >= 0) & (points <= 1)).all(-1)
    order = swaps if geometry.mirrored else slice(None)
    weights = (kept.keypoint_weights * inside).astype(np.float32)
    return {"keypoints": points.astype(np.float32)[:, order], "keypoint_weights": weights[:, order]}


def _stretched(mask: CutMask | None, box: np.ndarray, shape, geometry: Geometry) -> np.ndarray:
    """The mask of an object over its box [4] in the view, uint8 [S, S]; `shape` is that of the photo."""
    if mask is None:
        return np.zeros((MASK_SIDE, MASK_SIDE), np.uint8)
    if geometry.straight:
        return _straight(mask, box, shape, geometry)
    return _turned(mask, box, shape, geometry)


def _straight(mask: CutMask, box, shape, geometry: Geometry) -> np.ndarray:
    corners = geometry.original(np.reshape(box, (2, 2))) * shape - [mask.top, mask.left]
    original = [*corners.min(0), *corners.max(0)]
    stretched = mask_math.stretch(mask.inside, original, MASK_SIDE)
    linear = geometry.matrix[:, :2]
    stretched = stretched.T if linear[0, 1] else stretched
    up, mirrored = linear.sum(0) < 0  # of two numbers in a column one is 0
    return stretched[:: -1 if up else 1, :: -1 if mirrored else 1]


def _turned(mask: CutMask, box, shape, geometry: Geometry) -> np.ndarray:
    """The mean of samples in each cell, about as dense as the pixels of the photo."""
    sides = box[2:] - box[:2]
    linear = geometry.matrix[:, :2] * np.array(shape)[:, None] * sides / MASK_SIDE  # photo pixels per cell
    fine = int(np.clip(np.ceil(np.abs(linear).max()), 1, FINEST))
    offset = geometry.original(box[:2]) * shape - [mask.top, mask.left]
    linear = linear / fine
    sampling = np.column_stack([linear, offset + linear.sum(1) / 2 - 0.5])
    size = (MASK_SIDE * fine, MASK_SIDE * fine)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    inside = mask.inside.astype(np.uint8) * 255
    sampled = cv2.warpAffine(inside, sampling[::-1, [1, 0, 2]], size, flags=flags, borderMode=cv2.BORDER_CONSTANT)
    return cv2.resize(sampled, (MASK_SIDE, MASK_SIDE), interpolation=cv2.INTER_AREA)
