"""What the dataset as a whole tells of its classes: how often they are used, and what they are called."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.data.problems import Problem
from detkit.text import some

FEW = 5  # boxes; a class with fewer is rare beside one with many
UNBALANCED = 10  # times the boxes of another class


def _annotated(example: Example) -> bool:
    return bool(len(example) or example.image_labels.size or example.class_map is not None)


def _unit(dataset: Dataset) -> str:
    """What the annotations are called: boxes, if there are any or nothing at all."""
    if any(map(len, dataset)) or not any(map(_annotated, dataset)):
        return "boxes"
    return "labels" if any(example.image_labels.size for example in dataset) else "class maps"


def nothing(dataset: Dataset) -> Iterator[Problem]:
    """Pictures without annotation; an error if none has any."""
    empty, unit = [example.label for example in dataset if not _annotated(example)], _unit(dataset)
    if len(empty) == len(dataset):
        if not len(dataset) and dataset.problems:  # they say why
            return
        yield Problem(
            "error",
            "The dataset has no boxes at all.",
            file=dataset.name,
            got=f"{len(dataset)} pictures",
            expected="at least one box",
            fix="Annotate the objects, or give another file.",
        )
    elif empty:
        yield Problem(
            "info",
            f"{len(empty)} of {len(dataset)} pictures have no {unit}.",
            file=dataset.name,
            got=some(empty),
            fix=f"Nothing, if they show none of the {'objects' if unit == 'boxes' else 'classes'}.",
        )


def _counts(dataset: Dataset) -> np.ndarray:
    """int [classes]: how many boxes, or labels of a picture, each class has."""
    ids = [ids for example in dataset for ids in (example.class_ids, example.image_labels)]
    return np.bincount(np.concatenate([np.zeros(0, int), *ids]).astype(int), minlength=len(dataset.classes))


def unused(dataset: Dataset) -> Iterator[Problem]:
    """Classes that nothing belongs to."""
    counts = _counts(dataset)
    # Which classes a class map shows is known only to those who decode it.
    if not counts.sum() or any(example.class_map is not None for example in dataset):
        return
    names = [name for name, count in zip(dataset.classes, counts, strict=True) if not count]
    if names:
        yield Problem(
            "warning",
            f"{len(names)} of {len(counts)} classes have no {_unit(dataset)}.",
            file=dataset.name,
            got=some(names),
            fix="Remove them, or add pictures that show them.",
        )


def rare(dataset: Dataset) -> Iterator[Problem]:
    """Classes with far fewer boxes than the most frequent one."""
    counts, unit = _counts(dataset), _unit(dataset)
    most = int(counts.max(initial=0))
    limit = max(FEW, -(-most // UNBALANCED)) if most >= UNBALANCED else 0
    found = sorted((int(n), name) for name, n in zip(dataset.classes, counts, strict=True) if 0 < n < limit)
    if found:
        frequent = dataset.classes[int(counts.argmax())]
        yield Problem(
            "info",
            f"{len(found)} of {len(counts)} classes have few {unit}.",
            file=dataset.name,
            got=some([f"{name} {n}" for n, name in found]) + f"; the most frequent: {frequent} {most}",
            expected=f"{limit} or more: at least {FEW}, and a tenth of the most frequent class's",
            fix="Add pictures of them, and look at the figures of each class: the mean hides the rare ones.",
        )


def variants(names: Sequence[str], where: str, new: Sequence[str] | None = None) -> Iterator[Problem]:
    """Class names that differ only in case, spaces, hyphens and underscores, or plural.

    Args:
        names: the class names.
        where: the dataset, for the problems.
        new: report only what one of these has part in.
    """
    for group in _alike(names):
        if new is None or set(group) & set(new):
            yield Problem(
                "warning",
                "Some classes seem to be one, spelled differently.",
                file=where,
                got=" and ".join(map(repr, group)),
                expected="one name a class",
                fix="Give their boxes one name, if they are the same kind of object.",
            )


def _alike(names: Sequence[str]) -> list[list[str]]:
    groups = defaultdict(list)
    for name in names:
        groups[re.sub(r"[\s_-]+", " ", name).strip().casefold()].append(name)
    for singular in [key for key in groups if len(key) > 2 and key[-1].isalpha()]:
        plurals = [singular + "s", singular + "es", singular[:-1] + "ies" if singular[-1] == "y" else None]
        for plural in plurals:
            if plural in groups and singular in groups:
                groups[singular] += groups.pop(plural)
    return [group for group in groups.values() if len(group) > 1]
