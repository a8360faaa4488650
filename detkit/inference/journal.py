"""A run's detections kept on disk as they are found, so that a killed run goes on where it stopped.

The same command continues the run: it decodes again, takes from the journal what was found, and runs the model only
on what is missing. All that follows is made anew, so that the results equal an uninterrupted run's; sources
whose pictures are finished are not even decoded. Batches never mix units (see `units`) and are recorded whole, so
that the model sees the same batches as in an uninterrupted run.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, groupby
from pathlib import Path

from detkit.errors import ConfigError, DataError
from detkit.inference import records
from detkit.inference.records import Entry, Record
from detkit.inference.sources import Frame, Source
from detkit.inference.writer import Result
from detkit.io import atomic_write, growing_file, make_directory, write_json

Frames = Iterator[tuple[Source, Frame]]
Detect = Callable[[Frames], Iterator[Result]]


def units(sources: Sequence[Source]) -> list[list[Source]]:
    """The sources in groups that share batches: each video by itself, images that follow each other together."""
    grouped = groupby(enumerate(sources), key=lambda pair: pair[0] if pair[1].timed else -1)
    return [[source for _, source in group] for _, group in grouped]


class Journal:
    """The journal of a run: a directory with what the run is, a file of detections for each unit, what is written.

    Args:
        directory: where it is kept; made if it isn't there.
        sources: of the run.
        identity: what the detections depend on, {name: text}; sources are added by name, size and time.
        batch_size: frames recorded at a time.

    Raises:
        ConfigError: if the directory holds the journal of another run, can't be written, or a source is a stream.
    """

    def __init__(self, directory: Path, sources: Sequence[Source], identity: dict[str, str], batch_size: int):
        self.directory, self._sources, self._batch_size = make_directory(directory), list(sources), batch_size
        self._units = units(sources)
        self._unit_of = {id(source): n for n, unit in enumerate(self._units) for source in unit}
        self._number = {id(source): n for n, source in enumerate(sources)}
        self._check(identity | _described(sources))
        self._known = {n: end for unit in range(len(self._units)) for n, end in self._ended_in(unit).items()}
        self._ended: dict[int, dict] = {}
        self._written = _numbers(directory / "written")

    def piece(self, unit: int) -> Path:
        """The file of a unit's detections."""
        return self.directory / f"{unit:06d}.detections"

    def is_finished(self, source: Source, drawn: bool) -> bool:
        """Whether all of a source is known, and written if it is `drawn`."""
        number = self._number[id(source)]
        return number in self._known and (number in self._written or not drawn)

    def is_complete(self, unit: int) -> bool:
        """Whether all sources of a unit are known."""
        return all(self._number[id(source)] in self._known for source in self._units[unit])

    def put(self, unit: int, found: Iterable[Record]) -> None:
        """Puts these records in the place of what is known of a unit."""
        with atomic_write(self.piece(unit), "wb") as file:
            for record in found:
                file.write(records.encode(record))
        self._known |= self._ended_in(unit)

    def note_written(self, source: Source) -> None:
        """Notes that all pictures of a source are written."""
        with open(self.directory / "written", "a", encoding="ascii") as file:
            file.write(f"{self._number[id(source)]}\n")

    def recalled(self, source: Source) -> Iterator[Frame]:
        """As many frames as a source had, all of it known, without images."""
        end = self._known[self._number[id(source)]]
        source.warnings.extend(end["warnings"])
        source.skipped.extend(map(Path, end["skipped"]))
        yield from (Frame(source.path, None) for _ in range(end["frames"]))

    def decoded(self, source: Source) -> Iterator[Frame]:
        """The frames of a source; notes its end."""
        number, count = self._number[id(source)], 0
        for frame in source.frames():
            count += 1
            yield frame
        skipped = list(map(str, source.skipped))
        self._ended[number] = {"frames": count, "warnings": list(source.warnings), "skipped": skipped}

    def detect(self, frames: Frames, detect: Detect) -> Iterator[Result]:
        """The results of all frames in order: recorded ones, and those that `detect` finds in the others."""
        for unit, group in groupby(frames, key=lambda pair: self._unit_of[id(pair[0])]):
            yield from self._unit(unit, group, detect)

    def remove(self) -> None:
        """Removes the journal: the run is done."""
        shutil.rmtree(self.directory)

    def _unit(self, unit: int, frames: Frames, detect: Detect) -> Iterator[Result]:
        place = 0
        for end, record in records.read(self.piece(unit)):
            place = end
            for entry in record.entries:
                yield self._recalled(entry, next(frames, None))
        first = next(frames, None)  # for the model not to be bothered where all is known
        results = iter(()) if first is None else detect(chain([first], frames))
        yield from self._record(unit, place, results)

    def _record(self, unit: int, place: int, results: Iterator[Result]) -> Iterator[Result]:
        """Records results as they pass, behind what is whole of the unit's file."""
        with growing_file(self.piece(unit), "ab") as file:
            file.truncate(place)
            batch: list[Entry] = []
            for result in results:
                batch.append(Entry(self._number[id(result.source)], result.frame, result.detections))
                if len(batch) == self._batch_size:
                    self._append(file, batch, unit, last=False)
                    batch = []
                yield result
            self._append(file, batch, unit, last=True)

    def _append(self, file, entries: list[Entry], unit: int, last: bool) -> None:
        """Writes a batch, and which sources have ended: those decoded wholly of which no frame is yet to come."""
        numbers = [self._number[id(source)] for source in self._units[unit]]
        passed = numbers if last else [n for n in numbers if n < entries[-1].source]
        ended = {n: self._ended.pop(n) for n in passed if n in self._ended and n not in self._known}
        if entries or ended:
            file.write(records.encode(Record(entries, ended)))
            file.flush()

    def _recalled(self, entry: Entry, pair: tuple[Source, Frame] | None) -> Result:
        """The result of a recorded frame, with the decoded image if there is one."""
        source = self._sources[entry.source]
        if pair is None or pair[0] is not source or pair[1].image is not None and _key(pair[1]) != _key(entry.frame):
            raise DataError(
                "The journal does not fit the source.",
                where=source.path,
                got=f"frame {pair and pair[1].index}",
                expected=f"frame {entry.frame.index}",
                fix=f"Delete {self.directory} and start again.",
            )
        return Result(source, replace(entry.frame, image=pair[1].image, roi=pair[1].roi), entry.detections)

    def _ended_in(self, unit: int) -> dict[int, dict]:
        ended: dict[int, dict] = {}
        for _, record in records.read(self.piece(unit), decode=False):
            ended.update(record.ended)
        return ended

    def _check(self, identity: dict[str, str]) -> None:
        """Notes what the run is; ConfigError if the journal is of another one."""
        path = self.directory / "run.json"
        if not path.exists():
            write_json(path, identity)
            return
        known = json.loads(path.read_text(encoding="utf-8"))
        # How frames are batched follows from the sources, which are the better reason.
        for name in sorted(dict.fromkeys([*identity, *known]), key="batches".__eq__):
            if known.get(name) != identity.get(name):
                raise ConfigError(
                    f"The run to resume was another one: it differs in {name}.",
                    where=self.directory,
                    got=identity.get(name),
                    expected=known.get(name),
                    fix=f"Give the same model, sources and options as before, or delete {self.directory}.",
                )


