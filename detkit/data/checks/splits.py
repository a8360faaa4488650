"""What the datasets of one task tell of each other's classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from detkit.data.checks.classes import variants
from detkit.data.dataset import Dataset
from detkit.data.problems import Problem
from detkit.text import some


def class_problems(sets: Sequence[tuple[str, Dataset]]) -> Iterator[Problem]:
    """Classes that a further dataset has and the first lacks, with the name that may be meant."""
    if len(sets) < 2:
        return
    name, first = sets[0]
    for other_name, other in sets[1:]:
        used = {int(i) for example in other for i in np.unique([*example.class_ids, *example.image_labels])}
        unknown = [other.classes[i] for i in sorted(used) if other.classes[i] not in first.classes]
        if unknown:
            yield Problem(
                "warning",
                f"{len(unknown)} classes of {other_name} are unknown in {name}.",
                file=other.name,
                got=some(unknown),
                expected=some(first.classes),
                fix="Rename them, or leave them out: a detector can't learn them there.",
            )
        new = [each for each in other.classes if each not in first.classes]
        yield from variants([*first.classes, *new], f"{name} and {other_name}", new)
