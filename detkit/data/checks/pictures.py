"""Whether the pictures open, and are as the annotation says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from detkit.data import images
from detkit.data.dataset import Dataset
from detkit.data.example import Example, size_problem
from detkit.data.problems import Problem, problem_of
from detkit.errors import MediaError
from detkit.text import some


def unreadable(example: Example, error: MediaError | None) -> Iterator[Problem]:
    """That a picture can't be decoded to its end."""
    if error:
        yield problem_of(error, **example.place)


def wrong_size(example: Example) -> Iterator[Problem]:
    """That a picture has another size than annotated."""
    problem = None if isinstance(example.image, np.ndarray) else size_problem(example)
    if problem:
        yield problem


def turned(dataset: Dataset) -> Iterator[Problem]:
    """Photos that EXIF data turn, where their size can't tell which way up the boxes were drawn."""
    found = [example.label for example in dataset if _is_turned(example)]
    if found:
        yield Problem(
            "info",
            f"{len(found)} photos are turned by EXIF data, and their sizes don't tell if the boxes are too.",
            file=dataset.name,
            got=some(found),
            expected="boxes that were drawn on the upright photos",
            fix="Look at one of them with its boxes; if they lie wrong, remove the EXIF orientation of the photos.",
        )


def _is_turned(example: Example) -> bool:
    if isinstance(example.image, np.ndarray) or not len(example):
        return False
    with suppress(MediaError):
        (height, width), orientation = images.stored_size(example.image)
        # YOLO files don't have the size that the annotator saw.
        sizeless = Path(example.source).suffix == ".txt"
        return orientation in (2, 3, 4) or (orientation >= 5 and (height == width or sizeless))
    return False
