"""Plain COCO annotation and results files, as the matching wants them."""

from __future__ import annotations

import math
from pathlib import Path

from detkit import masks
from detkit.errors import DataError
from detkit.evaluation.lvis import Federation
from detkit.evaluation.objects import KINDS, extent, outline_of
from detkit.io import read_json

_ID_ZERO = (
    "an annotation has the id 0, and pycocotools counts a box with that id as never found; "
    "number the annotations from 1 for the true values"
)


_KEYS = {"boxes": "bbox", "masks": "segmentation", "keypoints": "keypoints"}


class Files:
    """A COCO annotation file and its results file; ids become their rank among the rising ids.

    Results below the score are left out, if it is above 0.

    Attributes:
        classes: the class names.
        images: how many there are.
        federation: what LVIS knows of each image, or None.

    Raises:
        DataError: for files that are not COCO annotations and COCO results, there and in the methods.
    """

    def __init__(self, annotations: Path, results: Path, score: float = 0.0):
        document = _document(annotations)
        self._least = score if score > 0 else -math.inf
        self._annotations, self._results = (annotations, document["annotations"]), (results, _result_entries(results))
        self._images = _ranks(document["images"], annotations, "images")
        self._categories = _ranks(document["categories"], annotations, "categories")
        self._sizes = [(None, None)] * len(self._images)
        for entry in document["images"]:
            self._sizes[self._images[entry["id"]]] = entry.get("height"), entry.get("width")
        self.classes = _class_names(document["categories"], self._categories, annotations)
        self.images = len(self._images)
        self.federation = Federation.of(document, self._images, self._categories)

    def kinds(self) -> tuple[str, ...]:
        """What the first of the results has, and any annotation; boxes if that is nothing."""
        results = self._results[1]
        first = results[0] if results and isinstance(results[0], dict) else {}
        there = {key for key in _KEYS.values() for e in self._annotations[1] if isinstance(e, dict) and e.get(key)}
        return tuple(kind for kind in KINDS if first.get(_KEYS[kind]) and _KEYS[kind] in there) or KINDS[:1]

    def objects(self, kind: str) -> tuple[list[dict], list[dict], list[str]]:
        """Ground truth and detections of a kind as the matching wants them, and warnings."""
        path, entries = self._annotations
        truth = [self._truth(entry, f"{path}, annotations[{n}]", kind) for n, entry in enumerate(entries)]
        found, warnings = self._found(kind)
        found = [entry for entry in found if entry["score"] >= self._least]
        if kind == "keypoints":
            _check_keypoint_counts(self._results[0], truth, found)
        if self.federation:
            found = self.federation.judged(found, truth)
        if any(box.get("id") == 0 for box in truth):
            warnings.append(_ID_ZERO)
        return truth, found, warnings

    def _truth(self, entry, where: str, kind: str) -> dict:
        # Other ids have no influence on the numbers, and need not be unique or there at all.
        result = {"id": 0} if isinstance(entry, dict) and entry.get("id") == 0 else {}
        result |= {"image_id": _known(entry, "image_id", where, self._images)}
        result |= {"category_id": _known(entry, "category_id", where, self._categories)}
        result |= {"iscrowd": bool(entry.get("iscrowd", 0)), "ignore": False}
        masked = kind == "masks" and bool(entry.get("segmentation"))
        if masked:
            result["segmentation"] = _mask(entry, where, self._sizes[result["image_id"]])
            area = masks.area(result["segmentation"])
        else:
            result["bbox"] = _box(entry, where)
            area = result["bbox"][2] * result["bbox"][3]
        if kind == "masks" and not masked:
            outline = {"segmentation": outline_of(result["bbox"])}
            result |= {"segmentation": _mask(outline, where, self._sizes[result["image_id"]]), "ignore": True}
        if kind == "keypoints":
            result |= _labelled(entry, where)
        given = entry.get("area")
        return result | {"area": area if given is None else _number(given, where, "area")}

    def _found(self, kind: str) -> tuple[list[dict], list[str]]:
        (path, entries), found, unknown = self._results, [], []
        boxed = kind == "boxes" or bool(entries and isinstance(entries[0], dict) and entries[0].get("bbox"))
        for n, entry in enumerate(entries):
            where = f"{path}, [{n}]"
            box = {"bbox": _box(entry, where)} if boxed else {}
            result = box | {"score": _number(_get(entry, "score", where), where, "score")}
            result["image_id"] = _known(entry, "image_id", where, self._images)
            if kind == "masks":
                result["segmentation"] = _mask(entry, where, self._sizes[result["image_id"]])
            if kind == "keypoints":
                result["keypoints"] = _points(_get(entry, "keypoints", where), where)
            category = _get(entry, "category_id", where)
            if not isinstance(category, (int, float, str)) or category not in self._categories:
                unknown.append(category)
                continue
            found.append(result | {"category_id": self._categories[category], "area": _area(result)})
        return found, _unknown_categories(path, found, unknown, self._categories)


def _document(path: Path) -> dict:
    document = read_json(path)
    if not isinstance(document, dict) or not all(
        isinstance(document.get(key), list) for key in ("images", "annotations", "categories")
    ):
        raise DataError(
            "This is no COCO annotation file.",
            where=path,
            got=_kind(document),
            expected='an object with the lists "images", "annotations" and "categories"',
        )
    return document


def _area(result: dict) -> float:
    """What makes a detection small, medium or large for pycocotools."""
    if "bbox" in result:
        return result["bbox"][2] * result["bbox"][3]
    return masks.area(result["segmentation"]) if "segmentation" in result else extent(result["keypoints"])


def _check_keypoint_counts(path: Path, truth: list[dict], found: list[dict]) -> None:
    known = {len(each["keypoints"]) // 3 for each in truth if each["keypoints"]}
    others = {len(each["keypoints"]) // 3 for each in found} | known
    if len(others) > 1:
        raise DataError(
            "Results and annotations differ in the number of keypoints.",
            where=path,
            got=", ".join(map(str, sorted(others))),
            expected="one number",
        )


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


def _labelled(entry: dict, where: str) -> dict:
    """The keypoints of an annotation, and how many of them are labelled."""
    points = _points(entry["keypoints"], where) if entry.get("keypoints") else []
    count = entry.get("num_keypoints", sum(value > 0 for value in points[2::3]))
    return {"keypoints": points, "num_keypoints": int(_number(count, where, "num_keypoints"))}


def _points(values, where: str) -> list[float]:
    if not isinstance(values, list) or not values or len(values) % 3:
        expected = "[x, y, visibility or score, ...]"
        raise DataError("Keypoints are three numbers each.", where=where, got=f"{values!r:.80}", expected=expected)
    return [_number(value, where, "keypoints") for value in values]


def _mask(entry, where: str, size) -> dict:
    segmentation = _get(entry, "segmentation", where)
    if not all(type(side) is int and side > 0 for side in size):
        fix = "Give the images of the annotation file their height and width: masks need them."
        raise DataError("The image of this mask has no size.", where=where, got=f"{size!r:.80}", fix=fix)
    try:
        masks.check(segmentation, size)
    except DataError as error:
        raise DataError(error.what, where=where, got=error.got, expected=error.expected, fix=error.fix) from None
    return masks.run_lengths(segmentation, size)


def _result_entries(path: Path) -> list:
    entries = read_json(path)
    if not isinstance(entries, list):
        raise DataError(
            "This is no COCO results file.",
            where=path,
            got=_kind(entries),
            expected='a list of {"image_id", "category_id", "bbox", "score"}',
        )
    return entries


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
