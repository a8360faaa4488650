"""What becomes of class maps and of the classes of pictures: index pictures, JSON, CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from detkit.data.formats.mask_files import png
from detkit.inference.sinks import Write
from detkit.inference.sources import Frame
from detkit.io import atomic_write
from detkit.visualize.palette import index_palette


@contextmanager
def masks(path_of: Callable[[Frame], Path]) -> Iterator[Write]:
    """Writes each class map as a PNG with a palette, to the path that `path_of` gives for its frame."""

    def write(frame: Frame, found, picture: np.ndarray | None) -> None:
        with atomic_write(path_of(frame), "wb", sync=False) as file:
            file.write(png(found.class_map, index_palette()))

    yield write


@contextmanager
def json_list(path: Path, record: Callable) -> Iterator[Write]:
    """Writes a JSON list with what `record` makes of each result."""
    with atomic_write(path) as file:
        separator = "\n"

        def write(frame: Frame, found, picture: np.ndarray | None) -> None:
            nonlocal separator
            file.write(separator + json.dumps(_where(frame) | record(found), ensure_ascii=False))
            separator = ",\n"

        file.write("[")
        yield write
        file.write("\n]\n")


@contextmanager
def json_lines(path: Path, record: Callable) -> Iterator[Write]:
    """Writes what `record` makes of each result, a line of JSON each."""
    with atomic_write(path) as file:

        def write(frame: Frame, found, picture: np.ndarray | None) -> None:
            file.write(json.dumps(_where(frame) | record(found), ensure_ascii=False) + "\n")

        yield write


@contextmanager
def table(path: Path, header: tuple[str, ...], rows_of: Callable) -> Iterator[Write]:
    """Writes CSV: source, frame and time, and what `rows_of` makes of each result."""
    with atomic_write(path) as file:
        rows = csv.writer(file, lineterminator="\n")

        def write(frame: Frame, found, picture: np.ndarray | None) -> None:
            where = ("", "") if frame.index is None else (frame.index, f"{float(frame.time):.6f}")
            rows.writerows((frame.path, *where, *row) for row in rows_of(found))

        rows.writerow(("source", "frame", "time_s", *header))
        yield write


def _where(frame: Frame) -> dict:
    where = {"file_name": frame.path.name}
    return where if frame.index is None else where | {"frame": frame.index, "time": round(float(frame.time), 6)}
