"""What scenes are laid on: photos out of a folder, or procedural backgrounds."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from detkit.data import images
from detkit.data.problems import Problem
from detkit.data.synthesis.backgrounds import background
from detkit.data.synthesis.cutouts import fingerprint_of, picture_files, refuse_files
from detkit.errors import MediaError

_ENLARGED = 3  # times, at most: more would be a blur
_HELD = 32  # photos in memory


class Grounds(NamedTuple):
    """Backgrounds to draw from.

    Attributes:
        draw: a random background float32 [H, W, 3] in 0..1 of a random generator.
        fingerprint: a text that differs where the backgrounds do.
    """

    draw: Callable[[np.random.Generator], np.ndarray]
    fingerprint: str


def opened(folder, size: tuple[int, int]) -> Grounds:
    """Backgrounds of a (height, width): of the photos in a folder, or procedural ones for None.

    Raises:
        DataError: if there are no photos; with all that can't be read, or are under a third of the size.
    """
    if folder is None:
        return procedural(size)
    files = picture_files(Path(folder), "photos")
    refuse_files((_problem(file, size) for file in files), folder)
    shrunk = lru_cache(_HELD)(lambda number: _shrunk(files[number], size))

    def draw(rng: np.random.Generator) -> np.ndarray:
        return _part(rng, shrunk(int(rng.integers(len(files)))), size)

    return Grounds(draw, fingerprint_of(files, Path(folder)))


def procedural(size: tuple[int, int], clutter: bool = True) -> Grounds:
    """Drawn backgrounds, with things lying about on them if there shall be clutter."""
    return Grounds(lambda rng: background(rng, size, clutter), "procedural" if clutter else "plain")


def _problem(file: Path, size: tuple[int, int]) -> Problem | None:
    try:
        height, width = images.size(file)
    except MediaError as error:
        return Problem("error", error.what, image=str(file), got=str(error.got), fix=error.fix)
    if _ENLARGED * height >= size[0] and _ENLARGED * width >= size[1]:
        return None
    least = [-(-side // _ENLARGED) for side in size]
    return Problem(
        "error",
        "This background is too small.",
        image=str(file),
        got=f"{height} x {width} (height x width)",
        expected=f"at least {least[0]} x {least[1]}, a third of the size of the pictures",
        fix="Leave it out, or make smaller pictures.",
    )


def _shrunk(file: Path, size: tuple[int, int]):
    """A photo as a Pillow image, not larger than is of use."""
    from PIL import Image

    image = Image.fromarray(images.decode(file))
    scale = 1.5 * max(size[0] / image.height, size[1] / image.width)
    if scale < 1:
        sides = (round(image.width * scale), round(image.height * scale))
        image = image.resize(sides, Image.Resampling.LANCZOS, reducing_gap=3)
    return image


def _part(rng: np.random.Generator, photo, size: tuple[int, int]) -> np.ndarray:
    """A random part of a photo, two thirds of it or more, mirrored half the time."""
    from PIL import Image

    most = min(photo.height / size[0], photo.width / size[1])
    zoom = most * rng.uniform(2 / 3, 1)
    height, width = size[0] * zoom, size[1] * zoom
    top, left = rng.uniform(0, photo.height - height), rng.uniform(0, photo.width - width)
    box = (left, top, min(left + width, photo.width), min(top + height, photo.height))
    pixels = np.asarray(photo.resize(size[::-1], Image.Resampling.BICUBIC, box), np.float32) / 255
    return pixels[:, ::-1].copy() if rng.random() < 0.5 else pixels.copy()
