"""YOLO: a text file a picture with a line an object: its class number and its box or polygon as fractions.

A box is centre x, centre y, width and height; a polygon is x, y, x, y, ... Class names are in data.yaml, or in
classes.txt or obj.names. Source: https://docs.ultralytics.com/datasets/
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from detkit import boxes as box_math
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.data.formats import yolo_files
from detkit.data.formats.assemble import (
    NAN,
    Picture,
    Thing,
    dataset,
    files_by_stem,
    number,
    polygon_box,
    segmentation_of,
)
from detkit.data.formats.common import Pictures, Report, picture_size
from detkit.data.formats.placing import place
from detkit.errors import DataError
from detkit.io import atomic_write, make_directory
from detkit.progress import progress


def matches(path: Path) -> str | None:
    """Why a path is not a YOLO dataset; None if it is one."""
    if path.is_file():
        if path.suffix.lower() not in (".yaml", ".yml"):
            return "it is a file; a YOLO dataset is its data.yaml, or a folder of text files"
        return yolo_files.why_no_description(path)
    if yolo_files.description(path):
        return None
    files = yolo_files.label_files(path)
    if not files:
        return "there is no data.yaml in it, and no text files there or in a folder labels/"
    if not any(map(yolo_files.has_rows, files[:50])):
        return f"its text files don't hold rows of a class number and four fractions (looked at {files[0].name})"
    return None


def read(path, images=None, strict: bool = True, split: str | None = None) -> Dataset:
    """The dataset of a data.yaml or of a folder of label files; the headers of the pictures are read for their sizes.

    A folder holds a data.yaml, or `images/` and `labels/`, or pictures and text files side by side; it may also be
    the folder of one split, as `images/val`. A picture without a label file has no objects.

    Args:
        path: the data.yaml, or the folder.
        images: the folder of the pictures, if it is another one.
        strict: raise for what can't be used; otherwise leave it out and list it in `problems`.
        split: "train", "val" or "test" of a data.yaml; the first one that it has by default, and an entry in
            `problems` names the others.

    Raises:
        DataError: if there are no labels or no class names; if strict, with all that can't be used.
    """
    path = Path(path)
    report = Report(path)
    source = yolo_files.source(path, split, report)
    if source.keypoints:
        report.add("info", "Keypoints in YOLO files are passed over.", got=f"{source.keypoints} numbers a row")
    if images is False:
        raise DataError(
            "YOLO files can't be read without their pictures.",
            where=path,
            got="images=False",
            expected="the folder of the pictures",
            fix="YOLO boxes are fractions of the picture, whose size only the picture tells.",
        )
    pairs = source.pairs if images is None else yolo_files.pairs_of_labels(source, Pictures([], images), report)
    pictures = [_picture(*pair, source, report) for pair in progress(pairs, description="read")]
    if not pictures and not report.problems:
        raise DataError("There are no pictures in this YOLO dataset.", where=path, got="looked in " + source.looked)
    return dataset([picture for picture in pictures if picture], source.classes, path, report, strict)


def _picture(image: Path, labels: Path | None, source, report: Report) -> Picture | None:
    size = picture_size((NAN, NAN), image, report, labels)
    if size is None:
        return None
    try:
        lines = yolo_files.text(labels).splitlines() if labels else []
    except DataError as error:
        report.add_error(error, file=str(labels), image=str(image))
        lines = []
    picture = Picture(image, size, [], image.stem, str(labels or source.path))
    rows = [(i, line) for i, line in enumerate(lines, 1) if line.strip()]
    for box, (line_number, line) in enumerate(rows):
        _add(picture, box, line, f"{labels}, line {line_number}", source, report)
    return picture


def _add(picture: Picture, box: int, line: str, place: str, source, report: Report) -> None:
    """Add the object of a line, or a problem."""
    values = [number(word) for word in line.split()]
    class_id, numbers = values[0], values[1:]
    fault = _row_fault(numbers, source) or _class_fault(class_id, source)
    if fault:
        what, expected, fix = fault
        report.add(
            "error", what, file=place, image=str(picture.image), box=box, got=f"{line:.80}", expected=expected, fix=fix
        )
        return
    height, width = picture.size
    scaled = [value * (height if i % 2 else width) for i, value in enumerate(numbers)]
    polygon = None
    if len(numbers) == 4 or source.keypoints:
        x, y, w, h = scaled[:4]
        corners = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    else:
        corners, polygon = polygon_box([scaled]), [scaled]
    thing = Thing(source.classes[int(class_id)], corners, box, place, f"{line:.80}", segmentation=polygon)
    picture.things.append(thing)


def _row_fault(numbers: list[float], source) -> tuple[str, str, str] | None:
    """What, expected and fix of a row that has another number of numbers than a box or a polygon."""
    count = len(numbers)
    if source.keypoints:
        expected = 4 + source.keypoints
        if count == expected:
            return None
        return "A row has not as many numbers as kpt_shape says.", f"{expected + 1} numbers", "Correct one of the two."
    if count == 4 or (count >= 6 and count % 2 == 0):
        return None
    if count == 5 or (count > 5 and count % 2):
        return (
            "A row has one number too many: a confidence?",
            "class, x, y, width, height; or class, x, y, x, y, ...",
            "These look like a detector's results, not like annotations. Remove the last column if they were checked.",
        )
    return "A row is too short.", "class, x, y, width, height", "Complete it, or delete it."


def _class_fault(class_id: float, source) -> tuple[str, str, str] | None:
    if class_id in range(len(source.classes)):
        return None
    expected = f"a whole number of 0..{len(source.classes) - 1}"
    return "A box has a class number without a name.", expected, f"Add the name to {source.named_in}, or correct it."


def write(data: Dataset, path) -> None:
    """Write a dataset as a folder with data.yaml, labels/ and images/; images/ holds links to the pictures.

    Where links can't be made, the pictures are copied. An object with one polygon is written as polygon, others as
    boxes; crowd and difficult flags are lost.

    Raises:
        DataError: if a picture is an array, two have the same name, or another of that name is there.
        ConfigError: if the folder can't be written.
    """
    path = Path(path)
    files = files_by_stem(data, path / "labels", ".txt")
    for file, example in progress(files.items(), total=len(files), description="write"):
        place(example, path / "images" / example.image.name)
        with atomic_write(file, sync=False) as out:
            out.writelines(_row(example, i) + "\n" for i in range(len(example)))
    make_directory(path / "images")
    yolo_files.write_description(path / "data.yaml", data.classes)


def _row(example: Example, i: int) -> str:
    segmentation = segmentation_of(example, i)
    if isinstance(segmentation, (list, tuple)) and len(segmentation) == 1:
        points = np.reshape(np.asarray(segmentation[0], np.float64), (-1, 2)) / example.size[::-1]
        values = points.ravel()
    else:
        values = box_math.convert(example.boxes[i], "yxyx", "cxcywh").astype(np.float64)
    return " ".join([str(example.class_ids[i]), *(f"{value:.9f}".rstrip("0").rstrip(".") for value in values)])
