"""What a detector runs over: images, folders, globs and video files as ordered streams of frames."""

from __future__ import annotations

import difflib
import glob
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from detkit.data import images
from detkit.errors import MediaError

VIDEO_SUFFIXES = (".mp4", ".gif", ".mkv", ".mov", ".avi", ".webm")


@dataclass(frozen=True)
class Frame:
    """One picture of a source.

    Attributes:
        path: the image or video file, as given.
        image: uint8 [H, W, 3] RGB.
        index: the number of the frame in its video, from 0; None for image files.
        time: seconds since the start of the video; None for image files.
    """

    path: Path
    image: np.ndarray
    index: int | None = None
    time: Fraction | None = None


class Source:
    """An ordered stream of frames.

    Attributes:
        path: the file or folder, as given.
        warnings: what went wrong without stopping the stream; complete once `frames` is exhausted.
        skipped: the files that could not be decoded; likewise.
    """

    def __init__(self, path: Path):
        self.path = path
        self.warnings: list[str] = []
        self.skipped: list[Path] = []

    def frames(self) -> Iterator[Frame]:
        """The frames in order; raises MediaError if there is none that can be decoded."""
        raise NotImplementedError

    def skip(self, path: Path, error: MediaError) -> None:
        """Notes that a file was left out, and why."""
        self.skipped.append(path)
        self.warnings.append(f"Skipped {path}: {error}")

    @property
    def announced(self) -> int | None:
        """The number of frames that the source says it has; None if it doesn't say."""
        raise NotImplementedError

    @property
    def rate(self) -> Fraction | None:
        """Frames per second; None for images."""
        return None


class ImageSource(Source):
    """One image file, or the image files of a folder in natural order."""

    def __init__(self, path: Path, files: tuple[Path, ...]):
        super().__init__(path)
        self.files = files

    @property
    def announced(self) -> int:
        return len(self.files)

    def frames(self) -> Iterator[Frame]:
        for file in self.files:
            try:
                image = images.decode(file)
            except MediaError as error:
                if file == self.path:
                    raise
                self.skip(file, error)
                continue
            yield Frame(file, image)
        if len(self.skipped) == len(self.files):
            raise self._nothing_decoded()

    def _nothing_decoded(self) -> MediaError:
        return MediaError(
            "No image of the folder can be decoded.",
            where=self.path,
            got=f"{len(self.files)} images, 0 decoded; the last one: {self.warnings[-1]}",
        )


def open_sources(paths: Iterable[str | Path]) -> list[Source]:
    """The sources that files, folders of images and glob patterns name, in the order given.

    A folder becomes one source; a glob pattern becomes one source for each match.

    Raises:
        MediaError: for a missing file, a folder without images, a glob without a match, and a file that is
            by its suffix neither image nor video.
    """
    sources = [source for path in paths for source in _open(path)]
    if not sources:
        raise MediaError("No source was given.", expected="an image, a folder of images, a glob or a video")
    return sources


def natural_order(path: str | Path) -> tuple:
    """A sort key that puts `out2.png` before `out10.png`."""
    parts = re.split("([0-9]+)", str(path))
    parts[1::2] = map(int, parts[1::2])
    return parts, str(path)


def _open(path: str | Path) -> list[Source]:
    text, path = str(path), Path(path)
    if path.is_dir():
        return [_open_folder(path)]
    if path.is_file():
        return [_open_file(path)]
    if glob.has_magic(text):
        return [source for match in _matches(text) for source in _open(match)]
    raise MediaError("There is no such file or folder.", where=path, fix=_spelling(path))


def _open_folder(folder: Path) -> ImageSource:
    names = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    files = tuple(sorted((p for p in names if p.suffix.lower() in images.EXTENSIONS), key=natural_order))
    if not files:
        videos = sum(path.suffix.lower() in VIDEO_SUFFIXES for path in names)
        fix = f"For videos, name the files: '{folder}/*.mp4'." if videos else "Name a folder with images."
        raise MediaError(
            "The folder holds no images.",
            where=folder,
            got=f"{len(names)} files, {videos} of them videos",
            expected=f"files ending in {' '.join(images.EXTENSIONS)}",
            fix=fix,
        )
    return ImageSource(folder, files)


def _open_file(path: Path) -> Source:
    suffix = path.suffix.lower()
    if suffix in images.EXTENSIONS:
        return ImageSource(path, (path,))
    if suffix in VIDEO_SUFFIXES:
        from detkit.inference.video_source import VideoSource

        return VideoSource(path)
    raise MediaError(
        "The file is neither an image nor a video, by its name.",
        where=path,
        got=suffix or "no suffix",
        expected=" ".join(images.EXTENSIONS + VIDEO_SUFFIXES),
        fix="Rename the file after its format, or convert it.",
    )


def _matches(pattern: str) -> list[str]:
    matches = sorted(glob.glob(pattern, recursive=True), key=natural_order)
    if not matches:
        raise MediaError("The pattern matches no file.", where=pattern, fix="Check folder and suffix.")
    return matches


def _spelling(path: Path) -> str:
    siblings = [sibling.name for sibling in path.parent.iterdir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, siblings, n=1)
    return f"Did you mean {path.parent / close[0]}?" if close else "Check the path."
