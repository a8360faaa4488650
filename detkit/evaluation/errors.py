"""What a detector does wrong, by cause: which classes it confuses, and the AP that each kind of error costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from detkit import boxes as box_math
from detkit.evaluation.matches import Matches

CAUSES = ("class", "localization", "both", "duplicate", "background", "missed")
MEANING = {
    "class": "objects called another class",
    "localization": "boxes that fit badly",
    "both": "another class and a bad box",
    "duplicate": "objects found twice",
    "background": "objects found where there are none",
    "missed": "objects not found",
}
NEAR = 0.1  # IoU from which on a detection means an object


@dataclass(frozen=True, eq=False)
class Errors:
    """The errors of a detector at one IoU threshold.

    Attributes:
        cause: int8 [D], of each of the matches' detections the index in `CAUSES`, -1 for one that is no error.
        missed: bool [G], objects that no detection found, not even with another class or a bad box.
        count: {cause: how many}.
        cost: {cause: the AP at that threshold that would be gained if these errors were put right}.
    """

    cause: np.ndarray
    missed: np.ndarray
    count: dict[str, int]
    cost: dict[str, float]


def analyse(matches: Matches, threshold: int = 0) -> Errors:
    """The causes of all errors: "class" (the box of an object, another class), "localization" (its class, a bad box),
    "both", "duplicate" (of a better detection), "background" (nothing there), and "missed" objects.

    Put right means: the class or box is corrected, if the object is not found otherwise; others are left out; missed
    objects are no longer asked for.

    Args:
        matches: of an evaluation of boxes.
        threshold: which of the matches' IoU thresholds; the first, 0.5, by default.

    Source: Bolya et al., TIDE: a general toolbox for identifying object detection errors, 2020.
    """
    cause, meant = _causes(matches, threshold)
    found = np.zeros(len(matches.truth_class), bool)
    found[matches.truth[threshold][matches.correct[threshold]]] = True
    nearly = np.zeros(len(found), bool)
    nearly[meant[np.isin(cause, [0, 1])]] = True
    missed = matches.truth_counts & ~found & ~nearly
    count = {name: int(np.count_nonzero(cause == n)) for n, name in enumerate(CAUSES[:-1])}
    count["missed"] = int(missed.sum())
    base, cost = _mean_ap(matches, threshold), {}
    for n, name in enumerate(CAUSES):
        if not count[name]:
            cost[name] = 0.0
        elif name == "missed":
            cost[name] = _mean_ap(_without_objects(matches, missed), threshold) - base
        else:
            corrected = _corrected(matches, threshold, cause == n, meant if n < 2 else None, found)
            cost[name] = _mean_ap(corrected, threshold) - base
    return Errors(cause, missed, count, cost)


def _mean_ap(matches: Matches, threshold: int) -> float:
    average = matches.at(slice(threshold, threshold + 1)).average_precision()
    return float(np.nanmean(average)) if np.isfinite(average).any() else 0.0


def _pairs(matches: Matches) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each image with detections: their places, those of its counted objects, and the IoU of each with each."""
    objects = np.flatnonzero(matches.truth_counts)
    images = np.unique(matches.image)
    detections_of = _by_image(np.arange(len(matches.image)), matches.image, images)
    objects_of = _by_image(objects, matches.truth_image[objects], images)
    for rows, columns in zip(detections_of, objects_of, strict=True):
        yield rows, columns, box_math.iou(_corners(matches.boxes[rows]), _corners(matches.truth_boxes[columns]))


def _by_image(places: np.ndarray, image: np.ndarray, images: np.ndarray) -> list[np.ndarray]:
    """The places that are of each of the images."""
    order = np.argsort(image, kind="stable")
    starts, stops = (np.searchsorted(image[order], images, side=side) for side in ("left", "right"))
    return [places[order[start:stop]] for start, stop in zip(starts, stops, strict=True)]


