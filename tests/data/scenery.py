"""Pictures whose objects are painted, so that a view of them shows where the objects are."""

from __future__ import annotations

import numpy as np

from detkit import masks as mask_math
from detkit.data import batches
from detkit.data.dataset import Dataset
from detkit.data.example import Example

SIZE = (120, 160)
PAINT = np.array([255, 0, 255], np.uint8)
GREY = 90  # of the ground; what fills up a view is between 60 and 196


def moon(rng, size=SIZE) -> np.ndarray:
    """A mask of no symmetry, over 20 pixels high and wide."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    centre, radius = rng.uniform(50, 70, 2), rng.uniform(22, 40)
    disc = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
    return disc & (x + 0.6 * y < centre[1] + 0.6 * centre[0] + 5)


def photo(*masks, paint=PAINT, with_masks=True, size=SIZE, **fields) -> Example:
    """A grey picture of painted masks, in tight boxes."""
    picture, boxes = np.full((*size, 3), GREY, np.uint8), []
    for mask in masks:
        picture[mask] = paint
        boxes.append(box_of(mask) / np.tile(size, 2))
    if with_masks:
        fields["segmentations"] = [mask_math.encode(mask, (0, 0), mask.shape) for mask in masks]
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Example(picture, boxes, fields.pop("class_ids", [0] * len(boxes)), size, **fields)


def views_of(*examples, augmentation=None, size=(200, 220), wants=(), seed=0, classes=("a", "b", "c")):
    return batches.Views(Dataset(examples, classes), lambda _: size, augmentation, seed, wants)


def box_of(inside) -> np.ndarray:
    """The pixel box [ymin, xmin, ymax, xmax] of what is true."""
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    return np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])


def painted(image, paint=PAINT, near=80) -> np.ndarray:
    """bool [h, w], where a picture has that colour."""
    return (np.abs(image.astype(int) - paint) < near).all(axis=2)


def pixels(box, view) -> np.ndarray:
    """A box in the pixels of a view."""
    return np.asarray(box, np.float64) * np.tile(view.size, 2)


def covered(view, n) -> np.ndarray:
    """bool [h, w], the pixels of the view that the mask of object n covers."""
    side, cells = view.masks.shape[1], []
    for count, low, high in zip(view.size, view.boxes[n, :2], view.boxes[n, 2:], strict=True):
        cells.append(np.floor(((np.arange(count) + 0.5) / count - low) / (high - low) * side).astype(int))
    inside = [(0 <= each) & (each < side) for each in cells]
    rows, columns = (np.clip(each, 0, side - 1) for each in cells)
    return (view.masks[n][rows][:, columns] >= 128) & inside[0][:, None] & inside[1]


def overlap(a, b) -> float:
    return (a & b).sum() / max((a | b).sum(), 1)
