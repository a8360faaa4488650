"""Annotations of another size than their picture: which of them can be put right, and how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from detkit.data import images
from detkit.data.dataset import Dataset
from detkit.data.example import Example, size_problem
from detkit.data.problems import Problem

_BEYOND = ("A box lies outside its image.", "A box stuck out of its image", "A polygon lies outside its image.")
Move = Callable[[np.ndarray], np.ndarray]  # of points [..., (y, x)], normalised


def corrected(dataset: Dataset, reread: Callable[[], Dataset] | None) -> list[tuple[Example, str | None]]:
    """For each example itself or, if its size was wrong, as it should be and how that was done.

    What decides is in which of the two sizes more boxes fit. Where as many fit in both, only a picture that was resized
    later, to the same shape, can be put right; the size of a photo before its EXIF rotation can not.

    Args:
        dataset: examples whose pictures open, and the problems of reading them.
        reread: reads the dataset with the sizes of the picture files instead of those annotated.

    Returns:
        Examples, each with a sentence on what was done, or None.
    """
    wrong = [not isinstance(each.image, np.ndarray) and size_problem(each) is not None for each in dataset]
    own = reread() if reread and any(wrong) else None
    again = {_key(example): example for example in own or ()}
    beyond, beyond_own = _beyond(dataset), _beyond(own)
    found = []
    for example, is_wrong in zip(dataset, wrong, strict=True):
        if is_wrong:
            faults = beyond[example.label], beyond_own[example.label]
            found.append(_corrected(example, again.get(_key(example)), faults))
        else:
            found.append((example, None))
    return found


def _key(example: Example):
    return example.label, example.source, example.image_id


def _beyond(dataset: Dataset | None) -> Counter:
    """{picture: how many boxes reach beyond it}."""
    return Counter(problem.image for problem in dataset.problems if _is_beyond(problem)) if dataset else Counter()


def _is_beyond(problem: Problem) -> bool:
    return problem.what.startswith(_BEYOND)


def _corrected(example: Example, own: Example | None, faults: tuple[int, int]) -> tuple[Example, str | None]:
    beyond, beyond_own = faults
    stored, orientation = images.stored_size(example.image)
    size = stored[::-1] if orientation >= 5 else stored
    if own is not None and beyond > beyond_own:
        return own, "The annotated size was corrected: the boxes are in pixels of the picture."
    if example.class_map is not None or any(isinstance(each, dict) for each in example.segmentations or ()):
        return example, None
    if not len(example):
        return replace(example, size=size), "The annotated size was corrected: there are no boxes."
    if orientation >= 5 and stored == example.size:
        if beyond_own > beyond:
            moved = _moved(example, size, lambda points: _upright(points, orientation))
            return moved, "The boxes were turned as EXIF turns their photo: they were drawn on it unturned."
    elif _same_shape(example.size, size):
        moved = _moved(example, size, lambda points: points)
        return moved, "The boxes were scaled: the picture was resized since it was annotated."
    return example, None


def _same_shape(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether a picture of one (height, width), resized and rounded to whole pixels, may have the other."""
    return min(abs(a[0] * b[1] / a[1] - b[0]), abs(a[1] * b[0] / a[0] - b[1])) <= 0.5


def _upright(points: np.ndarray, orientation: int) -> np.ndarray:
    """Points of a photo as it is stored, where they are when it is upright."""
    y, x = points[..., 0], points[..., 1]
    if orientation >= 5:
        y, x = x, y
    x = 1 - x if orientation in (2, 3, 6, 7) else x
    y = 1 - y if orientation in (3, 4, 7, 8) else y
    return np.stack([y, x], -1)


def _moved(example: Example, size: tuple[int, int], move: Move) -> Example:
    """The example for a picture of another size, its points moved."""
    corners = move(example.boxes.reshape(-1, 2, 2))
    boxes = np.concatenate([corners.min(1), corners.max(1)], -1)
    parts = {}
    if example.segmentations is not None:
        given = example.segmentations
        parts["segmentations"] = tuple(each and _moved_polygons(each, example.size, size, move) for each in given)
    if example.keypoints is not None:
        parts["keypoints"] = move(example.keypoints)
    area = example.area * (np.prod(size) / np.prod(example.size))
    return replace(example, boxes=boxes, size=size, area=area, **parts)


def _moved_polygons(polygons, old: tuple[int, int], size: tuple[int, int], move: Move) -> list[list[float]]:
    moved = []
    for polygon in polygons:
        points = np.reshape(np.asarray(polygon, np.float64), (-1, 2))[:, ::-1] / old
        moved.append(np.round(move(points) * size, 3)[:, ::-1].ravel().tolist())
    return moved
