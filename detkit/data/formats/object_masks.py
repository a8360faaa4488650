"""A folder for each picture, with the picture in images/ and a mask for each object in masks/.

Source: https://www.kaggle.com/c/data-science-bowl-2018/data
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from detkit.data import class_map
from detkit.data.dataset import Dataset
from detkit.data.formats import mask_files, mask_layout
from detkit.data.formats.assemble import NAN, Picture, Thing, dataset
from detkit.data.formats.class_list import ClassList
from detkit.data.formats.common import Report, picture_size
from detkit.data.images import EXTENSIONS
from detkit.errors import DataError
from detkit.progress import progress


def read(layout: mask_layout.Layout, path: Path, pictures, listed: ClassList | None, report: Report, strict) -> Dataset:
    """The dataset of a layout with a mask for each object; all masks are read.

    Raises:
        DataError: if a folder of the pictures is given, or several classes; if strict, with all that can't be used.
    """
    if pictures is not None:
        what, got = "These pictures are in the folders of their masks.", f"images={str(pictures)!r}"
        raise DataError(what, where=path, got=got, fix="Leave out the folder of the pictures.")
    names = listed.names if listed else ("object",)
    if len(names) != 1:
        got, expected = ", ".join(names), "one class: the masks of objects don't tell theirs"
        what, fix = "These masks can be of one class only.", "Name one, and make a dataset for each class."
        raise DataError(what, where=listed.source, got=got, expected=expected, fix=fix)
    if not listed:
        fix = "Name it in classes.txt, or classes=..."
        report.add("info", "Nothing names the class of these masks.", got="class 'object'", fix=fix)
    reports = [Report(folder) for folder in layout.objects]
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda folder, own: _picture(folder, names[0], own), layout.objects, reports)
        found = list(progress(found, total=len(reports), description="masks"))
    report.problems += [problem for own in reports for problem in own.problems]
    return dataset([picture for picture in found if picture], names, path, report, strict)


def _picture(folder: Path, name: str, report: Report) -> Picture | None:
    """The picture of a folder with its objects, or nothing after a problem."""
    files = [file for _, file in mask_layout.files(folder / "images", EXTENSIONS)]
    if len(files) != 1:
        what, fix = "A folder with masks of objects needs one picture.", "Put the others into folders of their own."
        report.add("error", what, got=f"{len(files)} in images/", expected="one in images/", fix=fix)
        return None
    size = picture_size((NAN, NAN), files[0], report)
    if not size:
        return None
    picture = Picture(files[0], size, [], folder.name, str(folder))
    for number, (_, file) in enumerate(mask_layout.files(folder / "masks", (".png",))):
        try:
            picture.things.append(_thing(file, number, name, size))
        except DataError as error:
            report.add_error(error, file=str(file), image=str(files[0]), box=number)
    return picture


def _thing(file: Path, number: int, name: str, size: tuple[int, int]) -> Thing:
    """The object of a mask; DataError if it is none."""
    values = class_map.stored(file, size=size)
    inside = values > 0
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not rows.size:
        raise DataError("A mask is empty.", got="zeros", expected="the pixels of an object", fix="Delete the mask.")
    if values[inside].min() < values.max():
        got, expected = f"values from {values[inside].min()} to {values.max()}", "0 and one other value"
        what, fix = "A mask of one object has several values.", "Export it again, without smoothing its border."
        raise DataError(what, got=got, expected=expected, fix=fix)
    (top, bottom), (left, right) = rows[[0, -1]] + [0, 1], columns[[0, -1]] + [0, 1]
    outline = mask_files.run_lengths(inside[top:bottom, left:right], (int(top), int(left)), size)
    return Thing(name, (left, top, right, bottom), number, str(file), segmentation=outline)
