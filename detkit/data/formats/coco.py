"""COCO JSON: one file with the lists "images", "annotations" and "categories"; boxes are xywh in pixels.

Segmentations and keypoints are in `coco_shapes`.

Source: https://cocodataset.org/#format-data
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from detkit import boxes as box_math
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.data.formats import coco_annotations, coco_shapes, long_list
from detkit.data.formats.coco_annotations import Columns, is_identifier
from detkit.data.formats.common import Pictures, Report, annotated_path, picture_size
from detkit.data.formats.long_list import LongList
from detkit.data.problems import refuse
from detkit.errors import DataError
from detkit.io import read_json, write_json

_LISTS = ("images", "annotations", "categories")


def matches(path: Path) -> str | None:
    """Why a path is not a COCO dataset; None if it is one."""
    if path.is_dir():
        inside = ", ".join(sorted(p.name for p in path.glob("*.[jJ][sS][oO][nN]"))[:5])
        return "it is a directory; a COCO dataset is the JSON file" + (f" (there are: {inside})" if inside else "")
    content = path.read_bytes()
    missing = [key for key in _LISTS if f'"{key}"'.encode() not in content]
    if not missing or (path.suffix.lower() == ".json" and len(missing) < len(_LISTS)):
        return None
    try:
        value = read_json(path)
    except DataError as error:
        place = str(error.where).removeprefix(str(path)).strip(", ")
        return f"{error.what} {error.got or ''} {place and f'({place})'}".strip()
    if isinstance(value, list):
        return "its JSON is a list, as in a file of COCO results; a dataset has " + ", ".join(_LISTS)
    return "its JSON lacks " + " and ".join(f'"{key}"' for key in missing)


def read(path, images=None, strict: bool = True) -> Dataset:
    """The dataset in a COCO JSON file; no picture is opened unless the file lacks its size.

    Pictures are looked for beside the file, in `images/`, and in folders named like the file or a part of its
    name (`train/` for train.json, `val2014/` for instances_val2014.json), there and one level up.

    Args:
        path: the JSON file.
        images: the folder of the pictures, if it is another one; False if only the annotations matter.
        strict: raise for what can't be used; otherwise leave it out and list it in `problems`.

    Raises:
        DataError: if the file is no COCO JSON; if strict, with all that can't be used.
    """
    path, report = Path(path), Report(path)
    with long_list.uncollected():
        document = _document(path)
        classes, label_ids, class_of = _categories(document["categories"], report)
        names, skeleton = coco_shapes.keypoint_names(document["categories"], report)
        pictures = _pictures(document.pop("images"), Pictures(_folders(path), images), report)
        examples = coco_annotations.examples(document["annotations"], class_of, pictures, names, report)
    if strict:
        refuse(report.problems, path)
    return Dataset(examples, classes, label_ids, path.stem, report.problems, names, skeleton)


def _document(path: Path) -> dict:
    document = long_list.read(path, "annotations", Columns)
    for key in _LISTS:
        value = document.get(key) if isinstance(document, dict) else None
        if not isinstance(value, list | LongList) or (not value and key != "annotations"):
            got = "nothing" if value is None else "an empty list" if value == [] else type(value).__name__
            raise DataError(
                f'This COCO file has no list of "{key}".',
                where=path,
                got=got,
                expected='an object with the lists "images", "annotations" and "categories"',
                fix="Export the dataset again as COCO JSON.",
            )
    return document


def _folders(path: Path) -> list[Path]:
    here, words = path.parent, path.stem.split("_")
    parts = ["_".join(words[i:j]) for i in range(len(words)) for j in range(len(words), i, -1)][:50]
    names = ["", "images", *parts, *(f"images/{part}" for part in parts)]
    return [root / name for root in (here, here.parent) for name in names]


def _objects(entries: list, key: str, report: Report):
    """The entries that are objects with their place; a problem for each that isn't."""
    for number, entry in enumerate(entries):
        if isinstance(entry, dict):
            yield f"{key}[{number}]", entry
        else:
            report.add("error", f"An entry of the list is not an object: {key}[{number}].", got=repr(entry)[:80])


