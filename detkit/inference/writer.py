"""The last stage of a prediction run: drawing, and giving results to the sinks, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from detkit.detections import Detections
from detkit.inference.outputs import Outputs, Target
from detkit.inference.sinks import Write
from detkit.inference.sources import Frame, Source


@dataclass(frozen=True)
class Result:
    """A frame of a source with what was found in it."""

    source: Source
    frame: Frame
    detections: Detections


class Writer:
    """Writes results: to the targets of their source, and to those that all sources share.

    Args:
        outputs: where what goes.
        draw: makes the picture, uint8 [H, W, 3], of a result.
    """

    def __init__(self, outputs: Outputs, draw: Callable[[Result], np.ndarray]):
        self._own, self._shared, self._draw = outputs.own, outputs.shared, draw
        self.outputs: list[Path] = []

    def run(self, results: Iterable[Result]) -> None:
        """Writes all results; afterwards `outputs` holds the paths written."""
        with ExitStack() as stack:
            shared = [stack.enter_context(target.open()) for target in self._shared]
            # A source without a single frame never gets here, and so leaves no file.
            for source, group in groupby(results, key=lambda result: result.source):
                self._write_source(self._own.get(source, ()), group, shared)
        self.outputs.extend(target.path for target in self._shared)

    def _write_source(self, own: Sequence[Target], results: Iterator[Result], shared: list[Write]) -> None:
        drawn = any(target.drawn for target in own)
        with ExitStack() as stack:
            writes = [*(stack.enter_context(target.open()) for target in own), *shared]
            for result in results:
                picture = self._picture(result) if drawn else None
                for write in writes:
                    write(result.frame, result.detections, picture)
        self.outputs.extend(target.path for target in own)

    def _picture(self, result: Result) -> np.ndarray:
        picture = self._draw(result)
        if result.frame.roi:
            _outline(picture, result.frame.roi)
        return picture


def _outline(picture: np.ndarray, roi: tuple[int, int, int, int]) -> None:
    """Draws the edge of the region of interest, faintly."""
    top, left, bottom, right = roi
    inside = picture[top:bottom, left:right]
    width = max(1, min(picture.shape[:2]) // 400)
    for side in (inside[:width], inside[-width:], inside[width:-width, :width], inside[width:-width, -width:]):
        side[:] = side // 2 + 64
