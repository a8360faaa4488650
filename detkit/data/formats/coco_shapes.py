"""The segmentations and keypoints of COCO annotations: checked, kept, written.

Source: https://cocodataset.org/#format-data
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from detkit import masks
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.data.formats.common import ROUNDING, Report
from detkit.errors import DataError

_KEYPOINTS = "x, y and 0, 1 or 2 (not labelled, hidden, visible) of each keypoint"


@dataclass(frozen=True)
class Shapes:
    """What the annotations of a file have beside boxes, in their order.

    Attributes:
        segmentations: for each annotation, or None if none has one.
        keypoints: float32 [annotations, K, 2], normalised (y, x); or None.
        visibility: int8 [annotations, K]; or None.
    """

    segmentations: list | None
    keypoints: np.ndarray | None
    visibility: np.ndarray | None

    def chosen(self, rows: np.ndarray) -> Shapes:
        """Those of some of the annotations, read-only."""
        segmentations = self.segmentations and [self.segmentations[i] for i in rows.tolist()]
        if self.keypoints is None:
            return Shapes(segmentations, None, None)
        keypoints, visibility = self.keypoints[rows], self.visibility[rows]
        keypoints.setflags(write=False)
        visibility.setflags(write=False)
        return Shapes(segmentations, keypoints, visibility)

    def of(self, image: slice) -> dict:
        """The arguments of Example for the annotations of an image."""
        parts = {}
        if self.segmentations is not None and any(each is not None for each in self.segmentations[image]):
            parts["segmentations"] = tuple(self.segmentations[image])
        if self.keypoints is not None:
            parts |= {"keypoints": self.keypoints[image], "keypoint_visibility": self.visibility[image]}
        return parts


def read(rows, names: tuple[str, ...], report: Report) -> Shapes:
    """The segmentations and keypoints of annotations; an error in the report for each that can't be used.

    Args:
        rows: the `coco_annotations.Rows`; those without a bbox get that of their mask.
        names: of the keypoints, as the categories give them.
        report: takes what is wrong.
    """
    segmentations = rows.column("segmentation")
    if segmentations is not None:
        for i in np.flatnonzero(~masks.plain(segmentations, rows.sizes)):
            if segmentations[i] is not None:
                segmentations[i] = _checked(segmentations[i], rows, i, report)
        _fill_boxes(segmentations, rows)
    return Shapes(segmentations, *_keypoints(rows, names, report))


def _checked(segmentation, rows, i: int, report: Report):
    """The segmentation of row i; None and an error in the report if it can't be used."""
    size = rows.sizes[i].tolist()
    try:
        masks.check(segmentation, size)
        return segmentation
    except DataError:
        entry = rows.entry(i)
    try:
        masks.check(entry["segmentation"], size)
    except DataError as error:  # of the exact numbers
        got = f"{error.got} (annotation id {entry.get('id')})"
        parts = dict(got=got, expected=error.expected, fix=error.fix)
        report.add("error", error.what, **rows.describe(i) | parts)
        return None
    return entry["segmentation"]


def _fill_boxes(segmentations: list, rows) -> None:
    for i in np.flatnonzero(np.isnan(rows.xywh).all(-1)):
        if segmentations[i] is not None and rows.entry(i).get("bbox") is None:
            rows.xywh[i] = masks.bounding_box(segmentations[i], rows.sizes[i].tolist())


def _keypoints(rows, names, report):
    """Keypoints [N, K, 2] and visibility [N, K], zeros where an annotation has none; None, None if none has any."""
    given = rows.column("keypoints")
    if given is None:
        return None, None
    found = {i: _triples(values) for i, values in enumerate(given) if values is not None}
    count = len(names) or next((len(row) for row in found.values() if row is not None), 0)
    if not names:
        _report_nameless(report, count)
    points, visibility = np.zeros((len(given), count, 2)), np.zeros((len(given), count), np.int8)
    for i, row in found.items():
        if row is None or len(row) != count:
            got = f"keypoints {rows.entry(i)['keypoints']!r:.80} (annotation id {rows.entry(i).get('id')})"
            fix = "Mark the keypoints again, or delete them."
            parts = dict(got=got, expected=f"{count} times {_KEYPOINTS}", fix=fix)
            report.add("error", "The keypoints of an object are not as they should be.", **rows.describe(i) | parts)
            continue
        row = np.array(row, np.float64)
        points[i], visibility[i] = row[:, 1::-1] / rows.sizes[i], row[:, 2]
    _leave_out_those_outside(points, visibility, rows.sizes, report, rows.describe)
    return points.astype(np.float32), visibility


