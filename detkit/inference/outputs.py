"""Where drawn pictures and videos go: decided, and checked, before anything is decoded."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

from detkit.data.images import EXTENSIONS
from detkit.errors import ConfigError
from detkit.inference import sinks
from detkit.inference.sources import ImageSource, Source
from detkit.io import make_directory


@dataclass(frozen=True)
class Target:
    """The output of one source: the path to report, every file it will hold, and its sink."""

    path: Path
    files: tuple[Path, ...]
    open: Callable[[], AbstractContextManager[sinks.Write]]


def plan(sources: Sequence[Source], output: str | Path | None, rate: Fraction) -> list[Target]:
    """One target for each source.

    `walk.mp4` becomes `walk.detected.mp4` and `photo.jpg` `photo.detected.jpg`, in the output directory, else
    in the current one; the images of a folder without an output directory go into `FOLDER.detected/`. An
    output with a video's or an image's suffix is the file itself, for a single source; a folder of
    images can become a video.

    Args:
        sources: what will be read.
        output: a directory, a file or None.
        rate: frames per second of a video made from a folder of images.

    Raises:
        ConfigError: if the output can't be written or doesn't fit the sources, two outputs would have one
            name, or an output would replace a source.
    """
    if output is None or _is_directory(output):
        directory = None if output is None else Path(output)
        targets = [_in_directory(source, directory) for source in sources]
    else:
        targets = [_single(sources, Path(output), rate)]
    _refuse_clashes(sources, targets)
    for directory in {file.parent for target in targets for file in target.files}:
        ensure_writable(directory)
    return targets


def plan_tables(json: str | Path | None, csv: str | Path | None, label_ids: Sequence[int]) -> list[Target]:
    """The targets of the COCO results and the table that are asked for; ConfigError if unwritable."""
    makers = ((json, lambda path: sinks.coco_results(path, label_ids)), (csv, sinks.table))
    targets = [Target(Path(path), (Path(path),), partial(make, Path(path))) for path, make in makers if path]
    for target in targets:
        ensure_writable(target.path.parent)
    return targets


def ensure_writable(directory: Path) -> None:
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


def _in_directory(source: Source, directory: Path | None) -> Target:
    if isinstance(source, ImageSource):
        if directory is None:
            is_folder = source.path not in source.files
            directory = Path(f"{source.path.resolve().name}.detected" if is_folder else ".")
        paths = {file: directory / _detected(file, file.suffix) for file in source.files}
        return _pictures(paths, directory)
    return _video((directory or Path()) / _detected(source.path, ".mp4"), lambda: source.rate)


def _single(sources: Sequence[Source], output: Path, rate: Fraction) -> Target:
    if len(sources) > 1:
        raise ConfigError(
            "Several sources can't go into one file.",
            where=output,
            got=f"{len(sources)} sources",
            fix="Give a directory as the output.",
        )
    source, suffix = sources[0], output.suffix.lower()
    if suffix in sinks.VIDEO_FORMATS and source.path not in getattr(source, "files", ()):
        return _video(output, lambda: source.rate or rate)
    if suffix in EXTENSIONS and getattr(source, "files", ()) == (source.path,):
        return _pictures({source.path: output}, output)
    raise _mismatch(source, output)


def _pictures(paths: dict[Path, Path], path: Path) -> Target:
    files = tuple(paths.values())
    return Target(path if len(files) > 1 else files[0], files, lambda: sinks.pictures(paths))


def _video(path: Path, rate: Callable[[], Fraction]) -> Target:
    def open_sink():
        from detkit.inference.video_sink import video

        return video(path, rate())

    return Target(path, (path,), open_sink)


def _detected(file: Path, suffix: str) -> str:
    return f"{file.stem}.detected{suffix}"


def _mismatch(source: Source, output: Path) -> ConfigError:
    one_image = getattr(source, "files", ()) == (source.path,)
    several = isinstance(source, ImageSource) and not one_image
    kind = "an image" if one_image else "a folder of images" if several else "a video"
    suffixes = EXTENSIONS if one_image else tuple(sinks.VIDEO_FORMATS)
    return ConfigError(
        f"The output's suffix doesn't fit {kind}.",
        where=output,
        got=output.suffix,
        expected=f"{' '.join(suffixes)}, or a directory",
        fix=f"Give a directory with a slash at its end: {output}{os.sep}",
    )


def _refuse_clashes(sources: Sequence[Source], targets: Sequence[Target]) -> None:
    files = Counter(file.resolve() for target in targets for file in target.files)
    twice = [file for file, count in files.items() if count > 1]
    if twice:
        fix = "Run detkit once for each source, with different outputs."
        raise ConfigError("Two sources would be written to one file.", where=twice[0], fix=fix)
    inputs = {file.resolve() for source in sources for file in getattr(source, "files", (source.path,))}
    for file in inputs & files.keys():
        raise ConfigError("The output would replace a source.", where=file, fix="Choose another output.")