def remove_leftovers(files: Iterable[Path]) -> None:
    """Removes the half-written copies of these files that a killed run has left behind."""
    by_directory: dict[Path, set[str]] = {}
    for file in files:
        by_directory.setdefault(file.parent, set()).add(file.name)
    for directory, names in by_directory.items():
        for path in directory.glob(".*.tmp"):
            match = re.fullmatch(r"\.(.+)\.\d+\.tmp", path.name)
            if match and match[1] in names:
                path.unlink(missing_ok=True)


def _key(frame: Frame) -> tuple:
    return frame.path, frame.index, frame.time


def _described(sources: Sequence[Source]) -> dict[str, str]:
    """{name of a source: its files' sizes and times}."""
    described = {}
    for number, source in enumerate(sources):
        files = getattr(source, "files", (source.path,))
        if not all(file.is_file() for file in files):
            fix = "Leave --resume away, or record it into a file first."
            raise ConfigError("A stream can't be resumed.", where=source.path, fix=fix)
        stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        described[f"source {number + 1}, {source.path}"] = json.dumps(stats)
    return described


def _numbers(path: Path) -> set[int]:
    """The numbers in a file's whole lines."""
    text = path.read_text(encoding="ascii") if path.exists() else ""
    return {int(line) for line in text[: text.rfind("\n") + 1].split()}