def _corners(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _causes(matches: Matches, threshold: int) -> tuple[np.ndarray, np.ndarray]:
    """The cause of each error, -1 for what is none, and the object that the detection means, -1 for none."""
    cause, meant = np.full(len(matches.score), -1, np.int8), np.full(len(matches.score), -1, np.int64)
    all_wrong = matches.wrong[threshold]
    limit = float(matches.thresholds[threshold])  # overlaps are float32, and so is what they are compared with
    for rows, columns, overlaps in _pairs(matches):
        same = matches.class_id[rows, None] == matches.truth_class[columns]
        own, other = np.where(same, overlaps, -1), np.where(same, -1, overlaps)
        best_own, best_other = (each.max(axis=1, initial=-1) for each in (own, other))
        own_object, other_object = (_place(each, columns) for each in (own, other))
        # In this order: what could be several things is the first of them.
        kinds = [
            (1, (best_own >= NEAR) & (best_own < limit), own_object),
            (0, best_other >= limit, other_object),
            (3, best_own >= limit, own_object),
            (4, np.maximum(best_own, best_other) < NEAR, own_object),
            (2, np.ones(len(rows), bool), other_object),
        ]
        wrong = all_wrong[rows]
        for kind, holds, object_ in kinds:
            these = wrong & holds & (cause[rows] < 0)
            cause[rows[these]], meant[rows[these]] = kind, object_[these]
    return cause, meant


def _place(overlaps: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The object with the highest overlap for each row."""
    return columns[overlaps.argmax(axis=1)] if len(columns) else np.full(len(overlaps), -1)


def _corrected(matches: Matches, threshold: int, these: np.ndarray, meant, found: np.ndarray) -> Matches:
    """The matches with these errors put right, or if it isn't known what they mean without them."""
    truth, ignored = matches.truth[threshold].copy(), matches.ignored[threshold].copy()
    class_id = matches.class_id.copy()
    ignored[these] = True
    if meant is not None:
        rows = np.flatnonzero(these & ~found[meant])
        rows = rows[np.argsort(-matches.score[rows], kind="stable")]
        _, first = np.unique(meant[rows], return_index=True)  # only the best detection of an object
        rows = rows[first]
        truth[rows], ignored[rows], class_id[rows] = meant[rows], False, matches.truth_class[meant[rows]]
    order = np.lexsort((-matches.score, class_id))
    shape = (len(matches.thresholds), 1)
    return replace(
        matches,
        image=matches.image[order],
        class_id=class_id[order],
        score=matches.score[order],
        row=matches.row[order],
        boxes=matches.boxes[order],
        truth=np.tile(truth[order], shape),
        ignored=np.tile(ignored[order], shape),
    )


def _without_objects(matches: Matches, missed: np.ndarray) -> Matches:
    objects = matches.objects.copy()
    np.subtract.at(objects, (matches.truth_image[missed], matches.truth_class[missed]), 1)
    return replace(matches, objects=objects)


def confusion(matches: Matches, score: float, threshold: int = 0) -> np.ndarray:
    """Which class was taken for which: int64 [K + 1, K + 1], rows the truth, columns detections of at least `score`.

    The last row counts detections where nothing is, the last column objects that were not found. Objects and
    detections of any class are paired one to one, from the highest IoU down; a detection that found an object which
    does not count is left out.
    """
    classes = matches.objects.shape[1]
    matrix = np.zeros((classes + 1, classes + 1), np.int64)
    counted = (matches.score >= score) & ~matches.ignored[threshold]
    found, used = np.zeros(len(matches.truth_class), bool), np.zeros(len(matches.score), bool)
    for rows, columns, overlaps in _pairs(matches):
        for place in np.argsort(-overlaps, axis=None, kind="stable"):
            n, m = np.unravel_index(place, overlaps.shape)
            if overlaps[n, m] < matches.thresholds[threshold]:
                break
            if counted[rows[n]] and not used[rows[n]] and not found[columns[m]]:
                used[rows[n]] = found[columns[m]] = True
                matrix[matches.truth_class[columns[m]], matches.class_id[rows[n]]] += 1
    np.add.at(matrix[classes], matches.class_id[counted & ~used], 1)
    np.add.at(matrix[:, classes], matches.truth_class[matches.truth_counts & ~found], 1)
    return matrix
