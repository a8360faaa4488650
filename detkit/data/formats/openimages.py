"""Open Images: a CSV with a row a box, ImageID, LabelName, XMin, XMax, YMin, YMax as fractions, IsGroupOf.

Class names are in a file like class-descriptions-boxable.csv beside it, where there is one.
Source: https://storage.googleapis.com/openimages/web/download_v7.html
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from detkit.data.dataset import Dataset
from detkit.data.formats import tables
from detkit.data.formats.assemble import NAN, Picture, Thing, class_names, dataset, files_by_stem
from detkit.data.formats.common import Pictures, Report, picture_size
from detkit.data.images import EXTENSIONS
from detkit.errors import DataError

_NEEDED = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax")
_HEADER = (
    *("ImageID", "Source", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax"),
    *("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside"),
)


def matches(path: Path) -> str | None:
    """Why a path is not an Open Images file of boxes; None if it is one."""
    if path.is_dir():
        return "it is a directory; an Open Images dataset is the CSV file"
    try:
        missing = [name for name in _NEEDED if name not in tables.header(path)]
    except DataError as error:
        return f"{error.what} {error.got or ''}".strip()
    return "its first line lacks " + ", ".join(missing) if missing else None


def read(path, images=None, strict: bool = True) -> Dataset:
    """The dataset in an Open Images CSV; the headers of the pictures are read for their sizes.

    Args:
        path: the file.
        images: the folder of the pictures, if they are not beside the file, in `images/`, or in a folder named like a
            part of the file's name.
        strict: raise for what can't be used; otherwise leave it out and list it in `problems`.

    Raises:
        DataError: if columns are missing; if strict, with all that can't be used.
    """
    path = Path(path)
    report = Report(path)
    if reason := matches(path):
        raise DataError("This is no Open Images file of boxes.", where=path, got=reason, expected=", ".join(_NEEDED))
    names = [name.strip() for name in tables.header(path)]
    folders = [path.parent / part for part in ("", "images", *path.stem.split("-")[:3], "..", "../images")]
    finder = Pictures(folders, images)
    rows: dict[str, list[tables.Row]] = {}
    for row in tables.rows(path, {name: i for i, name in enumerate(names)}):
        rows.setdefault(row.text("ImageID"), []).append(row)
    described = _descriptions(path)
    pictures, missing = [], []
    for image_id, own in rows.items():
        pictures += _picture(image_id, own, described, finder, missing, report)
    finder.report_missing(missing, len(rows), report)
    classes = list(described.values()) or class_names(pictures)
    if any(name.startswith(("/m/", "/g/")) for name in classes):
        fix = "Put class-descriptions-boxable.csv beside the file."
        report.add("warning", "The classes have codes for names.", got=", ".join(classes[:5]), fix=fix)
    return dataset(pictures, classes, path, report, strict)


def _descriptions(path: Path) -> dict[str, str]:
    """{label: class name} of the file of class descriptions beside a file; empty if there is none."""
    files = sorted(path.parent.glob("*class-descriptions*.csv"))
    found: dict[str, str] = {}
    for row in tables.rows(files[0], {"label": 0, "name": 1}, skip=0) if files else ():
        label, name = row.text("label"), row.text("name")
        if (label, name) not in (("LabelName", "DisplayName"), ("LabelName", "display_name")) and label:
            found.setdefault(label, name or label)
    names = list(found.values())
    twice = {name for name in names if names.count(name) > 1} if len(names) < 50_000 else set()
    return {label: f"{name} ({label})" if name in twice else name for label, name in found.items()}


def _picture(image_id, rows, described, finder: Pictures, missing: list[str], report: Report) -> list[Picture]:
    image = finder.find(*(image_id + extension for extension in ("", *EXTENSIONS))) if image_id else None
    if image is None:
        missing.append(image_id or rows[0].place)
        return []
    size = picture_size((NAN, NAN), image, report, rows[0].place)
    if size is None:
        return []
    picture = Picture(image, size, [], image_id, rows[0].place)
    for box, row in enumerate(rows):
        label = row.text("LabelName")
        name = described.get(label) if described else label
        if not name:
            parts = dict(file=row.place, image=str(image), box=box, got=repr(label[:80]), expected="a known class")
            report.add("error", "A box has an unknown class.", fix="Add it to the class descriptions.", **parts)
            continue
        corners = np.multiply([row.number(column) for column in ("XMin", "YMin", "XMax", "YMax")], size[::-1] * 2)
        picture.things.append(Thing(name, corners, box, row.place, str(row), row.text("IsGroupOf") in ("1", "true")))
    return [picture]


def write(data: Dataset, path) -> None:
    """Write a dataset as an Open Images CSV, with the pictures' names without extension as ImageID.

    Crowd regions become groups. Pictures without objects, difficult flags and masks are lost.

    Raises:
        DataError: if a picture is an array, or two pictures have the same name.
        ConfigError: if the file can't be written.
    """
    table = []
    for file, example in files_by_stem(data, Path(path).parent, "").items():
        for box, class_id, crowd in zip(example.boxes.tolist(), example.class_ids, example.crowd, strict=True):
            top, left, bottom, right = (f"{value:.9f}".rstrip("0").rstrip(".") for value in box)
            flags = (0, 0, int(crowd), 0, 0)
            table.append((file.name, "detkit", data.classes[class_id], 1, left, right, top, bottom, *flags))
    tables.write(Path(path), _HEADER, table)
