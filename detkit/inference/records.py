"""Detections of frames as bytes that survive a killed process: records with a length and a checksum."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from detkit.detections import Detections
from detkit.inference.sources import Frame

_HEAD = struct.Struct("<III")  # lengths of text and arrays, checksum of both
_COLUMNS = {
    "boxes": np.float32, "scores": np.float32, "class_ids": np.int32, "masks": np.float32, "keypoints": np.float32,
    "keypoint_scores": np.float32,
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """What was found in a frame: the number of its source, the frame (its image is None once read), detections."""

    source: int
    frame: Frame
    detections: Detections


@dataclass(frozen=True)
class Record:
    """The frames of a batch, and the sources that ended with it: {number: {"frames", "warnings", "skipped"}}."""

    entries: list[Entry]
    ended: dict[int, dict] = field(default_factory=dict)


def encode(record: Record) -> bytes:
    """A record as bytes; floats keep every bit."""
    arrays: list[bytes] = []
    text = {"entries": [_described(e, arrays) for e in record.entries], "ended": list(record.ended.items())}
    payload = json.dumps(text).encode()
    data = b"".join(arrays)
    return _HEAD.pack(len(payload), len(data), zlib.crc32(data, zlib.crc32(payload))) + payload + data


def read(path: Path, decode: bool = True) -> Iterator[tuple[int, Record]]:
    """The whole records of a file, each with where it ends; what follows the last whole one is left out.

    Args:
        path: the file; a missing one has no records.
        decode: whether to read the entries too, or only what ended.
    """
    if not path.exists():
        return
    with open(path, "rb") as file:
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            text_size, data_size, checksum = _HEAD.unpack(head)
            text, data = file.read(text_size), file.read(data_size)
            if len(data) < data_size or zlib.crc32(data, zlib.crc32(text)) != checksum:
                return
            described = json.loads(text)
            entries = list(_entries(described["entries"], data)) if decode else []
            yield file.tell(), Record(entries, dict(described["ended"]))


def _described(entry: Entry, arrays: list[bytes]) -> dict:
    """An entry as JSON without its arrays, which are appended to `arrays`."""
    found, frame, columns = entry.detections, entry.frame, {}
    for name, dtype in _COLUMNS.items():
        if (value := getattr(found, name)) is not None:
            columns[name] = value.shape
            arrays.append(np.ascontiguousarray(value, dtype).tobytes())
    time = None if frame.time is None else str(frame.time)
    return {
        "source": entry.source, "path": str(frame.path), "index": frame.index, "time": time, "columns": columns,
        "classes": found.classes, "size": [int(side) for side in found.size], "label": found.source,
    }  # fmt: skip


def _entries(described: list[dict], data: bytes) -> Iterator[Entry]:
    offset = 0
    for item in described:
        columns = {}
        for name, shape in item["columns"].items():
            dtype, count = _COLUMNS[name], int(np.prod(shape))
            columns[name] = np.frombuffer(data, dtype, count, offset).reshape(shape)
            offset += columns[name].nbytes
        time = None if item["time"] is None else Fraction(item["time"])
        frame = Frame(Path(item["path"]), None, item["index"], time)
        found = Detections(
            **columns, classes=tuple(item["classes"]), size=tuple(item["size"]), source=item["label"]
        )  # fmt: skip
        yield Entry(item["source"], frame, found)
