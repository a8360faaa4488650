"""What `Dataset` does with classes and whole datasets: choosing, renaming, merging."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from detkit.data.class_map import IGNORED, MOST_CLASSES, ClassMap
from detkit.data.example import Example
from detkit.errors import DataError
from detkit.pipeline.fields import nearest
from detkit.text import some

if TYPE_CHECKING:
    from detkit.data.dataset import Dataset

_LISTED = 20  # classes in a message
_COLUMNS = ("boxes", "class_ids", "crowd", "difficult", "area", "keypoints", "keypoint_visibility")


def generator(seed) -> np.random.Generator:
    """Random numbers that a seed decides; DataError unless it is a whole number from 0."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        fix = "The same seed gives the same result; any will do, 0 for one."
        raise DataError("A seed is a whole number from 0.", got=repr(seed), fix=fix)
    return np.random.default_rng(seed)


def objects(example: Example, kept: np.ndarray) -> Example:
    """The example with those of its objects that bool [N] tells."""
    columns = {name: getattr(example, name) for name in _COLUMNS}
    columns = {name: column if column is None else column[kept] for name, column in columns.items()}
    given = example.segmentations
    return replace(example, **columns, segmentations=given and tuple(compress(given, kept)))


def identity(example: Example):
    """What makes two examples the same picture: its path, or for arrays the array itself."""
    image = example.image
    return str(image.absolute()) if isinstance(image, Path) else id(image) if isinstance(image, np.ndarray) else image


def with_class_ids(example: Example, table: np.ndarray) -> Example:
    """The example with class id `table[i]` for i; where it is negative, boxes and labels go and pixels are background.

    Args:
        example: with class ids below the length of the table.
        table: int32 [C].

    Raises:
        DataError: if there is a class map, and an id is too high for it.
    """
    if example.class_map is not None and table.max(initial=-1) >= MOST_CLASSES:
        got, expected = f"{table.max() + 1} classes", f"at most {MOST_CLASSES}"
        what, fix = "There are too many classes for a class map.", "Choose some with select_classes."
        raise DataError(what, where=example.label, got=got, expected=expected, fix=fix)
    kept = table[example.class_ids] >= 0
    example = example if kept.all() else objects(example, kept)
    labels, class_map = table[example.image_labels], example.class_map
    if isinstance(class_map, np.ndarray):
        values = np.full(256, IGNORED, np.uint8)
        values[: len(table) + 1] = [0, *(table[:IGNORED] + 1).clip(0)]
        class_map = values[class_map]
    elif isinstance(class_map, ClassMap):
        class_map = class_map.renumbered(table)
    return replace(example, class_ids=table[example.class_ids], image_labels=labels[labels >= 0], class_map=class_map)


def with_classes(data: Dataset, classes: Iterable[str]) -> Dataset:
    """The body of `Dataset.with_classes`."""
    if isinstance(classes, str):
        raise DataError("The classes are one text.", got=repr(classes), fix=f"Give a list: [{classes!r}].")
    classes = tuple(classes)
    table = np.array([classes.index(name) if name in classes else -1 for name in data.classes], np.int32)
    used = np.concatenate([table[:0], *(ids for each in data for ids in (each.class_ids, each.image_labels))])
    unknown = [data.classes[i] for i in np.unique(used) if table[i] < 0]
    if unknown:
        raise DataError(
            "Some classes of this dataset are unknown there.",
            where=data.name,
            got=", ".join(unknown),
            expected=", ".join(classes),
            fix="Rename these classes, or add them to the other list.",
        )
    known = dict(zip(data.classes, data.label_ids, strict=True))
    ids = tuple(known.get(name, -1) for name in classes)
    complete = -1 not in ids and len(set(ids)) == len(ids)
    examples = tuple(with_class_ids(example, table) for example in data)
    return replace(data, examples=examples, classes=classes, label_ids=ids if complete else ())


