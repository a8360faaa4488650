"""Counting followed objects that cross lines and enter zones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from detkit.detections import Detections
from detkit.inference.geometry import Shape, inside
from detkit.inference.options import Tracking
from detkit.inference.writer import Result
from detkit.io import write_json

# An object has changed sides once it is this part of its longer side away: one that stands on a line trembles.
_MARGIN = 0.1
_REMEMBERED = 10_000  # tracks at a line or zone, for memory to end somewhere; older ones never come back


class LineCounter:
    """Counts the tracks that cross a line: "in" from its left to its right, seen from its first to its second point.

    Args:
        line: two points.
    """

    def __init__(self, line: Shape):
        self._line, self._last = line, {}
        self._counts = {"in": Counter(), "out": Counter()}

    def update(self, points: np.ndarray, found: Detections) -> dict:
        """Takes in where the tracks are, points [N, 2] in pixels; returns all counts so far."""
        start, end = self._line.pixels(found.size)
        along = (end - start) / np.linalg.norm(end - start)
        offsets = points - start
        distances = along[0] * offsets[:, 1] - along[1] * offsets[:, 0]  # [N], above 0 to the right of the line
        sides = (found.boxes[:, 2:] - found.boxes[:, :2]) * found.size
        decided = np.abs(distances) > _MARGIN * sides.max(axis=1, initial=0)
        for n in np.flatnonzero(decided):
            place = (distances[n], offsets[n] @ along)
            before = _remember(self._last, int(found.track_ids[n]), place)
            if before and _crosses(before, place, np.linalg.norm(end - start)):
                self._counts["in" if place[0] > 0 else "out"][found.labels[n]] += 1
        return _described(self._line, self._counts)


class ZoneCounter:
    """Counts the tracks that are in a zone now, and those that have ever been, each once.

    Args:
        zone: the corners.
    """

    def __init__(self, zone: Shape):
        self._zone, self._known, self._entered = zone, {}, Counter()

    def update(self, points: np.ndarray, found: Detections) -> dict:
        """Takes in where the tracks are, points [N, 2] in pixels; returns the counts."""
        present = Counter()
        for n in np.flatnonzero(inside(points, self._zone.pixels(found.size))):
            present[found.labels[n]] += 1
            if _remember(self._known, int(found.track_ids[n]), True) is None:
                self._entered[found.labels[n]] += 1
        return _described(self._zone, {"present": present, "entered": self._entered})


class Tally:
    """The counts of all sources.

    Args:
        tracking: where to count, and which file to write.
    """

    def __init__(self, tracking: Tracking):
        self._tracking, self._counters, self._counts = tracking, {}, {}

    def count(self, results: Iterable[Result]) -> Iterator[Result]:
        """The results, which have `track_ids`, their frames with `counts`; each source is counted by itself."""
        for result in results:
            key = id(result.source)
            if key not in self._counters:
                self._counters[key] = (
                    [LineCounter(line) for line in self._tracking.lines],
                    [ZoneCounter(zone) for zone in self._tracking.zones],
                )
            counts = self._update(*self._counters[key], result.detections)
            self._counts[key] = {"source": str(result.source.path)} | counts
            yield replace(result, frame=replace(result.frame, counts=counts))

    def _update(self, lines: list[LineCounter], zones: list[ZoneCounter], found: Detections) -> dict:
        followed = found[found.track_ids > 0]
        ymin, xmin, ymax, xmax = followed.boxes.astype(np.float64).T
        y = ymax if self._tracking.count_at == "bottom" else (ymin + ymax) / 2
        points = np.stack([(xmin + xmax) / 2, y], axis=1) * found.size[::-1]
        return {
            "lines": [line.update(points, followed) for line in lines],
            "zones": [zone.update(points, followed) for zone in zones],
        }

    @property
    def counts(self) -> list[dict]:
        """The counts of each source after its last frame, in the order of the sources."""
        return list(self._counts.values())

    def write(self) -> list[Path]:
        """Writes `counts` as JSON if that is asked for; returns the paths written."""
        if not self._tracking.counts:
            return []
        write_json(self._tracking.counts, {"sources": self.counts})
        return [Path(self._tracking.counts)]


def _remember(memory: dict, key: int, value):
    """Stores a value as the newest one; returns what was stored for the key before."""
    before = memory.pop(key, None)
    memory[key] = value
    if len(memory) > _REMEMBERED:
        del memory[next(iter(memory))]
    return before


def _crosses(before: tuple[float, float], after: tuple[float, float], length: float) -> bool:
    """Whether the way between two places, (distance from the line, way along it), crosses a line of this length."""
    if (before[0] > 0) == (after[0] > 0):
        return False
    part = before[0] / (before[0] - after[0])
    return 0 <= before[1] + part * (after[1] - before[1]) <= length


def _described(shape: Shape, counts: dict[str, Counter]) -> dict:
    totals = {name: dict(sorted(counter.items())) for name, counter in counts.items()}
    return {"name": shape.name, "points": [list(point) for point in shape.points], **totals}
