"""The pre-flight check: data, config, checkpoint and memory, all problems in one pass."""

from __future__ import annotations

from pathlib import Path

from detkit import data as datasets
from detkit import models
from detkit.data.checks import INPUT_SIZE, check_all
from detkit.data.formats import yolo_files
from detkit.data.problems import Problem, problem_of
from detkit.errors import DetkitError
from detkit.garden.names import PREFIX, is_garden, is_stored
from detkit.pipeline import od_config
from detkit.pipeline import pipeline as pipelines
from detkit.zoo.catalogue import find
from detkit.zoo.source import locate


def check(target: Path, overrides=()) -> list[Problem]:
    """Every problem of a pipeline, a model or a dataset.

    Args:
        target: a YAML pipeline, a pipeline.config, a model or run directory, or annotations.
        overrides: of the pipeline.
    """
    config = target.suffix == ".config" and target.is_file()
    # The data.yaml of a YOLO dataset has the suffix of a pipeline.
    if config or (target.suffix in (".yaml", ".yml") and yolo_files.why_no_description(target)):
        return _pipeline(target, overrides)
    if (target / "pipeline.config").is_file():
        return _model(str(target))
    if models.is_stored(target) or is_garden(target):
        return _stored(target)
    return datasets.check(target)


def input_size(model: str) -> int:
    """The longer side in pixels of what a model reads; nothing is downloaded.

    Args:
        model: as for `detkit.load`.

    Raises:
        ConfigError: if there is no such model.
    """
    if not Path(model).exists():
        return max(find(str(model)).input_size or (INPUT_SIZE,))
    resizer = od_config.meta_architecture(locate(model).config).image_resizer
    if resizer.fixed_shape_resizer:
        return max(resizer.fixed_shape_resizer.height, resizer.fixed_shape_resizer.width)
    aspect = resizer.keep_aspect_ratio_resizer
    return aspect.max_dimension if aspect else INPUT_SIZE


def _pipeline(path: Path, overrides) -> list[Problem]:
    try:
        plan = pipelines.load(path, overrides)
    except DetkitError as error:
        return [problem_of(error) if error.where else problem_of(error, file=str(path))]
    problems, sets = [], []
    for name in ("train", "val", "test"):
        source = getattr(plan.data, name)
        if source is None:
            if name == "train":
                fix = "Give it: --set data.train=PATH."
                problems.append(Problem("error", "The pipeline names no training data.", file=str(path), fix=fix))
            continue
        try:
            options = dict(strict=False, label_map=plan.data.label_map)
            sets.append((name, datasets.read(source, plan.data.format, plan.data.images, **options)))
        except DetkitError as error:
            problems.append(problem_of(error))
    if plan.task != "detection":
        size = max(plan.model.size or [INPUT_SIZE])
        return problems + check_all(sets, size) + _network(plan, dict(sets).get("train"))
    try:
        size = _garden_size(plan.model) if is_garden(plan.model.name) else input_size(plan.model.name)
    except DetkitError:  # what is wrong with the model is told below
        size = INPUT_SIZE
    if is_garden(plan.model.name):
        return problems + check_all(sets, size) + _garden(plan, dict(sets).get("train"))
    return problems + check_all(sets, size) + _model(plan.model.name, plan, dict(sets).get("train"))


def _stored(directory: Path) -> list[Problem]:
    """Whether a network can be loaded."""
    try:
        models.load(directory)
    except DetkitError as error:
        return [problem_of(error) if error.where else problem_of(error, file=str(directory))]
    return []


def _network(plan, train) -> list[Problem]:
    """Whether the network of a pipeline can be built, and what would be trained."""
    from detkit.training.phases import plan as plan_phases

    if train is None:
        return []
    if not train.classes:
        fix = "Add categories to the annotations."
        return [Problem("error", "The training data names no class.", file=train.name, fix=fix)]
    try:
        network = models.build(plan.task, plan.model, train.classes)
        network.check_data(train)
        phases = plan_phases(network, plan.train)
    except DetkitError as error:
        return [problem_of(error) if error.where else problem_of(error, file="model")]
    text = "; ".join(line for phase in phases for line in phase.selection.text.splitlines())
    return [Problem("info", "The model can be built.", file=plan.model.name, got=text)]


def _garden(plan, train) -> list[Problem]:
    """Whether a model of Model Garden can be built and its checkpoint covers it, and what would be trained."""
    from detkit.garden import load as garden
    from detkit.training.selection import choose

    problems = _garden_options(plan.model)
    if train is None or not train.classes or any(problem.severity == "error" for problem in problems):
        return problems
    name = plan.model.name
    try:
        detector, _ = garden.transplant(plan.model, train.classes)
        selection = choose(detector, plan.train.tune)
    except DetkitError as error:
        return [*problems, problem_of(error) if error.where else problem_of(error, file=name)]
    return [*problems, Problem("info", "The model can be built.", file=name, got=selection.text.splitlines()[-1])]


def _garden_options(options) -> list[Problem]:
    """What is wrong with a model of Model Garden before it is built, and which options nothing reads."""
    from detkit.checkpoint import reader
    from detkit.garden import build, catalogue

    name, problems, overrides = options.name, [], {}
    try:
        overrides = build.read_overrides(options.config)
    except DetkitError as error:
        problems.append(problem_of(error))
    checkpoint = options.checkpoint or dict(build.leaves(overrides)).get("task.init_checkpoint")
    for question in (
        lambda: is_stored(name) or catalogue.find(name.removeprefix(PREFIX)).check(training=True),
        lambda: reader.open_checkpoint(checkpoint) if checkpoint else None,
    ):
        try:
            question()
        except DetkitError as error:
            problems.append(problem_of(error) if error.where else problem_of(error, file=name))
    if unread := build.unread(overrides):
        what = "Only Model Garden's trainer reads these options; detkit's own are those of `train`."
        problems.append(Problem("info", what, file=name, got=", ".join(unread)))
    return problems


def _garden_size(options) -> int:
    """The longer side in pixels of what a model of Model Garden reads, as far as it can be told without it."""
    from detkit.garden import build, catalogue, storage

    stored = storage.read(options.name) if is_stored(options.name) else None
    experiment = stored.experiment if stored else options.name.removeprefix(PREFIX)
    overrides = stored.overrides if stored else build.read_overrides(options.config)
    given = dict(build.leaves(overrides)).get("task.model.input_size") or catalogue.find(experiment).size or ()
    sides = [side for side in given[:2] if isinstance(side, int)] if isinstance(given, list | tuple) else []
    return max(sides, default=INPUT_SIZE)


def _model(name: str, plan=None, train=None) -> list[Problem]:
    """Whether the model can be built and its checkpoint covers it; what would be tuned, and the cache's size."""
    from detkit.detection import load
    from detkit.training.selection import choose

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
        return [problem_of(error) if error.where else problem_of(error, file=name)]
    text = f"{len(report.restored)} variables restored, {len(report.reset)} reset; {selection.text.splitlines()[-1]}"
    return [Problem("info", "The checkpoint fits.", file=name, got=text)]
