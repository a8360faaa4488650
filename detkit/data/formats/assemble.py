"""What readers have in common: they gather `Picture`s of `Thing`s, and `examples` checks and packs them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from detkit import masks
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.data.formats.common import Report, annotated_path, check_boxes
from detkit.data.problems import refuse
from detkit.errors import DataError

CORNERS = ("xmin", "ymin", "xmax", "ymax")
NAN = float("nan")
_SMALLEST = 1e-9  # pixels


@dataclass
class Thing:
    """An object as an annotation gives it: its class name, and its box in pixels, NaN where it can't be read."""

    name: str
    corners: Sequence[float]  # xmin, ymin, xmax, ymax
    number: int  # in its picture, unusable ones counted
    place: str  # the file, with the line if there is one
    got: str = ""  # what stands there; the corners by default
    crowd: bool = False
    difficult: bool = False
    area: float = NAN
    segmentation: object = None  # as in Example.segmentations
    group: object = None  # polygons of one name and group are one object


@dataclass
class Picture:
    """A picture as an annotation gives it, with its objects."""

    image: object  # as in Example
    size: tuple[int, int]
    things: list[Thing] = field(default_factory=list)
    image_id: int | str = ""
    source: str = ""
    labels: list[str] = field(default_factory=list)  # classes of the picture as a whole
    class_map: object = None  # as in Example


def number(text) -> float:
    """The number that a text (or None) holds; NaN where it holds none."""
    try:
        return NAN if "_" in text else float(text)
    except (TypeError, ValueError):
        return NAN


def polygon_box(polygons: Sequence[Sequence[float]]) -> tuple[float, float, float, float]:
    """[xmin, ymin, xmax, ymax] around flat polygons [x, y, ...]; NaN unless each has three points or more."""
    if not polygons or any(len(polygon) < 6 or len(polygon) % 2 for polygon in polygons):
        return (NAN,) * 4
    values = [value for polygon in polygons for value in polygon]
    if not all(map(math.isfinite, values)):
        return (NAN,) * 4
    return min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])


def segmentation_of(example: Example, i: int):
    """The segmentation of an object, or None."""
    return example.segmentations[i] if example.segmentations is not None else None


def class_names(pictures: Iterable[Picture]) -> list[str]:
    """The names of all objects, sorted: the classes of a format that has no list of them."""
    return sorted({thing.name for picture in pictures for thing in picture.things})


def merged(things: list[Thing]) -> list[Thing]:
    """The same objects, but polygons of one name and group made one object with all their polygons."""
    first_of: dict = {}
    kept = []
    for thing in things:
        is_part = thing.group is not None and isinstance(thing.segmentation, list)
        first = first_of.setdefault((thing.name, thing.group), thing) if is_part else thing
        if first is thing:
            kept.append(thing)
        else:
            first.segmentation = first.segmentation + thing.segmentation
            first.corners, first.got = polygon_box(first.segmentation), ""
    return kept


def dataset(
    pictures: list[Picture],
    classes: Sequence[str],
    path: Path,
    report: Report,
    strict: bool,
    label_ids: Sequence[int] = (),
) -> Dataset:
    """The dataset of these pictures; DataError with all that can't be used if `strict`."""
    examples = _examples(pictures, classes, report)
    if strict:
        refuse(report.problems, path)
    return Dataset(tuple(examples), tuple(classes), tuple(label_ids), path.absolute().stem, tuple(report.problems))


def _examples(pictures: list[Picture], classes: Sequence[str], report: Report) -> list[Example]:
    rows = [(picture, thing) for picture in pictures for thing in picture.things]
    corners = np.array([thing.corners for _, thing in rows], np.float64).reshape(-1, 4)
    sizes = np.array([picture.size for picture, _ in rows], np.int64).reshape(-1, 2)
    corners[np.abs(corners) < _SMALLEST] = 0  # what a sum of fractions leaves of a zero

    def describe(i: int) -> dict:
        picture, thing = rows[i]
        values = ", ".join(f"{name} {value:g}" for name, value in zip(CORNERS, corners[i], strict=True))
        return dict(file=thing.place, image=str(picture.image), box=thing.number, got=thing.got or values)

    boxes, kept = check_boxes(corners, sizes, report, describe)
    ids = {name: i for i, name in enumerate(classes)}
    examples, start = [], 0
    for picture in pictures:
        stop = start + len(picture.things)
        chosen = start + np.flatnonzero(kept[start:stop])
        _check_segmentations([(rows[i][1], describe(i)) for i in chosen if rows[i][1].segmentation], picture, report)
        examples.append(_example(picture, boxes[chosen], [rows[i][1] for i in chosen], ids))
        start = stop
    return examples


def _check_segmentations(things: list[tuple[Thing, dict]], picture: Picture, report: Report) -> None:
    """Note and remove the segmentations that can't be made masks."""
    for thing, place in things:
        try:
            masks.check(thing.segmentation, picture.size)
        except DataError as error:
            parts = dict(got=error.got, expected=error.expected, fix=error.fix)
            report.add("error", error.what, **place | parts)
            thing.segmentation = None


def _example(picture: Picture, boxes: np.ndarray, things: list[Thing], ids: dict[str, int]) -> Example:
    segmentations = tuple(thing.segmentation for thing in things)
    return Example(
        picture.image,
        boxes,
        [ids[thing.name] for thing in things],
        picture.size,
        crowd=[thing.crowd for thing in things],
        difficult=[thing.difficult for thing in things],
        area=[thing.area for thing in things],
        image_id=picture.image_id,
        source=picture.source,
        image_labels=[ids[name] for name in picture.labels],
        class_map=picture.class_map,
        **({"segmentations": segmentations} if any(s is not None for s in segmentations) else {}),
    )


def refuse_to_replace(file: Path, source) -> None:
    """Raises the DataError for a picture that would be written over another one."""
    raise DataError(
        "There is another picture of this name.",
        where=file,
        got=f"other content than {source}",
        fix="Write into an empty folder.",
    )


def files_by_stem(data: Dataset, folder: Path, extension: str) -> dict[Path, Example]:
    """{annotation file in a folder: its example}, each named like its picture.

    Raises:
        DataError: if a picture is no file, or two pictures would share an annotation file.
    """
    files: dict[Path, Example] = {}
    for example in data:
        annotated_path(example, folder)
        file = folder / f"{example.image.stem}{extension}"
        if file in files:
            what = f"Two pictures of one name would share {'an XML' if extension == '.xml' else 'a'} file."
            got = f"{files[file].label} and {example.label}"
            raise DataError(what, where=file, got=got, fix="Rename one of them.")
        files[file] = example
    return files
