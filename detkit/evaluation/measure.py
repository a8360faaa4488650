"""The numbers of a model of any task on a dataset."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from detkit import boxes as box_math
from detkit.data.batches import labels_of
from detkit.data.dataset import Dataset
from detkit.data.example import IGNORED
from detkit.data.tensor_tasks import check_one_label
from detkit.errors import DataError
from detkit.evaluation import coco
from detkit.evaluation.classification import classification
from detkit.evaluation.localization import localization
from detkit.evaluation.segmentation import segmentation

# What is shown of a validation; the first number chooses the best weights.
SHOWN = {
    "detection": ("AP", "AP50"),
    "classification": ("accuracy",),
    "localization": ("iou", "accuracy"),
    "segmentation": ("iou",),
}


def measure(model, dataset: Dataset, results: Iterable):
    """The metrics of what a model says of each picture of a dataset, in the dataset's order.

    Args:
        model: its `task` decides which metrics; classes are matched by name.
        results: `Detections`, or what `stream` of the model yields.

    Returns:
        The metrics of detkit.evaluation for the task.

    Raises:
        DataError: if there is nothing to measure on, or no class in common.
    """
    return _MEASURES[getattr(model, "task", "detection")](model, dataset, results)


def numbers(task: str, metrics) -> dict[str, float]:
    """The metrics as a flat mapping, such as metrics.json is; those of classes as "number/class"."""
    per_class = getattr(metrics, "per_class", {})
    if task == "detection":
        classes = {
            f"{key}/{name}": value
            for name, row in per_class.items()
            for key, value in row.items()
            if key.endswith("AP")
        }
        return dict(metrics) | classes
    flat = {name.lower(): value for name, value in metrics.numbers.items()}
    return flat | {f"{key.lower()}/{name}": value for name, row in per_class.items() for key, value in row.items()}


def _detection(model, dataset, results):
    return coco.evaluate_all(dataset, list(results))


def _classification(model, dataset, results):
    classes, theirs = _union(dataset, model)
    scores = np.zeros((len(dataset), len(classes)))
    for row, result in zip(scores, results, strict=True):
        row[theirs] = result.scores
    labels = [labels_of(example) for example in dataset]
    if model.options.labels == "several":
        truth = np.zeros(scores.shape, bool)
        for row, ids in zip(truth, labels, strict=True):
            row[ids] = True
        return classification(truth, scores, classes)
    check_one_label(dataset, "train with model.labels=several")
    return classification(np.array([ids[0] for ids in labels], int), scores, classes)


def _localization(model, dataset, results):
    classes, theirs = _union(dataset, model)
    kept = [i for i, example in enumerate(dataset) if len(example)]
    if not kept:
        raise DataError("There is nothing to evaluate on: no picture has an object.", where=dataset.name)
    found = list(results)
    largest = [int(np.argmax(box_math.area(dataset[i].boxes))) for i in kept]
    return localization(
        np.array([dataset[i].boxes[n] for i, n in zip(kept, largest, strict=True)]),
        np.array([found[i].boxes[0] for i in kept]),
        class_ids=[dataset[i].class_ids[n] for i, n in zip(kept, largest, strict=True)],
        predicted_ids=[theirs[found[i].class_ids[0]] for i in kept],
    )


def _segmentation(model, dataset, results):
    classes, theirs = _union(dataset, model)
    table = np.full(256, IGNORED, np.uint8)
    table[: len(theirs) + 1] = [0, *(i + 1 for i in theirs)]
    truth = (example.semantic() for example in dataset)
    return segmentation(truth, (table[result.class_map] for result in results), classes)


def _union(dataset: Dataset, model) -> tuple[tuple[str, ...], list[int]]:
    """The classes of both, the dataset's first, and where among them the model's are."""
    coco.check_classes(dataset, model.classes)
    classes = tuple(dict.fromkeys((*dataset.classes, *model.classes)))
    return classes, [classes.index(name) for name in model.classes]


_MEASURES = {
    "detection": _detection,
    "classification": _classification,
    "localization": _localization,
    "segmentation": _segmentation,
}
