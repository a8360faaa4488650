"""The numbers of an evaluation, as a mapping, a table and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from detkit.evaluation.tables import shown
from detkit.text import aligned

if TYPE_CHECKING:
    from detkit.evaluation.matches import Matches


RECALL_GRID = np.linspace(0.0, 1.0, 101)
_PREFIXES = {"boxes": "", "masks": "mask_", "keypoints": "keypoint_"}
_FREQUENCIES = {"r": "rare classes", "c": "common classes", "f": "frequent classes"}
_AREAS = {"s": "small, up to 32 x 32 pixels", "m": "medium", "l": "large, from 96 x 96 pixels"}


@dataclass(frozen=True, eq=False)
class Metrics(Mapping):
    """COCO metrics of a detector on a dataset; a mapping of the numbers, -1 where one is undefined.

    Attributes:
        numbers: AP, AP50, AP75, APs, APm, APl, AR1, AR10, AR100, ARs, ARm, ARl; the AR names carry
            the limits of detections per image. Of keypoints: AP, AP50, AP75, APm, APl, AR, AR50, AR75, ARm, ARl. In an
            evaluation of several kinds those of masks are called mask_AP, ..., those of keypoints keypoint_AP, ...
        per_class: {name: {"AP", "AP50", "AR100", "boxes"}}, and of several kinds also {"mask_AP", ...}; boxes
            counts the ground truth not ignored.
        pr_curves: {name: float64 [101]}, precision at IoU 0.5 over `RECALL_GRID`, for the classes with boxes.
        images: number of images.
        boxes: number of ground truth boxes that are not ignored.
        detections: number of detections taken into account.
        warnings: what a reader of the numbers should know.
        kinds: what was compared, of "boxes", "masks" and "keypoints".
        matches: which detection found which object, of the first kind, where that is known.

    Example:
        >>> metrics = evaluate(dataset, detections)
        >>> metrics["AP50"]
        0.61
    """

    numbers: dict[str, float]
    per_class: dict[str, dict[str, float]]
    pr_curves: dict[str, np.ndarray]
    images: int
    boxes: int
    detections: int
    warnings: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ("boxes",)
    matches: Matches | None = None

    def __getitem__(self, name: str) -> float:
        return self.numbers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def to_json(self) -> dict:
        """The numbers at the top level, with `images`, `boxes`, `detections`, `per_class`, `warnings` and `kinds`."""
        counts = {"images": self.images, "boxes": self.boxes, "detections": self.detections}
        per_class = {name: dict(values) for name, values in self.per_class.items()}
        words = {"warnings": list(self.warnings), "kinds": list(self.kinds)}
        return {**self.numbers, **counts, "per_class": per_class, **words}

    def table(self) -> str:
        """The numbers and the classes as text, a dash where a number is undefined."""
        counts = f"{self.images} images, {self.boxes} boxes, {self.detections} detections"
        width = max(6, *map(len, self))
        numbers = [f"{name:<{width}} {shown(value):>6}   {_meaning(name, self.kinds)}" for name, value in self.items()]
        columns = list(next(iter(self.per_class.values()), {}))
        classes = [[name, *(shown(values[column]) for column in columns)] for name, values in self.per_class.items()]
        blocks = [counts, "\n".join(numbers), aligned([["class", *columns], *classes])]
        return "\n\n".join(blocks + [f"Note: {warning}" for warning in self.warnings])


def mean_of_defined(values: np.ndarray) -> float:
    """The mean of the entries that are not -1; -1.0 where none is left."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else -1.0


