"""`ClassMap`, a picture of the class of each pixel, and what its values mean."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from detkit.data import images
from detkit.data.encoded import EncodedImage
from detkit.errors import DataError, MediaError
from detkit.text import some

IGNORED = 255  # of a pixel whose class counts neither for nor against
MOST_CLASSES = 254
_AT_ONCE = 1 << 22  # pixels
_TOLD = 10  # values spelled out in a message


@dataclass(frozen=True)
class ClassMap:
    """A PNG that tells the class of each pixel, decoded when it is asked for.

    Attributes:
        image: the file, or a picture inside another file.
        meanings: what each value means: 0 the background, class id + 1, or `IGNORED`. A value is a grey value, an
            index of a palette, whose colours don't count, or a colour (red, green, blue).
    """

    image: Path | EncodedImage
    meanings: Mapping[int | tuple[int, int, int], int]

    def decode(self, size: tuple[int, int]) -> np.ndarray:
        """The class of each pixel, uint8 [H, W]: 0 the background, class id + 1, or `IGNORED`.

        Args:
            size: (height, width) of the picture that it belongs to.

        Raises:
            DataError: if the file is missing, damaged or no PNG, is of another size, or has a value without a meaning.
        """
        values = stored(self.image, any(isinstance(key, tuple) for key in self.meanings), size)
        pairs = sorted((_packed(key), meaning) for key, meaning in self.meanings.items())
        known, meanings = np.array(pairs, np.int64).reshape(-1, 2).T
        decoded = _looked_up(values, known, meanings)
        if decoded.min(initial=0) < 0:
            self._refuse(values[decoded < 0])
        return decoded.astype(np.uint8)

    def _refuse(self, values: np.ndarray) -> None:
        """Raises the DataError for values without a meaning."""
        found, counts = np.unique(values, return_counts=True)
        told = [f"{_key(value)} ({count} pixels)" for value, count in zip(found, counts, strict=True)]
        known = [str(key) for key in self.meanings]
        raise DataError(
            "A mask has values that stand for no class.",
            where=self.image,
            got=some(told, _TOLD),
            expected=some(known, 4 * _TOLD),
            fix="Complete the list of classes, or correct the class map.",
        )

    def renumbered(self, table) -> ClassMap:
        """The same with other class ids: `table[old]` is the new one, negative for what becomes background."""
        known = range(1, len(table) + 1)
        meanings = {key: max(int(table[m - 1]) + 1, 0) if m in known else m for key, m in self.meanings.items()}
        return replace(self, meanings=meanings)


def stored(image: Path | EncodedImage, colours: bool = False, size: tuple[int, int] | None = None) -> np.ndarray:
    """The values of a class map, or of the mask of an object, as its PNG holds them.

    Args:
        image: the file, or a picture inside another file.
        colours: whether the colours of an RGB picture mean classes; otherwise it has to be grey.
        size: (height, width) that it should have; another one is refused before it is decoded.

    Returns:
        [H, W]: uint8 or uint16 grey values or indices of a palette; int32 for colours: the bits of red, green and
        blue beyond 1 << 24.

    Raises:
        DataError: if the file is missing, damaged or no PNG, of another size, partly transparent, or has colours
            without a meaning.
    """
    with _as_data_error():
        if size is not None:
            _check_size(image, size)
        values = images.stored_values(image)
    if values.ndim == 2:
        return values
    if values.shape[2] in (2, 4):
        if values[..., -1].min(initial=255) < 255:
            fix = "Export it again without transparency."
            raise DataError("A mask is partly transparent.", where=image, expected="whole pixels", fix=fix)
        values = values[..., :-1]
    if colours and values.shape[2] == 3:
        return _packed([values[..., channel].astype(np.int32) for channel in range(3)])
    if (values != values[..., :1]).any():
        raise DataError(
            "A mask has colours, and nothing tells what they mean.",
            where=image,
            got=f"{values.shape[2]} channels",
            expected="grey values, a palette, or a list of colours",
            fix="Put labelmap.txt beside it, with a line as duck:128,0,0:: for each class, or export indices.",
        )
    return values[..., 0]


def _check_size(image: Path | EncodedImage, size: tuple[int, int]) -> None:
    found = images.stored_size(image)[0]
    if found != tuple(size):
        raise DataError(
            "A mask has another size than its picture.",
            where=image,
            got=f"{found[0]} x {found[1]}",
            expected=f"{size[0]} x {size[1]} (height x width)",
            fix="Export it again at the size of the picture, or restore the picture that it was made for.",
        )


def _looked_up(values: np.ndarray, known: np.ndarray, meanings: np.ndarray) -> np.ndarray:
    """What values [H, W] mean, int16, by the rising `known` ones; -1 where they mean nothing."""
    if values.size > _AT_ONCE:  # an index array takes eight times the memory of the values
        return np.concatenate([_looked_up(rows, known, meanings) for rows in blocks(values)])
    if values.dtype == np.int32:
        places = np.searchsorted(known, values).clip(max=len(known) - 1)
        return np.where(known[places] == values, meanings[places], -1).astype(np.int16)
    table = np.full(np.iinfo(values.dtype).max + 1, -1, np.int16)
    inside = known < len(table)
    table[known[inside]] = meanings[inside]
    return table[values]


def blocks(values: np.ndarray) -> list[np.ndarray]:
    """Values [H, W] in blocks of rows, so that what is made of them takes little memory."""
    return np.array_split(values, min(-(-values.size // _AT_ONCE), max(len(values), 1)))


def _packed(key):
    """A value as a number: an index as it is, a colour beyond all indices."""
    return (1 << 24) + (key[0] << 16) + (key[1] << 8) + key[2] if isinstance(key, (tuple, list)) else key


def _key(value: int):
    """The value that `_packed` made this number of."""
    value = int(value)
    return (value >> 16 & 255, value >> 8 & 255, value & 255) if value >= 1 << 24 else value


@contextmanager
def _as_data_error():
    """What is wrong with the picture is wrong with the annotation."""
    try:
        yield
    except MediaError as error:
        parts = dict(where=error.where, got=error.got, expected=error.expected, fix=error.fix)
        raise DataError(f"Can't read this mask: {error.what}", **parts) from error
