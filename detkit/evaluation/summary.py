"""All that an evaluation says, as one record: numbers with intervals, scores to use, calibration, causes of errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from detkit.detections import Detections
from detkit.evaluation import errors, intervals, operating
from detkit.evaluation.intervals import Comparison, Interval
from detkit.evaluation.metrics import Metrics
from detkit.evaluation.operating import Calibration, OperatingPoint
from detkit.evaluation.tables import for_json
from detkit.evaluation.voc import voc_average_precision

if TYPE_CHECKING:
    from detkit.data import Dataset

_WORK = 1e9  # detections times thresholds times samples that intervals may take: some seconds
_MANY, _FEW = 10, 10  # classes; objects of half of them, of which the AP is too high on average


@dataclass(frozen=True, eq=False)
class Summary:
    """What a report shows of a detector on a dataset.

    Attributes:
        metrics: the COCO numbers, of boxes and what else was compared.
        intervals: {"AP", "AP50", "AP75"}, where there are objects.
        points: {class name: the score of its best F1, or None}, and under "" that of all classes together.
        calibration: of the scores at IoU 0.5.
        errors: at IoU 0.5.
        confusion: int64 [K + 1, K + 1], at the best score of all classes; None without one.
        voc: {"all": {class name: AP}, "11": ...} at IoU 0.5.
        comparison: with another model, or None.
    """

    metrics: Metrics
    intervals: dict[str, Interval]
    points: dict[str, OperatingPoint | None]
    calibration: Calibration
    errors: errors.Errors
    confusion: np.ndarray | None
    voc: dict[str, dict[str, float]]
    comparison: Comparison | None = None

    def to_json(self) -> dict:
        """The numbers of `Metrics.to_json`, and those of the other parts; null where one is undefined."""
        parts = {
            "intervals": {name: [each.low, each.high] for name, each in self.intervals.items()},
            "best_scores": {name or "all classes": point and asdict(point) for name, point in self.points.items()},
            "calibration_error": self.calibration.error,
            "errors": {"count": self.errors.count, "AP50_cost": self.errors.cost},
            "confusion": None if self.confusion is None else self.confusion.tolist(),
            "VOC": {points: {"mAP": _mean(each), "per_class": each} for points, each in self.voc.items()},
        }
        if self.comparison:
            parts["comparison"] = asdict(self.comparison) | {"verdict": self.comparison.verdict}
        return self.metrics.to_json() | for_json(parts)

    def table(self) -> str:
        """What `Metrics.table` says, and what a user should know besides, as text."""
        return "\n\n".join([self.metrics.table(), *self._words()])

    def _words(self) -> list[str]:
        words = []
        if self.intervals:
            ranges = ", ".join(f"{name} {each}" for name, each in self.intervals.items())
            words.append(f"95% intervals for images like these {self.metrics.images}: {ranges}.")
        best = self.points.get("")
        if best:
            words.append(
                f"Best score threshold: {best.score:.2f}, with precision {best.precision:.2f}, "
                f"recall {best.recall:.2f} and F1 {best.f1:.2f} at IoU 0.5."
            )
        worst = max(self.errors.cost, key=self.errors.cost.get)
        if self.errors.cost[worst] > 0:
            gain, count = self.errors.cost[worst], self.errors.count[worst]
            words.append(f"The costliest errors: {errors.MEANING[worst]}, {count} of them, {gain:.3f} of AP50.")
        return words + [str(self.comparison)] * (self.comparison is not None)


def summarise(
    metrics: Metrics, dataset: Dataset, detections: Sequence[Detections], other: Metrics | None = None, seed: int = 0
) -> Summary:
    """The summary of an evaluation of boxes.

    Args:
        metrics: `evaluate_all(dataset, detections)`.
        dataset, detections: what was evaluated.
        other: the metrics of another model on the same dataset, to compare with: it is B of the comparison.
        seed: decides the bootstrap samples.
    """
    metrics = replace(metrics, warnings=(*metrics.warnings, *_of_few_objects(metrics)))
    matches, classes = metrics.matches, list(metrics.per_class)
    samples = int(np.clip(_WORK / max(matches.truth.size, 1), 100, intervals.SAMPLES))
    spans = {n: intervals.interval(metrics, n, samples=samples, seed=seed) for n in intervals.NAMES if metrics.boxes}
    best = operating.best_point(matches)
    return Summary(
        metrics,
        spans,
        {"": best} | {name: operating.best_point(matches, k) for k, name in enumerate(classes)},
        operating.calibration(matches),
        errors.analyse(matches),
        errors.confusion(matches, best.score) if best else None,
        {points: voc_average_precision(dataset, detections, points=points) for points in ("all", "11")},
        intervals.compare(metrics, other, samples=samples, seed=seed) if other and metrics.boxes else None,
    )


def _of_few_objects(metrics: Metrics) -> list[str]:
    counts = [values["boxes"] for values in metrics.per_class.values() if values["boxes"]]
    if len(counts) < _MANY or np.median(counts) >= _FEW:
        return []
    words = f"half of the {len(counts)} classes have fewer than {_FEW} objects: "
    return [words + "AP is too high on average with so few, by more than the intervals allow for"]


def _mean(values: dict[str, float]) -> float:
    return float(np.mean(list(values.values()))) if values else float("nan")
