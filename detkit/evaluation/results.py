"""Stored detections: COCO results as `Detections`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from detkit import boxes as box_math
from detkit.detections import Detections
from detkit.errors import DataError
from detkit.io import read_json

if TYPE_CHECKING:
    from detkit.data import Dataset


def read_results(path: str | Path, dataset: Dataset) -> list[Detections]:
    """The boxes of a COCO results file, one Detections for each example of the dataset that they belong to.

    Those of a category that the dataset does not have are left out.

    Raises:
        DataError: for a file that is no list of results, an image that is not in the dataset, or a box or score that is
            not a finite number.
    """
    entries = read_json(path)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        what, expected = "This is no COCO results file.", "a list of {image_id, category_id, bbox, score}"
        raise DataError(what, where=path, got=type(entries).__name__, expected=expected)
    images = {example.image_id: n for n, example in enumerate(dataset)}
    ids = {label: k for k, label in enumerate(dataset.label_ids)}
    image = _places(entries, images, path)
    class_id = np.array([ids.get(_hashable(entry.get("category_id")), -1) for entry in entries], np.int64)
    boxes, scores = _numbers(entries, "bbox", (4,), path), _numbers(entries, "score", (), path)
    order = np.lexsort((-scores, image))
    order = order[class_id[order] >= 0]
    starts = np.searchsorted(image[order], np.arange(len(dataset) + 1))
    found = []
    for n, example in enumerate(dataset):
        here = order[starts[n] : starts[n + 1]]
        own = box_math.convert(boxes[here], "xywh_abs", "yxyx", example.size)
        found.append(Detections(own, scores[here], class_id[here], dataset.classes, example.size, example.label))
    return found


def _places(entries: list[dict], images: dict, path) -> np.ndarray:
    """The places of the entries' images, int64 [N]."""
    ids = [entry.get("image_id") for entry in entries]
    unknown = next((n for n, each in enumerate(ids) if not isinstance(each, (int, str)) or each not in images), None)
    if unknown is not None:
        fix = "Give the annotations that these results belong to."
        what = "A result belongs to an image that the annotations don't have."
        raise DataError(what, where=f"{path}, [{unknown}]", got=repr(ids[unknown]), fix=fix)
    return np.array([images[each] for each in ids], np.int64)


def _numbers(entries: list[dict], key: str, shape: tuple[int, ...], path) -> np.ndarray:
    """The entries' numbers, float64 [N, *shape]."""
    try:
        values = np.array([entry[key] for entry in entries], np.float64).reshape(len(entries), *shape)
    except (KeyError, TypeError, ValueError) as error:
        what = f"The results need a {key} each" + (", [xmin, ymin, width, height]." if shape else ".")
        raise DataError(what, where=path, got=str(error)) from None
    bad = np.flatnonzero(~np.isfinite(values).all(axis=tuple(range(1, values.ndim))))
    if bad.size:
        what = f"A result has a {key} that is not a finite number."
        raise DataError(what, where=f"{path}, [{bad[0]}]", got=entries[bad[0]][key])
    return values


def _hashable(key):
    return key if isinstance(key, (int, float, str)) else None
