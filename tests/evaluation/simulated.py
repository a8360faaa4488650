"""Test sets of any size from a population whose true AP can be computed."""

from __future__ import annotations

import numpy as np

from detkit.evaluation.matches import Matches

THRESHOLDS = np.linspace(0.5, 0.95, 10)


def simulate(seed: int, images: int, classes: int, difficulty: int | None = None) -> Matches:
    """The matches of a detector on images of differing difficulty, with one to about three objects of each class.

    Args:
        difficulty: of the seed that decides the images and objects; the detections have their own. None: the same.
    """
    rng = np.random.default_rng(seed)
    scenes = rng if difficulty is None else np.random.default_rng([difficulty, 1])
    hard = scenes.normal(0, 1, images)
    objects = scenes.poisson(1.0, (images, classes)) + (np.arange(classes) == 0)
    parts = [_detections(rng, hard, objects[:, k], k) for k in range(classes)]
    image, class_id, score, overlap = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((-score, class_id))
    truth = np.where(overlap[order] >= THRESHOLDS[:, None], 0, -1)
    nothing = np.zeros(0, np.int32)
    return Matches(
        THRESHOLDS, image[order], class_id[order], score[order], order, truth, np.zeros_like(truth, bool),
        np.zeros((len(order), 4)), objects, nothing, nothing, nothing.astype(bool), np.zeros((0, 4)),
    )  # fmt: skip


def _detections(rng, hard, objects, k: int):
    """Image, class, score and IoU of the detections of a class: of objects, and of nothing."""
    image = np.repeat(np.arange(len(hard)), objects)
    quality = 1 - 0.7 * hard[image] + rng.normal(0, 1, len(image))
    found = rng.random(len(image)) < 1 / (1 + np.exp(-quality - 1.5))
    score = 1 / (1 + np.exp(-quality - rng.normal(0, 0.7, len(image))))
    overlap = np.clip(0.75 + 0.08 * quality + rng.normal(0, 0.08, len(image)), 0, 1)
    nothing = np.repeat(np.arange(len(hard)), rng.poisson(0.8 * np.exp(0.4 * hard)))
    score = np.concatenate([score[found], 1 / (1 + np.exp(1.5 - 1.2 * rng.normal(0, 1, len(nothing))))])
    image = np.concatenate([image[found], nothing])
    return image, np.full(len(image), k), score, np.concatenate([overlap[found], np.zeros(len(nothing))])
