"""Masks as PNG pictures, one an object or one index picture of all objects."""

from __future__ import annotations

import io

import numpy as np

from detkit import masks
from detkit.data.images import MAX_PIXELS
from detkit.errors import DataError

_MOST_RUNS = 4_000_000
_FIX = "Export the masks again, or delete the file."


def pixels(content: bytes, size: tuple[int, int]) -> np.ndarray:
    """The grey values or palette indices [H, W] of a PNG of that (height, width); DataError if it is none."""
    from PIL import PngImagePlugin

    try:
        image = PngImagePlugin.PngImageFile(io.BytesIO(content))
        if (image.size[1], image.size[0]) == tuple(size) and size[0] * size[1] <= MAX_PIXELS:
            values = np.asarray(image)
            image = None
    except Exception as error:  # a damaged file can raise anything in a decoder
        raise DataError("A mask can't be decoded.", got=str(error)[:200], expected="a PNG", fix=_FIX) from error
    if image is not None:
        got = f"{image.size[1]} x {image.size[0]}"
        expected = f"{size[0]} x {size[1]} (height x width)"
        raise DataError("A mask has another size than its picture.", got=got, expected=expected, fix=_FIX)
    if values.ndim != 2:
        raise DataError("A mask has colours.", got=f"{values.shape[2]} channels", expected="grey or palette", fix=_FIX)
    return values


def png(values: np.ndarray, palette: bytes | None = None) -> bytes:
    """A PNG of uint8 [H, W], grey or with a palette."""
    from PIL import Image

    image, file = Image.fromarray(values), io.BytesIO()
    if palette:
        image.putpalette(palette)
    image.save(file, "PNG")
    return file.getvalue()


def run_lengths(inside: np.ndarray, corner: tuple[int, int], size: tuple[int, int]) -> dict | None:
    """The RLE of a mask [h, w] that lies at a (row, column) of a picture; None if it is empty.

    Raises:
        DataError: if it is a pattern of so many runs that its lengths would fill the memory.
    """
    inside = inside != 0
    runs = int(np.count_nonzero(inside[1:] != inside[:-1]))
    if runs > _MOST_RUNS:
        raise DataError("A mask is too ragged.", got=f"{runs} runs", expected=f"at most {_MOST_RUNS}", fix=_FIX)
    return masks.encode(inside, corner, size) if inside.any() else None


def crop(segmentation, size: tuple[int, int]) -> tuple[np.ndarray | None, int, int]:
    """The part bool [h, w] of an RLE's mask that holds all that is true, its row and column; None if nothing is."""
    mask = masks.decode(segmentation, size) if isinstance(segmentation, dict) else np.zeros((1, 1), bool)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return None, 0, 0
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], int(rows[0]), int(columns[0])
