"""TFRecord files: records framed by their length and CRC-32C checksums, without TensorFlow.

Source: https://www.tensorflow.org/tutorials/load_data/tfrecord (format), RFC 3720 (CRC-32C).
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import numpy as np

from detkit.errors import DataError
from detkit.io import atomic_write, unreadable

_BLOCK = 512  # bytes whose checksums are looked up together
_BATCH = 4096  # blocks of one lookup; bounds its memory
_FRAME = 12  # bytes before the data: length and its checksum
_MASK = 0xA282EAD8


@cache
def _tables() -> tuple[np.ndarray, list[list[int]]]:
    """What a byte at each place of a block adds to its CRC [_BLOCK, 256], and what a block of zeros makes of a CRC."""
    one = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        one = np.where(one & 1, (one >> 1) ^ np.uint32(0x82F63B78), one >> 1)
    places = np.zeros((_BLOCK, 256), np.uint32)
    places[-1] = one
    for i in range(_BLOCK - 2, -1, -1):
        places[i] = one[places[i + 1] & 255] ^ (places[i + 1] >> 8)
    return places, [places[i].tolist() for i in range(4)]


def crc32c(data) -> int:
    """The CRC-32C of bytes."""
    values = np.frombuffer(data, np.uint8)
    if len(values) < 4:
        return _short(values.tolist())
    # The CRC's start value is the same as inverting the first four bytes; zeros before them then add nothing.
    count = -(-len(values) // _BLOCK)
    first = np.zeros(_BLOCK, np.uint8)
    head = len(values) - (count - 1) * _BLOCK
    first[-head:] = values[:head]
    if head >= 4:
        first[_BLOCK - head : _BLOCK - head + 4] ^= 255
        rest = values[head:]
    else:  # the four bytes reach into the next block
        first[-head:] ^= 255
        rest = values[head:].copy()
        rest[: 4 - head] ^= 255
    return _joined(first[None], rest.reshape(-1, _BLOCK)) ^ 0xFFFFFFFF


def _joined(*parts: np.ndarray) -> int:
    """The CRC of blocks [N, _BLOCK] one after the other, from zero."""
    places, (a, b, c, d) = _tables()
    rows, crc = np.arange(_BLOCK), 0
    for blocks in parts:
        for start in range(0, len(blocks), _BATCH):
            found = places[rows, blocks[start : start + _BATCH]]
            for value in np.bitwise_xor.reduce(found, axis=1).tolist():
                crc = a[crc & 255] ^ b[crc >> 8 & 255] ^ c[crc >> 16 & 255] ^ d[crc >> 24] ^ value
    return crc


def _short(values: list[int]) -> int:
    table, crc = _tables()[0][-1].tolist(), 0xFFFFFFFF
    for value in values:
        crc = table[(crc ^ value) & 255] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _masked(data) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


def looks_like(head: bytes) -> bool:
    """Whether a file that starts with these bytes is a TFRecord file."""
    return len(head) >= _FRAME and struct.unpack("<I", head[8:12])[0] == _masked(head[:8])


def opened(path: Path) -> memoryview:
    """The bytes of a file, mapped, not read; DataError if it can't be opened."""
    try:
        with open(path, "rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:  # ValueError: an empty file can't be mapped
        raise DataError("Can't read this TFRecord file.", **unreadable(path, error)) from error


def spans(content: memoryview, path: Path) -> Iterator[tuple[int, int]]:
    """(start, end) of the data of each record of a file; DataError where it is damaged or cut short."""
    position = 0
    while position < len(content):
        where = f"{path}, byte {position}"
        head = bytes(content[position : position + _FRAME])
        if len(head) < _FRAME:
            raise _damaged("This TFRecord file is cut short.", where, "the head of a record", f"{len(head)} bytes")
        length, crc = struct.unpack("<QI", head)
        start = position + _FRAME
        if crc != _masked(head[:8]):
            raise _damaged("A record of this TFRecord file is damaged.", where, "a length that fits its checksum")
        if length > len(content) - start - 4:
            got = f"{max(len(content) - start - 4, 0)} bytes"
            raise _damaged("This TFRecord file is cut short.", where, f"a record of {length} bytes", got)
        position = start + length + 4
        if struct.unpack("<I", content[position - 4 : position])[0] != _masked(content[start : start + length]):
            raise _damaged("A record of this TFRecord file is damaged.", where, "data that fits its checksum")
        yield start, start + length


def _damaged(what: str, where: str, expected: str, got: str | None = None) -> DataError:
    return DataError(what, where=where, got=got, expected=expected, fix="Copy or make the file again.")


def write(path: Path, records: Iterable[bytes]) -> None:
    """Write records to a TFRecord file; ConfigError where the path can't be written."""
    with atomic_write(path, "wb") as file:
        for record in records:
            length = struct.pack("<Q", len(record))
            file.write(length + struct.pack("<I", _masked(length)) + record + struct.pack("<I", _masked(record)))
