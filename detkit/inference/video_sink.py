"""Writing video files through FFmpeg."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from detkit.detections import Detections
from detkit.errors import MediaError
from detkit.inference.encoders import CODECS, Timing, configure, video_frame
from detkit.inference.sinks import VIDEO_FORMATS, Write
from detkit.inference.sound import sound_of
from detkit.inference.sources import Frame
from detkit.io import atomic_write


@contextmanager
def video(
    path: Path,
    rate: Fraction,
    tick: Fraction | None = None,
    codec: str = "h264",
    quality: int | None = None,
    sound: Path | None = None,
) -> Iterator[Write]:
    """Writes pictures of one size as a video: MP4, MKV, MOV, AVI or GIF, by the suffix.

    Every picture is shown when its frame is, from the first one on; only AVI has a constant rate, GIF counts in
    hundredths of a second and MKV in thousandths. Codecs halve the colour resolution, so an odd width or height grows
    by one repeated column or row.

    Args:
        path: the file.
        rate: frames per second, for frames without times and for what the file says of itself.
        tick: the unit of the frames' times in seconds; None: they are taken at `rate`.
        codec: one of `encoders.CODECS`; a GIF has its own.
        quality: the constant rate factor; None: the codec's usual one.
        sound: the video file whose sound is copied.

    Raises:
        MediaError: at a picture whose size differs from the first one's.
        ConfigError: if the file can't be written, or can't hold the sound.
    """
    suffix = path.suffix.lower()
    codec = "gif" if suffix == ".gif" else codec
    with atomic_write(path, "wb") as file, _container(file, VIDEO_FORMATS[suffix]) as container:
        stream = container.add_stream("gif" if codec == "gif" else CODECS[codec].encoder, rate=rate)
        timing = Timing(suffix, Fraction(rate), tick)
        stream.codec_context.time_base = timing.base
        with sound_of(sound, container, path) as heard:
            first, last = None, None

            def write(frame: Frame, found: Detections, picture: np.ndarray) -> None:
                nonlocal first, last
                if first is None:
                    first = picture.shape
                    configure(stream, codec, quality, picture)
                if picture.shape != first:
                    raise _size_changed(frame, picture.shape, first)
                if heard:
                    heard.until(frame.time)
                last = frame.time
                encoded = video_frame(picture, codec)
                encoded.pts, encoded.time_base = timing.stamp(frame.time if tick else None), timing.base
                container.mux(stream.encode(encoded))

            yield write
            if heard and last is not None:
                heard.until(last + 1 / rate)
            container.mux(stream.encode(None))


class _File:
    """A file that remembers why it could not be written, which is lost on the way through FFmpeg."""

    def __init__(self, file):
        self._file, self.failure = file, None
        self.seek, self.tell = file.seek, file.tell

    def write(self, data) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.failure = error
            raise


@contextmanager
def _container(file, form: str):
    """The container that writes into an open file; OSError where that can't be written."""
    watched = _File(file)
    try:
        with av.open(watched, "w", format=form) as container:
            yield container
    except (av.error.FFmpegError, OSError) as error:
        raise watched.failure or error from error


def _size_changed(frame: Frame, got: tuple, expected: tuple) -> MediaError:
    return MediaError(
        "The pictures of one video must have one size.",
        where=frame.path,
        got=f"{got[1]} x {got[0]}",
        expected=f"{expected[1]} x {expected[0]}, the first picture's width x height",
        fix="Write single pictures instead: give a directory as the output, or for a video --frames jpg.",
    )
