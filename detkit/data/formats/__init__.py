"""Annotation formats, a module each: `matches(path)`, `read(path, images, strict)`, `write(data, path)`."""

from __future__ import annotations

from importlib import import_module
from inspect import signature
from pathlib import Path
from types import ModuleType

from detkit.errors import DataError
from detkit.io import unreadable
from detkit.pipeline.fields import nearest
from detkit.text import some

# Those that are told by a file's first bytes come first: coco looks at the whole file.
NAMES = ("tfrecord", "voc", "cvat", "labelme", "yolo", "openimages", "csv", "coco", "masks", "image_folder")
# What is written to a file, and its ending; the others are written to a folder.
FILES = {"coco": ".json", "csv": ".csv", "cvat": ".xml", "openimages": ".csv", "tfrecord": ".record"}
WITH_PICTURES = ("tfrecord", "image_folder")  # take in pictures that are no files


def named(name: str) -> ModuleType:
    """The module of a format; DataError if there is none of that name."""
    if name not in NAMES:
        what, expected = "There is no such annotation format.", ", ".join(sorted(NAMES))
        raise DataError(what, got=repr(name), expected=expected, fix=nearest(name, NAMES))
    return import_module(f"detkit.data.formats.{name}")


def check_options(module: ModuleType, options: dict) -> None:
    """DataError for an option that the `read` of a format does not have."""
    unknown = set(options) - set(signature(module.read).parameters)
    if unknown:
        name = module.__name__.rpartition(".")[2]
        raise DataError("This format has no such option.", where=name, got=", ".join(sorted(unknown)))


def recognised(path: Path) -> ModuleType:
    """The module of the format that a file or folder has, told by its content.

    Raises:
        DataError: if it is missing, empty, of no known format, or a folder of several; the message says why not of
            each.
    """
    if not path.is_dir():
        _check_file(path)
    tried, found = {}, []
    for name in NAMES:
        tried[name] = named(name).matches(path)
        found += [name] if tried[name] is None else []
        if found and not path.is_dir():  # a file has one format, a folder may hold several
            break
    if len(found) > 1:
        fix = "Name the one to read: format=... in Python, or give its file or folder."
        raise DataError("This folder holds annotations in several formats.", where=path, got=", ".join(found), fix=fix)
    if found:
        return named(found[0])
    raise DataError(
        "The format of this dataset can't be told.",
        where=path,
        got="".join(f"\n    not {name}: {tried[name]}" for name in sorted(tried)),
        expected=" or ".join(sorted(NAMES)),
        fix=_which(path),
    )


def _which(path: Path) -> str:
    """What to give instead of a path without a known format."""
    inside = sorted(each.name for each in path.glob("*") if each.suffix.lower() in FILES.values())
    if inside:
        return f"Give the file: {some(inside)}."
    return "Give the annotation file or folder, or name the format."


def _check_file(path: Path) -> None:
    """DataError unless there is a file with something in it, or a pattern of such."""
    try:
        empty = path.stat().st_size == 0
    except (OSError, ValueError) as error:
        if "\0" not in str(path) and named("tfrecord").matches(path) is None:
            return
        raise DataError("There is no dataset here.", **unreadable(path, error)) from error
    if empty:
        raise DataError("The annotation file is empty.", where=path, got="0 bytes", fix="Export or download it again.")