def _categories(entries: list, report: Report) -> tuple[list[str], list[int], dict]:
    """Class names and category ids, by rising id, and {category id: class id}."""
    known: dict[int, str] = {}
    first_of: dict[str, int] = {}
    for place, entry in _objects(entries, "categories", report):
        number, name = entry.get("id"), entry.get("name")
        if type(number) is not int or not isinstance(name, str) or not name.strip():
            report.add(
                "error",
                f"A category lacks its id or name: {place}.",
                got=repr(entry)[:80],
                expected='{"id": a whole number, "name": a text}',
            )
        elif number in known:
            report.add(
                "error",
                f"Two categories have the same id: {place}.",
                got=f"id {number}: {name!r}",
                expected="an id of its own",
                fix=f"It belongs to {known[number]!r} already.",
            )
        else:
            if name in first_of:
                report.add(
                    "error",
                    f"Two categories have the same name: {place}.",
                    got=f"{name!r}, ids {first_of[name]} and {number}",
                    expected="one category a name",
                    fix="Rename one of them, or give their boxes one category.",
                )
            first_of.setdefault(name, number)
            known[number] = name
    label_ids = sorted(set(first_of.values()))
    position = {label_id: i for i, label_id in enumerate(label_ids)}
    return (
        [known[i] for i in label_ids],
        label_ids,
        {i: position[first_of[name]] for i, name in known.items()},
    )


def _pictures(entries: list, finder: Pictures, report: Report) -> dict:
    """{image id: (path, size)}; both None for a picture that can't be used."""
    found, missing = {}, []
    for place, entry in _objects(entries, "images", report):
        number, name = entry.get("id"), entry.get("file_name")
        if not is_identifier(number) or not isinstance(name, str) or not name:
            report.add(
                "error",
                f"An image lacks its id or file_name: {place}.",
                got=repr(entry)[:80],
                expected='{"id": ..., "file_name": ..., "width": ..., "height": ...}',
            )
        elif number in found:
            report.add(
                "error",
                f"Two images have the same id: {place}.",
                image=name,
                got=f"id {number}",
                expected="an id of its own",
                fix="Number the images anew, and their annotations with them.",
            )
        else:
            path = finder.find(name)
            missing += [] if path else [name]
            size = path and picture_size((entry.get("height"), entry.get("width")), path, report)
            found[number] = (path, size)
    finder.report_missing(missing, len(entries), report)
    return found


def write(dataset: Dataset, path) -> None:
    """Write a dataset as COCO JSON that names the pictures relative to it; boxes to a thousandth of a pixel.

    Segmentations are written as they were read.

    Raises:
        DataError: if a picture is an array, not a file.
        ConfigError: if the file can't be written.
    """
    path = Path(path)
    ids = [example.image_id for example in dataset]
    keep = len(set(ids)) == len(ids) and all(isinstance(i, int) for i in ids)
    pictures, annotations = [], []
    for number, example in enumerate(dataset, 1):
        number = example.image_id if keep else number
        height, width = example.size
        name = annotated_path(example, path.parent)
        pictures.append({"id": number, "file_name": name, "width": width, "height": height})
        annotations += _written(example, number, dataset.label_ids, len(annotations) + 1)
    named = coco_shapes.written_names(dataset)
    categories = [{"id": i, "name": n, **named} for i, n in zip(dataset.label_ids, dataset.classes, strict=True)]
    write_json(path, {"images": pictures, "annotations": annotations, "categories": categories})


def _written(example: Example, image_id, label_ids, first: int) -> list[dict]:
    """The annotations of one example, numbered from `first`."""
    entries = []
    for i, bbox in enumerate(box_math.convert(example.boxes, "yxyx", "xywh_abs", example.size).astype(np.float64)):
        area = float(example.area[i]) if np.isfinite(example.area[i]) else float(bbox[2] * bbox[3])
        entries.append(
            {
                "id": first + i,
                "image_id": image_id,
                "category_id": int(label_ids[example.class_ids[i]]),
                "bbox": [round(float(v), 3) for v in bbox],
                "area": round(area, 3),
                "iscrowd": int(example.crowd[i]),
                **({"difficult": 1} if example.difficult[i] else {}),
                **coco_shapes.written(example, i),
            }
        )
    return entries
