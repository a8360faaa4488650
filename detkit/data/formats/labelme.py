"""LabelMe: a JSON file a picture with its "shapes": rectangles, polygons, masks, circles.

Source: https://github.com/wkentaro/labelme
"""

from __future__ import annotations

import base64
import binascii
import math
from pathlib import Path

import numpy as np

from detkit import boxes as box_math
from detkit import masks
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.data.formats import mask_files
from detkit.data.formats.assemble import (
    Picture,
    Thing,
    class_names,
    dataset,
    files_by_stem,
    merged,
    polygon_box,
    segmentation_of,
)
from detkit.data.formats.common import Pictures, Report, annotated_path, picture_size
from detkit.data.formats.markup import head
from detkit.data.images import EXTENSIONS, MAX_PIXELS
from detkit.errors import DataError
from detkit.io import read_json, write_json
from detkit.progress import progress

_FOLDERS = ("", "annotations", "labels", "json")
_KEYS = (b'"shapes"', b'"imagePath"')


def matches(path: Path) -> str | None:
    """Why a path is not a LabelMe dataset; None if it is one."""
    if path.is_file() and path.suffix.lower() != ".json":
        return "it is a file; a LabelMe dataset is a folder of JSON files, or one of them"
    files = _files(path)
    if not files:
        return "there are no JSON files in it, nor in a folder annotations/ there"
    if not _have_shapes(files):
        return f'its JSON files have no "shapes" (looked at {files[0].name})'
    return None


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = [sorted((path / name).glob("[!.]*.[jJ][sS][oO][nN]")) for name in _FOLDERS]
    return next(filter(_have_shapes, found), next(filter(None, found), []))


def _have_shapes(files: list[Path]) -> bool:
    return any(key in head(file) for file in files[:10] for key in _KEYS)


def read(path, images=None, strict: bool = True) -> Dataset:
    """The dataset in a folder of LabelMe files; no picture is opened unless its file lacks the size.

    Polygons of one label and group are one object. Points and lines can't be used; pictures inside the JSON are
    passed over: their files must be there.

    Args:
        path: the folder, or one JSON file.
        images: the folder of the pictures, if it is another one; False if only the annotations matter.
        strict: raise for what can't be used; otherwise leave it out and list it in `problems`.

    Raises:
        DataError: if there are no JSON files; if strict, with all that can't be used.
    """
    path = Path(path)
    files = _files(path)
    if not files:
        raise DataError("This is no LabelMe dataset.", where=path, got=matches(path), expected="a folder of JSON files")
    report = Report(path)
    folder = files[0].parent
    finder = Pictures([folder, folder / "images", folder.parent / "images", folder.parent], images)
    pictures, missing = [], []
    for file in progress(files, description="read"):
        pictures += _picture(file, finder, missing, report)
    finder.report_missing(missing, len(files), report)
    return dataset(pictures, class_names(pictures), path, report, strict)


def _picture(file: Path, finder: Pictures, missing: list[str], report: Report) -> list[Picture]:
    """The content of one file, or nothing after a problem."""
    try:
        content = read_json(file)
        if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
            raise DataError("This JSON file is no LabelMe annotation.", where=file, expected='{"shapes": [...], ...}')
    except DataError as error:
        report.add_error(error, file=str(error.where))
        return []
    name = content.get("imagePath")
    name = name if isinstance(name, str) else ""
    image = finder.find(name, Path(name.replace("\\", "/")).name, *(file.stem + extension for extension in EXTENSIONS))
    if image is None:
        missing.append(name or file.stem)
        return []
    size = picture_size((content.get("imageHeight"), content.get("imageWidth")), image, report, file)
    if size is None:
        return []
    picture = Picture(image, size, [], file.stem, str(file))
    for number, shape in enumerate(content["shapes"]):
        try:
            picture.things.append(_thing(shape, number, size, str(file)))
        except DataError as error:
            report.add_error(error, file=str(file), image=str(image), box=number)
    picture.things = merged(picture.things)
    return [picture]


def _thing(shape, number: int, size: tuple[int, int], place: str) -> Thing:
    """The object of a shape; DataError if it can't be used."""
    shape = shape if isinstance(shape, dict) else {}
    label, kind, points = shape.get("label"), shape.get("shape_type", "polygon"), _points(shape.get("points"))
    if not isinstance(label, str) or not label.strip():
        raise DataError("An object has no name.", got=f"label {label!r:.80}", fix="Name the object, or delete it.")
    if kind not in _KINDS:
        expected = ", ".join(_KINDS)
        fix = "Draw a box or a polygon instead, or delete it."
        raise DataError("A shape is no box and no polygon.", got=f"{kind!r:.40}", expected=expected, fix=fix)
    wanted = _KINDS[kind]
    if points is None or len(points) < wanted or (wanted == 2 and len(points) != 2):
        got = f"{shape.get('points')!r:.80}"
        expected = f"{wanted} points [x, y]" + (" or more" if wanted > 2 else "")
        raise DataError(f"A {kind} has wrong points.", got=got, expected=expected, fix="Draw it again, or delete it.")
    flags = shape.get("flags") if isinstance(shape.get("flags"), dict) else {}
    corners, segmentation = _shape(kind, points, shape, size)
    group = shape.get("group_id")
    return Thing(
        label.strip(),
        corners,
        number,
        place,
        crowd=flags.get("crowd") is True,
        difficult=flags.get("difficult") is True or shape.get("difficult") is True,
        segmentation=segmentation,
        group=group if type(group) in (int, str) else None,
    )


