"""The same picture twice, exactly or nearly: within a dataset, and in two that should have nothing in common."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from detkit.data import twins
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.data.problems import Problem
from detkit.errors import DataError
from detkit.text import some

_SAME = 0.01  # pixels by which boxes that are the same may differ


def found(sets: Sequence[Dataset], near: bool = True, show_progress: bool | None = None) -> twins.Twins:
    """What `twins.find` finds in several datasets, one after the other; each picture is decoded once."""
    pictures = tuple(_picture_only(example) for dataset in sets for example in dataset)
    return twins.find(Dataset(pictures, ()), near, show_progress)


def problems(sets: Sequence[tuple[str, Dataset]], pairs: Iterable[tuple]) -> Iterator[Problem]:
    """Problems of pictures that are there twice, in one of several named datasets or in two of them.

    Args:
        sets: names and datasets.
        pairs: of `found` in these datasets.
    """
    places = [(n, example) for n, (_, dataset) in enumerate(sets) for example in dataset]
    sorted_out = defaultdict(list)  # {(dataset, dataset, kind): pairs of examples}
    for i, j, kind, _ in pairs:
        (m, a), (n, b) = places[i], places[j]
        sorted_out[m, n, kind].append((a, b))
    for m, n, kind in sorted(sorted_out):
        of_kind = sorted_out[m, n, kind]
        if m == n:
            yield from (_twice if kind == "exact" else _nearly)(of_kind, sets[m][1])
        else:
            yield from _leaks(of_kind, sets[m], sets[n], kind)


def _picture_only(example: Example) -> Example:
    """The example without what depends on the classes of its dataset."""
    return Example(example.image, [], [], example.size, source=example.source, image_id=example.image_id)


def what_of(first: Example, example: Example) -> tuple[bool, str]:
    """Whether two examples of a dataset with one picture have the same annotation, and a sentence that says it."""
    if same_annotation(first, example):
        return True, "The same picture is there twice."
    unit = "boxes" if len(first) or len(example) else "labels" if example.image_labels.size else "class maps"
    return False, f"The same picture is there twice, with other {unit}."


def same_annotation(a: Example, b: Example) -> bool:
    """Whether two examples of a dataset have the same objects, in any order, labels and class maps."""
    if len(a) != len(b) or not np.array_equal(a.image_labels, b.image_labels):
        return False
    (rows, shapes), (other_rows, other_shapes) = map(_rows, (a, b))
    same_map = (a.class_map is None) == (b.class_map is None) and (a.class_map is None or _same_map(a, b))
    return bool((np.abs(rows - other_rows) <= 1).all()) and shapes == other_shapes and same_map


def _rows(example: Example) -> tuple[np.ndarray, list]:
    """The classes, flags and corners of the objects, in an order of their own, and their outlines and keypoints."""
    corners = np.round(example.boxes * np.tile(example.size, 2) / _SAME)
    rows = np.concatenate([example.class_ids[:, None], example.crowd[:, None], corners], -1)
    order = np.lexsort(rows.T[::-1])
    outlines = example.segmentations or [None] * len(example)
    points = [None] * len(example) if example.keypoints is None else np.round(example.keypoints, 4).tolist()
    return rows[order], [(outlines[i], points[i]) for i in order]


def _same_map(a: Example, b: Example) -> bool:
    try:
        return np.array_equal(a.semantic(), b.semantic())
    except DataError:
        return False


def _twice(pairs, _) -> Iterator[Problem]:
    for first, example in pairs:
        same, what = what_of(first, example)
        yield Problem(
            "warning",
            what,
            **example.place,
            got=f"equal to {first.label}",
            expected="each picture once",
            fix="Keep one of them; in training and test at once it makes results look better."
            if same
            else "See which annotation is right, and keep one picture with it.",
        )


def _nearly(pairs, dataset: Dataset) -> Iterator[Problem]:
    groups = _groups(pairs)
    named = [_name(group[0]) + " and " + _few(group[1:]) for group in groups]
    other = sum(_numbers(a, dataset) != _numbers(b, dataset) for a, b in pairs)
    yield Problem(
        "info",
        f"{sum(map(len, groups))} of {len(dataset)} pictures are nearly the same as another.",
        file=dataset.name,
        got=some(named) + f"; {other} of {len(pairs)} pairs with other numbers of boxes" * bool(other),
        fix="Keep those that are alike in one split, as frames of a video: `detkit data split` does.",
    )


def _groups(pairs) -> list[list[Example]]:
    """The examples that pairs connect."""
    group_of: dict[int, list[Example]] = {}
    for a, b in pairs:
        one, other = group_of.setdefault(id(a), [a]), group_of.setdefault(id(b), [b])
        if one is not other:
            one += other
            group_of |= {id(example): one for example in other}
    return list({id(group): group for group in group_of.values()}.values())


def _name(example: Example) -> str:
    """The name of a picture without its folder, if it has one."""
    return getattr(example.image, "name", "") or example.label


def _few(examples: list[Example]) -> str:
    return _name(examples[0]) if len(examples) == 1 else f"{len(examples)} more"


def _numbers(example: Example, dataset: Dataset) -> list[int]:
    return np.bincount(example.class_ids, minlength=len(dataset.classes)).tolist()


def _leaks(pairs, one: tuple[str, Dataset], other: tuple[str, Dataset], kind: str) -> Iterator[Problem]:
    """Pictures of a dataset that are in another as well."""
    if kind == "near":
        yield Problem(
            "warning",
            f"{len({id(b) for _, b in pairs})} pictures of {other[0]} are nearly the same as pictures of {one[0]}.",
            file=other[1].name,
            got=some([f"{_name(a)} and {_name(b)}" for a, b in pairs]),
            expected="splits that have nothing in common",
            fix="Look at them; shots of one moment belong in one split, or results look better than they are.",
        )
        return
    for first, example in pairs:
        yield Problem(
            "warning",
            f"A picture of {other[0]} is in {one[0]} as well.",
            **example.place,
            got=f"equal to {first.label}",
            expected="splits that have nothing in common",
            fix="Remove it from one of them; otherwise results look better than they are.",
        )
