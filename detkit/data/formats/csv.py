"""CSV with a row an object: filename, width, height, class, xmin, ymin, xmax, ymax, the corners in pixels.

Other names and orders of the columns are recognised, and x, y, w, h instead of the corners; rows without a header
are taken as path, x1, y1, x2, y2, class. A row with a picture but without box and class is a picture without
objects. Source: https://github.com/datitran/raccoon_dataset (xml_to_csv.py), keras-retinanet's CSV datasets.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from detkit import boxes as box_math
from detkit.data.dataset import Dataset
from detkit.data.formats import tables
from detkit.data.formats.assemble import CORNERS, Picture, Thing, class_names, dataset, number
from detkit.data.formats.common import Pictures, Report, annotated_path, picture_size
from detkit.errors import DataError

_HEADER = ("filename", "width", "height", "class", *CORNERS)
_HEADERLESS = ("filename", *CORNERS, "class")
_ALIASES = {
    "filename": "filename file file_name image image_path imagepath path img img_path image_name image_id",
    "class": "class label category class_name classname category_name label_name name",
    "xmin": "xmin x_min x1 left bbox_xmin",
    "ymin": "ymin y_min y1 top bbox_ymin",
    "xmax": "xmax x_max x2 right bbox_xmax",
    "ymax": "ymax y_max y2 bottom bbox_ymax",
    "x": "x bbox_x",
    "y": "y bbox_y",
    "w": "w bbox_w bbox_width box_width",
    "h": "h bbox_h bbox_height box_height",
    "width": "width image_width img_width",
    "height": "height image_height img_height",
}
_ALIASES = {name: aliases.split() for name, aliases in _ALIASES.items()}
_XYWH = ("x", "y", "w", "h")
_FOLDERS = ("", "images", "../images", "..", "JPEGImages")


def matches(path: Path) -> str | None:
    """Why a path is not such a CSV file; None if it is one."""
    if path.is_dir():
        inside = ", ".join(sorted(p.name for p in path.glob("*.csv"))[:5])
        return "it is a directory; a CSV dataset is the file" + (f" (there are: {inside})" if inside else "")
    try:
        _columns(path, None)
    except DataError as error:
        return f"{error.what} {error.got or ''}".strip()
    return None


def read(path, images=None, strict: bool = True, columns: Mapping[str, str] | None = None) -> Dataset:
    """The dataset in a CSV file; no picture is opened unless the file lacks its size.

    Args:
        path: the file; the delimiter may be a comma, semicolon, tab or bar.
        images: the folder of the pictures, if they are not beside the file or in `images/`; False if only the
            annotations matter.
        strict: raise for what can't be used; otherwise leave it out and list it in `problems`.
        columns: {"filename" | "class" | "xmin" | "ymin" | "xmax" | "ymax" | "x" | "y" | "w" | "h" | "width" |
            "height": the name of that column in the file}, for those that aren't recognised.

    Raises:
        DataError: if columns are missing; if strict, with all that can't be used.

    Example:
        >>> data.read("boxes.csv", format="csv", columns={"filename": "photo", "class": "what"})
    """
    path = Path(path)
    report = Report(path)
    places, skip = _columns(path, columns)
    finder = Pictures([path.parent / name for name in _FOLDERS], images)
    rows: dict[str, list[tables.Row]] = {}
    for row in tables.rows(path, places, skip):
        rows.setdefault(row.text("filename"), []).append(row)
    pictures, missing = [], []
    for name, own in rows.items():
        pictures += _picture(name, own, finder, missing, report)
    finder.report_missing(missing, len(rows), report)
    _warn_of_fractions(pictures, report)
    return dataset(pictures, class_names(pictures), path, report, strict)


def _columns(path: Path, given: Mapping[str, str] | None) -> tuple[dict[str, int], int]:
    """{our name of a column: its place}, and how many rows are header."""
    cells = tables.header(path)
    if not given and len(cells) == 6 and all(not c or np.isfinite(number(c)) for c in cells[1:5]) and cells[0]:
        return {name: i for i, name in enumerate(_HEADERLESS)}, 0
    lowered = [cell.lower().replace(" ", "_") for cell in cells]
    found = {}
    for name, aliases in _ALIASES.items():
        places = [lowered.index(alias) for alias in aliases if alias in lowered]
        found |= {name: places[0]} if places else {}
    for name, column in (given or {}).items():
        if name not in _ALIASES or column not in cells:
            expected = ", ".join(cells if name in _ALIASES else _ALIASES)
            raise DataError("There is no such column.", where=path, got=f"{name}={column}", expected=expected)
        found[name] = cells.index(column)
    missing = [name for name in ("filename", "class") if name not in found]
    if not all(name in found for name in CORNERS) and not all(name in found for name in _XYWH):
        missing += [name for name in CORNERS if name not in found]
    if missing:
        raise DataError(
            "This table lacks columns.",
            where=path,
            got=f"no {', '.join(missing)} among: {', '.join(cells)[:200]}",
            expected=",".join(_HEADER),
            fix='Name them: columns={"filename": "...", ...} in Python, --column filename=... on the command line.',
        )
    return found, 1


def _picture(name: str, rows: list[tables.Row], finder: Pictures, missing: list[str], report: Report) -> list[Picture]:
    """The picture of some rows with its objects; nothing after a problem."""
    if not name:
        report.add("error", "A row names no picture.", file=rows[0].place, got=str(rows[0]), fix="Delete it.")
        return []
    image = finder.find(name)
    if image is None:
        missing.append(name)
        return []
    sizes = {(row.number("height"), row.number("width")) for row in rows if row.text("width")}
    if len(sizes) > 1:
        got = ", ".join(f"{width:g} x {height:g}" for height, width in sorted(sizes)[:5])
        what = "The rows of a picture give it different sizes."
        report.add("error", what, file=rows[0].place, image=str(image), got=got, fix="Correct width and height.")
        return []
    size = picture_size(next(iter(sizes), (np.nan, np.nan)), image, report, rows[0].place)
    if size is None:
        return []
    picture = Picture(image, size, [], Path(name).stem, rows[0].place)
    filled = [row for row in rows if any(row.text(column) for column in ("class", *CORNERS, *_XYWH))]
    for box, row in enumerate(filled):
        _add(picture, box, row, report)
    return [picture]


def _add(picture: Picture, box: int, row: tables.Row, report: Report) -> None:
    name = row.text("class")
    if not name:
        parts = dict(file=row.place, image=str(picture.image), box=box, got=str(row), expected="a class name")
        report.add("error", "An object has no name.", fix="Name the object, or delete it.", **parts)
        return
    if "xmax" in row.columns:
        corners = [row.number(corner) for corner in CORNERS]
    else:
        x, y, width, height = (row.number(column) for column in _XYWH)
        corners = [x, y, x + width, y + height]
    picture.things.append(Thing(name, corners, box, row.place))


def _warn_of_fractions(pictures: list[Picture], report: Report) -> None:
    values = np.array([thing.corners for picture in pictures for thing in picture.things]).ravel()
    if values.size and np.nanmax(values, initial=0) <= 1 and (values % 1 > 0).any():
        what = "All boxes lie within one pixel: are these fractions?"
        report.add("warning", what, got=f"at most {np.nanmax(values):g}", expected="pixels", fix="Multiply them.")


def write(data: Dataset, path) -> None:
    """Write a dataset as CSV that names the pictures relative to it; boxes to a thousandth of a pixel.

    A picture without objects gets a row without class and box; crowd and difficult flags and masks are lost.

    Raises:
        DataError: if a picture is an array.
        ConfigError: if the file can't be written.
    """
    path, table = Path(path), []
    for example in data:
        height, width = example.size
        start = (annotated_path(example, path.parent), width, height)
        corners = box_math.convert(example.boxes, "yxyx", "xyxy_abs", example.size)
        for class_id, box in zip(example.class_ids, corners, strict=True):
            table.append((*start, data.classes[class_id], *(f"{value:.3f}".rstrip("0").rstrip(".") for value in box)))
        if not len(example):
            table.append((*start, "", "", "", "", ""))
    tables.write(path, _HEADER, table)
