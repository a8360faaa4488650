"""One fixed colour for each class, told apart also by colour-blind people."""

from __future__ import annotations

# Okabe and Ito, Color Universal Design, 2008, without black; ordered so that neighbours differ most.
_BASE = (
    (230, 159, 0),
    (86, 180, 233),
    (213, 94, 0),
    (0, 158, 115),
    (240, 228, 66),
    (204, 121, 167),
    (0, 114, 178),
)
# Past the seventh class the same hues come back lighter and darker: lightness is what everyone sees.
_SHADES = (0.0, 0.45, -0.4)


def colour(class_id: int) -> tuple[int, int, int]:
    """The RGB colour (0..255) of a class; colours repeat after 21 classes."""
    shade = _SHADES[class_id // len(_BASE) % len(_SHADES)]
    target = 255 if shade > 0 else 0
    return tuple(round(c + (target - c) * abs(shade)) for c in _BASE[class_id % len(_BASE)])


def ink(background: tuple[int, int, int]) -> tuple[int, int, int]:
    """Black or white, whichever reads better on an RGB background (ITU-R BT.601 luma)."""
    red, green, blue = background
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 128 else (255, 255, 255)


def index_palette() -> bytes:
    """The palette of class maps, 256 times red, green, blue: the background is black, what is to be ignored white."""
    colours = [(0, 0, 0), *(colour(n) for n in range(254)), (255, 255, 255)]
    return bytes(value for each in colours for value in each)
