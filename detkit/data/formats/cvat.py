"""CVAT for images 1.1: one XML file with an <image> a picture and in it <box>, <polygon>, <mask>, <ellipse>.

Source: https://docs.cvat.ai/docs/manual/advanced/xml_format/
"""

from __future__ import annotations

import math
from itertools import groupby
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from detkit import boxes as box_math
from detkit import masks
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.data.formats import mask_files
from detkit.data.formats.assemble import (
    NAN,
    Picture,
    Thing,
    class_names,
    dataset,
    merged,
    number,
    polygon_box,
    segmentation_of,
)
from detkit.data.formats.common import Pictures, Report, annotated_path, picture_size
from detkit.data.formats.markup import head, parse
from detkit.data.images import MAX_PIXELS
from detkit.errors import DataError
from detkit.io import atomic_write

_SIDES = ("xtl", "ytl", "xbr", "ybr")
_FIX = "Draw the mask again, or delete it."
_UNUSABLE = ("polyline", "points", "cuboid", "skeleton")


def matches(path: Path) -> str | None:
    """Why a path is not a CVAT dataset; None if it is one."""
    file = _file(path)
    if not file.is_file():
        return "there is no annotations.xml in it"
    if b"<annotations>" not in head(file):
        return f"{file.name} doesn't begin with <annotations>, as CVAT's XML files do"
    return None


def _file(path: Path) -> Path:
    return path / "annotations.xml" if path.is_dir() else path


def read(path, images=None, strict: bool = True) -> Dataset:
    """The dataset in a CVAT XML file; no picture is opened unless the file lacks its size.

    Polygons of one label and group are one object. Lines, points, cuboids and skeletons can't be used. Of the
    attributes, only "difficult" and "is_crowd" count.

    Args:
        path: the file, or a folder with annotations.xml in it.
        images: the folder of the pictures, if they are not beside the file or in `images/`; False if only the
            annotations matter.
        strict: raise for what can't be used; otherwise leave it out and list it in `problems`.

    Raises:
        DataError: if it is no such file; if strict, with all that can't be used.
    """
    path = Path(path)
    file = _file(path)
    root = parse(file, "annotations", "CVAT")
    if root.find("track") is not None:
        fix = 'Export the task again as "CVAT for images 1.1".'
        raise DataError("This is CVAT for video, not for images.", where=file, got="<track>", fix=fix)
    report = Report(file)
    folders = [file.parent / name for name in ("", "images", "..", "../images")]
    finder = Pictures(folders, images)
    pictures, missing, elements = [], [], root.findall("image")
    for element in elements:
        pictures += _picture(element, finder, missing, report)
    finder.report_missing(missing, len(elements), report)
    listed = [(label.findtext("name") or "").strip() for label in root.iterfind("meta//labels/label")]
    used = class_names(pictures)
    classes = list(dict.fromkeys(name for name in listed if name))
    return dataset(pictures, [*classes, *(name for name in used if name not in classes)], path, report, strict)


def _picture(element, finder: Pictures, missing: list[str], report: Report) -> list[Picture]:
    """The content of an <image>, or nothing after a problem."""
    name = element.get("name", "")
    image = finder.find(name) if name else None
    if image is None:
        missing.append(name or "an image without a name")
        return []
    size = picture_size((number(element.get("height")), number(element.get("width"))), image, report)
    if size is None:
        return []
    picture = Picture(image, size, [], Path(name).stem, report.file)
    shapes = [child for child in element if child.tag in _SHAPES or child.tag in _UNUSABLE]
    for box, shape in enumerate(shapes):
        try:
            picture.things.append(_thing(shape, box, size, report.file))
        except DataError as error:
            report.add_error(error, image=str(image), box=box)
    picture.things = merged(picture.things)
    return [picture]


def _thing(shape, box: int, size: tuple[int, int], place: str) -> Thing:
    """The object of a shape; DataError if it can't be used."""
    name = shape.get("label", "").strip()
    if not name:
        raise DataError("An object has no name.", got="no label", fix="Label the object, or delete it.")
    if shape.tag in _UNUSABLE:
        fix = "Draw a box or a polygon instead, or delete it."
        expected = ", ".join(_SHAPES)
        raise DataError("A shape is no box and no polygon.", got=f"<{shape.tag}>", expected=expected, fix=fix)
    corners, segmentation = _SHAPES[shape.tag](shape, size)
    flags = {each.get("name"): (each.text or "").strip().lower() == "true" for each in shape.iterfind("attribute")}
    group = shape.get("group_id", "0")
    return Thing(
        name,
        corners,
        box,
        place,
        crowd=flags.get("is_crowd", False),
        difficult=flags.get("difficult", False),
        segmentation=segmentation,
        group=group if group != "0" else None,
    )


