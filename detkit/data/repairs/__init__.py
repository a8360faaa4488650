"""Repaired copies of datasets: what can be put right without guessing, and a log of it. Nothing changes in place."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from detkit.data import formats, operations
from detkit.data.checks import maps, objects, twice
from detkit.data.dataset import Dataset
from detkit.data.example import Example, size_problem
from detkit.data.formats import folders
from detkit.data.formats.common import ROUNDING, repairing
from detkit.data.formats.extract import save_pictures
from detkit.data.formats.lost import lost
from detkit.data.problems import Problem
from detkit.data.repairs import outlines, wrong_sizes
from detkit.errors import ConfigError
from detkit.io import atomic_write, make_directory, write_json

LOG = "changes.json"
# Each a name under which the folder is recognised: "annotations" is also one for masks beside their pictures.
_FOLDERS = {"image_folder": "classes", "labelme": "annotations", "masks": "copy", "voc": "annotations", "yolo": ""}
_MENDED = ("cut at the edge.", "put in order.", "taken as not labelled.", "was believed.")  # by readers
_THIN = 0.01  # pixels; files hold thousandths


@dataclass(frozen=True)
class Change:
    """One thing that a repair did, or left to be decided.

    Attributes:
        action: "corrected", "removed", "left out" (it could not be read or written), or "left" (as it is).
        what: what was wrong, or what was done, one sentence.
        file: the annotation file.
        image: the picture.
        box: the number of the box in its image, counting from 0.
        got: what was there.
    """

    action: str
    what: str
    file: str | None = None
    image: str | None = None
    box: int | None = None
    got: str | None = None

    def __str__(self) -> str:
        box = "" if self.box is None else f"box {self.box}"
        where = ", ".join(part for part in (self.file, self.image, box) if part)
        lines = [f"{self.action}: {self.what}", where and f"  where: {where}", self.got and f"  got: {self.got}"]
        return "\n".join(line for line in lines if line)


def repair(
    dataset, output, format: str | None = None, images=None, show_progress: bool | None = None, **options
) -> tuple[Dataset, list[Change]]:
    """Write a copy of a dataset in which all is repaired that needs no decision, and a log of what was changed.

    Boxes are cut at the edge, their swapped corners put in order; boxes that are no numbers, have no area, lie outside
    or are there twice are removed, as are pictures that don't open or are there twice with the same boxes. A wrong size
    is corrected where the boxes tell which is right. The copy has the source's format; pictures stay where they are.

    Args:
        dataset: the path of a dataset, or a Dataset.
        output: a directory that is not there yet, or is empty; it gets the annotations, changes.json and changes.txt.
        format, images: as for `detkit.data.read`; for a Dataset the format to write, "coco" by default.
        show_progress: as in `detkit.progress.progress`.
        **options: of the format, as for `detkit.data.read`: `split` of yolo.

    Returns:
        The repaired dataset, and the changes; those whose action is "left" say what needs a decision.

    Raises:
        DataError: if the source can't be read, or its format can't hold it.
        ConfigError: if the output is the source, lies in it, is not empty or can't be written.
    """
    output = Path(output)
    _refuse_in_place(dataset, output)
    given, format, reread = _read(dataset, format, images, options)
    changes = [*_of_reading(given.problems)]
    found = twice.found([given], near=False, show_progress=show_progress)
    for i, error in found.unreadable.items():
        changes.append(_change("removed", error.what, given[i], got=None if error.got is None else str(error.got)))
    opening = [i for i in range(len(given)) if i not in found.unreadable]
    kept = _sized(replace(given, examples=[given[i] for i in opening]), reread, changes)
    kept = {i: _with_usable_map(each, len(given.classes), changes) for i, each in zip(opening, kept, strict=True)}
    kept = {i: each for i, each in kept.items() if each is not None}
    kept = {i: _without_spare_boxes(_cut(each, changes), changes) for i, each in kept.items()}
    repaired = replace(given, examples=_each_picture_once(kept, found.pairs, changes), problems=())
    changes += [Change("left out", problem.what, got=problem.got) for problem in lost(repaired, format)]
    repaired, target = _write(repaired, output, format, dataset)
    _log(output, changes, dataset if isinstance(dataset, (str, Path)) else given.name, target)
    return repaired, changes


def summary(changes: Iterable[Change], output) -> str:
    """What a repair did, in a line for each kind of change."""
    counts = Counter(f"{change.action}: {change.what}" for change in changes)
    lines = [f"{count} x {kind}" for kind, count in counts.items()] or ["Nothing had to be changed."]
    written = ", ".join(sorted(path.name for path in Path(output).iterdir()))
    return "\n".join([*lines, f"wrote {output}: {written}"])


def _refuse_in_place(source, output: Path) -> None:
    expected, fix = "a directory of its own", "Name a new directory: nothing is changed in place."
    if isinstance(source, (str, Path)):
        source, there = Path(source).resolve(), output.resolve()
        if there == source or (source.is_dir() and source in there.parents):
            what = "The repaired copy would lie in the dataset itself."
            raise ConfigError(what, where=output, got=str(source), expected=expected, fix=fix)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        got = "a directory with files in it" if output.is_dir() else "a file"
        raise ConfigError("The directory of the repaired copy is not empty.", where=output, got=got, fix=fix)


def _read(source, format: str | None, images, options: dict):
    """The dataset with its swapped corners in order, its format, and what reads it with the pictures' own sizes."""
    if isinstance(source, Dataset):
        return source, format or "coco", None
    module = formats.named(format) if format else formats.recognised(Path(source))
    formats.check_options(module, options)

    def read(own_sizes: bool = False) -> Dataset:
        with repairing(own_sizes):
            return module.read(source, images=images, strict=False, **options)

    return read(), module.__name__.rpartition(".")[2], lambda: read(own_sizes=True)


