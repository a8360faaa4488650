"""Which detection found which object: what intervals, thresholds, calibration and error analysis start from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from detkit.evaluation.metrics import RECALL_GRID

_AT_ONCE = 2**21  # detections times resamples that are worked on at a time


@dataclass(frozen=True, eq=False)
class Matches:
    """The matching of the COCO evaluation, over all sizes of objects, at each IoU threshold.

    Detections are sorted by class, then by falling score, equal scores as pycocotools has them.

    Attributes:
        thresholds: float64 [T], of IoU (or OKS).
        image: int32 [D], the image of each detection, a number in the order of evaluation.
        class_id: int32 [D].
        score: float64 [D].
        row: int64 [D], the detection's place in the list that was evaluated.
        truth: int64 [T, D], the place of the object that it found in the list of objects, -1 for none.
        ignored: bool [T, D], detections that count neither for nor against.
        boxes: float64 [D, 4], xmin, ymin, width, height in pixels.
        objects: int64 [images, K], the objects of each class that count.
        truth_image, truth_class: int32 [G], of the objects in their list.
        truth_counts: bool [G], whether they count; crowds and difficult objects don't.
        truth_boxes: float64 [G, 4], as `boxes`.

    Source: `COCOeval.evaluateImg` of pycocotools.
    """

    thresholds: np.ndarray
    image: np.ndarray
    class_id: np.ndarray
    score: np.ndarray
    row: np.ndarray
    truth: np.ndarray
    ignored: np.ndarray
    boxes: np.ndarray
    objects: np.ndarray
    truth_image: np.ndarray
    truth_class: np.ndarray
    truth_counts: np.ndarray
    truth_boxes: np.ndarray

    @classmethod
    def of(cls, entries, thresholds, images: int, classes: int, objects: list[dict], found: list[dict]) -> Matches:
        """From pycocotools' entries of images, over all sizes of objects, class by class; and what was evaluated."""
        entries, thresholds = [entry for entry in entries if entry is not None], np.asarray(thresholds, np.float64)
        counts = [len(entry["dtScores"]) for entry in entries]
        image, class_id = (np.repeat([e[key] for e in entries], counts) for key in ("image_id", "category_id"))
        score = np.concatenate([[], *(entry["dtScores"] for entry in entries)])
        row = np.concatenate([[], *(entry["dtIds"] for entry in entries)]).astype(np.int64) - 1
        none = np.zeros((len(thresholds), 0))
        truth = np.concatenate([none, *(entry["dtMatches"] for entry in entries)], axis=1).astype(np.int64) - 1
        ignored = np.concatenate([none, *(entry["dtIgnore"] for entry in entries)], axis=1).astype(bool)
        order = np.lexsort((-score, class_id))  # stable: images in order among equal scores
        return cls(
            thresholds,
            image=image[order].astype(np.int32),
            class_id=class_id[order].astype(np.int32),
            score=score[order],
            row=row[order],
            truth=truth[:, order],
            ignored=ignored[:, order],
            boxes=_boxes(found)[row[order]],
            **_of_truth(objects, entries, images, classes),
        )

    @property
    def correct(self) -> np.ndarray:
        """bool [T, D]: detections that found an object that counts."""
        return (self.truth >= 0) & ~self.ignored

    @property
    def wrong(self) -> np.ndarray:
        """bool [T, D]: detections that found nothing, and count."""
        return (self.truth < 0) & ~self.ignored

    def of_class(self, class_id: int) -> slice:
        """The detections of a class."""
        return slice(*np.searchsorted(self.class_id, [class_id, class_id + 1]))

    def at(self, thresholds: slice) -> Matches:
        """The same at some of the IoU thresholds."""
        parts = {name: getattr(self, name)[thresholds] for name in ("thresholds", "truth", "ignored")}
        return replace(self, **parts)

    def average_precision(self, weights=None, detections: Callable | None = None) -> np.ndarray:
        """AP as COCO interpolates it, of each threshold and class, in samples that hold images more or less often.

        Args:
            weights: [S, images], how often each image is in each of S samples; None: once, in one sample.
            detections: how often its detections are, where that is not as often as the image: a function of a slice of
                the samples and a slice of the detections, to [samples, detections].

        Returns:
            float64 [S, T, K], NaN where a class has no objects.
        """
        weights = np.ones((1, len(self.objects))) if weights is None else np.asarray(weights, np.float64)
        detections = detections or (lambda rows, here: weights[rows][:, self.image[here]])
        objects = weights @ self.objects  # [S, K]
        correct = self.correct
        result = np.full((len(weights), len(self.thresholds), self.objects.shape[1]), np.nan)
        for k in np.flatnonzero(self.objects.any(axis=0)):
            here = self.of_class(k)
            step = max(1, _AT_ONCE // max(here.stop - here.start, 1))
            for start in range(0, len(weights), step):
                rows = slice(start, start + step)
                each = detections(rows, here), correct[:, here], self.ignored[:, here], objects[rows, k]
                result[rows, :, k] = _interpolated(*each)
        return result


def _interpolated(weights, correct, ignored, objects) -> np.ndarray:
    """AP [S, T] of a class whose detections weigh [S, D], with so many objects [S]."""
    seen = np.cumsum(weights, axis=1, dtype=np.float64)
    each = [_area(weights, seen, *at, objects) for at in zip(correct, ignored, strict=True)]
    return np.where(objects[:, None] > 0, np.stack(each, axis=1), np.nan)


def _area(weights, seen, correct, ignored, objects) -> np.ndarray:
    """AP [S] at one threshold, of detections that weigh [S, D], and with their running sum `seen`."""
    # Recall rises at right detections only, and precision is nowhere higher than there.
    right, aside = np.flatnonzero(correct), np.flatnonzero(ignored)
    found = np.cumsum(weights[:, right], axis=1, dtype=np.float64)
    left_out = np.cumsum(np.pad(weights[:, aside], [(0, 0), (1, 0)]), axis=1, dtype=np.float64)
    precision = found / np.maximum(seen[:, right] - left_out[:, np.searchsorted(aside, right)], np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = found / np.maximum(objects, np.spacing(1))[:, None]
    # How many of the 101 recalls are reached by each detection, and not by the one before it.
    reached = np.searchsorted(RECALL_GRID, recall.ravel(), side="right").reshape(recall.shape)
    return (np.diff(reached, axis=1, prepend=0) * precision).sum(axis=1) / len(RECALL_GRID)


def _of_truth(objects: list[dict], entries, images: int, classes: int) -> dict:
    counted = np.zeros((images, classes), np.int64)
    counts = np.zeros(len(objects), bool)
    for entry in entries:
        these = entry["gtIgnore"] == 0
        counted[entry["image_id"], entry["category_id"]] = np.count_nonzero(these)
        numbers = np.asarray(entry["gtIds"], np.int64)[these]
        counts[numbers[numbers > 0] - 1] = True
    return {
        "objects": counted,
        "truth_image": np.array([each["image_id"] for each in objects], np.int32),
        "truth_class": np.array([each["category_id"] for each in objects], np.int32),
        "truth_counts": counts,
        "truth_boxes": _boxes(objects),
    }


def _boxes(entries: list[dict]) -> np.ndarray:
    """[N, 4], xmin, ymin, width, height; zeros for what has a mask or keypoints only."""
    return np.array([entry.get("bbox") or (0, 0, 0, 0) for entry in entries], np.float64).reshape(-1, 4)
