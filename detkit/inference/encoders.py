"""The codecs of drawn videos: how each is asked for a quality, and which file holds it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

from detkit.errors import ConfigError

_FINEST = 10**9  # parts of a second that an encoder can count in
_ROUNDED = Fraction(1, 1000)  # a container that counts in these, or more, has rounded its times


@dataclass(frozen=True)
class Codec:
    """An encoder of FFmpeg.

    Attributes:
        encoder: its name.
        quality: the usual constant rate factor.
        suffixes: the files that hold it.
        options: those that make it quick.
        settings: the names of the options that the quality is given to.
    """

    encoder: str
    quality: int
    suffixes: tuple[str, ...]
    options: dict[str, str]
    settings: tuple[str, ...] = ("crf",)

    def with_quality(self, quality: int | None) -> dict[str, str]:
        """All options of the encoder."""
        value = str(self.quality if quality is None else quality)
        return self.options | {name: value for name in self.settings}


_QUICK_VP9 = {"deadline": "realtime", "cpu-used": "7", "row-mt": "1", "b": "0"}
CODECS = {
    "h264": Codec("libx264", 20, (".mp4", ".mkv", ".mov", ".avi"), {"preset": "veryfast"}),
    "hevc": Codec("libx265", 24, (".mp4", ".mkv", ".mov"), {"preset": "veryfast", "x265-params": "log-level=none"}),
    "vp9": Codec("libvpx-vp9", 30, (".mp4", ".mkv"), _QUICK_VP9),
    "av1": Codec("libsvtav1", 32, (".mp4", ".mkv"), {"preset": "10"}),
    "mpeg4": Codec("mpeg4", 4, (".mp4", ".mkv", ".mov", ".avi"), {}, ("qmin", "qmax")),
}


def check_codec(path: Path, codec: str) -> None:
    """ConfigError unless this FFmpeg has the codec's encoder, and the file can hold what comes out."""
    suffix, known = path.suffix.lower(), CODECS[codec]
    if suffix == ".gif" and codec == "h264":  # nothing was asked for
        return
    if suffix not in known.suffixes:
        raise ConfigError(
            f"A {suffix} file can't hold {codec}.",
            where=path,
            got=f"--codec {codec}",
            expected=f"one of {' '.join(known.suffixes)}",
            fix="Choose another suffix, or another codec.",
        )
    if known.encoder not in av.codecs_available:
        raise ConfigError(
            f"The installed FFmpeg can't write {codec}.",
            got=f"no encoder {known.encoder}",
            fix="Choose another --codec; h264 and mpeg4 are almost always there.",
        )


def configure(stream, codec: str, quality: int | None, picture: np.ndarray) -> None:
    """Sets up a video stream for pictures like this one; `codec` may be "gif"."""
    height, width = picture.shape[:2]
    if codec == "gif":
        stream.height, stream.width, stream.pix_fmt = height, width, "pal8"
        return
    # Colours are halved in resolution, so an odd side grows by one.
    stream.height, stream.width, stream.pix_fmt = height + height % 2, width + width % 2, "yuv420p"
    stream.options = CODECS[codec].with_quality(quality)
    os.environ.setdefault("SVT_LOG", "1")  # errors only: the AV1 encoder tells its settings otherwise
    # Said, not left to players, which guess BT.709 for large pictures.
    stream.codec_context.colorspace = Colorspace.SMPTE170M
    stream.codec_context.color_range = ColorRange.MPEG


def video_frame(picture: np.ndarray, codec: str) -> av.VideoFrame:
    """A frame in a pixel format that the codec takes; one of a GIF gets a palette of its own."""
    if codec != "gif":
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


class Timing:
    """Gives frames their timestamps in a file: those of the source where the file can hold them.

    Args:
        suffix: the file's; AVI can only hold a constant rate, GIF hundredths of a second.
        rate: frames per second.
        tick: the unit of the frames' times in seconds; None if they have none.
    """

    def __init__(self, suffix: str, rate: Fraction, tick: Fraction | None):
        self._rate, self._tick = rate, tick
        self.base = {".avi": 1 / rate, ".gif": Fraction(1, 100)}.get(suffix) or _common(1 / rate, tick or 1 / rate)
        self._first, self._last, self._count = None, -1, -1
        self._rounded = tick is not None and tick >= _ROUNDED

    def stamp(self, time: Fraction | None) -> int:
        """The timestamp, in units of `base`, of a frame with this time; each is later than the one before."""
        self._count += 1
        self._first = time if self._first is None else self._first
        seconds = self._count / self._rate if time is None else self._unrounded(time - self._first)
        self._last = max(self._last + 1, round(seconds / self.base))
        return self._last

    def _unrounded(self, seconds: Fraction) -> Fraction:
        """The time that a constant rate would give, as long as it is one that the source's container has rounded."""
        if not self._rounded:
            return seconds
        constant = round(seconds * self._rate) / self._rate
        self._rounded = abs(constant - seconds) <= self._tick
        return constant if self._rounded else seconds


def _common(one: Fraction, other: Fraction) -> Fraction:
    """The longest time of which both are multiples; the second one if it is too short to count in."""
    denominator = lcm(one.denominator, other.denominator)
    if denominator > _FINEST:
        return other
    return Fraction(gcd(int(one * denominator), int(other * denominator)), denominator)