def _triples(values) -> list | None:
    """The keypoints [(x, y, visibility), ...] of a flat list of numbers; None if it is none."""
    if not isinstance(values, list) or len(values) % 3:
        return None
    numbers = all(type(value) in (int, float) and math.isfinite(value) and abs(value) < 1e9 for value in values)
    if not numbers or not set(values[2::3]) <= {0, 1, 2}:
        return None
    return list(zip(values[::3], values[1::3], values[2::3], strict=True))


def _leave_out_those_outside(points, visibility, sizes, report, describe) -> None:
    beyond = (np.abs(points - 0.5) * sizes[:, None] - sizes[:, None] / 2).max(-1)  # [N, K] pixels
    for i in np.flatnonzero(((beyond > ROUNDING) & (visibility > 0)).any(-1)):
        number = int(np.argmax(np.where(visibility[i] > 0, beyond[i], -1)))
        parts = dict(
            got=f"keypoint {number} at x, y {np.round(points[i, number, ::-1] * sizes[i, ::-1], 2).tolist()}",
            expected=f"inside the image of {sizes[i][1]} x {sizes[i][0]} (width x height)",
            fix="Check that the keypoints belong to this image, and that the image was not resized since.",
        )
        what = "A keypoint lies outside its image and was taken as not labelled."
        report.add("warning", what, **describe(i) | parts)
    visibility[beyond > ROUNDING] = 0


def _report_nameless(report: Report, count: int) -> None:
    report.add(
        "warning",
        "The keypoints have no names.",
        got=f"{count} keypoints an object, and no category with a list of names",
        expected='"keypoints": ["left_eye", "right_eye", ...] in the category',
        fix="Name them there: a mirrored view can only swap left and right if it knows which is which.",
    )


def keypoint_names(categories: list, report: Report) -> tuple[tuple[str, ...], tuple]:
    """The names of the keypoints and the skeleton, pairs of indices, that the categories give."""
    first = None
    for number, entry in enumerate(categories):
        names = entry.get("keypoints") if isinstance(entry, dict) else None
        if names in (None, []):
            continue
        skeleton = entry.get("skeleton") or []
        if not _are_names(names) or not _is_skeleton(skeleton, len(names)):
            report.add(
                "error",
                f"A category's keypoints or skeleton are not as they should be: categories[{number}].",
                got=f"keypoints {names!r:.80}, skeleton {skeleton!r:.80}",
                expected="different names, and pairs of their numbers, counted from 1",
            )
        elif first is None:
            first = names, tuple((a - 1, b - 1) for a, b in skeleton)
        elif first[0] != names:
            report.add(
                "error",
                f"Two categories have different keypoints: categories[{number}].",
                got=", ".join(names)[:80],
                expected=", ".join(first[0])[:80],
                fix="Make a dataset for each.",
            )
    return (tuple(first[0]), first[1]) if first else ((), ())


def _are_names(names) -> bool:
    return isinstance(names, list) and all(isinstance(n, str) for n in names) and len(set(names)) == len(names)


def _is_skeleton(skeleton, count: int) -> bool:
    pairs = isinstance(skeleton, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in skeleton)
    return pairs and all(type(end) is int and 1 <= end <= count for pair in skeleton for end in pair)


def written_names(dataset: Dataset) -> dict:
    """What the categories of a written file say of keypoints."""
    if not dataset.keypoint_names:
        return {}
    return {"keypoints": list(dataset.keypoint_names), "skeleton": [[a + 1, b + 1] for a, b in dataset.skeleton]}


def written(example: Example, i: int) -> dict:
    """The segmentation and the keypoints of an object as parts of its annotation."""
    parts = {}
    segmentation = example.segmentations[i] if example.segmentations is not None else None
    if isinstance(segmentation, dict) and isinstance(segmentation["counts"], bytes):
        segmentation = {"size": list(segmentation["size"]), "counts": segmentation["counts"].decode("ascii")}
    if segmentation is not None:
        parts["segmentation"] = segmentation
    if example.keypoints is not None:
        visibility = example.keypoint_visibility[i]
        pixels = example.keypoints[i].astype(np.float64)[:, ::-1] * example.size[::-1]
        triples = np.column_stack([np.round(pixels, 3), visibility]).ravel().tolist()
        whole = [int(value) if value.is_integer() else value for value in triples]
        parts |= {"keypoints": whole, "num_keypoints": int(np.count_nonzero(visibility))}
    return parts
