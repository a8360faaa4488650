"""Objects that move as told, detections of them, and how well their tracks keep to them."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from detkit import boxes
from detkit.detections import Detections

SIZE = (480, 640)


def detections(places, scores=None, class_ids=None, classes=("person", "car"), size=SIZE) -> Detections:
    """Detections at [xcentre, ycentre, width, height] in pixels, sorted by falling score."""
    places = np.reshape(np.asarray(places, float), (-1, 4))
    n = len(places)
    scores = np.full(n, 0.9) if scores is None else np.asarray(scores)
    class_ids = np.zeros(n, int) if class_ids is None else np.asarray(class_ids)
    order = np.argsort(-scores, kind="stable")
    corners = boxes.convert(places[order], "cxcywh_abs", "yxyx", size=size)
    return Detections(corners, scores[order], class_ids[order], classes, size)


def walk(start, velocity, frames: int, rate: float = 30, side=(40, 80)) -> np.ndarray:
    """[frames, 4] places of an object with a velocity in pixels a second."""
    times = np.arange(frames)[:, None] / rate
    return np.hstack([np.asarray(start) + times * velocity, np.tile(side, (frames, 1))])


def crowd(objects: int, frames: int, seed: int) -> np.ndarray:
    """[frames, objects, 4] places of objects that walk through the picture in smooth curves."""
    rng = np.random.default_rng(seed)
    start, velocity = rng.uniform((60, 60), (580, 420), (objects, 2)), rng.normal(0, 60, (objects, 2))
    turns, phases = rng.uniform(0.3, 1, (objects, 2)), rng.uniform(0, 6, (objects, 2))
    times = np.arange(frames)[:, None, None] / 30
    centres = start + velocity * times * 0.3 + 40 * np.sin(turns * times + phases)
    return np.concatenate([centres, np.broadcast_to(rng.uniform(30, 70, (objects, 2)), centres.shape)], -1)


def quality(truth: np.ndarray, tracked: list[Detections]) -> dict[str, float]:
    """MOTA and IDF1 of tracks, at IoU 0.5, and the switches of identity.

    Sources: Bernardin and Stiefelhagen, CLEAR MOT, 2008; Ristani et al., Performance measures, 2016.

    Args:
        truth: [frames, objects, 4] places.
        tracked: for each frame the detections with their `track_ids`.
    """
    last, together = {}, {}
    misses = false_alarms = switches = predictions = 0
    for places, found in zip(truth, tracked, strict=True):
        found = found[found.track_ids > 0]
        corners = boxes.convert(places, "cxcywh_abs", "yxyx", size=SIZE)
        overlaps = boxes.iou(corners, found.boxes)
        pairs = [(r, c) for r, c in zip(*linear_sum_assignment(-overlaps), strict=True) if overlaps[r, c] >= 0.5]
        misses, false_alarms = misses + len(places) - len(pairs), false_alarms + len(found) - len(pairs)
        predictions += len(found)
        for r, c in pairs:
            track = int(found.track_ids[c])
            switches += last.get(r, track) != track
            last[r] = track
            together[r, track] = together.get((r, track), 0) + 1
    tracks = sorted({track for _, track in together})
    counts = np.array([[together.get((r, track), 0) for track in tracks] for r in range(truth.shape[1])])
    rows, columns = linear_sum_assignment(-counts)
    total = truth.shape[0] * truth.shape[1]
    return {
        "MOTA": 1 - (misses + false_alarms + switches) / total,
        "IDF1": 2 * counts[rows, columns].sum() / (total + predictions),
        "switches": switches,
    }