def _of_reading(problems: Iterable[Problem]) -> Iterator[Change]:
    """What the reader could not keep or changed."""
    for problem in problems:
        gone = problem.severity == "error" or bool(folders.splits_of(problem))
        action = "left out" if gone else "corrected"
        if gone or problem.what.endswith(_MENDED):
            yield Change(action, problem.what, problem.file, problem.image, problem.box, problem.got)


def _change(action: str, what: str, example: Example, **parts) -> Change:
    return Change(action, what, **example.place, **parts)


def _sized(dataset: Dataset, reread, changes: list[Change]) -> Iterator[Example]:
    """The examples with their sizes corrected, where that is possible."""
    for old, (example, done) in zip(dataset, wrong_sizes.corrected(dataset, reread), strict=True):
        got = "{1} x {0} instead of {3} x {2} (width x height)".format(*old.size, *example.size)
        if done:
            changes.append(_change("corrected", done, old, got=got))
        elif not isinstance(example.image, np.ndarray) and (problem := size_problem(example)):
            changes.append(_change("left", problem.what, example, got=problem.got))
        yield example


def _with_usable_map(example: Example, classes: int, changes: list[Change]) -> Example | None:
    """The example without a class map that can't be used; None if it has no other annotation."""
    problem = next(maps.unusable(example, classes), None)
    if problem is None:
        return example
    changes.append(_change("removed", problem.what, example, got=problem.got))
    return replace(example, class_map=None) if len(example) or example.image_labels.size else None


def _cut(example: Example, changes: list[Change]) -> Example:
    """The example with its outlines cut at the edges of the picture, as its boxes were when they were read."""
    found = {}
    for box, each in enumerate(example.segmentations or ()):
        if isinstance(each, (list, tuple)) and (pixels := outlines.beyond(each, example.size)) > ROUNDING:
            found[box] = outlines.cut(each, example.size) or None
            what = "An outline reached beyond its image and was cut at the edge."
            changes.append(_change("corrected", what, example, box=box, got=f"{pixels:.4g} pixels"))
    if not found:
        return example
    return replace(example, segmentations=[found.get(box, each) for box, each in enumerate(example.segmentations)])


def _without_spare_boxes(example: Example, changes: list[Change]) -> Example:
    """The example without boxes that have next to no area or are there twice."""
    sides = (example.boxes[:, 2:] - example.boxes[:, :2]) * example.size
    thin = set(np.flatnonzero(sides.min(-1, initial=np.inf) < _THIN).tolist())
    changes += [_change("removed", "A box has no area.", example, box=box) for box in sorted(thin)]
    spare = set(thin)
    for box, first, iou in objects.pairs(example):
        if iou == 1 and box not in thin:
            changes.append(_change("removed", "A box is there twice.", example, box=box, got=f"equal to box {first}"))
            spare.add(box)
        elif box not in thin and first not in thin:
            got = f"an IoU of {iou:.2f} with box {first}"
            changes.append(_change("left", "Two boxes of a class are nearly the same.", example, box=box, got=got))
    return operations.objects(example, [i not in spare for i in range(len(example))]) if spare else example


def _each_picture_once(examples: dict[int, Example], pairs, changes: list[Change]) -> list[Example]:
    """The examples without those whose picture is there before with the same boxes."""
    spare = set()
    for i, j in sorted((pair[:2] for pair in pairs), key=lambda pair: pair[1]):
        if i not in examples or j not in examples:
            continue
        first, example = examples[i], examples[j]
        same, what = twice.what_of(first, example)
        spare |= {j} if same else set()
        changes.append(_change("removed" if same else "left", what, example, got=f"equal to {first.label}"))
    return [example for i, example in examples.items() if i not in spare]


def _write(dataset: Dataset, output: Path, format: str, source) -> tuple[Dataset, Path]:
    """The dataset as it was written, and the path that reads it."""
    make_directory(output)
    if format in formats.FILES:
        given = Path(source) if isinstance(source, (str, Path)) else None
        target = output / (given.name if given and given.is_file() else "annotations" + formats.FILES[format])
    else:
        target = output / _FOLDERS[format]
    if format != "tfrecord":
        dataset = save_pictures(dataset, output / "images")
    formats.named(format).write(dataset, target)
    return dataset, target


def _log(output: Path, changes: list[Change], source, target: Path) -> None:
    """Write the changes as JSON and as text."""
    entries = [{name: value for name, value in asdict(each).items() if value is not None} for each in changes]
    write_json(output / LOG, {"source": str(source), "repaired": os.path.relpath(target, output), "changes": entries})
    with atomic_write(output / "changes.txt") as file:
        file.write("\n".join(map(str, changes)) + "\n" if changes else "Nothing had to be changed.\n")
