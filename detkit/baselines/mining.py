"""Training of linear classifiers on boxes of photos, with hard-negative mining."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np

from detkit import boxes as box_math
from detkit.baselines.linear import Linear, Scaling, fit_svm
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.errors import DataError

POSITIVE, NEGATIVE = 0.6, 0.3  # IoU with a box of the class, from which on and below which
_CHUNK = 1024


class Candidates(NamedTuple):
    """What may be an object in one image.

    Attributes:
        boxes: float32 [N, 4], normalised yxyx.
        describe: rows int [n] -> features float32 [n, D].
    """

    boxes: np.ndarray
    describe: Callable


@dataclass(frozen=True)
class Samples:
    """Candidates of several images with what is true of them.

    Attributes:
        features: float32 [N, D].
        targets: int8 [N, C]: 1 of the class, -1 not, 0 between.
        boxes: float32 [N, 4]; truth: float32 [N, 4], the ground truth that overlaps most.
    """

    features: np.ndarray
    targets: np.ndarray
    boxes: np.ndarray
    truth: np.ndarray

    def __add__(self, other: Samples) -> Samples:
        pairs = {each.name: (getattr(self, each.name), getattr(other, each.name)) for each in fields(self)}
        return Samples(**{name: np.concatenate(pair) for name, pair in pairs.items()})


class View(NamedTuple):
    """An example with its pixels, or its mirror image; `index` is its number in the dataset."""

    example: Example
    index: int
    mirrored: bool


def views(dataset: Dataset) -> Iterator[View]:
    """Each example, then its mirror image."""
    for index, example in enumerate(dataset):
        pixels = example.pixels()
        yield View(replace(example, image=pixels), index, False)
        flipped = np.ascontiguousarray(pixels[:, ::-1])
        yield View(replace(example, image=flipped, boxes=mirrored(example.boxes)), index, True)


def mirrored(boxes: np.ndarray) -> np.ndarray:
    """Normalised yxyx boxes [N, 4] in the mirror image."""
    return np.stack([boxes[:, 0], 1 - boxes[:, 3], boxes[:, 2], 1 - boxes[:, 1]], axis=1)


def targets(boxes: np.ndarray, example: Example, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(targets int8 [N, C], the ground truth box float32 [N, 4] that overlaps most) of boxes [N, 4].

    The best candidate of an object is of its class even if it overlaps less, down to NEGATIVE. Crowds and difficult
    objects are neither: what overlaps them counts for nothing.
    """
    overlaps = box_math.iou(boxes, example.boxes)  # [N, M]
    sure = example.counts
    doubtful = overlaps[:, ~sure].max(axis=1, initial=0) >= NEGATIVE
    overlaps, truth = overlaps[:, sure], example.boxes[sure]
    of_class = example.class_ids[sure, None] == np.arange(classes)  # [M, C]
    claimed = (overlaps == overlaps.max(axis=0, initial=NEGATIVE)) | (overlaps >= POSITIVE)  # [N, M]
    inside = (claimed.astype(np.float32) @ of_class.astype(np.float32)) > 0  # [N, C]
    best = np.where(of_class, overlaps[:, :, None], 0).max(axis=1, initial=0)  # [N, C]
    outside = (best < NEGATIVE) & ~doubtful[:, None]
    nearest = truth[overlaps.argmax(axis=1)] if len(truth) else np.zeros_like(boxes)
    return np.where(inside, 1, np.where(outside, -1, 0)).astype(np.int8), nearest


def learn(
    dataset: Dataset,
    candidates: Callable[[View], Candidates],
    *,
    negatives: int = 200,
    mined: int = 200,
    penalty: float = 1e-2,
    seed: int = 0,
) -> tuple[Scaling, Linear, Samples]:
    """A classifier of candidates.

    The first pass over the images takes what belongs to a class and some of the rest by chance; the second one adds
    what the first classifier mistakes for an object, or nearly so.

    Args:
        dataset: the ground truth.
        candidates: of a view.
        negatives, mined: how many a view of an image contributes to the first and to the second pass.
        penalty: of the classifier.
        seed: of the choice.

    Returns:
        (how features are scaled, the classifier, what it learnt from).

    Raises:
        DataError: if the dataset is empty, or a class has nothing to learn from.

    Source: Girshick et al., "R-CNN", CVPR 2014, section 2.3.
    """
    if not len(dataset):
        raise DataError("There is nothing to learn from: the dataset has no images.", where=dataset.name)
    rng, count = np.random.default_rng(seed), len(dataset.classes)
    samples, seen = None, []
    for view in views(dataset):
        found = candidates(view)
        labels, truth = targets(found.boxes, view.example, count)
        rows = _first_rows(labels, negatives, rng)
        seen.append(rows)
        part = _samples(found, labels, truth, rows)
        samples = part if samples is None else samples + part
    scaling = Scaling.of(samples.features)
    linear = fit_svm(scaling(samples.features), samples.targets, penalty, classes=dataset.classes)
    for view, rows in zip(views(dataset), seen, strict=True):
        found = candidates(view)
        labels, truth = targets(found.boxes, view.example, count)
        labels[rows] = 0
        samples += _samples(found, labels, truth, _hard_rows(found, labels, scaling, linear, mined))
    return scaling, fit_svm(scaling(samples.features), samples.targets, penalty, classes=dataset.classes), samples


def _samples(found: Candidates, labels, truth, rows) -> Samples:
    return Samples(found.describe(rows), labels[rows], found.boxes[rows], truth[rows])


def _first_rows(labels: np.ndarray, negatives: int, rng) -> np.ndarray:
    """All rows of a class, and a choice of those of none."""
    inside = np.flatnonzero((labels > 0).any(axis=1))
    rest = np.flatnonzero((labels < 0).all(axis=1))
    return np.sort(np.concatenate([inside, rng.permutation(rest)[:negatives]]))


def _hard_rows(found: Candidates, labels, scaling, linear, most: int) -> np.ndarray:
    """The rows of a negative margin class that score worst, at most so many; those safely outside are left out."""
    rows = np.flatnonzero((labels < 0).any(axis=1))
    chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    margins = [linear.margins(scaling(found.describe(chunk))) for chunk in chunks]
    if not margins:
        return rows
    worst = np.where(labels[rows] < 0, np.concatenate(margins), -np.inf).max(axis=1)
    order = np.argsort(-worst, kind="stable")[:most]
    return np.sort(rows[order[worst[order] > -1]])
