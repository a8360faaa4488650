"""What is in a folder, and folders of splits, as train/ and val/: which there are, and which one to read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from detkit.data.formats.common import Report
from detkit.data.problems import Problem
from detkit.errors import DataError
from detkit.io import unreadable

_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_ONLY = "Only the split "


def entries(folder: Path) -> list[os.DirEntry]:
    """What is in a folder, sorted by name, without what is hidden; DataError if it can't be read."""
    try:
        with os.scandir(folder) as found:
            return sorted((e for e in found if not e.name.startswith((".", "__MACOSX"))), key=lambda e: e.name)
    except OSError as error:
        raise DataError("Can't look into this folder.", **unreadable(Path(folder), error)) from error


def subfolders(folder: Path) -> list[str]:
    """The names of the folders in a folder, sorted; none if it is no folder."""
    return [entry.name for entry in entries(folder) if entry.is_dir()] if folder.is_dir() else []


def canonical(name: str) -> str | None:
    """ "train", "val" or "test", by one of the names that a split has; None for another name."""
    return next((split for split, names in _NAMES.items() if name.lower() in names), None)


def among(names: Iterable[str]) -> dict[str, str]:
    """{split: the name that it has there}, in the order train, val, test."""
    found = {canonical(name): name for name in sorted(names, reverse=True)}
    return {split: found[split] for split in _NAMES if split in found}


def chosen(there: dict[str, str], split: str | None, path: Path, report: Report) -> str | None:
    """The split to read: the one that is asked for, else the first; None where there are none and none is asked for.

    Raises:
        DataError: if there is no such split.
    """
    wanted = split and (canonical(split) or split)
    if wanted and wanted not in there:
        expected = ", ".join(there) or "a folder without splits, read as a whole"
        raise DataError("There is no such split.", where=path, got=repr(split), expected=expected)
    if not wanted and len(there) > 1:
        report_others(*there, report=report)
    return wanted or next(iter(there), None)


def report_others(wanted: str, *others: str, report: Report) -> None:
    """Note that only one split was read."""
    got = f"also {', '.join(others)}"
    report.add("info", f'{_ONLY}"{wanted}" was read.', got=got, fix="Name another: split=...")


def splits_of(problem: Problem) -> list[str]:
    """The splits of a dataset of which only the first one was read, if that is what a problem says; or none."""
    if not problem.what.startswith(_ONLY):
        return []
    return [problem.what.split('"')[1], *problem.got.removeprefix("also ").split(", ")]
