"""What a detector runs over: images, folders, globs, videos and streams as ordered streams of frames."""

from __future__ import annotations

import difflib
import glob
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from operator import methodcaller
from pathlib import Path

import numpy as np

from detkit.data import images
from detkit.data.streams import images_in, natural_order
from detkit.detections import Detections
from detkit.errors import ConfigError, MediaError
from detkit.inference.options import Reading

VIDEO_SUFFIXES = (
    ".mp4", ".gif", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".flv",
    ".3gp", ".ogv", ".mxf", ".vob", ".y4m", ".h264", ".h265", ".hevc", ".mjpeg", ".apng",
)  # fmt: skip
_CAMERA = re.compile(r"camera:.+|/dev/video\d+")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


@dataclass(frozen=True)
class Frame:
    """One picture of a source.

    Attributes:
        path: the image or video file, as given.
        image: uint8 [H, W, 3] RGB.
        index: the number of the frame in its video, from 0; None for image files.
        time: seconds since the start of the video; None for image files.
        roi: (top, left, bottom, right) in pixels, where a region of interest is set.
        counts: what has crossed lines and entered zones until then (see `counting`); None where nothing is counted.
    """

    path: Path
    image: np.ndarray
    index: int | None = None
    time: Fraction | None = None
    roi: tuple[int, int, int, int] | None = None
    counts: dict | None = None

    @property
    def view(self) -> np.ndarray:
        """What is to be looked at: the region of interest, without copying it; otherwise the whole image."""
        if self.roi is None:
            return self.image
        top, left, bottom, right = self.roi
        return self.image[top:bottom, left:right]

    def whole(self, found: Detections) -> Detections:
        """What was found in `view`, with its places in the whole image."""
        if self.roi is None:
            return found
        top, left, bottom, right = self.roi
        size = np.array(self.image.shape[:2], np.float32)
        scale = (np.array([bottom - top, right - left]) / size).astype(np.float32)  # (y, x)
        shift = np.array([top, left], np.float32) / size
        boxes = found.boxes * np.tile(scale, 2) + np.tile(shift, 2)  # [N, 4] * [4] + [4]
        points = None if found.keypoints is None else found.keypoints * scale + shift  # [N, K, 2] * [2] + [2]
        return replace(found, boxes=boxes, keypoints=points, size=self.image.shape[:2])


class Source:
    """An ordered stream of frames.

    Attributes:
        path: the file or folder, as given; for a camera or an address a file name that stands for it.
        reading: which frames are read, and which part of them.
        warnings: what went wrong without stopping the stream; complete once `frames` is exhausted.
        skipped: the files left out, wholly or from a damaged frame on; likewise.
        timed: whether the frames have times.
        has_file: whether `path` is a video file, which may have sound.
    """

    timed = has_file = False

    def __init__(self, path: Path, reading: Reading | None = None):
        self.path = path
        self.reading = reading or Reading()
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

    @property
    def tick(self) -> Fraction | None:
        """The unit of the frames' times in seconds; None for images."""
        return None

    def _roi(self, image: np.ndarray) -> tuple[int, int, int, int] | None:
        region = self.reading.roi
        return None if region is None else region.inside(image.shape[:2])


class ImageSource(Source):
    """One image file, or the image files of a folder in natural order."""

    def __init__(self, path: Path, files: tuple[Path, ...], reading: Reading | None = None):
        super().__init__(path, reading)
        self.files = files[:: self.reading.stride]

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
                if self.reading.on_error == "stop":
                    break
                continue
            yield Frame(file, image, roi=self._roi(image))
        if len(self.skipped) == len(self.files):
            raise self._nothing_decoded()

    def _nothing_decoded(self) -> MediaError:
        return MediaError(
            "No image of the folder can be decoded.",
            where=self.path,
            got=f"{len(self.files)} images, 0 decoded; the last one: {self.warnings[-1]}",
        )


def open_sources(paths: Iterable[str | Path], reading: Reading | None = None) -> list[Source]:
    """The sources that files, folders of images, glob patterns, cameras and addresses name, in the order given.

    A folder becomes one source; a glob pattern becomes one source for each match; "-" stands for the sources that
    the standard input lists, one a line; "camera:0" or "/dev/video0" is a camera.

    Raises:
        MediaError: for a missing file, a folder without images, a glob without a match, and a file that is
            neither image nor video.
        ConfigError: for a time range or a sample rate where no source has times.
    """
    reading = reading or Reading()
    sources = [source for path in _listed(paths) for source in _open(path, reading)]
    if not sources:
        raise MediaError("No source was given.", expected="an image, a folder of images, a glob or a video")
    if reading.picks_by_time and not any(source.timed for source in sources):
        raise ConfigError(
            "Images have no times to choose by.",
            where=sources[0].path,
            expected="a video",
            fix="Leave --start, --stop and --sample-rate away; --stride works with images too.",
        )
    return sources


def frames_of(
    sources: Sequence[Source], read: Callable[[Source], Iterator[Frame]] = methodcaller("frames")
) -> Iterator[tuple[Source, Frame]]:
    """The frames of all sources in order; a broken source among several is skipped and noted."""
    failed = 0
    for source in sources:
        try:
            for frame in read(source):
                yield source, frame
        except MediaError as error:
            failed += 1
            if failed == len(sources):
                raise
            source.skip(source.path, error)


def announced(sources: Sequence[Source]) -> int | None:
    """The number of frames in all, for the progress bar; None if a source doesn't say."""
    try:
        counts = [source.announced for source in sources]
    except MediaError:  # it is reported when its turn comes
        return None
    return None if None in counts else sum(counts)


def _listed(paths: Iterable[str | Path]) -> Iterator[str | Path]:
    for path in paths:
        if str(path) == "-":
            yield from filter(None, (line.rstrip("\r\n") for line in sys.stdin))
        else:
            yield path


def _open(path: str | Path, reading: Reading) -> list[Source]:
    text, path = str(path), Path(path)
    if _CAMERA.fullmatch(text) or _ADDRESS.match(text):
        from detkit.inference.stream_source import StreamSource

        return [StreamSource(text, reading)]
    if path.is_dir():
        return [_open_folder(path, reading)]
    if path.is_file():
        return [_open_file(path, reading)]
    if glob.has_magic(text):
        return [source for match in _matches(text) for source in _open(match, reading)]
    raise MediaError("There is no such file or folder.", where=path, fix=_spelling(path))


def _open_folder(folder: Path, reading: Reading) -> ImageSource:
    files = images_in(folder)
    if not files:
        names = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
        videos = sum(path.suffix.lower() in VIDEO_SUFFIXES for path in names)
        fix = f"For videos, name the files: '{folder}/*.mp4'." if videos else "Name a folder with images."
        raise MediaError(
            "The folder holds no images.",
            where=folder,
            got=f"{len(names)} files, {videos} of them videos",
            expected=f"files ending in {' '.join(images.EXTENSIONS)}",
            fix=fix,
        )
    return ImageSource(folder, files, reading)


def _open_file(path: Path, reading: Reading) -> Source:
    from detkit.inference import video_source

    suffix = path.suffix.lower()
    if suffix in images.EXTENSIONS:
        return ImageSource(path, (path,), reading)
    if suffix in VIDEO_SUFFIXES or video_source.is_video(path):
        return video_source.VideoSource(path, reading)
    raise MediaError(
        "The file is neither an image nor a video, by its name and content.",
        where=path,
        got=suffix or "no suffix",
        expected=" ".join(images.EXTENSIONS + VIDEO_SUFFIXES),
        fix="Convert it to one of these.",
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
