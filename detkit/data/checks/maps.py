"""Class maps: pictures of the class of each pixel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from detkit.data.class_map import IGNORED
from detkit.data.example import Example
from detkit.data.problems import Problem, problem_of
from detkit.errors import DataError


def unusable(example: Example, count: int) -> Iterator[Problem]:
    """That a class map can't be decoded, is of another size, or has a value that is none of the `count` classes."""
    if example.class_map is None:
        return
    try:
        values = np.unique(example.semantic())
    except DataError as error:
        yield problem_of(error, **example.place)
        return
    unknown = values[(values > count) & (values != IGNORED)].tolist()
    if unknown:
        yield Problem(
            "error",
            "A class map has values without a class.",
            **example.place,
            got=", ".join(map(str, unknown[:10])),
            expected=f"0 for the background, 1..{count}, or {IGNORED} for what doesn't count",
            fix="Name these classes, or export the map again.",
        )
