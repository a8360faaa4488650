"""Reading video files through FFmpeg."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import numpy as np

from detkit.errors import MediaError
from detkit.inference.sources import VIDEO_SUFFIXES, Frame, Source

# A file is never a reason to open another file or an address: playlists and their like are refused.
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": "mov,matroska,webm,avi,gif"}


@dataclass(frozen=True)
class VideoInfo:
    """What a video says about itself: frames per second, number of frames, and how it was announced."""

    rate: Fraction
    frames: int | None
    announcement: str


class VideoSource(Source):
    """The frames of a video file's first video stream: RGB, rotated as the file's metadata asks."""

    def __init__(self, path: Path):
        super().__init__(path)
        self._lost = 0

    @cached_property
    def info(self) -> VideoInfo:
        with _open_stream(self.path) as (container, stream):
            return _info(container, stream)

    @property
    def rate(self) -> Fraction:
        return self.info.rate

    @property
    def announced(self) -> int | None:
        return self.info.frames

    def frames(self) -> Iterator[Frame]:
        count = 0
        with _open_stream(self.path) as (container, stream):
            for decoded in self._decode(container, stream):
                yield Frame(self.path, _to_rgb(decoded), count, _time(decoded, stream, count / self.rate))
                count += 1
        if not count:
            raise MediaError(
                "No frame of the video can be decoded.",
                where=self.path,
                got=f"{self.info.announcement}, 0 decoded",
                fix="Check that the file plays; copy or record it again.",
            )
        self._compare(count)

    def _decode(self, container, stream) -> Iterator[av.VideoFrame]:
        for packet in self._packets(container, stream):
            try:
                decoded = packet.decode()
            except av.error.FFmpegError:
                self._lost += 1
                continue
            # What FFmpeg patched together from half a frame is no picture of anything.
            whole = [frame for frame in decoded if not frame.is_corrupt]
            self._lost += len(decoded) - len(whole)
            yield from whole

    def _packets(self, container, stream) -> Iterator[av.Packet]:
        try:
            yield from container.demux(stream)
        except av.error.FFmpegError:  # the container is broken from here on
            self._lost += 1

    def _compare(self, count: int) -> None:
        """Warns if frames are missing."""
        missing = self.info.frames is not None and count < self.info.frames
        if missing or self._lost:
            damage = "damaged or ends early" if missing else "damaged"
            self.warnings.append(f"{self.path} is {damage}: {self.info.announcement}, {count} decoded.")


@contextmanager
def _open_stream(path: Path):
    try:
        # An absolute path can't be taken for a protocol, as `a:b.mp4` would be.
        container = av.open(str(path.resolve()), options=_OPTIONS)
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(
            "The file is not a video that can be read.",
            where=path,
            got=f"{path.stat().st_size} bytes; {error.strerror}",
            expected=f"a whole video: {' '.join(VIDEO_SUFFIXES)}",
            fix="Check that the file plays and is complete; copy or record it again.",
        ) from error
    with container:
        if not container.streams.video:
            kinds = ", ".join(stream.type for stream in container.streams) or "none"
            raise MediaError("The file has no video stream.", where=path, got=f"streams: {kinds}")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        yield container, stream


def _info(container, stream) -> VideoInfo:
    rate = Fraction(stream.average_rate or stream.guessed_rate or stream.base_rate or 25)
    if stream.frames:
        return VideoInfo(rate, stream.frames, f"{stream.frames} frames announced")
    seconds = _duration(container, stream)
    if seconds is None:
        return VideoInfo(rate, None, "no number of frames announced")
    frames = round(seconds * rate)
    return VideoInfo(rate, frames, f"{frames} frames announced ({float(seconds):.3f} s at {rate} per second)")


def _duration(container, stream) -> Fraction | None:
    if stream.duration is not None:
        return stream.duration * stream.time_base
    if "DURATION" in stream.metadata:  # Matroska: 00:00:01.733000000
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return Fraction(hours) * 3600 + Fraction(minutes) * 60 + Fraction(seconds)
    return None if container.duration is None else Fraction(container.duration, av.time_base)


def _time(decoded: av.VideoFrame, stream, otherwise: Fraction) -> Fraction:
    if decoded.pts is None:
        return otherwise
    return (decoded.pts - (stream.start_time or 0)) * Fraction(decoded.time_base)


def _to_rgb(decoded: av.VideoFrame) -> np.ndarray:
    image = decoded.to_ndarray(format="rgb24")
    # FFmpeg's angle is counterclockwise, like NumPy's.
    return np.ascontiguousarray(np.rot90(image, round(decoded.rotation / 90)))
