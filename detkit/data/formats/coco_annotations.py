"""The annotations of a COCO file as columns, a row for each, and the examples made of them.

Source: https://cocodataset.org/#format-data
"""

from __future__ import annotations

from array import array
from itertools import chain, repeat
from operator import itemgetter

import numpy as np

from detkit.data.example import Example, constant, trusted
from detkit.data.formats import coco_shapes
from detkit.data.formats.common import Report, check_boxes
from detkit.data.formats.long_list import LongList


class Columns:
    """What is needed of each annotation, in the file's order; what is no object has the values of an empty one."""

    def __init__(self):
        self.count = 0
        self.strange: list[int] = []  # the numbers of those that are no objects
        self.image_id: list = []  # pieces: arrays of whole numbers, or lists with None for what is no identifier
        self.category_id: list = []
        self.bbox: list[np.ndarray] = []  # pieces of float64 [n, 4], NaN for what is no number
        self.area: list[np.ndarray] = []  # pieces of float64 [n]
        self.iscrowd: list[np.ndarray] = []  # pieces of bool [n]
        self.difficult: list[np.ndarray] = []
        self.segmentation: list = []  # None for what is false: tools write empty lists
        self.keypoints: list = []

    def add(self, entries: list) -> None:
        """The next annotations."""
        if set(map(type, entries)) - {dict}:
            self.strange += [i for i, entry in enumerate(entries, self.count) if not isinstance(entry, dict)]
            entries = [entry if isinstance(entry, dict) else {} for entry in entries]
        self.count += len(entries)
        self.image_id.append(_identifiers(_column(entries, "image_id")))
        self.category_id.append(_identifiers(_column(entries, "category_id")))
        self.bbox.append(_boxes(_column(entries, "bbox")))
        self.area.append(_numbers(_column(entries, "area")))
        self.iscrowd.append(_flags(_column(entries, "iscrowd")))
        self.difficult.append(_flags(_column(entries, "difficult")))
        self.segmentation += _without_empty(_column(entries, "segmentation"))
        self.keypoints += _without_empty(_column(entries, "keypoints"))

    def joined(self, name: str) -> np.ndarray:
        """A column of numbers or flags as one array; its pieces are dropped."""
        pieces = getattr(self, name)
        array = np.concatenate(pieces)
        pieces.clear()
        return array


def _column(entries: list[dict], key: str) -> list:
    """The values under a key, None for an entry without it."""
    try:
        return list(map(itemgetter(key), entries))
    except KeyError:
        return [entry.get(key) for entry in entries]


def _without_empty(values: list) -> list:
    return values if values.count(None) == len(values) else [value or None for value in values]


def _identifiers(values: list):
    if set(map(type, values)) == {int}:
        try:
            return array("q", values)
        except OverflowError:
            pass
    return [value if is_identifier(value) else None for value in values]


def is_identifier(value) -> bool:
    """Whether a value can be an id."""
    return isinstance(value, int | str) and not isinstance(value, bool)


def _numbers(values: list) -> np.ndarray:
    """JSON numbers as float64; NaN for what isn't one."""
    if set(map(type, values)) <= {int, float}:
        try:
            return np.fromiter(values, np.float64, len(values))
        except OverflowError:
            pass
    return np.fromiter(map(_number, values), np.float64, len(values))


def _number(value) -> float:
    if type(value) is float:
        return value
    try:
        return float(value) if type(value) is int else float("nan")
    except OverflowError:  # an integer of hundreds of digits
        return float("inf")


def _boxes(values: list) -> np.ndarray:
    if set(map(type, values)) - {list} or set(map(len, values)) - {4}:
        values = [value if isinstance(value, list) and len(value) == 4 else [None] * 4 for value in values]
    return _numbers(list(chain.from_iterable(values))).reshape(-1, 4)


def _flags(values: list) -> np.ndarray:
    if values.count(0) == len(values) or values.count(None) == len(values):
        return np.zeros(len(values), bool)
    return np.fromiter((value == 1 for value in values), bool, len(values))


def examples(annotations: LongList, class_of: dict, pictures: dict, names: tuple[str, ...], report: Report) -> list:
    """The examples of a file's pictures with their annotations.

    Args:
        annotations: a list with `Columns`.
        class_of: {category id: class id}.
        pictures: {image id: (path, size)}, both None for a picture that can't be used.
        names: of the keypoints, as the categories give them.
        report: takes what is wrong.
    """
    rows = Rows(annotations, class_of, pictures, report)
    shapes = coco_shapes.read(rows, names, report)
    with np.errstate(over="ignore", invalid="ignore"):
        corners = np.concatenate([rows.xywh[:, :2], rows.xywh[:, :2] + rows.xywh[:, 2:]], -1)
    boxes, usable = check_boxes(corners, rows.sizes, report, rows.describe)
    kept = np.flatnonzero(usable)
    return rows.packed(boxes, kept, shapes.chosen(kept))


