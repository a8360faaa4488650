"""Running a detector over sources: decode, detect, follow, draw and write at the same time, in order."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import tee
from pathlib import Path

from detkit.errors import ConfigError
from detkit.inference import outputs, resume, tables
from detkit.inference.counting import Tally
from detkit.inference.options import Detecting, Settings, settings
from detkit.inference.predictor import Predictor
from detkit.inference.sources import Frame, Source, announced, frames_of, open_sources
from detkit.inference.stages import Consumer, Producer
from detkit.inference.summary import Summary
from detkit.inference.tracking import Tracker, follow
from detkit.inference.writer import Result, Writer
from detkit.progress import progress

Frames = Iterator[tuple[Source, Frame]]
Detect = Callable[[Frames], Iterator[Result]]
Read = Callable[[Source], Iterator[Frame]]

_AHEAD = 8  # frames that are decoded, and results that wait to be written, at most


def predict(
    detector, sources: str | Path | Iterable[str | Path], output: str | Path | None = None, **options
) -> Summary:
    """Detects objects in images and videos and writes drawn copies, COCO results, tables and more.

    A file that can't be decoded among several is skipped and reported in the summary; alone it raises. An error
    leaves no half-written file; after Ctrl-C the outputs are whole files of what was done so far.

    Args:
        detector: has `detect(images, batch_size, threshold)`, `classes` and, for the JSON, `label_ids` (else 1..N).
            One of detkit's own networks is compiled first; a `Predictor` is taken as it is.
        sources: images, folders of images, glob patterns, videos.
        output: a directory, or the file for a single source. None writes `NAME.detected.SUFFIX` into the
            current directory, or draws nothing if `json`, `csv` or the like is given.
        options: the fields of the dataclasses in `detkit.inference.options`, such as threshold=0.5, json="out.json".

    Raises:
        MediaError: if a source is missing, or nothing can be decoded.
        ConfigError: for an option that makes no sense, and for an output that can't be written, before
            anything is decoded.

    Example:
        >>> detkit.predict(detector, "walk.mp4", "walk.detected.mp4", classes=["person"]).frames
        1394
    """
    chosen = settings(options)
    _check_classes(detector.classes, chosen.detecting.classes)
    opened = open_sources([sources] if isinstance(sources, (str, Path)) else sources, chosen.reading)
    planned, tally = _outputs(detector, opened, output, chosen), Tally(chosen.tracking)
    make = partial(compiled, detecting=chosen.detecting, frames=announced(opened), threshold=_lowest(chosen))
    run = resume.prepare(detector, make, opened, planned, chosen)
    results = partial(_results, detect=run.detect, chosen=chosen, tally=tally)
    writer = Writer(run.outputs, partial(_draw, labels=chosen.writing.labels))
    summary = _run(opened, run.read, results, writer, chosen.running.show_progress)
    if not summary.interrupted:
        run.finish()
    return replace(summary, outputs=(*run.written, *summary.outputs, *tally.write()))


def compiled(detector, detecting: Detecting, frames: int | None, threshold: float) -> tuple[Predictor, Detect]:
    """A detector ready to run, and what makes results of frames with it.

    Args:
        detector: as for `predict`.
        detecting: how it shall run.
        frames: how many will come, if that is known.
        threshold: the lowest score.
    """
    if isinstance(detector, Predictor):
        return detector, partial(detect, detector, threshold=threshold)
    predictor = Predictor(detector, frames=frames, **detecting.compiling)
    predictor.warm_up()
    return predictor, partial(detect, predictor, threshold=threshold)


def detect(detector, frames: Frames, threshold: float) -> Iterator[Result]:
    """The results of frames, in order; holds some batches at a time.

    Args:
        detector: has `detect_stream(images, threshold=...)`, which asks for images only a few ahead.
        threshold: the lowest score.
    """
    kept, seen = tee(frames)  # holds what the detector is ahead
    found = detector.detect_stream((frame.view for _, frame in seen), threshold=threshold)
    for (source, frame), detections in zip(kept, found, strict=True):
        yield Result(source, frame, frame.whole(detections))


def _results(frames: Frames, detect: Detect, chosen: Settings, tally: Tally) -> Iterator[Result]:
    """Frames -> results: detected, selected, followed and counted."""
    results, tracking = _select(detect(frames), chosen.detecting.classes, _lowest(chosen)), chosen.tracking
    if tracking.follows:
        scores = chosen.detecting.threshold, _lowest(chosen)
        tracker = partial(Tracker, *scores, iou=tracking.track_iou, lost=float(tracking.track_lost))
        results = follow(results, tracker, chosen.writing.rate)
    return tally.count(results) if tracking.counts_something else results


def _lowest(chosen: Settings) -> float:
    """The lowest score that anything asks for."""
    threshold, tracking = chosen.detecting.threshold, chosen.tracking
    return min(threshold, tracking.track_low) if tracking.follows else threshold


def _outputs(detector, sources: Sequence[Source], output, chosen: Settings) -> outputs.Outputs:
    """Everything that is to be written; ConfigError if something can't be."""
    label_ids = getattr(detector, "label_ids", None) or range(1, len(detector.classes) + 1)
    if chosen.writing.mot and not chosen.tracking.follows:
        raise tables.not_followed(Path(chosen.writing.mot))
    counts = [Path(chosen.tracking.counts)] if chosen.tracking.counts else []
    return outputs.plan(sources, output, chosen.writing, label_ids, also=counts)


def _run(sources: Sequence[Source], read: Read, results: Callable, writer: Writer, show: bool | None) -> Summary:
    """Decodes and writes in threads of their own, with what makes results of frames between them."""
    started, frames, detections, interrupted = time.perf_counter(), 0, 0, False
    with Consumer(writer.run, size=_AHEAD) as written:
        try:
            with (
                Producer(frames_of(sources, read), size=_AHEAD) as decoded,
                progress(total=announced(sources), description="detect", show=show) as bar,
            ):
                for result in results(decoded):
                    written.put(result)
                    frames, detections = frames + 1, detections + len(result.detections)
                    bar.update()
        except KeyboardInterrupt:
            interrupted = True
    seconds = time.perf_counter() - started
    return Summary.of(sources, frames, detections, seconds, writer.outputs, interrupted)


def _select(results: Iterable[Result], classes: Sequence[str] | None, threshold: float) -> Iterator[Result]:
    for result in results:
        kept = result.detections.above(threshold)
        kept = kept if classes is None else kept.of_classes(classes)
        yield replace(result, detections=kept)


def _draw(result: Result, labels: bool):
    from detkit.visualize.draw import draw

    image = result.frame.image
    if result.frame.counts is not None:
        from detkit.visualize.counts import draw_counts

        image = draw_counts(image, result.frame.counts)
    return draw(image, result.detections, labels=labels, scores=labels)


def _check_classes(known: Sequence[str], classes: Sequence[str] | None) -> None:
    for name in classes or ():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            raise ConfigError(
                "The detector has no such class.",
                got=repr(name),
                expected=", ".join(known),
                fix=f"Did you mean {close[0]!r}?" if close else "Choose among the detector's classes.",
            )