def _box(shape, size):
    corners = [number(shape.get(side)) for side in _SIDES]
    angle = number(shape.get("rotation", "0"))
    if not angle or not all(map(math.isfinite, (angle, *corners))):
        return corners, None
    x, y = (corners[0] + corners[2]) / 2, (corners[1] + corners[3]) / 2
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    around = [(corners[i] - x, corners[j] - y) for i, j in ((0, 1), (2, 1), (2, 3), (0, 3))]
    polygon = [value for dx, dy in around for value in (x + dx * cos - dy * sin, y + dx * sin + dy * cos)]
    return polygon_box([polygon]), [polygon]


def _polygon(shape, size):
    points = [point.split(",") for point in shape.get("points", "").split(";")]
    polygon = [number(value) for point in points for value in (point if len(point) == 2 else (None, None))]
    return polygon_box([polygon]), [polygon]


def _ellipse(shape, size):
    x, y, across, down = (number(shape.get(name)) for name in ("cx", "cy", "rx", "ry"))
    return (x - across, y - down, x + across, y + down), None


def _mask(shape, size):
    """The RLE of a mask: run lengths row by row, beginning with zeros, in a rectangle of the picture."""
    numbers = [number(shape.get(name)) for name in ("left", "top", "width", "height")]
    runs = [number(text) for text in shape.get("rle", "").split(",")]
    if not all(value == value // 1 >= 0 for value in numbers + runs):
        got, expected = f"{shape.get('rle', ''):.40}", "left, top, width, height and rle of whole numbers"
        raise DataError("A mask can't be decoded.", got=got, expected=expected, fix=_FIX)
    left, top, width, height = map(int, numbers)
    if left + width > size[1] or top + height > size[0] or size[0] * size[1] > MAX_PIXELS:
        got = f"left {left}, top {top}, width {width}, height {height}"
        expected = f"inside {size[1]} x {size[0]}"
        raise DataError("A mask lies outside its image.", got=got, expected=expected, fix=_FIX)
    if sum(runs) != width * height:
        got, expected = f"{sum(runs):g} pixels", f"{width} x {height}"
        raise DataError("A mask can't be decoded.", got=got, expected=expected, fix=_FIX)
    bits = np.repeat(np.arange(len(runs)) % 2 == 1, np.array(runs, np.int64))
    found = mask_files.run_lengths(bits.reshape(height, width), (top, left), size)
    if found is None:
        return (NAN,) * 4, None
    x, y, across, down = masks.bounding_box(found, size)
    return (x, y, x + across, y + down), found


_SHAPES = {"box": _box, "polygon": _polygon, "mask": _mask, "ellipse": _ellipse}


def write(data: Dataset, path) -> None:
    """Write a dataset as a CVAT XML file that names the pictures relative to it; boxes to a thousandth of a pixel.

    Objects with polygons or masks are written as those, their boxes follow from them.

    Raises:
        DataError: if a picture is an array.
        ConfigError: if the file can't be written.
    """
    path = Path(path)
    labels = "".join(f"\n        <label><name>{_text(name)}</name></label>" for name in data.classes)
    with atomic_write(path) as out:
        out.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
        out.write(f"  <meta>\n    <task>\n      <labels>{labels}\n      </labels>\n    </task>\n  </meta>\n")
        for index, example in enumerate(data):
            height, width = example.size
            name = quoteattr(annotated_path(example, path.parent))
            out.write(f'  <image id="{index}" name={name} width="{width}" height="{height}">\n')
            out.writelines(f"    {shape}\n" for i in range(len(example)) for shape in _written(example, i, data))
            out.write("  </image>\n")
        out.write("</annotations>\n")


def _text(name: str) -> str:
    return quoteattr(name)[1:-1]


def _written(example: Example, i: int, data: Dataset) -> list[str]:
    """The elements of an object: several where it has several polygons."""
    label = f"label={quoteattr(data.classes[example.class_ids[i]])}"
    given = {"is_crowd": example.crowd[i], "difficult": example.difficult[i]}
    flags = "".join(f'<attribute name="{name}">true</attribute>' for name, value in given.items() if value)
    segmentation = segmentation_of(example, i)
    crop, top, left = mask_files.crop(segmentation, example.size)
    if crop is not None:
        runs = [(value, sum(1 for _ in run)) for value, run in groupby(crop.ravel().tolist())]
        counts = ", ".join(str(n) for n in ([0] if runs[0][0] else []) + [n for _, n in runs])
        place = f'left="{left}" top="{top}" width="{crop.shape[1]}" height="{crop.shape[0]}"'
        return [f'<mask {label} rle="{counts}" {place}>{flags}</mask>']
    if isinstance(segmentation, (list, tuple)):
        group = f' group_id="{i + 1}"' if len(segmentation) > 1 else ""
        return [f'<polygon {label} points="{_points(p)}"{group}>{flags}</polygon>' for p in segmentation]
    corners = box_math.convert(example.boxes[i], "yxyx", "xyxy_abs", example.size)
    sides = " ".join(f'{side}="{value:.3f}"' for side, value in zip(_SIDES, corners, strict=True))
    return [f"<box {label} {sides}>{flags}</box>"]


def _points(polygon) -> str:
    return ";".join(f"{x:.4f},{y:.4f}" for x, y in zip(polygon[::2], polygon[1::2], strict=True))
