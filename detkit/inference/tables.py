"""Detections as tables of other kinds: JSON Lines, Parquet, and tracks in the MOT challenge's format."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from detkit import boxes
from detkit.detections import Detections
from detkit.errors import ConfigError
from detkit.inference.sinks import Write, coco_entries, moment
from detkit.inference.sources import Frame
from detkit.io import atomic_write, growing_file

_ROWS = 20_000  # of a Parquet row group
_OF_FRAME, _CORNERS = ("source", "frame", "time_s"), ("xmin", "ymin", "xmax", "ymax")


@contextmanager
def json_lines(path: Path, label_ids: Sequence[int]) -> Iterator[Write]:
    """Writes a line of JSON for each frame or image at once, so that another program can follow.

    Keys: `source`, in videos `frame` (from 0) and `time` (seconds), `size` [height, width] in pixels, `detections`.
    A detection is a `coco_entries` entry with `class` in place of `image_id`. Where lines or zones are counted,
    `counts` holds what has been counted until then.

    Args:
        path: the file; unlike other outputs it is there from the start, and stays if the run fails.
        label_ids: the category id of each class.
    """
    with growing_file(path) as file:

        def write(frame: Frame, found: Detections, picture: np.ndarray | None) -> None:
            entries = zip(found.labels, coco_entries(found, label_ids, 0), strict=True)
            line = {"source": str(frame.path)} | moment(frame) | {"size": list(found.size)}
            line["detections"] = [_renamed(name, entry) for name, entry in entries]
            line |= {} if frame.counts is None else {"counts": frame.counts}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()

        yield write


def _renamed(name: str, entry: dict) -> dict:
    return {"class": name} | {key: value for key, value in entry.items() if key != "image_id"}


def require_parquet() -> None:
    """ConfigError unless pyarrow is installed."""
    if importlib.util.find_spec("pyarrow") is None:
        raise ConfigError(
            "Parquet needs a library that is not installed.",
            where="--parquet",
            expected="pyarrow",
            fix="Install it: pip install 'detkit[parquet]'. Or write --csv or --jsonl.",
        )


@contextmanager
def parquet(path: Path) -> Iterator[Write]:
    """Writes detections as a Parquet table, one row each; the columns' names tell the units: px are pixels, s seconds.

    Columns: `source`, `frame` and `time_s` (null for images), `class`, `score`, `xmin_px`, `ymin_px`, `xmax_px`,
    `ymax_px`, `track` (null where nothing is followed).
    """
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    schema = _schema(pyarrow)
    with atomic_write(path, "wb") as file, ParquetWriter(file, schema) as writer:
        rows: dict[str, list] = {name: [] for name in schema.names}

        def flush() -> None:
            writer.write_table(pyarrow.table(rows, schema))
            for column in rows.values():
                column.clear()

        def write(frame: Frame, found: Detections, picture: np.ndarray | None) -> None:
            for name, values in _columns(frame, found).items():
                rows[name].extend(values)
            if len(rows["score"]) >= _ROWS:
                flush()

        yield write
        flush()


def _schema(pyarrow):
    words = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    kinds = {"source": words, "frame": pyarrow.int64(), "time_s": pyarrow.float64(), "class": words}
    kinds |= {"score": pyarrow.float32()} | {f"{name}_px": pyarrow.float32() for name in _CORNERS}
    return pyarrow.schema(list((kinds | {"track": pyarrow.int64()}).items()))


def _columns(frame: Frame, found: Detections) -> dict[str, list]:
    corners = boxes.convert(found.boxes, "yxyx", "xyxy_abs", size=found.size)
    time = None if frame.time is None else float(frame.time)
    values = {
        name: [value] * len(found) for name, value in zip(_OF_FRAME, (str(frame.path), frame.index, time), strict=True)
    }
    tracks = [None] * len(found) if found.track_ids is None else [t if t >= 0 else None for t in found.track_ids]
    values |= {"class": found.labels, "score": found.scores, "track": tracks}
    return values | {f"{name}_px": corners[:, n] for n, name in enumerate(_CORNERS)}


@contextmanager
def mot_tracks(path: Path) -> Iterator[Write]:
    """Writes the tracks of one source in the format of the MOT challenge (Milan et al. 2016, arXiv:1603.00831).

    A row is frame (from 1), id, left, top, width, height (pixels), score, -1, -1, -1. Objects that are not followed
    are left out.

    Raises:
        ConfigError: if detections have no track ids.
    """
    with atomic_write(path) as file:
        count = 0

        def write(frame: Frame, found: Detections, picture: np.ndarray | None) -> None:
            nonlocal count
            count += 1
            if found.track_ids is None:
                raise not_followed(path)
            extents = boxes.convert(found.boxes, "yxyx", "xywh_abs", size=found.size)
            number = count if frame.index is None else frame.index + 1
            for track, extent, score in zip(found.track_ids, extents, found.scores, strict=True):
                if track >= 0:
                    numbers = ",".join(f"{value:.2f}" for value in extent)
                    file.write(f"{number},{track},{numbers},{score:.6f},-1,-1,-1\n")

        yield write


def not_followed(path: Path) -> ConfigError:
    """The error of tracks that shall be written where nothing is followed."""
    return ConfigError(
        "The MOT format holds tracks, and nothing is followed.",
        where=path,
        got="detections without track ids",
        fix="Add --track, or write --csv.",
    )
