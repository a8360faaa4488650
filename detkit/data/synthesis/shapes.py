"""Squares, circles and triangles of all colours, as cut-outs."""

from __future__ import annotations

import colorsys

import numpy as np

from detkit.data.synthesis.cutouts import Cutouts

CLASSES = ("square", "circle", "triangle")
_COLOURS = 24  # of each shape
_SIDE, _FINE = 240, 4  # pixels; drawn so many times larger, for smooth edges
_CORNERS = {"square": 4, "triangle": 3}


def shapes_of(part: str) -> Cutouts:
    """The shapes of the "train" or of the "test" set, of other colours."""
    first = 0 if part == "train" else _COLOURS
    ids = np.arange(len(CLASSES) * _COLOURS) % len(CLASSES)
    return Cutouts(
        CLASSES, ids, lambda n: _shape(CLASSES[n % len(CLASSES)], first + n // len(CLASSES)), f"shapes {part}"
    )


def _shape(name: str, number: int) -> np.ndarray:
    """A shape in a colour of that number, brighter at the top, uint8 [240, 240, 4]."""
    from PIL import Image, ImageDraw

    rng = np.random.default_rng([7, number])
    colour = np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.45, 0.95), rng.uniform(0.6, 1))) * 255
    canvas = Image.new("L", (_SIDE * _FINE,) * 2)
    paint, half = ImageDraw.Draw(canvas), _SIDE * _FINE / 2
    if name == "circle":
        paint.ellipse([4, 4, 2 * half - 4, 2 * half - 4], fill=255)
    else:
        paint.regular_polygon((half, half, half - 4), _CORNERS[name], fill=255)
    opacity = np.asarray(canvas.reduce(_FINE))
    shade = np.linspace(1.1, 0.8, _SIDE)[:, None, None]  # [H, 1, 1]
    pixels = np.clip(shade * colour, 0, 255).astype(np.uint8)  # [H, 1, 3]
    return np.dstack([np.broadcast_to(pixels, (_SIDE, _SIDE, 3)), opacity])
