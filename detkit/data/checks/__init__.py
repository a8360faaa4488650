"""The pre-flight check of datasets: every problem in one pass. Each kind of problem has a function of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from detkit.data import formats
from detkit.data.checks import classes, maps, objects, off_by_one, pictures, splits, twice
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.data.formats import folders
from detkit.data.problems import Problem, problem_of
from detkit.errors import DataError, MediaError
from detkit.progress import progress

INPUT_SIZE = 320  # pixels; the longer side of the smallest common model input


def check(
    dataset,
    format: str | None = None,
    images=None,
    input_size: int = INPUT_SIZE,
    others: Mapping[str, Dataset | Path | str] | None = None,
    show_progress: bool | None = None,
) -> list[Problem]:
    """Everything that is wrong or worth knowing about a dataset, in one pass over its pictures.

    Besides what reading finds: pictures that don't open, have another size than annotated (EXIF rotation included) or
    are there twice, exactly or nearly; objects given twice or too small; masks that are empty or elsewhere than their
    box; class maps that can't be used; classes that are unused, rare or spelled in two ways; pixels or classes counted
    from 1 instead of 0; pictures without annotation. Of several datasets, also what one tells of another: pictures in
    both, classes that only one has.

    Args:
        dataset: a Dataset, or the path of one.
        format, images: as for `detkit.data.read`, for paths.
        input_size: the longer side of the model's input in pixels, by which objects are called small.
        others: further datasets by name, such as {"test": "test.json"}; they are checked as well. So are all splits of
            a path that holds several.
        show_progress: as in `detkit.progress.progress`.

    Returns:
        The problems, in the order they were found; empty if all is well. None is raised.
    """
    problems: list[Problem] = []
    sets = []
    for name, given in [(None, dataset), *(others or {}).items()]:
        try:
            sets += opened(given, format, images, name)
        except DataError as error:
            problems.append(problem_of(error))
    return problems + check_all(sets, input_size, show_progress)


def check_all(
    sets: Sequence[tuple[str, Dataset]], input_size: int = INPUT_SIZE, show_progress: bool | None = None
) -> list[Problem]:
    """The problems of datasets that belong together, such as the splits of one, by their names; as `check`."""
    found = twice.found([dataset for _, dataset in sets], show_progress=show_progress)
    problems, start = [], 0
    with progress(total=sum(len(dataset) for _, dataset in sets), description="check", show=show_progress) as bar:
        for _, dataset in sets:
            problems += dataset.problems
            for i, example in enumerate(dataset, start):
                problems += _of_example(example, dataset, found.unreadable.get(i))
                bar.update()
            problems += _as_a_whole(dataset, input_size)
            start += len(dataset)
    return [*problems, *twice.problems(sets, found.pairs), *splits.class_problems(sets)]


def opened(given, format: str | None = None, images=None, name: str | None = None) -> list[tuple[str, Dataset]]:
    """A dataset, or all splits of a path that holds several, with names for `check_all`; DataError if it can't be read.

    Args:
        given: a Dataset or a path.
        format, images: as for `detkit.data.read`, for a path.
        name: what to call it; its own name by default.
    """
    if isinstance(given, Dataset):
        return [(name or given.name, given)]
    module = formats.named(format) if format else formats.recognised(Path(given))
    first = module.read(given, images=images, strict=False)
    told = next((problem for problem in first.problems if folders.splits_of(problem)), None)
    if told is None:
        return [(name or first.name, first)]
    problems = [problem for problem in first.problems if problem is not told]
    sets = []
    wanted, *others = folders.splits_of(told)
    for split in others:
        try:
            sets.append((split, module.read(given, images=images, strict=False, split=split)))
        except DataError as error:
            problems.append(problem_of(error))
    sets.insert(0, (wanted, replace(first, problems=problems)))
    return [(f"{name} {split}" if name else split, each) for split, each in sets]


def _of_example(example: Example, dataset: Dataset, error: MediaError | None) -> Sequence[Problem]:
    """What an example shows by itself, and whether its picture opens."""
    return [
        *pictures.unreadable(example, error),
        *([] if error else pictures.wrong_size(example)),
        *objects.doubles(example, dataset.classes),
        *objects.masks_elsewhere(example),
        *maps.unusable(example, len(dataset.classes)),
    ]


def _as_a_whole(dataset: Dataset, input_size: int) -> Sequence[Problem]:
    """What only all examples together show."""
    return [
        *pictures.turned(dataset),
        *objects.small(dataset, input_size),
        *objects.two_classes(dataset),
        *off_by_one.pixels(dataset),
        *off_by_one.class_numbers(dataset),
        *classes.nothing(dataset),
        *classes.unused(dataset),
        *classes.rare(dataset),
        *classes.variants(dataset.classes, dataset.name),
    ]
