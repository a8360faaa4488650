"""Pixels that count from 1, and class numbers that count from elsewhere than the names."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from detkit.data.dataset import Dataset
from detkit.data.problems import Problem

_ENOUGH = 5  # edges at the border
_UNKNOWN = ("A box has a class number without a name.", "A box has an unknown category:")


def pixels(dataset: Dataset) -> Iterator[Problem]:
    """Boxes in whole pixels whose left and upper edges at the border are at 1, as in Pascal VOC, instead of at 0."""
    edges = [example.boxes * np.tile(example.size, 2) for example in dataset]
    edges = np.concatenate([np.zeros((0, 4)), *edges])
    if not len(edges) or np.abs(edges - edges.round()).max() > 0.01:
        return
    starts = edges[:, :2].round()
    at_0, at_1, at_2 = (int(np.count_nonzero(starts == place)) for place in range(3))
    mixed = at_0 >= _ENOUGH
    # Objects cut by the border crowd at its first pixel; what is there by chance is at the next one as often.
    if at_1 < max(_ENOUGH, 2 * at_2, at_0 / 3) or (at_0 and not mixed):
        return
    yield Problem(
        "info",
        f"{'Some boxes' if mixed else 'The boxes'} seem to count pixels from 1{', others from 0' * mixed}.",
        file=dataset.name,
        got=f"{at_1} left or upper edges at pixel 1, {at_0 or 'none'} at 0",
        expected="0 at the border",
        fix="Nothing, if a pixel doesn't matter: boxes are used as they stand, as the OD API does.",
    )


def class_numbers(dataset: Dataset) -> Iterator[Problem]:
    """Class numbers that are all one too high or too low for the names."""
    numbers = {_number(problem) for problem in dataset.problems if problem.what.startswith(_UNKNOWN)}
    used = {int(i) for example in dataset for i in np.unique(example.class_ids)}
    last = len(dataset.classes) - 1
    from_0 = dataset.problems and any(problem.what.startswith(_UNKNOWN[0]) for problem in dataset.problems)
    known = list(range(last + 1)) if from_0 else list(dataset.label_ids)
    if not known or len(numbers) != 1:
        return
    if numbers == {known[-1] + 1} and 0 not in used:
        tendency = "high", known[0]
    elif numbers == {known[0] - 1} and last not in used:
        tendency = "low", known[-1]
    else:
        return
    yield Problem(
        "warning",
        f"The class numbers seem to be one too {tendency[0]}.",
        file=dataset.name,
        got=f"{numbers.pop()}, which has no name, but never {tendency[1]}",
        expected=f"{known[0]}..{known[-1]}, as the names are numbered",
        fix="Correct the numbers or the list of names: as they are, each box has its neighbour's class.",
    )


def _number(problem: Problem) -> int | None:
    """The class number in a reader's problem, with which it begins but for the word before it."""
    found = re.match(r"(?:category_id )?(-?\d+)\b", problem.got or "")
    return int(found[1]) if found else None
