"""Where drawn pictures and videos go: decided, and checked, before anything is decoded."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from detkit.data.images import EXTENSIONS
from detkit.errors import ConfigError
from detkit.inference import crops, sinks, tables
from detkit.inference.options import Writing, refuse_idle
from detkit.inference.sources import Frame, ImageSource, Source
from detkit.io import make_directory


@dataclass(frozen=True)
class Target:
    """An output: the path to report, every file it will hold as far as known, its sink, whether that needs pictures."""

    path: Path
    files: tuple[Path, ...]
    open: Callable[[], AbstractContextManager[sinks.Write]]
    drawn: bool = False


class Outputs(NamedTuple):
    """What is written: the targets that each source has for itself, and those of the whole run."""

    own: dict[Source, tuple[Target, ...]]
    shared: tuple[Target, ...]


def plan(
    sources: Sequence[Source], output: str | Path | None, writing: Writing, label_ids: Sequence[int],
    word: str = "detected", also: Sequence[Path] = (),
) -> Outputs:  # fmt: skip
    """Everything that is to be written.

    `walk.mp4` becomes `walk.detected.mp4` and `photo.jpg` `photo.detected.jpg`, in the output directory, else
    in the current one; the images of a folder without an output directory go into `FOLDER.detected/`. An
    output with a video's or an image's suffix is the file itself, for a single source; a folder of
    images can become a video. Nothing is drawn if there is no output, but a table or crops.

    Args:
        sources: what will be read.
        output: a directory, a file or None.
        writing: what else is written, and how.
        label_ids: the category id of each class.
        word: instead of "detected" in these names.
        also: files that are written besides, for nothing else to have their names.

    Raises:
        ConfigError: if an output can't be written or doesn't fit the sources, two outputs would have one
            name, or an output would replace a source.
    """
    shared, tracks = _shared(sources, writing, label_ids), _tracks(sources, writing)
    drawn = []
    if output is not None or not (shared or tracks):
        drawn = _drawn(sources, output, writing, word)
    else:
        refuse_undrawn(writing)
    check(sources, [file for target in (*drawn, *shared, *tracks) for file in target.files] + [*also])
    pairs = zip_longest(*(each or [None] * len(sources) for each in (drawn, tracks)))
    own = {source: tuple(filter(None, pair)) for source, pair in zip(sources, pairs, strict=True)}
    return Outputs(own, tuple(shared))


def refuse_undrawn(writing: Writing) -> None:
    """ConfigError for options of drawn pictures and videos, where none is drawn."""
    refuse_idle(writing, ("frames", "codec", "quality", "audio"), "an output to draw (--output)")


def _shared(sources: Sequence[Source], writing: Writing, label_ids: Sequence[int]) -> list[Target]:
    """The targets that all sources share."""
    makers = (
        (writing.json, lambda path: sinks.coco_results(path, label_ids)),
        (writing.csv, sinks.table),
        (writing.jsonl, lambda path: tables.json_lines(path, label_ids)),
        (writing.parquet, tables.parquet),
    )
    if writing.parquet:
        tables.require_parquet()
    targets = [Target(Path(path), (Path(path),), partial(make, Path(path))) for path, make in makers if path]
    if writing.crops:
        targets.append(_crops(sources, Path(writing.crops), writing.crop_margin))
    return targets


def _crops(sources: Sequence[Source], directory: Path, margin: float) -> Target:
    stems = Counter(file.stem for source in sources for file in getattr(source, "files", (source.path,)))
    twice = [stem for stem, count in stems.items() if count > 1]
    if twice:
        fix = "Run detkit once for each, with different directories for the crops."
        raise ConfigError("Two sources' crops would have one name.", where=directory, got=twice[0], fix=fix)
    return Target(directory, (directory / "crops",), partial(crops.crops, directory, margin))


def _tracks(sources: Sequence[Source], writing: Writing) -> list[Target]:
    """The MOT file of each source, if asked for."""
    if not writing.mot:
        return []
    path = Path(writing.mot)
    several = len(sources) > 1 or _is_directory(path)
    files = [path / f"{source.path.stem}.txt" if several else path for source in sources]
    return [Target(file, (file,), partial(tables.mot_tracks, file)) for file in files]


def _drawn(sources: Sequence[Source], output: str | Path | None, writing: Writing, word: str) -> list[Target]:
    """One drawn target for each source."""
    if output is None or _is_directory(output):
        directory = None if output is None else Path(output)
        targets = [_in_directory(source, directory, writing, word) for source in sources]
    else:
        targets = [_single(sources, Path(output), writing)]
    if writing.audio and not any(source.has_file for source in sources):
        raise ConfigError(
            "There is no sound to copy.",
            where="--audio",
            got="only images, cameras or addresses",
            expected="a video file",
            fix="Leave --audio away.",
        )
    return targets


def check(sources: Sequence[Source], files: Sequence[Path]) -> None:
    """Makes the directories of files; ConfigError if one can't be written, is there twice, or would replace a source.

    Args:
        sources: what will be read.
        files: all that will be written, as far as it is known.
    """
    _refuse_clashes(sources, files)
    for file in files:
        if file.is_dir():
            fix = "Give the path of a file."
            raise ConfigError("The output is a directory.", where=file, expected="a file", fix=fix)
    for directory in {file.parent for file in files}:
        _ensure_writable(directory)


def _ensure_writable(directory: Path) -> None:
    """Makes the directory if need be; ConfigError unless a file can be written into it."""
    make_directory(directory)
    try:
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        raise ConfigError(
            "The output directory can't be written to.",
            where=directory,
            got=error.strerror,
            fix="Choose another output directory, or change its permissions.",
        ) from error


def _is_directory(output: str | Path) -> bool:
    return Path(output).is_dir() or str(output).endswith(os.sep) or not Path(output).suffix


def _in_directory(source: Source, directory: Path | None, writing: Writing, word: str) -> Target:
    if isinstance(source, ImageSource):
        if directory is None:
            is_folder = source.path not in source.files
            directory = Path(f"{source.path.resolve().name}.{word}" if is_folder else ".")
        paths = {file: directory / f"{file.stem}.{word}{file.suffix}" for file in source.files}
        return _pictures(paths, directory)
    if writing.frames:
        return _frames((directory or Path()) / f"{source.path.stem}.{word}", writing.frames)
    return _video(source, (directory or Path()) / f"{source.path.stem}.{word}.mp4", writing)


def _single(sources: Sequence[Source], output: Path, writing: Writing) -> Target:
    if len(sources) > 1:
        raise ConfigError(
            "Several sources can't go into one file.",
            where=output,
            got=f"{len(sources)} sources",
            fix="Give a directory as the output.",
        )
    source, suffix = sources[0], output.suffix.lower()
    if suffix in sinks.VIDEO_FORMATS and source.path not in getattr(source, "files", ()) and not writing.frames:
        return _video(source, output, writing)
    if suffix in EXTENSIONS and getattr(source, "files", ()) == (source.path,):
        return _pictures({source.path: output}, output)
    raise _mismatch(source, output, writing)


def _pictures(paths: dict[Path, Path], path: Path) -> Target:
    files = tuple(paths.values())
    single = path if len(files) > 1 else files[0]
    return Target(single, files, lambda: sinks.pictures(lambda frame: paths[frame.path]), drawn=True)


def _frames(directory: Path, suffix: str) -> Target:
    def path_of(frame: Frame) -> Path:
        return directory / f"{frame.index:06}.{suffix}"

    return Target(directory, (directory / f"000000.{suffix}",), lambda: sinks.pictures(path_of), drawn=True)


def _video(source: Source, path: Path, writing: Writing) -> Target:
    from detkit.inference.encoders import check_codec
    from detkit.inference.sound import is_silent
    from detkit.inference.video_sink import video

    check_codec(path, writing.codec)
    sound = source.path if writing.audio and source.has_file else None
    if sound and path.suffix.lower() == ".gif":
        raise ConfigError("A GIF can't hold sound.", where=path, fix="Write an .mp4 file, or leave --audio away.")

    def open_sink():  # the rate of a camera is known once it has been opened
        rate = source.rate or writing.rate
        if sound and is_silent(sound):
            source.warnings.append(f"{sound} has no sound to copy.")
        return video(path, rate, source.tick, writing.codec, writing.quality, sound)

    return Target(path, (path,), open_sink, drawn=True)


def _mismatch(source: Source, output: Path, writing: Writing) -> ConfigError:
    one_image = getattr(source, "files", ()) == (source.path,)
    several = isinstance(source, ImageSource) and not one_image
    kind = "an image" if one_image else "a folder of images" if several else "a video"
    kind += " as pictures" if writing.frames and not one_image else ""
    suffixes = EXTENSIONS if one_image else () if writing.frames else tuple(sinks.VIDEO_FORMATS)
    return ConfigError(
        f"The output's suffix doesn't fit {kind}.",
        where=output,
        got=output.suffix,
        expected=f"{' '.join(suffixes)}, or a directory".removeprefix(", or "),
        fix=f"Give a directory with a slash at its end: {output}{os.sep}",
    )


def _refuse_clashes(sources: Sequence[Source], files: Sequence[Path]) -> None:
    counts = Counter(file.resolve() for file in files)
    twice = [file for file, count in counts.items() if count > 1]
    if twice:
        fix = "Give each output a name of its own; of sources with one name, run detkit once for each."
        raise ConfigError("Two outputs would be written to one file.", where=twice[0], fix=fix)
    inputs = {file.resolve() for source in sources for file in getattr(source, "files", (source.path,))}
    for file in inputs & counts.keys():
        raise ConfigError("The output would replace a source.", where=file, fix="Choose another output.")
