"""Running a classifier or a segmenter over sources: classes drawn on pictures, class maps, tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from functools import partial
from itertools import chain, tee
from pathlib import Path
from typing import NamedTuple

import numpy as np

from detkit.errors import ConfigError
from detkit.inference import outputs, picture_sinks
from detkit.inference.options import Detecting, Settings, settings
from detkit.inference.outputs import Outputs, Target
from detkit.inference.sources import Frame, ImageSource, Source, announced, frames_of, open_sources
from detkit.inference.summary import Summary
from detkit.inference.writer import Result, Writer
from detkit.progress import progress
from detkit.visualize.palette import colour

_BATCH = 8
_TOP = 3  # classes that are drawn on a picture
# The options that are not for detectors only; all of Reading is among them.
_OWN = ("labels", "json", "csv", "jsonl", "frames", "codec", "quality", "audio", "rate", "batch_size", "show_progress")
_GROUND = (24, 24, 24)


class _Kind(NamedTuple):
    """What is told of pictures.

    Attributes:
        word: what drawn pictures are called: NAME.WORD.SUFFIX.
        draw: (image, what was found, whether with text) -> picture.
        record: what was found -> its entry in JSON.
        header, rows: of a table.
        place: (what was found in the region of interest, frame) -> that of the whole picture.
    """

    word: str
    draw: Callable
    record: Callable
    header: tuple[str, ...]
    rows: Callable
    place: Callable


def predict(model, sources: str | Path | Iterable[str | Path], output: str | Path | None = None, **options):
    """Tells the classes of pictures, or of their pixels, and writes drawn copies, index pictures, JSON and CSV.

    Of a segmenter `photo.jpg` gives `photo.overlay.jpg` and `photo.mask.png`, whose values are 0 for the background and
    class id + 1; `walk.mp4` gives `walk.overlay.mp4` and the folder `walk.mask`. Of a classifier there is
    `photo.classified.jpg`.

    Args:
        model: of task "classification" or "segmentation".
        sources, output, options: as of `detkit.inference.predict.predict`, but for what only detectors have. JSON holds
            an entry for each picture: "label" and "scores" of a classifier, "shares" of the pixels of a segmenter.

    Returns:
        A `Summary`.

    Raises:
        MediaError: if a source is missing, or nothing can be decoded.
        ConfigError: for an option that makes no sense, and for an output that can't be written.
    """
    chosen, kind = settings(options), _KINDS[model.task]
    _refuse_foreign(chosen, model.task)
    opened = open_sources([sources] if isinstance(sources, (str, Path)) else sources, chosen.reading)
    writer = Writer(_plan(opened, output, chosen, kind), partial(_draw, kind=kind, labels=chosen.writing.labels))
    started, count, interrupted = time.perf_counter(), 0, False

    def counted(results: Iterable[Result], bar) -> Iterator[Result]:
        nonlocal count, interrupted
        try:
            for result in results:
                count += 1
                bar.update()
                yield result
        except KeyboardInterrupt:
            interrupted = True

    frames = frames_of(opened)
    with progress(total=announced(opened), description=model.task, show=chosen.running.show_progress) as bar:
        writer.run(counted(_results(model, frames, kind, chosen.detecting), bar))
    return Summary.of(opened, count, None, time.perf_counter() - started, writer.outputs, interrupted)


def _results(model, frames: Iterator[tuple[Source, Frame]], kind: _Kind, detecting: Detecting) -> Iterator[Result]:
    kept, seen = tee(frames)  # holds what the model is ahead
    found = model.stream((frame.view for _, frame in seen), detecting.batch_size or _BATCH)
    for (source, frame), each in zip(kept, found, strict=True):
        yield Result(source, frame, kind.place(each, frame))


def _draw(result: Result, kind: _Kind, labels: bool) -> np.ndarray:
    return kind.draw(result.frame.image, result.detections, labels)


def _refuse_foreign(chosen: Settings, task: str) -> None:
    """ConfigError for what only detectors have."""
    foreign = [
        (field.name, getattr(group, field.name))
        for group in chosen[1:]
        for field in fields(group)
        if field.name not in _OWN and getattr(group, field.name) != field.default
    ]
    if foreign:
        name, value = foreign[0]
        raise ConfigError(
            f"Only detectors have this option; this is a model for {task}.",
            where=f"--{name.replace('_', '-')}",
            got=value,
            fix="Leave it away.",
        )


def _plan(sources: Sequence[Source], output, chosen: Settings, kind: _Kind) -> Outputs:
    """Everything that is to be written; ConfigError if something can't be."""
    writing, shared = chosen.writing, _tables(chosen.writing, kind)
    own: dict = {}
    if output is not None or not shared:
        pictures = replace(writing, json=None, csv=None, jsonl=None)
        own = outputs.plan(sources, output, pictures, (), word=kind.word).own
    else:
        outputs.refuse_undrawn(writing)
    if own and kind.word == "overlay":
        own = {source: (*targets, _masks(source, targets[0])) for source, targets in own.items()}
    targets = [*shared, *chain.from_iterable(own.values())]
    outputs.check(sources, [file for target in targets for file in target.files])
    return Outputs(own, tuple(shared))


