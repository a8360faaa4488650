"""Running a detector over sources: decode, detect and write at the same time, in order."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

from detkit.errors import ConfigError, MediaError
from detkit.inference import outputs
from detkit.inference.sources import Frame, Source, open_sources
from detkit.inference.stages import Consumer, Producer
from detkit.inference.writer import Result, Writer
from detkit.progress import progress


@dataclass(frozen=True)
class Summary:
    """What a prediction run did.

    Attributes:
        frames: images and video frames that went through the detector.
        detections: detections at or above the threshold, of the chosen classes.
        seconds: wall-clock time from the first decoded frame's request to the last written byte.
        outputs: the files and directories written.
        warnings: what went wrong without stopping the run, a message each.
        skipped: the files that could not be decoded at all.
    """

    frames: int
    detections: int
    seconds: float
    outputs: tuple[Path, ...]
    warnings: tuple[str, ...]
    skipped: tuple[Path, ...]

    @property
    def frames_per_second(self) -> float:
        return self.frames / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        counts = f"{self.frames} frames, {self.detections} detections"
        speed = f"{self.seconds:.1f} s, {self.frames_per_second:.1f} frames per second"
        return "\n".join([f"{counts} in {speed}", *(f"wrote {path}" for path in self.outputs)])


def predict(
    detector,
    sources: str | Path | Iterable[str | Path],
    output: str | Path | None = None,
    *,
    threshold: float = 0.3,
    classes: Sequence[str] | None = None,
    labels: bool = True,
    json: str | Path | None = None,
    csv: str | Path | None = None,
    batch_size: int = 8,
    rate: Fraction | str | float = 25,
    show_progress: bool | None = None,
) -> Summary:
    """Detects objects in images and videos and writes drawn copies, COCO results or CSV.

    A file that can't be decoded among several is skipped and reported in the summary; alone it raises.
    An error or Ctrl-C leaves no half-written file.

    Args:
        detector: has `detect(images, batch_size, threshold)`, `classes` and, for the JSON, `label_ids` (else 1..N).
        sources: images, folders of images, glob patterns, videos.
        output: a directory, or the file for a single source. None writes `NAME.detected.SUFFIX` into the
            current directory, or draws nothing if `json` or `csv` is given.
        threshold: the lowest score, 0..1, that counts as a detection in every output.
        classes: names of the classes to keep; None keeps all.
        labels: whether to write class names and scores at the boxes.
        json: a file for COCO results (see `sinks.coco_results`).
        csv: a file for a table (see `sinks.table`).
        batch_size: images to run through the model at once.
        rate: frames per second of a video made from a folder of images; videos keep their own.
        show_progress: True or False; None shows a bar on terminals.

    Raises:
        MediaError: if a source is missing, or nothing can be decoded.
        ConfigError: for an option that makes no sense, and for an output that can't be written, before
            anything is decoded.

    Example:
        >>> detkit.predict(detector, "walk.mp4", "walk.detected.mp4", classes=["person"]).frames
        1394
    """
    _check(detector.classes, threshold, classes, batch_size)
    opened = open_sources([sources] if isinstance(sources, (str, Path)) else sources)
    draws = output is not None or not (json or csv)
    targets = outputs.plan(opened, output, _rate(rate)) if draws else []
    label_ids = getattr(detector, "label_ids", None) or range(1, len(detector.classes) + 1)
    writer = Writer(
        dict(zip(opened, targets, strict=draws)),
        outputs.plan_tables(json, csv, label_ids),
        partial(_draw, threshold=threshold, labels=labels),
    )
    started, frames, detections = time.perf_counter(), 0, 0
    ahead = 2 * batch_size
    with (
        Consumer(writer.run, size=ahead) as written,
        Producer(_frames(opened), size=ahead) as decoded,
        progress(total=_announced(opened), description="detect", show=show_progress) as bar,
    ):
        for result in _select(_detect(detector, decoded, batch_size, threshold), threshold, classes):
            written.put(result)
            frames, detections = frames + 1, detections + len(result.detections)
            bar.update()
    seconds = time.perf_counter() - started
    warnings = tuple(warning for source in opened for warning in source.warnings)
    skipped = tuple(path for source in opened for path in source.skipped)
    return Summary(frames, detections, seconds, tuple(writer.outputs), warnings, skipped)


def _frames(sources: Sequence[Source]) -> Iterator[tuple[Source, Frame]]:
    """The frames of all sources in order; a broken source among several is skipped and noted."""
    failed = 0
    for source in sources:
        try:
            for frame in source.frames():
                yield source, frame
        except MediaError as error:
            failed += 1
            if failed == len(sources):
                raise
            source.skip(source.path, error)


def _detect(detector, frames: Iterable[tuple[Source, Frame]], batch_size: int, threshold: float) -> Iterator[Result]:
    for batch in _batches(frames, batch_size):
        found = detector.detect([frame.image for _, frame in batch], batch_size=batch_size, threshold=threshold)
        for (source, frame), detections in zip(batch, found, strict=True):
            yield Result(source, frame, detections)


def _select(results: Iterable[Result], threshold: float, classes: Sequence[str] | None) -> Iterator[Result]:
    for result in results:
        kept = result.detections.above(threshold)
        yield Result(result.source, result.frame, kept if classes is None else kept.of_classes(classes))


def _draw(result: Result, threshold: float, labels: bool):
    from detkit.visualize.draw import draw

    return draw(result.frame.image, result.detections, threshold=threshold, labels=labels, scores=labels)


def _batches(items: Iterable, size: int) -> Iterator[list]:
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _announced(sources: Sequence[Source]) -> int | None:
    """The number of frames in all, for the progress bar; None if a source doesn't say."""
    try:
        counts = [source.announced for source in sources]
    except MediaError:  # it is reported when its turn comes
        return None
    return None if None in counts else sum(counts)


def _check(known: Sequence[str], threshold: float, classes: Sequence[str] | None, batch_size: int) -> None:
    if not 0 <= threshold <= 1:
        raise ConfigError("The score threshold is out of range.", got=threshold, expected="0 to 1")
    if batch_size < 1:
        raise ConfigError("The batch size is out of range.", got=batch_size, expected="1 or more")
    for name in classes or ():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            raise ConfigError(
                "The detector has no such class.",
                got=repr(name),
                expected=", ".join(known),
                fix=f"Did you mean {close[0]!r}?" if close else "Choose among the detector's classes.",
            )


def _rate(rate: Fraction | str | float) -> Fraction:
    try:
        fraction = Fraction(rate)
        if fraction > 0:
            return fraction
    except (ValueError, ZeroDivisionError, TypeError, OverflowError):
        pass
    fix = "Give frames per second as a number or a fraction, such as 25 or 30000/1001."
    raise ConfigError("The frame rate is out of range.", got=repr(rate), expected="more than 0", fix=fix)
