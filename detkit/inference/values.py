"""The values of a prediction's options: times, rates, regions; made from what a user writes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from detkit.errors import ConfigError

_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)")


@dataclass(frozen=True)
class Region:
    """A rectangle of a picture.

    Attributes:
        left, top, right, bottom: pixels, or fractions of the picture's width and height if `relative`.
        relative: whether they are fractions.
    """

    left: float
    top: float
    right: float
    bottom: float
    relative: bool

    def inside(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """(top, left, bottom, right) in whole pixels of a picture of this (height, width).

        Raises:
            ConfigError: if no pixel of the picture is inside.
        """
        height, width = size
        across, down = (width, height) if self.relative else (1, 1)
        left, right = (min(max(round(x * across), 0), width) for x in (self.left, self.right))
        top, bottom = (min(max(round(y * down), 0), height) for y in (self.top, self.bottom))
        if left < right and top < bottom:
            return top, left, bottom, right
        raise ConfigError(
            "The region of interest lies outside the picture.",
            got=str(self),
            expected=f"left, top, right, bottom within {width} x {height} pixels",
            fix="Give a rectangle that the picture holds a part of.",
        )

    def __str__(self) -> str:
        return ",".join(f"{value:g}" for value in (self.left, self.top, self.right, self.bottom))


def time(value, path: str) -> Fraction | None:
    """Seconds, from a number or "SS.mmm", "MM:SS" or "HH:MM:SS.mmm"; ConfigError for anything else."""
    if value is None:
        return None
    match = _CLOCK.fullmatch(str(value).strip())
    if match is None and isinstance(value, (int, float, Fraction)) and value >= 0:
        return Fraction(value)
    hours, minutes, seconds = match.groups() if match else (None, None, None)
    # Only what stands first may be a whole hour or minute and more.
    if match is None or (minutes and float(seconds) >= 60) or (hours and int(minutes) >= 60):
        raise ConfigError(
            "This is no time of a video.",
            where=_flag(path),
            got=repr(value),
            expected="seconds or HH:MM:SS.mmm, 0 or more",
            fix="Write 90.5, 1:30.5 or 00:01:30.500.",
        )
    return Fraction(hours or 0) * 3600 + Fraction(minutes or 0) * 60 + Fraction(seconds)


_SLOWEST, _FASTEST = Fraction(1, 3600), Fraction(1000)  # frames per second


def rate(value, path: str) -> Fraction | None:
    """Frames per second as an exact fraction, from a number or "30000/1001"; ConfigError for one no file can hold."""
    if value is None:
        return None
    try:
        fraction = Fraction(value)
        if _SLOWEST <= fraction <= _FASTEST:
            return fraction
    except (ValueError, ZeroDivisionError, TypeError, OverflowError):
        pass
    fix = "Give frames per second as a number or a fraction, such as 25 or 30000/1001."
    expected = "one in an hour to 1000 a second"
    raise ConfigError("The frame rate is out of range.", got=repr(value), expected=expected, fix=fix)


def region(value, path: str) -> Region | None:
    """A region of interest, from "left,top,right,bottom" or four numbers; ConfigError if it holds nothing."""
    if value is None or isinstance(value, Region):
        return value
    try:
        left, top, right, bottom = map(float, value.split(",") if isinstance(value, str) else value)
        if 0 <= left < right < float("inf") and 0 <= top < bottom < float("inf"):
            return Region(left, top, right, bottom, relative=max(right, bottom) <= 1)
    except (ValueError, TypeError):
        pass
    raise ConfigError(
        "This is no region of interest.",
        where=_flag(path),
        got=repr(value),
        expected="left,top,right,bottom, with left < right and top < bottom, none below 0",
        fix="Write pixels, such as 100,0,540,360, or fractions of the picture, such as 0.25,0,0.75,1.",
    )


def threshold(value, path: str) -> float:
    """A score; ConfigError unless from 0 to 1."""
    if isinstance(value, (int, float)) and 0 <= value <= 1:
        return float(value)
    raise ConfigError("The score threshold is out of range.", got=value, expected="0 to 1")


def batch_size(value, path: str) -> int | None:
    """A number of images; ConfigError unless 1 or more."""
    if value is None or (isinstance(value, int) and value >= 1):
        return value
    raise ConfigError("The batch size is out of range.", got=value, expected="1 or more")


def tiles(value, path: str) -> int | str | None:
    """The side of tiles in pixels, or "auto"; ConfigError for anything else, and below 32."""
    if value is None or value == "auto":
        return value
    if (isinstance(value, int) or str(value).isdigit()) and int(value) >= 32:
        return int(value)
    raise ConfigError(
        "Tiles can't have this size.",
        where=_flag(path),
        got=repr(value),
        expected="a number of pixels from 32, or auto",
        fix="Write 640, or auto for the size of the model's input.",
    )


def views(value, path: str) -> tuple[str, ...]:
    """Ways to look at an image again: "flip", or a scale from 0.25 to 4; ConfigError for anything else."""
    chosen = (value,) if isinstance(value, (str, float, int)) else tuple(value or ())
    for view in chosen:
        if view != "flip" and not _is_scale(view):
            raise ConfigError(
                "There is no such view for test-time augmentation.",
                where=_flag(path),
                got=repr(view),
                expected="flip, or a scale from 0.25 to 4",
            )
    return tuple(str(view) for view in chosen)


def _is_scale(value) -> bool:
    try:
        return 0.25 <= float(value) <= 4
    except (ValueError, TypeError):
        return False


def names(value, path: str) -> tuple[str, ...] | None:
    """Class names; None if none is given. A text is one name."""
    return ((value,) if isinstance(value, str) else tuple(value or ())) or None


def _flag(path: str) -> str:
    return "--" + path.replace("_", "-")
