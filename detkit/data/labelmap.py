"""Label maps: the OD API's .pbtxt files that give each class id its name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from detkit.errors import ConfigError, DataError
from detkit.io import atomic_write
from detkit.pipeline import text_format


def read(path) -> dict[int, str]:
    """{id: name} of a label map, in the file's order; ids may have gaps.

    Where an item has a display name (COCO's label map does), that is the name.

    Raises:
        DataError: if the file can't be read or isn't protobuf text, or an id or name is missing or repeated.
    """
    try:
        items = text_format.read(Path(path)).all("item")
    except ConfigError as error:
        parts = dict(where=error.where, got=error.got, expected=error.expected)
        raise DataError("Can't read this label map: " + error.what, **parts, fix=error.fix) from error
    if not items:
        fix = 'Write one `item { id: 1 name: "duck" }` a class.'
        raise DataError("This label map has no items.", where=path, expected="item { ... }", fix=fix)
    names: dict[int, str] = {}
    for number, item in enumerate(items):
        label_id, name = _item(item, f"{path}, item {number}")
        _check(label_id, name, names, f"{path}, item {number}")
        names[label_id] = name
    return names


def _item(item, where: str) -> tuple[int, str]:
    if not isinstance(item, text_format.Message):
        raise DataError(
            "An item of a label map is not a message.",
            where=where,
            got=repr(item),
            expected='item { id: 1 name: "duck" }',
        )
    name = item.get("display_name") or item.get("name")
    return item.get("id"), name


def _check(label_id, name, names: Mapping[int, str], where: str) -> None:
    if type(label_id) is not int or label_id < 1:
        raise DataError(
            "The id of a class must be a whole number from 1.",
            where=where,
            got=repr(label_id),
            expected="1, 2, ...",
            fix="0 stands for the background, which is not a class.",
        )
    if not isinstance(name, str) or not name.strip():
        raise DataError("A class has no name.", where=where, got=repr(name), expected='name: "..."')
    if label_id in names:
        raise DataError(
            "Two classes have the same id.",
            where=where,
            got=f"id {label_id}: {name!r}",
            expected="an id of its own",
            fix=f"It belongs to {names[label_id]!r} already.",
        )
    if name in names.values():
        raise DataError(
            "Two classes have the same name.",
            where=where,
            got=repr(name),
            fix="Rename one of them, or merge the two.",
        )


def write(path, names: Mapping[int, str]) -> None:
    """Write a label map of {id: name}; DataError as for `read`, ConfigError where it can't be written."""
    label_map, written = text_format.Message(), {}
    for label_id, name in names.items():
        _check(label_id, name, written, str(path))
        written[label_id] = name
        label_map.add("item", text_format.Message([("id", int(label_id)), ("name", name)]))
    with atomic_write(path) as file:
        file.write(text_format.dumps(label_map))
