"""What is to be said of a model on a dataset: metrics.json, report.html and the detections, in one directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from detkit import data as datasets
from detkit.data.dataset import Dataset
from detkit.data.problems import refuse
from detkit.detections import Detections
from detkit.errors import ConfigError
from detkit.evaluation import coco
from detkit.evaluation.measure import measure
from detkit.evaluation.metrics import Metrics
from detkit.evaluation.report import write_report
from detkit.evaluation.results import read_results
from detkit.evaluation.summary import Summary, summarise
from detkit.evaluation.task_report import write_task_report
from detkit.evaluation.worst import worst_images
from detkit.inference.sinks import coco_entries
from detkit.io import make_directory, write_json
from detkit.progress import progress


class Evaluated(NamedTuple):
    """A dataset, what was found in each of its pictures, and the numbers."""

    dataset: Dataset
    found: Sequence[Detections]
    metrics: Metrics


def report(
    model,
    data,
    output="detkit-eval",
    *,
    against=None,
    results=None,
    score: float = 0.0,
    seed: int = 0,
    title: str = "Evaluation",
    show_progress=None,
) -> Summary | Metrics:
    """Evaluates a model, and writes `metrics.json` and `report.html`, which needs nothing else, into a directory.

    Args:
        model: a detector, or the path of COCO results (JSON).
        data: a Dataset; for results also the path of the annotations that they belong to.
        output: the directory.
        against: another detector, or for results other results, to compare with: B in what is said of the two.
        results: a file for the detections of a detector, as COCO results.
        score: leave out detections below it.
        seed: decides the bootstrap samples.
        title: the heading of the report.

    Returns:
        The summary; the metrics alone, and no report, if boxes are not what was evaluated; of a model for another task
        than detection its metrics.

    Raises:
        DataError: if model and data have no class in common, or one of the files is not what it should be.
        ConfigError: if the directory can't be written.
    """
    if getattr(model, "task", "detection") != "detection":
        return _of_other_task(model, data, output, title, show_progress, against=against, results=results, score=score)
    _check(model, data, against, results)
    folder = make_directory(output)
    first = _evaluated(model, data, results, score, show_progress)
    if first.metrics.kinds[0] != "boxes":
        return _of_other_kind(first.metrics, folder, against)
    other = None if against is None else _evaluated(against, data, None, score, show_progress).metrics
    summary = summarise(first.metrics, first.dataset, first.found, other, seed)
    write_json(folder / "metrics.json", summary.to_json())
    write_report(folder / "report.html", summary, worst_images(summary, first.dataset), title)
    return summary


def _of_other_task(model, dataset: Dataset, output, title: str, show_progress, **options):
    refused = [name for name, value in options.items() if value]
    if refused:
        fix = f"Leave out {', '.join(f'--{name}' for name in refused)}."
        raise ConfigError("Only detectors are evaluated with this option.", got=model.task, fix=fix)
    coco.check_classes(dataset, model.classes)
    folder = make_directory(output)
    dataset = dataset.with_classes(tuple(dict.fromkeys((*model.classes, *dataset.classes))))
    results = list(look_at_all(model, dataset, show_progress))
    metrics = measure(model, dataset, results)
    write_json(folder / "metrics.json", metrics.to_json())
    write_task_report(folder / "report.html", model, dataset, results, metrics, title)
    return metrics


def look_at_all(model, dataset: Dataset, show_progress=None):
    """What a model for another task than detection says of each picture of a dataset."""
    stream = model.stream(example.pixels() for example in dataset)
    return progress(stream, total=len(dataset), description="evaluate", show=show_progress)


def _check(model, data, against, results) -> None:
    """ConfigError or DataError for what could not be evaluated, before anything is."""
    stored = isinstance(model, (str, Path))
    if against is not None and stored != isinstance(against, (str, Path)):
        fix = "Compare two models, or the COCO results of two: detkit eval --results writes them."
        raise ConfigError("A model can't be compared with stored results.", fix=fix)
    if stored and results is not None:
        raise ConfigError("These detections are stored already.", where=model, fix="Leave out --results.")
    for detector in () if stored else filter(None, (model, against)):
        coco.check_classes(data, detector.classes)


def _of_other_kind(metrics: Metrics, folder: Path, against) -> Metrics:
    if against is not None:
        raise ConfigError("Models are compared by their boxes.", got=f"{metrics.kinds[0]} only", fix="Evaluate each.")
    note = "intervals, causes of errors and the report are of boxes, and these results have none"
    metrics = replace(metrics, warnings=(*metrics.warnings, note))
    write_json(folder / "metrics.json", metrics.to_json())
    return metrics


def detect_all(detector, dataset: Dataset, results=None, score: float = 0.0, show_progress=None) -> list[Detections]:
    """What a detector finds in each picture of a dataset; written as COCO results if a file for them is given."""
    stream = detector.detect_stream(example.pixels() for example in dataset)
    stream = progress(stream, total=len(dataset), description="evaluate", show=show_progress)
    found = [each.above(score) for each in stream]
    if results is not None:
        known = dict(zip(dataset.classes, dataset.label_ids, strict=True))
        ids = [known.get(name, -1) for name in detector.classes]
        pairs = zip(found, dataset, strict=True)
        write_json(results, [entry for each, example in pairs for entry in coco_entries(each, ids, example.image_id)])
    return found


def _evaluated(model, data, results, score: float, show_progress) -> Evaluated:
    if isinstance(model, (str, Path)):
        return _of_results(Path(model), data, score)
    found = detect_all(model, data, results, score, show_progress)
    return Evaluated(data, found, coco.evaluate_all(data, found))


def _of_results(path: Path, annotations, score: float) -> Evaluated:
    """Of stored results. Beside a COCO file the numbers are those of the two files, the dataset what can be read."""
    if isinstance(annotations, Dataset) or Path(annotations).suffix.lower() != ".json":
        dataset = annotations if isinstance(annotations, Dataset) else datasets.read(annotations)
        found = _above(read_results(path, dataset), score)
        return Evaluated(dataset, found, coco.evaluate_all(dataset, found))
    metrics = coco.evaluate_files(annotations, path, score=score)
    if metrics.kinds[0] != "boxes":
        return Evaluated(Dataset((), ()), (), metrics)
    dataset = _with_all_images(annotations, metrics.images)
    return Evaluated(dataset, _above(read_results(path, dataset), score), metrics)


def _above(found: list[Detections], score: float) -> list[Detections]:
    """All for a score of 0: those of stored results may be negative."""
    return [each.above(score) for each in found] if score > 0 else found


def _with_all_images(annotations, images: int) -> Dataset:
    """The dataset of an annotation file with so many images, not all of whose pictures need be there."""
    dataset = datasets.read(annotations, format="coco", strict=False)
    if len(dataset) == images:
        return dataset
    there = {example.image_id: example for example in dataset}
    dataset = datasets.read(annotations, format="coco", images=False, strict=False)
    if len(dataset) < images:
        refuse(dataset.problems, annotations)
    return replace(dataset, examples=[there.get(example.image_id, example) for example in dataset])
