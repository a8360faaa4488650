"""Following objects from frame to frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from fractions import Fraction

import numpy as np
from scipy.optimize import linear_sum_assignment

from detkit import boxes
from detkit.detections import Detections
from detkit.inference.motion import Motion
from detkit.inference.writer import Result

_UNSURE_IOU = 0.5  # the least IoU of an unsure detection with the track it continues


class Tracker:
    """Gives the detections of a video's frames the numbers of the objects that they show.

    Sure detections are matched with the tracks first; then unsure ones with the tracks left over, which carries a
    track through frames where its object is half hidden. Each matching is the one with the greatest sum of IoUs
    between detections and the places that the tracks' motion leads to expect; classes do not mix. A track gets its
    number, from 1, in its second frame, for a false alarm seldom lasts two.

    Source: Zhang et al., ByteTrack, 2022; Bewley et al., Simple online and realtime tracking, 2016.

    Args:
        threshold: the lowest score of a sure detection; only these begin tracks.
        low: the lowest score of a detection that continues a track.
        iou: the least IoU of a sure detection with the track it continues.
        lost: seconds that a track is kept while its object is out of sight.

    Example:
        >>> tracker = Tracker()
        >>> for frame, found in enumerate(detector.detect_stream(images, threshold=0.1)):
        ...     print(tracker.update(found, time=frame / 25).track_ids)
    """

    def __init__(self, threshold: float = 0.3, low: float = 0.1, iou: float = 0.2, lost: float = 1.0):
        self._threshold, self._low, self._iou, self._lost = threshold, low, iou, lost
        self._tracks, self._time, self._count = _Tracks.of(np.zeros((0, 4)), np.zeros(0, int), 0.0), 0.0, 0

    def update(self, found: Detections, time: float) -> Detections:
        """The detections of the next frame with their `track_ids`.

        Args:
            found: the detections, unsure ones among them.
            time: of the frame, in seconds; the intervals may differ.

        Returns:
            The sure detections and those that continue a track, in the same order.
        """
        tracks, places = self._tracks, _places(found)
        tracks.motion.predict(max(0.0, time - self._time), unseen=tracks.seen < self._time)
        current, self._time = tracks.seen >= self._time, time
        track_of = self._match(found, places, current)  # [N], -1 for none
        matched = np.flatnonzero(track_of >= 0)
        tracks.correct(track_of[matched], places[matched], time)
        self._number(tracks, track_of[matched])
        ids = np.where(track_of >= 0, np.append(tracks.ids, -1)[track_of], -1)
        sure = found.scores >= self._threshold
        begun = np.flatnonzero(sure & (track_of < 0))
        alive = (tracks.seen >= time) | ((tracks.ids > 0) & (time - tracks.seen < self._lost))
        self._tracks = tracks[alive].joined(_Tracks.of(places[begun], found.class_ids[begun], time))
        return replace(found, track_ids=ids)[sure | (track_of >= 0)]

    def _match(self, found: Detections, places: np.ndarray, current: np.ndarray) -> np.ndarray:
        """For each detection the row of its track, or -1."""
        tracks, numbered = self._tracks, self._tracks.ids > 0
        overlaps = boxes.iou(_corners(tracks.motion.place), _corners(places))  # [T, N]
        overlaps[tracks.class_ids[:, None] != found.class_ids[None]] = 0
        sure = found.scores >= self._threshold
        unsure = ~sure & (found.scores >= self._low)
        rounds = (
            (numbered, sure, self._iou),
            (numbered & current, unsure, _UNSURE_IOU),
            (~numbered, sure, self._iou),
        )
        track_of, free = np.full(len(found), -1), np.ones(len(numbered), bool)
        for rows, columns, least in rounds:
            rows, columns = np.flatnonzero(rows & free), np.flatnonzero(columns & (track_of < 0))
            pairs = _pairs(overlaps[np.ix_(rows, columns)], least)
            track_of[columns[pairs[1]]] = rows[pairs[0]]
            free[rows[pairs[0]]] = False
        return track_of

    def _number(self, tracks: _Tracks, rows: np.ndarray) -> None:
        """Gives numbers to those of the tracks seen now that have none, in the order of their detections."""
        new = rows[tracks.ids[rows] < 0]
        tracks.ids[new] = self._count + 1 + np.arange(len(new))
        self._count += len(new)


def follow(results: Iterable[Result], make: Callable[[], Tracker], rate: Fraction) -> Iterator[Result]:
    """The results with `track_ids`; each source has a tracker of its own.

    Args:
        results: in the order of their frames; several sources may alternate.
        make: makes a tracker.
        rate: pictures a second in a source that doesn't tell their times.
    """
    trackers, counts = {}, {}
    for result in results:
        key = id(result.source)
        if key not in trackers:
            trackers[key], counts[key] = make(), 0
        time = result.frame.time if result.frame.time is not None else counts[key] / rate
        counts[key] += 1
        yield replace(result, detections=trackers[key].update(result.detections, float(time)))


@dataclass
class _Tracks:
    """Objects being followed: number (-1 if seen once), class, time when last seen, motion."""

    ids: np.ndarray
    class_ids: np.ndarray
    seen: np.ndarray
    motion: Motion

    @classmethod
    def of(cls, places: np.ndarray, class_ids: np.ndarray, time: float) -> _Tracks:
        """Tracks that begin with these boxes."""
        n = len(places)
        return cls(np.full(n, -1), class_ids, np.full(n, time), Motion.starting(places))

    def correct(self, rows: np.ndarray, places: np.ndarray, time: float) -> None:
        self.motion.correct(rows, places)
        self.seen[rows] = time

    def __getitem__(self, rows) -> _Tracks:
        return _Tracks(*(getattr(self, field.name)[rows] for field in fields(self)))

    def joined(self, other: _Tracks) -> _Tracks:
        columns = [getattr(self, name) for name in ("ids", "class_ids", "seen")]
        others = [getattr(other, name) for name in ("ids", "class_ids", "seen")]
        return _Tracks(*map(np.concatenate, zip(columns, others, strict=True)), self.motion.joined(other.motion))


def _pairs(overlaps: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """(rows, columns) of the one-to-one matching with the greatest sum, of overlaps [T, N] of at least `least`."""
    allowed = np.where(overlaps >= least, overlaps, 0)
    rows, columns = linear_sum_assignment(allowed, maximize=True)
    kept = allowed[rows, columns] > 0
    return rows[kept], columns[kept]


def _places(found: Detections) -> np.ndarray:
    return boxes.convert(found.boxes, "yxyx", "cxcywh_abs", size=found.size).astype(np.float64)


def _corners(places: np.ndarray) -> np.ndarray:
    return boxes.convert(places, "cxcywh", "xyxy")
