"""What the values of class maps mean: by a file of class names beside them, or by a list that the user gives.

The n-th name is that of the value n, counted from 1; from 0 where one of the names is that of the background.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from detkit.data.class_map import IGNORED, MOST_CLASSES
from detkit.errors import DataError
from detkit.io import atomic_write, unreadable

FILES = ("classes.txt", "labelmap.txt", "labels.txt", "class_names.txt")
_COLOURED = "labelmap.txt"  # of CVAT, a line a class: name:red,green,blue:parts:actions
_LINE = re.compile(r"(.+?):(?:(\d{1,3}),(\d{1,3}),(\d{1,3}))?(?::[^:]*){0,2}")
_VOID_COLOUR = (224, 224, 192)  # of VOC's borders
_BACKGROUND = ("background", "_background_", "__background__")
_VOID = ("void", "ignored", "__ignore__")
_LONGEST = 1 << 20  # characters of a file


class ClassList(NamedTuple):
    """Class names, and what each value of a class map means, as in `ClassMap`.

    Attributes:
        names: the classes.
        meanings: {value: 0 for the background, class id + 1, or `IGNORED`}.
        source: what gave them, for messages.
        zero_named: whether the meaning of the value 0 was given, not supposed.
    """

    names: tuple[str, ...]
    meanings: dict
    source: str
    zero_named: bool


def near(roots: Iterable[Path], names: Iterable[str] = FILES) -> ClassList | None:
    """The class list of the first file of these names in one of these folders; None if there is none.

    Raises:
        DataError: if the file can't be read, or lists a class or a colour twice, or too many.
    """
    names = tuple(names)
    file = next((f for root in roots for name in names if (f := root / name).is_file()), None)
    if file is None:
        return None
    lines = [line.strip() for line in _text(file).split("\n") if line.strip()]
    if file.name == _COLOURED:
        return _coloured(lines, file)
    return given(lines, str(file))


def _text(file: Path) -> str:
    try:
        if file.stat().st_size <= _LONGEST:
            return file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError("Can't read this list of classes.", **unreadable(file, error)) from error
    fix = "Put a list of names there, one a line."
    raise DataError("This list of classes is too long.", where=file, expected=f"at most {_LONGEST} bytes", fix=fix)


def _coloured(lines: list[str], file: Path) -> ClassList:
    parts = [(line, _LINE.fullmatch(line)) for line in lines]
    parts = [(line, match) for line, match in parts if not line.startswith("#") or (match and match[2])]
    names = [match[1].strip() if match else line for line, match in parts]
    listed = given(names, str(file))
    colours = [tuple(map(int, match.groups()[1:])) if match and match[2] else None for _, match in parts]
    twice = next((c for i, c in enumerate(colours) if c and (c in colours[:i] or max(c) > 255)), None)
    if twice:
        expected = "a colour of its own for each class, of 0..255"
        raise DataError("A class has no colour of its own.", where=file, got=twice, expected=expected)
    values = _values(names)
    by_colour = {c: listed.meanings[value] for c, value in zip(colours, values, strict=True) if c}
    if by_colour:
        by_colour = {(0, 0, 0): 0, _VOID_COLOUR: IGNORED} | by_colour
    return listed._replace(meanings=listed.meanings | by_colour)


def _values(names: list[str]) -> list[int]:
    """The value of each name of a list."""
    if names and names[0].lower() == "__ignore__":  # LabelMe's -1
        return [IGNORED, *_values(names[1:])]
    start = 0 if any(name.lower() in _BACKGROUND for name in names) else 1
    return list(range(start, start + len(names)))


def given(classes: Iterable[str] | Mapping, source: str = "classes") -> ClassList:
    """The class list of names in the order of their values, or of {value or colour: name}.

    Raises:
        DataError: if a name is there twice or is no text, a value is none, or there are more than 254 classes.
    """
    names = list(classes.values() if isinstance(classes, Mapping) else classes)
    bad = next((name for i, name in enumerate(names[:1000]) if not _is_name(name) or name in names[:i]), None)
    if bad is not None or not names or isinstance(classes, str):
        expected = "the name of each class, once"
        raise DataError("These are no class names.", where=source, got=f"{bad or classes!r:.80}", expected=expected)
    values = list(classes) if isinstance(classes, Mapping) else _values(names)
    if bad := next((value for value in values if not _is_value(value)), None):
        expected = "0..65535, or (red, green, blue)"
        raise DataError("A class has no value.", where=source, got=f"{bad!r:.80}", expected=expected)
    own = [name for name in names if name.lower() not in (*_BACKGROUND, *_VOID)]
    if len(own) > MOST_CLASSES:
        expected, fix = f"at most {MOST_CLASSES}", "Join some of them: a class map holds no more."
        raise DataError("There are too many classes.", where=source, got=len(own), expected=expected, fix=fix)
    meanings = {0: 0, IGNORED: IGNORED} | dict(zip(values, (_meaning(name, own) for name in names), strict=True))
    return ClassList(tuple(own), meanings, source, isinstance(classes, Mapping) or 0 in values)


def _is_name(name) -> bool:
    return isinstance(name, str) and bool(name.strip()) and len(name) < 1000


def _is_value(value) -> bool:
    if isinstance(value, tuple):
        return len(value) == 3 and all(type(part) is int and 0 <= part <= 255 for part in value)
    return type(value) is int and 0 <= value <= 65535


def _meaning(name: str, own: list[str]) -> int:
    return 0 if name.lower() in _BACKGROUND else IGNORED if name.lower() in _VOID else own.index(name) + 1


def check_writable(names: tuple[str, ...], where) -> None:
    """DataError unless these classes can be listed in a file, a name a line, beside the background."""
    strange = next((n for n in names if n != n.strip() or "\n" in n or n.lower() in (*_BACKGROUND, *_VOID, "")), None)
    if strange is not None:
        what, expected = "A class can't be listed in a file.", "a name in one line, other than background and void"
        raise DataError(what, where=where, got=repr(strange), expected=expected, fix="Rename the class.")
    given(names or ("none",), str(where))


def write(file: Path, names: tuple[str, ...], colours=None) -> None:
    """Write a list of classes, the background first; with colours [N + 1, 3], each line is as in CVAT's labelmap.txt.

    Raises:
        DataError: if a name can't be listed.
        ConfigError: if the file can't be written.
    """
    check_writable(names, file)
    lines = ["background", *names]
    if colours is not None:
        lines = [f"{line}:{r},{g},{b}::" for line, (r, g, b) in zip(lines, colours.tolist(), strict=True)]
    with atomic_write(file) as out:
        out.writelines(f"{line}\n" for line in lines)
