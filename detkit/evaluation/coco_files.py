"""Plain COCO annotation and results files, as the matching wants them."""

from __future__ import annotations

import math
from pathlib import Path

from detkit.errors import DataError
from detkit.io import read_json

_ID_ZERO = (
    "an annotation has the id 0, and pycocotools counts a box with that id as never found; "
    "number the annotations from 1 for the true values"
)


def read(annotations: Path, results: Path) -> tuple[list[dict], list[dict], list[str], int, list[str]]:
    """Ground truth, detections, class names, number of images, and warnings.

    Image and category ids are replaced by their rank among the rising ids.

    Raises:
        DataError: for files that are not COCO annotations and COCO results.
    """
    document = read_json(annotations)
    if not isinstance(document, dict) or not all(
        isinstance(document.get(key), list) for key in ("images", "annotations", "categories")
    ):
        raise DataError(
            "This is no COCO annotation file.",
            where=annotations,
            got=_kind(document),
            expected='an object with the lists "images", "annotations" and "categories"',
        )
    images = _ranks(document["images"], annotations, "images")
    categories = _ranks(document["categories"], annotations, "categories")
    names = _class_names(document["categories"], categories, annotations)
    truth = [
        _annotation(entry, f"{annotations}, annotations[{n}]", images, categories)
        for n, entry in enumerate(document["annotations"])
    ]
    found, warnings = _results(results, images, categories)
    if any(box.get("id") == 0 for box in truth):
        warnings.append(_ID_ZERO)
    return truth, found, names, len(images), warnings


def _ranks(entries: list, path: Path, key: str) -> dict:
    """{id: rank among the rising ids}."""
    if not entries:
        raise DataError("There is nothing to evaluate on.", where=path, got=f'an empty list "{key}"')
    ids = [_get(entry, "id", f"{path}, {key}[{n}]") for n, entry in enumerate(entries)]
    for n, value in enumerate(ids):
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise DataError("An id is a whole number or a text.", where=f"{path}, {key}[{n}]", got=repr(value))
    rising = sorted(set(ids), key=lambda value: (isinstance(value, str), value))
    if len(rising) < len(ids):
        twice = next(value for value in rising if ids.count(value) > 1)
        raise DataError("An id stands for one entry only.", where=f"{path}, {key}", got=f"id {twice!r} twice")
    return {value: rank for rank, value in enumerate(rising)}


def _class_names(entries: list, ranks: dict, path: Path) -> list[str]:
    names = [""] * len(entries)
    for n, entry in enumerate(entries):
        names[ranks[entry["id"]]] = str(_get(entry, "name", f"{path}, categories[{n}]"))
    if len(set(names)) < len(names):
        raise DataError(
            "Two categories have the same name.",
            where=f"{path}, categories",
            got=repr(next(name for name in names if names.count(name) > 1)),
            fix="Rename one of them, or merge them into one id.",
        )
    return names


def _annotation(entry, where: str, images: dict, categories: dict) -> dict:
    box = _box(entry, where)
    area = entry.get("area")
    # Other ids have no influence on the numbers, and need not be unique or there at all.
    zero = {"id": 0} if entry.get("id") == 0 else {}
    return zero | {
        "image_id": _known(entry, "image_id", where, images),
        "category_id": _known(entry, "category_id", where, categories),
        "bbox": box,
        "area": box[2] * box[3] if area is None else _number(area, where, "area"),
        "iscrowd": bool(entry.get("iscrowd", 0)),
        "ignore": False,
    }


def _results(path: Path, images: dict, categories: dict) -> tuple[list[dict], list[str]]:
    entries = read_json(path)
    if not isinstance(entries, list):
        raise DataError(
            "This is no COCO results file.",
            where=path,
            got=_kind(entries),
            expected='a list of {"image_id", "category_id", "bbox", "score"}',
        )
    found, unknown = [], []
    for n, entry in enumerate(entries):
        where = f"{path}, [{n}]"
        result = {"bbox": _box(entry, where), "score": _number(_get(entry, "score", where), where, "score")}
        result["image_id"] = _known(entry, "image_id", where, images)
        category = _get(entry, "category_id", where)
        if category not in categories:
            unknown.append(category)
            continue
        found.append(result | {"category_id": categories[category]})
    return found, _unknown_categories(path, found, unknown, categories)


def _unknown_categories(path: Path, found: list, unknown: list, categories: dict) -> list[str]:
    if not unknown:
        return []
    ids = sorted(set(map(str, unknown)))[:10]
    if not found:
        raise DataError(
            "Results and annotations have no category in common.",
            where=path,
            got=f"category ids {', '.join(ids)}",
            expected=f"among {', '.join(map(str, list(categories)[:10]))}",
            fix="Use the category ids of the annotation file.",
        )
    left_out = f"{len(unknown)} detections have categories unknown to the annotations and are left out"
    return [f"{left_out}: {', '.join(ids)}"]


def _get(entry, key: str, where: str):
    if not isinstance(entry, dict) or key not in entry:
        raise DataError(f'An entry has no "{key}".', where=where, got=_kind(entry))
    return entry[key]


def _known(entry, key: str, where: str, ranks: dict) -> int:
    value = _get(entry, key, where)
    if not isinstance(value, (int, str)) or value not in ranks:
        examples = ", ".join(map(str, list(ranks)[:5]))
        raise DataError(f"Unknown {key}.", where=where, got=repr(value), expected=f"one of {examples}, ...")
    return ranks[value]


def _box(entry, where: str) -> list[float]:
    box = _get(entry, "bbox", where)
    if not isinstance(box, list) or len(box) != 4:
        raise DataError("A box is four numbers.", where=where, got=repr(box), expected="[xmin, ymin, width, height]")
    box = [_number(value, where, "bbox") for value in box]
    if min(box[2:]) < 0:
        raise DataError("A box has a negative width or height.", where=where, got=box)
    return box


def _number(value, where: str, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise DataError(f"{name} must be a finite number.", where=where, got=repr(value))
    return value


def _kind(value) -> str:
    return f"an object with {', '.join(value) or 'nothing'}" if isinstance(value, dict) else f"a {type(value).__name__}"
