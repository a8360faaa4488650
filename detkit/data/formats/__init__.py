"""Annotation formats, a module each: `matches(path)`, `read(path, images, strict)`, `write(data, path)`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

from detkit.errors import DataError
from detkit.io import unreadable

NAMES = ("coco", "voc")


def named(name: str) -> ModuleType:
    """The module of a format; DataError if there is none of that name."""
    if name not in NAMES:
        raise DataError("There is no such annotation format.", got=repr(name), expected=", ".join(NAMES))
    return import_module(f"detkit.data.formats.{name}")


def recognised(path: Path) -> ModuleType:
    """The module of the format that a file or folder has, told by its content.

    Raises:
        DataError: if it is missing, empty, or of no known format; the message says why not of each.
    """
    if not path.is_dir():
        try:
            empty = path.stat().st_size == 0
        except (OSError, ValueError) as error:
            raise DataError("There is no dataset here.", **unreadable(path, error)) from error
        if empty:
            raise DataError(
                "The annotation file is empty.", where=path, got="0 bytes", fix="Export or download it again."
            )
    tried = {}
    for name in NAMES:
        module = named(name)
        tried[name] = module.matches(path)
        if tried[name] is None:
            return module
    reasons = "".join(f"\n    not {name}: {reason}" for name, reason in tried.items())
    raise DataError(
        "The format of this dataset can't be told.",
        where=path,
        got=reasons,
        expected=" or ".join(NAMES),
        fix="Give the annotation file or folder, or name the format.",
    )