class Rows:
    """The annotations of usable pictures and known classes, picture by picture.

    Attributes:
        entries: int [R], the number of each in the file.
        sizes: int [R, 2], (height, width) of its picture.
        xywh: float64 [R, 4], its bbox in pixels, NaN for what is no number.
    """

    def __init__(self, annotations: LongList, class_of: dict, pictures: dict, report: Report):
        self._annotations, self._ids, self._pictures = annotations, list(pictures), list(pictures.values())
        self._source = report.file
        image = _looked_up(annotations, "image_id", {number: i for i, number in enumerate(pictures)})
        category = _looked_up(annotations, "category_id", class_of)
        order = np.argsort(image, kind="stable")
        order = order[np.searchsorted(image, 0, sorter=order) :]  # those of a picture that is there
        box = np.zeros(len(annotations), np.int32)  # the number of each in its picture
        starts = np.searchsorted(image[order], np.arange(len(pictures)))
        box[order] = np.arange(len(order)) - starts[image[order]]
        self._report_strangers(image, category, box, class_of, report)
        usable = np.array([size is not None and path is not None for path, size in self._pictures], bool)
        self.entries = order[(category[order] >= 0) & usable[image[order]]]
        self._image, self._class, self._box = (column[self.entries] for column in (image, category, box))
        sizes = np.array([size or (0, 0) for _, size in self._pictures], np.int64).reshape(-1, 2)
        self.sizes, self.xywh = sizes[self._image], annotations.columns.joined("bbox")[self.entries]

    def _report_strangers(self, image, category, box, class_of: dict, report: Report) -> None:
        strange = set(self._annotations.columns.strange)
        for i in np.flatnonzero((image < 0) | (category < 0)).tolist():
            place, entry = f"annotations[{i}]", self._annotations[i]
            if i in strange:
                report.add("error", f"An entry of the list is not an object: {place}.", got=repr(entry)[:80])
            elif image[i] < 0:
                report.add(
                    "error",
                    f"An annotation belongs to an image that isn't there: {place}.",
                    got=f"image_id {entry.get('image_id')!r}",
                    expected='the id of one of the "images"',
                    fix="Add the image to the list, or delete the annotation.",
                )
            else:
                report.add(
                    "error",
                    f"A box has an unknown category: {place}.",
                    image=self._name(image[i]),
                    box=int(box[i]),
                    got=f"category_id {entry.get('category_id')!r}",
                    expected="one of " + ", ".join(map(str, list(class_of)[:20])),
                    fix="Add the category to the list, or correct the box.",
                )

    def _name(self, image: int) -> str | None:
        path, _ = self._pictures[image]
        return path and str(path)

    def entry(self, i: int) -> dict:
        """The annotation of row i as the file gives it."""
        return self._annotations[int(self.entries[i])]

    def column(self, name: str) -> list | None:
        """Segmentations or keypoints of the rows, None where there is none; or None if none has any."""
        values = getattr(self._annotations.columns, name)
        if values.count(None) == len(values):
            return None
        values = [values[i] for i in self.entries.tolist()]
        return values if any(value is not None for value in values) else None

    def describe(self, i: int) -> dict:
        """What a problem says of row i."""
        entry = self.entry(i)
        got = f"bbox {entry.get('bbox')!r:.80} (annotation id {entry.get('id')})"
        return dict(image=self._name(self._image[i]), box=int(self._box[i]), got=got)

    def packed(self, boxes: np.ndarray, kept: np.ndarray, shapes: coco_shapes.Shapes) -> list[Example]:
        """The examples of the usable pictures, with the rows that are kept: boxes [R, 4] of all, shapes of those."""
        columns, image, entries = self._annotations.columns, self._image[kept], self.entries[kept]
        boxes, class_ids = _frozen(boxes[kept]), _frozen(self._class[kept])
        with np.errstate(over="ignore"):
            area = _frozen(columns.joined("area")[entries].astype(np.float32))
        crowd, difficult = (_Flags(columns.joined(name)[entries], image) for name in ("iscrowd", "difficult"))
        starts = np.searchsorted(image, np.arange(len(self._ids) + 1)).tolist()
        found = []
        for i, (path, size) in enumerate(self._pictures):
            if path is not None and size is not None:
                of = slice(starts[i], starts[i + 1])
                values = boxes[of], class_ids[of], size, crowd.of(i, of), difficult.of(i, of), area[of]
                found.append(trusted(path, *values, self._ids[i], self._source, **shapes.of(of)))
        return found


class _Flags:
    """Flags [N] of the boxes of images [N]; those of images where none is set share their arrays."""

    def __init__(self, flags: np.ndarray, image: np.ndarray):
        self._flags, self._flagged = _frozen(flags), set(image[flags].tolist())

    def of(self, image: int, part: slice) -> np.ndarray:
        return self._flags[part] if image in self._flagged else constant(part.stop - part.start, bool, 0)


def _frozen(values: np.ndarray) -> np.ndarray:
    values.setflags(write=False)
    return values


def _looked_up(annotations: LongList, key: str, table: dict) -> np.ndarray:
    """The numbers that a table has for the identifiers of annotations, -1 for those that are not in it: int32 [N]."""
    values = chain.from_iterable(getattr(annotations.columns, key))
    found = np.fromiter(map(table.get, values, repeat(-1)), np.int32, len(annotations))
    for i in np.flatnonzero(found < 0).tolist():
        entry = annotations[i]
        exact = entry.get(key) if isinstance(entry, dict) else None
        found[i] = table.get(exact, -1) if is_identifier(exact) else -1
    return found