def from_curves(
    precision, recall, *, classes, boxes, max_detections, images, detections, warnings, kind="boxes", matches=None,
    frequency=None,
) -> Metrics:  # fmt: skip
    """Metrics from the arrays of `matching.match`; `boxes` counts the ground truth a class.

    With the `frequency` of each class, "r", "c" or "f", there are also APr, APc and APf.
    """
    recalls = _recalls_of_keypoints(recall) if kind == "keypoints" else _average_recalls(recall, max_detections)
    last = "AR" if kind == "keypoints" else f"AR{max_detections[-1]}"
    numbers = _average_precisions(precision) | recalls
    for letter in _FREQUENCIES if frequency else ():
        these = [k for k, each in enumerate(frequency) if each == letter]
        numbers[f"AP{letter}"] = mean_of_defined(precision[:, :, these, 0, -1])
    per_class, curves = {}, {}
    for k, name in enumerate(classes):
        average = _average_precisions(precision[:, :, k : k + 1])
        ar = mean_of_defined(recall[:, k, 0, -1])
        per_class[name] = {"AP": average["AP"], "AP50": average["AP50"], last: ar, "boxes": boxes[k]}
        if boxes[k]:
            curves[name] = precision[0, :, k, 0, -1].copy()
    return Metrics(numbers, per_class, curves, images, sum(boxes), detections, tuple(warnings), (kind,), matches)


def joined(parts: dict[str, Metrics]) -> Metrics:
    """One Metrics of several kinds: the names of all but boxes get a prefix, curves and counts are the first one's."""
    first = next(iter(parts.values()))
    numbers, per_class, warnings = {}, {name: {} for name in first.per_class}, {}
    for kind, part in parts.items():
        prefix = _PREFIXES[kind]
        numbers |= {prefix + name: value for name, value in part.items()}
        warnings |= dict.fromkeys(part.warnings)
        for name, values in part.per_class.items():
            columns = {prefix * (column != "boxes") + column: value for column, value in values.items()}
            per_class[name] = per_class[name] | columns | per_class[name]  # the order and the counts of the first
    return replace(first, numbers=numbers, per_class=per_class, warnings=tuple(warnings), kinds=tuple(parts))


def _average_precisions(precision) -> dict[str, float]:
    """Of precision [IoU, recall, class, area, limit], at the last limit."""
    p = precision[..., -1]
    parts = {"AP": p[..., 0], "AP50": p[0, ..., 0], "AP75": p[5, ..., 0]}
    parts |= {f"AP{size}": p[..., area] for area, size in enumerate(_sizes(p), 1)}
    return {name: mean_of_defined(values) for name, values in parts.items()}


def _sizes(values) -> list[str]:
    """The area ranges in the last axis, after the one of all."""
    return list(_AREAS)[1 - values.shape[-1] :]


def _recalls_of_keypoints(recall) -> dict[str, float]:
    """Of recall [OKS, class, area, limit], at the last limit."""
    r = recall[..., -1]
    parts = {"AR": r[..., 0], "AR50": r[0, ..., 0], "AR75": r[5, ..., 0]}
    parts |= {f"AR{size}": r[..., area] for area, size in enumerate(_sizes(r), 1)}
    return {name: mean_of_defined(values) for name, values in parts.items()}


def _average_recalls(recall, max_detections) -> dict[str, float]:
    """Of recall [IoU, class, area, limit]; by area at the last limit."""
    parts = {f"AR{limit}": recall[:, :, 0, m] for m, limit in enumerate(max_detections)}
    parts |= {f"AR{size}": recall[:, :, area, -1] for area, size in enumerate(_AREAS, 1)}
    return {name: mean_of_defined(values) for name, values in parts.items()}


def _meaning(name: str, kinds: tuple[str, ...]) -> str:
    prefix, _, short = name.rpartition("_")
    kind = next((k for k, p in _PREFIXES.items() if prefix and p == prefix + "_"), kinds[0])
    detail = short[2:]
    measure = {"AP": "average precision", "AR": "average recall"}[short[:2]]
    measure += "" if kind == "boxes" else f" of {kind}"
    if detail in _AREAS | _FREQUENCIES:
        return f"{measure}, {(_AREAS | _FREQUENCIES)[detail]}"
    if short[:2] == "AR" and kind != "keypoints":
        return f"{measure}, up to {detail} detection{'s' * (detail != '1')} per image"
    similarity = "OKS" if kind == "keypoints" else "IoU"
    return f"{measure} at {similarity} {f'0.{detail}' if detail else '0.50 to 0.95'}"
