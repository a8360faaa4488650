"""A run in pieces that can be done anywhere in any order, and put together again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import count, takewhile
from pathlib import Path

from detkit.errors import MediaError
from detkit.inference import records
from detkit.inference.journal import Detect, Frames, Journal, units
from detkit.inference.options import Reading
from detkit.inference.records import Entry, Record
from detkit.inference.sources import ImageSource, Source
from detkit.io import atomic_write


@dataclass(frozen=True)
class Shard:
    """A piece of a unit: some images, or a time range of a video.

    Attributes:
        unit: the number of the unit; part: which piece of it.
        sources: (number, source) of each source, which read nothing but the piece.
    """

    unit: int
    part: int
    sources: tuple[tuple[int, Source], ...]


def plan(sources: Sequence[Source], batch_size: int, seconds: Fraction) -> list[Shard]:
    """The shards of a run, each of whole batches, so that the model sees the same batches as in one process.

    Args:
        sources: of the run. What can't be opened has no shards: the run itself will tell why.
        batch_size: of the model.
        seconds: the length of a shard of video; of images there are as many as frames in a video at 25 a second.
    """
    shards, number = [], 0
    for unit, members in enumerate(units(sources)):
        numbered = list(enumerate(members, number))
        number += len(members)
        pieces = _of_images if all(isinstance(source, ImageSource) for source in members) else _of_video
        found = enumerate(pieces(numbered, batch_size, seconds))
        shards.extend(Shard(unit, part, tuple(piece)) for part, piece in found)
    return shards


def find(shard: Shard, detect: Detect, batch_size: int) -> bytes:
    """The detections in a shard, as `records`.

    Args:
        shard: where to look.
        detect: frames -> results.
        batch_size: frames in a record.
    """
    ended: dict[int, dict] = {}
    numbers = {id(source): number for number, source in shard.sources}
    found, batch = [], []
    for result in detect(_frames(shard, ended)):
        batch.append(Entry(numbers[id(result.source)], result.frame, result.detections))
        if len(batch) == batch_size:
            found.append(records.encode(Record(batch)))
            batch = []
    return b"".join([*found, records.encode(Record(batch, ended))])


class Merger:
    """Puts the pieces that `find` returns into a journal, in whatever order they come.

    Args:
        journal: of the run.
        shards: all shards of the run.
    """

    def __init__(self, journal: Journal, shards: Sequence[Shard]):
        self._journal, self._shards = journal, shards

    @property
    def missing(self) -> list[Shard]:
        """The shards of which nothing is known yet."""
        return [s for s in self._shards if not self._journal.is_complete(s.unit) and not self._file(s).exists()]

    def add(self, shard: Shard, found: bytes) -> None:
        """Keeps what was found in a shard; completes its unit once it is the last one."""
        with atomic_write(self._file(shard), "wb") as file:
            file.write(found)
        self.join(shard.unit)

    def join(self, unit: int) -> None:
        """Completes a unit if all its shards are known."""
        parts = [self._file(shard) for shard in self._shards if shard.unit == unit]
        if all(part.exists() for part in parts):
            self._journal.put(unit, _joined(parts))
            for part in parts:
                part.unlink()

    def _file(self, shard: Shard) -> Path:
        piece = self._journal.piece(shard.unit)
        return piece.with_name(f"{piece.stem}.{shard.part:06d}.part")


def _joined(parts: Sequence[Path]) -> Iterator[Record]:
    """The records of a unit's parts in order, and one that tells which sources ended; none after a source's stop."""
    ended: dict[int, dict] = {}
    stopped: set[int] = set()
    for part in parts:
        last: dict[int, dict] = {}
        for _, record in records.read(part):
            yield Record([entry for entry in record.entries if entry.source not in stopped])
            last = record.ended
        for number, end in last.items():
            if number not in stopped:
                ended[number] = _merged(ended.get(number), end)
            if end["stopped"]:
                stopped.add(number)
    yield Record([], {number: end for number, end in ended.items() if not end["failed"]})


def _merged(before: dict | None, after: dict) -> dict:
    if before is None:
        return after
    lists = {name: [*before[name], *after[name]] for name in ("warnings", "skipped")}
    return lists | {"frames": before["frames"] + after["frames"], "failed": before["failed"] and after["failed"]}


def _frames(shard: Shard, ended: dict[int, dict]) -> Frames:
    """The frames of a shard; notes how each source ended; one without frames here may have some elsewhere."""
    for number, source in shard.sources:
        frames, failed = 0, False
        try:
            for frame in source.frames():
                frames += 1
                yield source, frame
        except MediaError:
            failed = True
        skipped = list(map(str, source.skipped))
        ended[number] = {
            "frames": frames, "warnings": list(source.warnings), "skipped": skipped, "failed": failed,
            "stopped": bool(skipped) and source.reading.on_error == "stop",
        }  # fmt: skip


Numbered = list[tuple[int, Source]]


def _of_images(numbered: Numbered, batch_size: int, seconds: Fraction) -> Iterator[Numbered]:
    size = math.ceil(seconds * 25 / batch_size) * batch_size
    files = [(number, source, file) for number, source in numbered for file in source.files]
    for start in range(0, len(files), size):
        piece: dict[int, tuple[Source, list[Path]]] = {}
        for number, source, file in files[start : start + size]:
            piece.setdefault(number, (source, []))[1].append(file)
        yield [
            (number, ImageSource(source.path, tuple(own), replace(source.reading, stride=1)))
            for number, (source, own) in piece.items()
        ]


def _of_video(numbered: Numbered, batch_size: int, seconds: Fraction) -> Iterator[Numbered]:
    ((number, source),) = numbered
    reading: Reading = source.reading
    try:
        edges = [reading.start, *_edges(source, batch_size, seconds), reading.stop]
    except MediaError:
        return
    for start, stop in zip(edges, edges[1:], strict=False):
        yield [(number, type(source)(source.path, replace(reading, start=start, stop=stop)))]


def _edges(source, batch_size: int, seconds: Fraction) -> Iterator[Fraction]:
    """Times between two frames, so far apart that what lies between them is whole batches, at a constant rate."""
    info, reading = source.info, source.reading
    if info.frames is None:
        return iter(())
    wanted = min(info.rate / reading.stride, reading.sample_rate or info.rate)  # frames a second
    step = math.ceil(seconds * wanted / batch_size) * batch_size / wanted
    first = math.ceil((reading.start or 0) * info.rate / reading.stride) * reading.stride / info.rate
    end = info.frames / info.rate if reading.stop is None else min(reading.stop, info.frames / info.rate)
    times = (first + n * step - Fraction(1, 2) / info.rate for n in count(1))
    return takewhile(lambda time: time < end, times)