def _tables(writing, kind: _Kind) -> list[Target]:
    makers = (
        (writing.json, lambda path: picture_sinks.json_list(path, kind.record)),
        (writing.jsonl, lambda path: picture_sinks.json_lines(path, kind.record)),
        (writing.csv, lambda path: picture_sinks.table(path, kind.header, kind.rows)),
    )
    return [Target(Path(path), (Path(path),), partial(make, Path(path))) for path, make in makers if path]


def _masks(source: Source, overlay: Target) -> Target:
    """The class maps of a source, beside its drawn pictures."""
    if isinstance(source, ImageSource):
        paths = {file: overlay.files[0].parent / f"{file.stem}.mask.png" for file in source.files}
        path = overlay.path if len(paths) > 1 else next(iter(paths.values()))
        return Target(path, tuple(paths.values()), lambda: picture_sinks.masks(lambda frame: paths[frame.path]))
    folder = overlay.path.parent / f"{source.path.stem}.mask"

    def path_of(frame: Frame) -> Path:
        return folder / f"{frame.index:06}.png"

    return Target(folder, (folder / "000000.png",), lambda: picture_sinks.masks(path_of))


def _draw_classes(image: np.ndarray, found, labels: bool) -> np.ndarray:
    from detkit.visualize.caption import draw_caption

    lines = [(f"{name} {score:.2f}" if labels else name, _GROUND) for name, score in found.top(_TOP)]
    return draw_caption(image, lines)


def _draw_map(image: np.ndarray, found, labels: bool) -> np.ndarray:
    from detkit.visualize.caption import draw_caption
    from detkit.visualize.figure import draw_class_map

    picture = draw_class_map(image, found.class_map)
    return draw_caption(picture, [(name, colour(found.classes.index(name))) for name in found.labels] * labels)


def _scores(found) -> dict:
    scores = {name: round(float(score), 6) for name, score in zip(found.classes, found.scores, strict=True)}
    return {"label": found.label, "score": round(found.score, 6), "scores": scores}


def _shares(found) -> dict:
    shares = {name: round(share, 6) for name, share in found.shares.items()}
    return {"height": found.size[0], "width": found.size[1], "shares": shares}


def _in_whole(found, frame: Frame):
    """A class map of the region of interest, with background around it."""
    if frame.roi is None:
        return found
    top, left, bottom, right = frame.roi
    class_map = np.zeros(frame.image.shape[:2], np.uint8)
    class_map[top:bottom, left:right] = found.class_map
    return replace(found, class_map=class_map, scores=None, size=class_map.shape)


_KINDS = {
    "classification": _Kind(
        "classified", _draw_classes, _scores, ("class", "score"),
        lambda found: [(name, f"{score:.6f}") for name, score in found.top(len(found.classes))],
        lambda found, frame: found,
    ),
    "segmentation": _Kind(
        "overlay", _draw_map, _shares, ("class", "share"),
        lambda found: [(name, f"{share:.6f}") for name, share in found.shares.items()],
        _in_whole,
    ),
}  # fmt: skip
