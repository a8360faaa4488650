"""A JSON document with one long list, parsed piece by piece: its entries never lie in memory all together."""

from __future__ import annotations

import gc
import json
import re
from array import array
from bisect import bisect_right
from collections.abc import Callable
from contextlib import contextmanager

import orjson

from detkit import io

_PIECE = 1_000_000  # characters
_SPACE = re.compile(r"[ \t\n\r]*")
_BORDER = re.compile(r"\}[ \t\n\r]*,[ \t\n\r]*(?=\{)")  # of two objects
_scan = json.JSONDecoder().scan_once


class LongList:
    """A list of a JSON document, of which `columns` took what was wanted; an entry is parsed again for its index.

    Args:
        columns: gets the entries in order, by its method `add(entries)`; whole numbers beyond 64 bits are floats there,
            and exact only in what an index gives.
        text: the document.
    """

    def __init__(self, columns, text: str = ""):
        self.columns, self._text, self._count = columns, text, 0
        self._firsts: list[int] = []  # for each piece the number of its first entry
        self._spans: list[tuple[int, int]] = []
        self._places: dict[int, array] = {}  # for a piece where its entries begin
        self._kept: list | None = None

    def add(self, entries: list, start: int, stop: int) -> None:
        """The next entries, which stand at text[start:stop]."""
        self._firsts.append(self._count)
        self._spans.append((start, stop))
        self._count += len(entries)
        self.columns.add(entries)

    def keep(self, entries: list) -> None:
        """All entries, not to be parsed again."""
        self.add(entries, 0, 0)
        self._kept = entries

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int):
        if self._kept is not None:
            return self._kept[index]
        piece = bisect_right(self._firsts, index) - 1
        if piece not in self._places:
            self._places[piece] = _places(self._text, *self._spans[piece])
        return _scan(self._text, self._places[piece][index - self._firsts[piece]])[0]


def _places(text: str, at: int, stop: int) -> array:
    """Where the entries of a part of a list begin."""
    places, at = array("q"), _skip(text, at)
    while at < stop:
        places.append(at)
        _, at = _scan(text, at)
        at = _skip(text, _skip(text, at) + 1)
    return places


def read(path, key: str, begin: Callable):
    """The value in a JSON file, with a `LongList` in place of the list that an object there has under a key.

    Args:
        path: the file.
        key: of the list.
        begin: makes what takes the entries: an object with a method `add(entries)`.

    Raises:
        DataError: as `detkit.io.read_json` does.
    """
    text = io.json_text(path)
    try:
        return _document(text, key, begin)
    except (StopIteration, IndexError, ValueError, RecursionError):
        return _at_once(io.parse_json(text, path), key, begin)


def _at_once(document, key: str, begin: Callable):
    """The same of a document that can't be cut to pieces, or is no object."""
    entries = document.get(key) if isinstance(document, dict) else None
    if isinstance(entries, list):
        document[key] = LongList(begin())
        document[key].keep(entries)
    return document


@contextmanager
def uncollected():
    """Without the search for cyclic garbage: what readers make has none, and the search takes as long as the rest."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _document(text: str, key: str, begin: Callable) -> dict:
    """The object in a text; ValueError, IndexError or StopIteration where it is none."""
    document: dict = {}
    at = _after(text, 0, "{")
    while text[at] != "}" or document:
        if text[at] != '"':
            raise ValueError
        name, at = _scan(text, at)
        at = _after(text, at, ":")
        long = name == key and text[at] == "["
        document[name], at = _long_list(text, at + 1, begin) if long else _scan(text, at)
        at = _skip(text, at)
        if text[at] == "}":
            break
        at = _after(text, at, ",")
    if _skip(text, at + 1) != len(text):
        raise ValueError
    return document


def _skip(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()


def _after(text: str, at: int, sign: str) -> int:
    """Where something stands after a sign."""
    at = _skip(text, at)
    if text[at] != sign:
        raise ValueError
    return _skip(text, at + 1)


def _long_list(text: str, start: int, begin: Callable) -> tuple[LongList, int]:
    """The list whose first entry is at `start`, and where it ends.

    A piece that was not cut between two entries of this list is not valid JSON, or ends before its last bracket.
    """
    found = LongList(begin(), text)
    while True:
        border = _BORDER.search(text, start + _PIECE)
        piece = f"[{text[start : border.start() + 1]}]" if border else f"[{text[start:]}"
        entries, length = _parsed(piece)
        stop = start + length - 2  # without the brackets
        found.add(entries, start, stop)
        if not border or length < len(piece):
            return found, stop + 1
        start = border.end()


def _parsed(piece: str) -> tuple[list, int]:
    """The list that a text begins with, and how much of the text it is."""
    try:
        return orjson.loads(piece), len(piece)
    except orjson.JSONDecodeError:  # more follows; or NaN and the like, which only Python takes for JSON
        return _scan(piece, 0)
