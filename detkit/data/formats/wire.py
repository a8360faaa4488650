"""tf.train.Example messages in protobuf's wire format, read where they lie and written, without TensorFlow.

Source: https://protobuf.dev/programming-guides/encoding/ and tensorflow/core/example/feature.proto
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping

import numpy as np

_WIDTHS = {1: 8, 5: 4}  # bytes of a value of the wire types with a fixed width
Span = tuple[int, int]


class WireError(ValueError):
    """Bytes that are no such message."""


def _varint(data: memoryview, position: int, end: int) -> tuple[int, int]:
    """The number at a position and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            break
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, position
    raise WireError("a number without an end")


def _fields(data: memoryview, start: int, end: int) -> Iterator[tuple[int, int, Span]]:
    """(field number, wire type, span) of each field of a message; a number's span is that of its bytes."""
    while start < end:
        key, start = _varint(data, start, end)
        kind = key & 7
        if kind == 2:
            length, start = _varint(data, start, end)
        elif kind == 0:
            length = _varint(data, start, end)[1] - start
        elif kind in _WIDTHS:
            length = _WIDTHS[kind]
        else:
            raise WireError(f"a field of wire type {kind}")
        if length > end - start:
            raise WireError(f"a field of {length} bytes where {end - start} are left")
        yield key >> 3, kind, (start, start + length)
        start += length


def _entries(data: memoryview, span: Span, wanted: Collection[str]) -> Iterator[tuple[str, Span]]:
    """(key, span of the value) of the wanted entries of a map."""
    for field, kind, entry in _fields(data, *span):
        if (field, kind) != (1, 2):
            continue
        key, value = "", None
        for number, wire, part in _fields(data, *entry):
            if (number, wire) == (1, 2):
                key = bytes(data[slice(*part)]).decode("utf-8", "replace")
            elif (number, wire) == (2, 2):
                value = part
        if key in wanted and value is not None:
            yield key, value


def _feature(data: memoryview, span: Span):
    """The values of a Feature: a list of spans (bytes), float32 [N] or int64 [N]; None if it has none."""
    found = None
    for field, kind, part in _fields(data, *span):
        if kind == 2 and field in _LISTS:
            found = _LISTS[field](data, part)
    return found


def _bytes_list(data: memoryview, span: Span) -> list[Span]:
    return [part for field, kind, part in _fields(data, *span) if (field, kind) == (1, 2)]


def _float_list(data: memoryview, span: Span) -> np.ndarray:
    parts = []
    for field, kind, (start, end) in _fields(data, *span):
        if field == 1 and kind in (2, 5):
            if (end - start) % 4:
                raise WireError(f"floats in {end - start} bytes")
            parts.append(np.frombuffer(data[start:end], "<f4"))
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _int64_list(data: memoryview, span: Span) -> np.ndarray:
    values = []
    for field, kind, (start, end) in _fields(data, *span):
        while field == 1 and kind in (0, 2) and start < end:
            value, start = _varint(data, start, end)
            values.append(value)
    return np.array(values, np.uint64).astype(np.int64)


_LISTS = {1: _bytes_list, 2: _float_list, 3: _int64_list}


def features(data: memoryview, span: Span, wanted: Collection[str]) -> dict:
    """{key: values} of the wanted features of a tf.train.Example, or of a SequenceExample's context.

    Returns:
        A list of spans for a bytes_list, float32 [N] for a float_list, int64 [N] for an int64_list.

    Raises:
        WireError: if the bytes are no such message.
    """
    found = {}
    for field, kind, part in _fields(data, *span):
        if (field, kind) == (1, 2):
            for key, value in _entries(data, part, wanted):
                found[key] = _feature(data, value)
    return {key: value for key, value in found.items() if value is not None}


def frames(data: memoryview, span: Span, wanted: Collection[str]) -> list[dict]:
    """The wanted features of each frame of a tf.train.SequenceExample; empty for an Example; WireError as above."""
    lists = {}
    for field, kind, part in _fields(data, *span):
        if (field, kind) == (2, 2):
            for key, value in _entries(data, part, wanted):
                lists[key] = [_feature(data, p) for n, wire, p in _fields(data, *value) if (n, wire) == (1, 2)]
    count = max(map(len, lists.values()), default=0)
    return [{k: v[i] for k, v in lists.items() if i < len(v) and v[i] is not None} for i in range(count)]


def _number(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, content: bytes) -> bytes:
    return _number(number << 3 | 2) + _number(len(content)) + content


def encode(values: Mapping[str, list]) -> bytes:
    """A serialised tf.train.Example of {key: bytes, floats or ints}, keys sorted; an empty list has no kind."""
    entries = (_field(1, key.encode()) + _field(2, _encoded(values[key])) for key in sorted(values))
    return _field(1, b"".join(_field(1, entry) for entry in entries))


def _encoded(values: list) -> bytes:
    if not values:
        return b""
    if isinstance(values[0], bytes):
        return _field(1, b"".join(_field(1, value) for value in values))
    if isinstance(values[0], float):
        return _field(2, _field(1, struct.pack(f"<{len(values)}f", *values)))
    return _field(3, _field(1, b"".join(map(_number, values))))
