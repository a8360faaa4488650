"""What the classes of TFRecord files are called and numbered: by a label map beside them, or by themselves."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from detkit.data import labelmap
from detkit.data.formats.assemble import Picture
from detkit.data.formats.common import Report
from detkit.errors import DataError
from detkit.pipeline.garden_yaml import NUMBERS

_FIX = "Put the label map beside the records that they were made with."


def resolve(
    pictures: list[Picture], place: Path, report: Report, numbered: bool = False
) -> tuple[list[str], list[int]]:
    """The class names and label ids; objects get their name for their (text, number), or are left out.

    Args:
        pictures: what the records hold.
        place: the label map, or the folder that may have one.
        report: takes what the label map doesn't say, or says otherwise.
        numbered: whether classes that have no name are called "class 3", say.

    Raises:
        DataError: if the label map can't be read.
    """
    pairs = Counter(pair for picture in pictures for pair in (*picture.labels, *(t.name for t in picture.things)))
    file = _label_map(Path(place)) if os.path.isdir(place) else Path(place)
    if file:
        known = labelmap.read(file)
        names = {pair: _by_label_map(pair, known, file, report) for pair in pairs}
        listed = known
    else:
        called = "class {}" if numbered else "{}"
        names = {(text, label): text or (called.format(label) if label is not None else "") for text, label in pairs}
        if not numbered:
            _report_nameless([label for text, label in pairs if not text], report)
        listed = _numbered(pairs, names)
    for picture in pictures:
        for thing in picture.things:
            thing.name = names[thing.name]
        picture.things = [thing for thing in picture.things if thing.name]
        picture.labels = [names[pair] for pair in picture.labels if names[pair]]
    return list(listed.values()), list(listed)


def _label_map(folder: Path) -> Path | None:
    """The label map in a folder: the only .pbtxt, or the one called label_map.pbtxt."""
    files = sorted(folder.glob("*.pbtxt"))
    named = [file for file in files if file.name == "label_map.pbtxt"] or [f for f in files if "label_map" in f.name]
    return named[0] if named else files[0] if len(files) == 1 else None


def _by_label_map(pair: tuple, known: dict[int, str], file: Path, report: Report) -> str:
    """The name of a class by its text, else by its number; empty after a problem."""
    text, label = pair
    if text in known.values():
        if label is not None and known.get(label) != text:
            got, expected = f"{label}: {text!r}", next(f"{i}: {name!r}" for i, name in known.items() if name == text)
            what = "The records number a class otherwise than the label map; its name was believed."
            report.add("warning", what, got=got, expected=f"{expected}, as in {file}", fix=_FIX)
        return text
    if label in known:
        if text:
            what = "The records name a class otherwise than the label map; its number was believed."
            got, expected = f"{label}: {text!r}", f"{label}: {known[label]!r}, as in {file}"
            report.add("warning", what, got=got, expected=expected, fix=_FIX)
        return known[label]
    got = f"{text!r}, number {label}"
    report.add("error", "A class of the records is not in the label map.", got=got, expected=f"one of {file}", fix=_FIX)
    return ""


def _report_nameless(labels: list, report: Report) -> None:
    if labels:
        report.add(
            "error",
            "The records number their classes, but don't name them.",
            got="numbers " + ", ".join(sorted(map(str, labels))[:20]),
            expected="image/object/class/text, or a label map beside the records",
            fix="Put label_map.pbtxt beside them, or name it (data.label_map in a pipeline, label_map= in Python); "
            f"{NUMBERS} in its place calls them class 1, class 2, ...",
        )


def _numbered(pairs: Counter, names: dict) -> dict[int, str]:
    """{label id: name}: the records' own numbers if each is one class's, else 1, 2, ... by name."""
    used = {name for name in names.values() if name}
    own = {(names[pair], pair[1]) for pair in pairs if names[pair]}
    labels = [label for _, label in own]
    if len(own) == len(used) == len(set(labels)) and all(label is not None and label > 0 for label in labels):
        return {label: name for name, label in sorted(own, key=lambda each: each[1])}
    return dict(enumerate(sorted(used), 1))


def write(file: Path, classes, label_ids) -> None:
    """Write a label map; DataError if another one is there, for it would change the meaning of files beside it."""
    content = dict(zip(label_ids, classes, strict=True))
    if file.exists() and labelmap.read(file) != content:
        raise DataError(
            "There is another label map here.",
            where=file,
            got=", ".join(labelmap.read(file).values())[:80],
            expected=", ".join(classes)[:80],
            fix="Write into another folder, or delete it.",
        )
    if content:
        labelmap.write(file, content)
