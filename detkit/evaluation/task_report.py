"""The report of a classifier, a localiser or a segmenter: numbers, confusion matrix, and the images to look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from detkit import boxes as box_math
from detkit.data.batches import labels_of
from detkit.data.dataset import Dataset
from detkit.data.example import IGNORED
from detkit.errors import DetkitError
from detkit.evaluation import page
from detkit.evaluation.report_plots import matrix_plot
from detkit.evaluation.tables import shown
from detkit.evaluation.worst import MISSED, WRONG, sized
from detkit.visualize.draw import draw_marks
from detkit.visualize.figure import draw_class_map

_MOST = 12  # images that are shown
_CARDS = {
    "classification": ("accuracy", "top5", "f1"),
    "localization": ("IoU", "IoU>0.6", "accuracy", "localized"),
    "segmentation": ("IoU", "Dice", "boundary_F"),
}
_LEGENDS = {
    "classification": "The surest wrong answers first.",
    "localization": "Red: the box that was found. Yellow, dashed: the true one.",
    "segmentation": "Left the truth, right what was found.",
}


def write_task_report(path: str | Path, model, dataset: Dataset, results: Sequence, metrics, title: str) -> None:
    """Writes the HTML file, which needs nothing else.

    Args:
        path: the file.
        model: of any task but detection.
        dataset: what was measured on; the pictures shown are decoded.
        results: what the model says of each picture, in the dataset's order.
        metrics: of `detkit.evaluation.measure.measure`.
        title: its heading.

    Raises:
        ConfigError: if the path can't be written.
    """
    chosen = [name for name in _CARDS[model.task] if name in metrics.numbers]
    sections = [
        f"<p>{len(dataset)} images</p>" + page.cards((name, shown(metrics.numbers[name]), "") for name in chosen),
        _confusion(model, metrics),
        _classes(metrics),
        "<h2>All numbers</h2>" + page.table(["", ""], [[name, shown(v)] for name, v in metrics.numbers.items()]),
        _worst(model, dataset, results),
    ]
    page.write_page(path, title, sections)


def _confusion(model, metrics) -> str:
    matrix = getattr(metrics, "confusion", None)
    if matrix is None:
        return ""
    what = "pixels" if model.task == "segmentation" else "images"
    plot = matrix_plot(matrix, metrics.classes, f"Found as (columns), in truth (rows), {what}")
    return f"<h2>Confusion</h2><p>{page.plot(plot, wide=True)}</p>" if plot else ""


def _classes(metrics) -> str:
    per_class = getattr(metrics, "per_class", {})
    if not per_class:
        return ""
    head = ["class", *next(iter(per_class.values()))]
    rows = [[name, *map(shown, row.values())] for name, row in per_class.items()]
    return f"<h2>Classes</h2>{page.table(head, rows)}"


def _worst(model, dataset: Dataset, results: Sequence) -> str:
    badness = np.array([_BADNESS[model.task](model, *pair) for pair in zip(dataset, results, strict=True)])
    worst = [int(n) for n in np.argsort(-badness, kind="stable")[:_MOST] if badness[n] > 0]
    if not worst:
        return ""
    figures = "".join(page.picture(*_shown(model, dataset[n], results[n])) for n in worst)
    return f'<h2>The worst images</h2><p>{_LEGENDS[model.task]}</p><div class="images">{figures}</div>'


def _shown(model, example, result) -> tuple[np.ndarray | None, str]:
    name = str(getattr(example.image, "name", example.label))
    try:
        picture = sized(example.pixels())
    except DetkitError:
        return None, name
    picture, words = _DRAWN[model.task](model, picture, example, result)
    return picture, f"{name}: {words}"


def _surely_wrong(model, example, result) -> float:
    right = set(_names(model, example))
    return max((float(score) for name, score in _said(model, result) if name not in right), default=0.0)


def _said(model, result) -> Iterator[tuple[str, float]]:
    """The classes that a classifier gives an image."""
    if model.options.labels == "several":
        yield from ((name, score) for name, score in zip(result.classes, result.scores, strict=True) if score >= 0.5)
    else:
        yield result.label, result.score


def _names(model, example) -> list[str]:
    """The true classes of a picture."""
    return [model.classes[i] if i < len(model.classes) else "another class" for i in labels_of(example)]


def _classified(model, picture, example, result):
    said = ", ".join(f"{name} {score:.2f}" for name, score in _said(model, result)) or "nothing"
    return picture, f"{', '.join(_names(model, example)) or 'nothing'}, found as {said}"


def _box_badness(model, example, result) -> float:
    return 1.0 - _overlap(example, result) if len(example) else 0.0


def _overlap(example, result) -> float:
    return float(box_math.iou(_largest(example)[None], result.boxes[:1], paired=True)[0])


def _largest(example) -> np.ndarray:
    return example.boxes[np.argmax(box_math.area(example.boxes))]


def _localized(model, picture, example, result):
    boxes = np.stack([_largest(example), result.boxes[0]])
    texts = [model.classes[example.class_ids[np.argmax(box_math.area(example.boxes))]], result.labels[0]]
    drawn = draw_marks(picture, boxes, texts, [MISSED, WRONG], dashed=np.array([True, False]))
    return drawn, f"IoU {_overlap(example, result):.2f}"


def _map_badness(model, example, result) -> float:
    return 1.0 - _map_overlap(example, result)


def _map_overlap(example, result) -> float:
    """IoU of all that is not background."""
    truth = example.semantic()
    counted = truth != IGNORED
    wanted, found = (truth > 0) & counted, (result.class_map > 0) & counted
    either = (wanted | found).sum()
    right = (wanted & found & (truth == result.class_map)).sum()
    return float(right / either) if either else 1.0


def _segmented(model, picture, example, result):
    sides = [draw_class_map(picture, each) for each in (example.semantic(), result.class_map)]
    return np.concatenate(sides, axis=1), f"IoU {_map_overlap(example, result):.2f}"


_BADNESS = {"classification": _surely_wrong, "localization": _box_badness, "segmentation": _map_badness}
_DRAWN = {"classification": _classified, "localization": _localized, "segmentation": _segmented}