_KINDS = {"rectangle": 2, "polygon": 3, "mask": 2, "circle": 2}  # and their numbers of points


def _points(points) -> list[tuple[float, float]] | None:
    if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
        return None
    try:
        found = [(float(x), float(y)) for x, y in points if type(x) in (int, float) and type(y) in (int, float)]
    except OverflowError:  # an integer of hundreds of digits
        return None
    return found if len(found) == len(points) and all(map(math.isfinite, sum(found, ()))) else None


def _shape(kind: str, points: list[tuple[float, float]], shape: dict, size: tuple[int, int]):
    """The corners of a shape, and its segmentation if it has one."""
    if kind == "polygon":
        polygon = [value for point in points for value in point]
        return polygon_box([polygon]), [polygon]
    (x1, y1), (x2, y2) = points
    if kind == "circle":
        radius = math.hypot(x2 - x1, y2 - y1)
        return (x1 - radius, y1 - radius, x1 + radius, y1 + radius), None
    corners = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
    if kind == "rectangle":
        return corners, None
    segmentation = _mask(shape.get("mask"), corners, size)
    x, y, width, height = masks.bounding_box(segmentation, size)
    return (x, y, x + width, y + height), segmentation


def _mask(text, corners, size: tuple[int, int]) -> dict:
    """The RLE of a PNG in base64 that fills a box whose last row and column are counted in."""
    left, top, right, bottom = (round(corner) for corner in corners)
    shape = (bottom - top + 1, right - left + 1)
    inside = top >= 0 and left >= 0 and bottom < size[0] and right < size[1]
    try:
        content = base64.b64decode(text, validate=True) if isinstance(text, str) and inside else b""
    except (binascii.Error, ValueError):
        content = b""
    if not content or size[0] * size[1] > MAX_PIXELS:
        expected, fix = "a PNG inside the picture, in base64", "Draw it again, or delete it."
        raise DataError("A mask can't be decoded.", got=f"{text!r:.40}", expected=expected, fix=fix)
    found = mask_files.run_lengths(mask_files.pixels(content, shape), (top, left), size)
    if found is None:
        raise DataError("A mask is empty.", got=f"{shape[1]} x {shape[0]} zeros", fix="Draw it again, or delete it.")
    return found


def write(data: Dataset, path) -> None:
    """Write a dataset as a folder of LabelMe files, one a picture, that name the pictures relative to it.

    Objects with polygons or masks are written as those, their boxes follow from them; crowd and difficult are flags.

    Raises:
        DataError: if a picture is an array, or two pictures have the same name.
        ConfigError: if the folder can't be written.
    """
    path = Path(path)
    files = files_by_stem(data, path, ".json")
    for file, example in progress(files.items(), total=len(files), description="write"):
        shapes = [shape for i in range(len(example)) for shape in _shapes(example, i, data.classes)]
        content = {
            "version": "5.5.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": annotated_path(example, path),
            "imageData": None,
            "imageHeight": example.size[0],
            "imageWidth": example.size[1],
        }
        write_json(file, content, sync=False)


def _shapes(example: Example, i: int, classes: tuple[str, ...]) -> list[dict]:
    """The shapes of an object: several where it has several polygons."""
    flags = {name: True for name in ("crowd", "difficult") if getattr(example, name)[i]}
    shape = {"label": classes[example.class_ids[i]], "group_id": None, "description": "", "flags": flags}
    segmentation = segmentation_of(example, i)
    crop, top, left = mask_files.crop(segmentation, example.size)
    if crop is not None:
        corners = [[left, top], [left + crop.shape[1] - 1, top + crop.shape[0] - 1]]
        text = base64.b64encode(mask_files.png(crop.astype(np.uint8) * 255)).decode("ascii")
        return [shape | {"shape_type": "mask", "points": corners, "mask": text}]
    if isinstance(segmentation, (list, tuple)):
        group = i + 1 if len(segmentation) > 1 else None
        pairs = [np.reshape(np.asarray(polygon, np.float64), (-1, 2)).tolist() for polygon in segmentation]
        return [shape | {"shape_type": "polygon", "points": points, "group_id": group} for points in pairs]
    left, top, right, bottom = box_math.convert(example.boxes[i], "yxyx", "xyxy_abs", example.size).astype(float)
    points = [[round(float(left), 4), round(float(top), 4)], [round(float(right), 4), round(float(bottom), 4)]]
    return [shape | {"shape_type": "rectangle", "points": points}]
