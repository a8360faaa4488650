"""The last stage of a prediction run: drawing, and giving results to the sinks, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from detkit.detections import Detections
from detkit.inference.outputs import Target
from detkit.inference.sinks import Write
from detkit.inference.sources import Frame, Source


@dataclass(frozen=True)
class Result:
    """A frame of a source with what was found in it."""

    source: Source
    frame: Frame
    detections: Detections


class Writer:
    """Writes results: to the drawn target of their source, and to the tables that all sources share.

    Args:
        targets: where each source's drawn pictures go; empty if nothing is drawn.
        tables: the sinks of the whole run.
        draw: makes the picture, uint8 [H, W, 3], of a result.
    """

    def __init__(
        self,
        targets: Mapping[Source, Target],
        tables: Iterable[Target],
        draw: Callable[[Result], np.ndarray],
    ):
        self._targets, self._tables, self._draw = targets, tuple(tables), draw
        self.outputs: list[Path] = []

    def run(self, results: Iterable[Result]) -> None:
        """Writes all results; afterwards `outputs` holds the paths written."""
        with ExitStack() as stack:
            tables = [stack.enter_context(table.open()) for table in self._tables]
            # A source without a single frame never gets here, and so leaves no file.
            for source, group in groupby(results, key=lambda result: result.source):
                self._write_source(self._targets.get(source), group, tables)
        self.outputs.extend(table.path for table in self._tables)

    def _write_source(self, target: Target | None, results: Iterator[Result], tables: list[Write]) -> None:
        with ExitStack() as stack:
            writes = [stack.enter_context(target.open()), *tables] if target else tables
            for result in results:
                picture = self._draw(result) if target else None
                for write in writes:
                    write(result.frame, result.detections, picture)
        if target:
            self.outputs.append(target.path)
