"""Many images on one sheet, and pictures written to files."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detkit.errors import DataError, MediaError
from detkit.io import atomic_write
from detkit.visualize.draw import blend, check_image, text_mask

_GROUND, _LETTERS = (250, 250, 250), (40, 40, 40)
_GAP = 8


def contact_sheet(
    images: Sequence[np.ndarray],
    columns: int | None = None,
    captions: Sequence[str] | None = None,
    width: int = 1600,
) -> np.ndarray:
    """All images side by side in rows, each whole and in its proportions.

    Args:
        images: uint8 [H, W, 3] RGB, of any sizes.
        columns: images in a row; None makes the sheet about as wide as high.
        captions: a line below each image.
        width: of the sheet in pixels.

    Returns:
        uint8 [H, width, 3] RGB.

    Raises:
        DataError: for no images, an image of another type or shape, another number of captions, or a
            width that does not hold the columns.
    """
    _check(images, columns, captions)
    columns, cell = layout([image.shape[:2] for image in images], columns, width)
    size = max(11, cell[1] // 24)
    line = text_mask("", size).shape[0] if captions else 0
    rows = math.ceil(len(images) / columns)
    sheet = np.full((rows * (cell[0] + line + _GAP) + _GAP, width, 3), _GROUND, np.uint8)
    for n, image in enumerate(images):
        top = _GAP + n // columns * (cell[0] + line + _GAP)
        left = _GAP + n % columns * (cell[1] + _GAP)
        _place(sheet[top : top + cell[0], left : left + cell[1]], image)
        if captions:
            mask = text_mask(captions[n], size)[:, : cell[1]]
            below = sheet[top + cell[0] :, left:][: mask.shape[0], : mask.shape[1]]
            blend(below, mask, _LETTERS, _GROUND)
    return sheet


def layout(
    sizes: Sequence[tuple[int, int]], columns: int | None = None, width: int = 1600
) -> tuple[int, tuple[int, int]]:
    """How `contact_sheet` places images.

    Args:
        sizes: (height, width) of each image, of one at least.
        columns, width: as there.

    Returns:
        The number of columns, and the (height, width) in pixels of the place of an image.
    """
    aspect = float(np.median([height / width for height, width in sizes]))
    columns = min(columns or math.ceil(math.sqrt(len(sizes) * aspect)), len(sizes))
    return columns, _cell_size(width, columns, aspect)


def _cell_size(width: int, columns: int, aspect: float) -> tuple[int, int]:
    cell = (width - (columns + 1) * _GAP) // columns
    if cell < 16:
        raise DataError(
            "The contact sheet is too narrow for its columns.",
            got=f"{columns} columns in {width} pixels",
            expected=f"at least {columns * (16 + _GAP) + _GAP} pixels",
            fix="Use fewer columns or a wider sheet.",
        )
    return max(1, round(cell * aspect)), cell


def shortened(text: str, length: int) -> str:
    """The text, without its middle where it is longer than this many characters."""
    half = length // 2
    return text if len(text) <= length else f"{text[: length - half]}…{text[len(text) + 1 - half :]}"


def fitted(image: np.ndarray, cell: tuple[int, int]) -> np.ndarray:
    """An image uint8 [H, W, 3] scaled to the largest size in its proportions that a (height, width) holds."""
    from PIL import Image

    scale = min(cell[0] / image.shape[0], cell[1] / image.shape[1])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3))


def _place(cell: np.ndarray, image: np.ndarray) -> None:
    """Scales the image into the middle of the cell, a view of the sheet."""
    small = fitted(image, cell.shape[:2])
    top, left = ((cell.shape[axis] - small.shape[axis]) // 2 for axis in (0, 1))
    cell[top : top + small.shape[0], left : left + small.shape[1]] = small


def _check(images, columns, captions) -> None:
    if not len(images):
        raise DataError("There are no images for a contact sheet.", fix="Pass at least one image.")
    for n, image in enumerate(images):
        check_image(image, where=f"image {n}")
    if columns is not None and columns < 1:
        raise DataError("A contact sheet needs at least one column.", got=columns)
    if captions is not None and len(captions) != len(images):
        raise DataError("Each image needs its caption.", got=f"{len(captions)} captions for {len(images)} images")


def save(image: np.ndarray, path: str | Path) -> None:
    """Writes an image as PNG or JPEG, by the ending of its name; the file appears when it is complete.

    Args:
        image: uint8 [H, W, 3] RGB.
        path: ends in .png, .jpg or .jpeg.

    Raises:
        DataError: for an image of another type or shape.
        MediaError: for another ending.
        ConfigError: if the path can't be written.
    """
    from PIL import Image

    check_image(image, where=str(path))
    formats = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
    kind = formats.get(Path(path).suffix.lower())
    if kind is None:
        raise MediaError(
            "detkit writes pictures as PNG or JPEG.",
            where=path,
            got=f'the ending "{Path(path).suffix}"',
            expected=", ".join(formats),
        )
    encoded = io.BytesIO()
    # 4:4:4 chroma: thin coloured lines would smear otherwise.
    options = {"quality": 92, "subsampling": 0} if kind == "JPEG" else {"compress_level": 4}
    Image.fromarray(image).save(encoded, kind, **options)
    with atomic_write(path, "wb") as file:
        file.write(encoded.getbuffer())
