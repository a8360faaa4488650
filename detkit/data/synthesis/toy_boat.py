"""A toy sailing boat, drawn: the object of the demo."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_CANVAS = 1200  # drawn at this size, shrunk by _SHRINK for smooth edges
_SHRINK = 3
_OUTLINE, _MAST = (38, 34, 58), (150, 98, 52)
_RED, _CREAM, _TEAL, _YELLOW = (206, 52, 48), (250, 240, 216), (24, 140, 150), (246, 186, 52)


def _curve(start, bend, end, n: int = 40) -> list[tuple[float, float]]:
    """Points of a quadratic Bezier curve."""
    t = np.linspace(0, 1, n)[:, None]  # [n, 1]
    points = (1 - t) ** 2 * np.array(start) + 2 * t * (1 - t) * np.array(bend) + t**2 * np.array(end)
    return [tuple(point) for point in points]


def _shape(canvas, outline, colour, stripes=(), line: int = 18) -> None:
    """Fill an outline, lay horizontal stripes (top, bottom, colour) on it, and draw its edge."""
    from PIL import Image, ImageDraw

    layer = Image.new("RGB", canvas.size, colour)
    paint = ImageDraw.Draw(layer)
    for top, bottom, stripe in stripes:
        paint.rectangle([0, top, canvas.size[0], bottom], fill=stripe)
    mask = Image.new("L", canvas.size, 0)
    ImageDraw.Draw(mask).polygon(outline, fill=255)
    canvas.paste(layer, mask=mask)
    ImageDraw.Draw(canvas).line([*outline, *outline[:2]], fill=(*_OUTLINE, 255), width=line, joint="curve")


def _sails(canvas) -> None:
    teal = [(y, y + 62, _TEAL) for y in range(230, 800, 124)]
    yellow = [(y, y + 62, _YELLOW) for y in range(292, 800, 124)]
    main = [
        (625, 150),
        *_curve((640, 150), (900, 420), (1040, 770)),
        *_curve((1040, 770), (830, 800), (625, 770)),
    ]
    jib = [
        (560, 230),
        *_curve((545, 230), (400, 560), (190, 770)),
        *_curve((190, 770), (370, 800), (560, 770)),
    ]
    _shape(canvas, main, _CREAM, teal)
    _shape(canvas, jib, _CREAM, yellow)


def _hull(canvas) -> None:
    from PIL import ImageDraw

    left, right = (90, 850), (1110, 850)
    keel = [*_curve(right, (1040, 1090), (850, 1110)), (340, 1110), *_curve((340, 1110), (150, 1090), left)]
    _shape(canvas, [left, right, *keel], _RED, [(850, 905, _CREAM), (1065, 1110, (120, 26, 36))], line=20)
    paint = ImageDraw.Draw(canvas)
    for x in (400, 600, 800):
        paint.ellipse([x - 46, 940, x + 46, 1032], fill=(*_YELLOW, 255), outline=(*_OUTLINE, 255), width=14)
        paint.ellipse([x - 24, 954, x - 2, 976], fill=(255, 246, 214, 255))


def _shaded(pixels: np.ndarray) -> np.ndarray:
    """Light from the upper left on RGBA [H, W, 4]: bright there, darker below and to the right."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    light = 1.14 - 0.22 * (x / width) - 0.2 * (y / height) ** 2
    folds = 0.05 * np.sin(x / width * 26 + y / height * 5) * (y < 0.68 * height)  # the cloth of the sails
    shaded = pixels.astype(np.float32)
    shaded[..., :3] *= (light + folds)[..., None]
    return shaded.clip(0, 255).astype(np.uint8)


@lru_cache(maxsize=1)
def toy_boat():
    """The boat as a Pillow RGBA image of 400 x 400, cut out on nothing."""
    from PIL import Image, ImageDraw

    canvas = Image.new("RGBA", (_CANVAS, _CANVAS), (0, 0, 0, 0))
    paint = ImageDraw.Draw(canvas)
    paint.rounded_rectangle([578, 70, 616, 870], 12, fill=(*_MAST, 255), outline=(*_OUTLINE, 255), width=10)
    _shape(canvas, [(612, 84), (790, 126), (612, 176)], _RED, line=14)
    _sails(canvas)
    _hull(canvas)
    shaded = Image.fromarray(_shaded(np.asarray(canvas)), "RGBA")
    return shaded.resize((_CANVAS // _SHRINK,) * 2, Image.Resampling.LANCZOS)
