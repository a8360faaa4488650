"""Writing video files through FFmpeg."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

from detkit.detections import Detections
from detkit.errors import MediaError
from detkit.inference.sinks import VIDEO_FORMATS, Write
from detkit.inference.sources import Frame
from detkit.io import atomic_write


@contextmanager
def video(path: Path, rate: Fraction) -> Iterator[Write]:
    """Writes pictures of one size as a video; H.264 in MP4, MKV, MOV or AVI, or a GIF, by the suffix.

    H.264 halves the colour resolution, so an odd width or height grows by one repeated column or row. The
    frame rate is kept as a fraction where the format can hold it (GIF counts in hundredths of a second).

    Raises:
        MediaError: at a picture whose size differs from the first one's.
    """
    form, codec = VIDEO_FORMATS[path.suffix.lower()]
    with atomic_write(path, "wb") as file, av.open(file, "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.codec_context.time_base = 1 / rate
        first = None
        count = 0

        def write(frame: Frame, found: Detections, picture: np.ndarray) -> None:
            nonlocal first, count
            if first is None:
                first = picture.shape
                _configure(stream, codec, picture)
            if picture.shape != first:
                raise _size_changed(frame, picture.shape, first)
            encoded = _video_frame(picture, codec)
            encoded.pts, encoded.time_base = count, 1 / rate
            count += 1
            container.mux(stream.encode(encoded))

        yield write
        container.mux(stream.encode(None))


def _configure(stream, codec: str, picture: np.ndarray) -> None:
    height, width = _even(picture).shape[:2] if codec == "libx264" else picture.shape[:2]
    stream.height, stream.width = height, width
    stream.pix_fmt = "yuv420p" if codec == "libx264" else "pal8"
    if codec == "libx264":
        stream.options = {"crf": "20", "preset": "veryfast"}
        # Said, not left to players, which guess BT.709 for large pictures.
        stream.codec_context.colorspace = Colorspace.SMPTE170M
        stream.codec_context.color_range = ColorRange.MPEG


def _video_frame(picture: np.ndarray, codec: str):
    """An av.VideoFrame in a pixel format that the codec takes; a GIF frame gets a palette of its own."""
    if codec == "libx264":
        return av.VideoFrame.from_ndarray(_even(picture), format="rgb24")
    paletted = Image.fromarray(picture).quantize(256)
    palette = np.full((256, 4), 255, np.uint8)  # alpha, red, green, blue
    colours = np.array(paletted.getpalette(), np.uint8).reshape(-1, 3)
    palette[: len(colours), 1:] = colours
    return av.VideoFrame.from_ndarray((np.asarray(paletted), palette), format="pal8")


def _even(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    if height % 2 == width % 2 == 0:
        return picture
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _size_changed(frame: Frame, got: tuple, expected: tuple) -> MediaError:
    return MediaError(
        "The pictures of one video must have one size.",
        where=frame.path,
        got=f"{got[1]} x {got[0]}",
        expected=f"{expected[1]} x {expected[0]}, the first picture's width x height",
        fix="Write single pictures instead: give a directory as the output.",
    )
