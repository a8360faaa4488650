"""Annotations in delimited text: the delimiter and the header are found out."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from detkit.data.formats.assemble import number
from detkit.errors import DataError
from detkit.io import atomic_write, encoding, unreadable

_LONGEST = 10_000  # characters of a header
_DELIMITERS = ",;\t|"


@dataclass(slots=True)
class Row:
    """A row of a table: its cells, where each column is, and the place in the file for messages."""

    cells: list[str]
    columns: Mapping[str, int]
    path: Path
    line: int

    @property
    def place(self) -> str:
        """The file and the line."""
        return f"{self.path}, line {self.line}"

    def text(self, column: str) -> str:
        """The text in a column, without space around it; empty where there is none."""
        index = self.columns.get(column, len(self.cells))
        return self.cells[index].strip() if index < len(self.cells) else ""

    def number(self, column: str) -> float:
        """The number in a column, with decimal point or comma; NaN where there is none."""
        return number(self.text(column).replace(",", "."))

    def __str__(self) -> str:
        return ", ".join(self.cells)[:80]


def header(path: Path) -> list[str]:
    """The cells of the first row of a file; DataError if it is no text."""
    try:
        with open(path, encoding=encoding(path), newline="") as file:
            line = file.readline(_LONGEST)
    except (OSError, ValueError) as error:
        raise DataError("Can't read this table.", **unreadable(path, error)) from error
    try:
        return [cell.strip() for cell in next(_reader(io.StringIO(line), _delimiter(line)), [])]
    except csv.Error as error:
        raise DataError("This is not a valid table.", where=path, got=str(error), fix="Export it again.") from error


def _delimiter(line: str) -> str:
    return max(_DELIMITERS, key=line.count)


def _reader(file, delimiter: str):
    return csv.reader(file, delimiter=delimiter, skipinitialspace=True)


def rows(path: Path, columns: Mapping[str, int], skip: int = 1) -> Iterator[Row]:
    """The rows of a file that are not empty, after the first `skip`.

    Args:
        path: the file.
        columns: {what to call a column: its place, from 0}.
        skip: how many rows are no data.

    Raises:
        DataError: if the file can't be read as text or as a table; the message has the line.
    """
    line = 0
    try:
        with open(path, encoding=encoding(path), newline="") as file:
            first = file.readline(_LONGEST)
            reader = _reader(chain([first], file), _delimiter(first))
            for cells in islice(reader, skip, None):
                line = reader.line_num
                if any(cell.strip() for cell in cells):
                    yield Row(cells, columns, path, line)
    except csv.Error as error:
        where = f"{path}, after line {line}"
        raise DataError("This is not a valid table.", where=where, got=str(error), fix="Export it again.") from error
    except (OSError, ValueError) as error:
        raise DataError("Can't read this table.", **unreadable(path, error)) from error


def write(path: Path, names: Iterable[str], table: Iterable[Iterable]) -> None:
    """Write a table with commas and a header; ConfigError where the path can't be written."""
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(table)