def select_classes(data: Dataset, names: Iterable[str], keep_empty: bool) -> Dataset:
    """The body of `Dataset.select_classes`."""
    if isinstance(names, str):
        what, fix = "The classes to select are no list.", f'Write ["{names}"].'
        raise DataError(what, where=data.name, got=repr(names), expected="a list of class names", fix=fix)
    names = tuple(names)
    check_known(data, names)
    table = np.array([names.index(name) if name in names else -1 for name in data.classes], np.int32)
    ids = tuple(data.label_ids[data.classes.index(name)] for name in names)
    examples = [with_class_ids(example, table) for example in data]
    if not keep_empty:
        examples = [example for example in examples if len(example) or example.image_labels.size]
    return replace(data, examples=tuple(examples), classes=names, label_ids=ids)


def rename_classes(data: Dataset, names: Mapping[str, str]) -> Dataset:
    """The body of `Dataset.rename_classes`."""
    check_known(data, names)
    renamed = [names.get(name, name) for name in data.classes]
    classes = tuple(dict.fromkeys(renamed))
    ids = tuple(data.label_ids[renamed.index(name)] for name in classes)
    table = np.array([classes.index(name) for name in renamed], np.int32)
    if len(classes) == len(renamed):
        return replace(data, classes=classes)
    examples = tuple(with_class_ids(example, table) for example in data)
    return replace(data, examples=examples, classes=classes, label_ids=ids)


def merge(data: Dataset, others: Sequence[Dataset]) -> Dataset:
    """The body of `Dataset.merge`."""
    every = (data, *others)
    _check_pictures(every)
    ids: dict[str, int] = {}
    free = max((i for each in every for i in each.label_ids), default=0) + 1
    for each in every:
        for name, label_id in zip(each.classes, each.label_ids, strict=True):
            if name not in ids and label_id in ids.values():
                label_id, free = free, free + 1
            ids.setdefault(name, label_id)
    classes = tuple(ids)
    names, skeleton = _keypoints(every)
    examples = []
    for each in every:
        table = np.array([classes.index(name) for name in each.classes], np.int32)
        same = each.classes == classes[: len(each.classes)]
        examples += each.examples if same else [with_class_ids(example, table) for example in each]
    return replace(
        data,
        examples=tuple(examples),
        classes=classes,
        label_ids=tuple(ids.values()),
        problems=tuple(problem for each in every for problem in each.problems),
        keypoint_names=names,
        skeleton=skeleton,
    )


def _check_pictures(every: Sequence[Dataset]) -> None:
    """DataError if a picture is in two of the datasets."""
    seen: dict = {}
    for n, each in enumerate(every):
        for example in each:
            first = seen.get(identity(example), n)
            if first != n:
                raise DataError(
                    "A picture is in two of these datasets.",
                    where=example.label,
                    got=f"in {every[first].name} and in {each.name}",
                    expected="datasets of different pictures",
                    fix="Leave out those of one: a.merge(b.without(a)).",
                )
        seen |= {identity(example): n for example in each}


def _keypoints(every: Sequence[Dataset]) -> tuple[tuple[str, ...], tuple]:
    """The names of keypoints and the skeleton that datasets share; DataError if they differ."""
    having = [each for each in every if each.keypoint_count]
    for each in having[1:]:
        first = having[0]
        if (each.keypoint_count, each.keypoint_names) != (first.keypoint_count, first.keypoint_names):
            raise DataError(
                "The keypoints of these datasets are not the same.",
                where=f"{first.name} and {each.name}",
                got=", ".join(each.keypoint_names) or f"{each.keypoint_count} keypoints without names",
                expected=", ".join(first.keypoint_names) or f"{first.keypoint_count} keypoints without names",
                fix="Merge datasets of the same objects, or leave out the keypoints of one.",
            )
    skeletons = [each.skeleton for each in having if each.skeleton]
    return having[0].keypoint_names if having else (), skeletons[0] if skeletons else ()


def check_known(data: Dataset, names: Iterable[str]) -> None:
    """DataError for a class that a dataset doesn't have."""
    for name in names:
        if name not in data.classes:
            raise DataError(
                "There is no such class in this dataset.",
                where=data.name,
                got=repr(name),
                expected=some(data.classes, _LISTED) or "a dataset with classes",
                fix=nearest(name, data.classes),
            )
