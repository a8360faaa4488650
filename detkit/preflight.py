"""The pre-flight check: data, config, checkpoint and memory, all problems in one pass."""

from __future__ import annotations

from pathlib import Path

from detkit import data as datasets
from detkit.data.problems import Problem
from detkit.errors import DetkitError
from detkit.pipeline import pipeline as pipelines


def check(target: Path, overrides=()) -> list[Problem]:
    """Every problem of a pipeline, a model or a dataset.

    Args:
        target: a YAML pipeline, a pipeline.config, a model or run directory, or annotations.
        overrides: of the pipeline.
    """
    if target.suffix in (".yaml", ".yml") or (target.suffix == ".config" and target.is_file()):
        return _pipeline(target, overrides)
    if (target / "pipeline.config").is_file():
        return _model(str(target))
    return datasets.check(target)


def _pipeline(path: Path, overrides) -> list[Problem]:
    try:
        plan = pipelines.load(path, overrides)
    except DetkitError as error:
        return [_problem(error, str(path))]
    problems, train = [], None
    for name in ("train", "val", "test"):
        source = getattr(plan.data, name)
        if source is None:
            if name == "train":
                fix = "Give it: --set data.train=PATH."
                problems.append(Problem("error", "The pipeline names no training data.", file=str(path), fix=fix))
            continue
        problems += datasets.check(source, plan.data.format, plan.data.images)
        if name == "train":
            train = _read(source, plan.data)
    return problems + _model(plan.model.name, plan, train)


def _read(source, settings):
    """The training data, or None if it is too broken to be read; then the check has said why."""
    try:
        return datasets.read(source, settings.format, settings.images, strict=False)
    except DetkitError:
        return None


def _model(name: str, plan=None, train=None) -> list[Problem]:
    """Whether the model can be built and its checkpoint covers it; what would be tuned, and the cache's size."""
    from detkit.detection import load
    from detkit.training.selection import choose
    from detkit.zoo.source import locate

    try:
        source = locate(name, plan.model.checkpoint if plan else None)
        if plan is None or train is None or not train.classes:
            load.load(name)
            return []
        detector, report = load.transplant(
            source,
            train.classes,
            keep_classes=plan.model.keep_classes,
            backbone=plan.model.backbone and locate(plan.model.backbone),
        )
        selection = choose(detector, plan.train.tune)
    except DetkitError as error:
        return [_problem(error, name)]
    text = f"{len(report.restored)} variables restored, {len(report.reset)} reset; {selection.text.splitlines()[-1]}"
    return [Problem("info", "The checkpoint fits.", file=name, got=text)]


def _problem(error: DetkitError, where: str) -> Problem:
    parts = {name: None if getattr(error, name) is None else str(getattr(error, name)) for name in ("got", "expected")}
    return Problem("error", error.what, file=str(error.where or where), fix=error.fix, **parts)
