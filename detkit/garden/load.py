"""Model Garden's models by name, with weights from its checkpoints, and for other classes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from detkit.checkpoint import reader, surgery
from detkit.data import labelmap
from detkit.detection.load import replacing_classes, widening
from detkit.errors import ConfigError
from detkit.garden import build, catalogue, storage
from detkit.garden.class_names import CITYSCAPES, PASCAL
from detkit.garden.detector import GardenDetector
from detkit.garden.detr import Detr
from detkit.garden.names import PREFIX, is_stored
from detkit.garden.network import Description, GardenNetwork
from detkit.garden.retinanet import RetinaNet
from detkit.garden.segmenter import GardenSegmenter
from detkit.garden.two_stage import TwoStage
from detkit.garden.yolo_training import YoloV4, YoloV7
from detkit.pipeline.fields import nearest
from detkit.pipeline.settings import ModelConfig
from detkit.zoo.coco_classes import COCO_CLASSES

_KINDS = {
    "RetinaNet": RetinaNet,
    "Faster R-CNN": TwoStage,
    "Mask R-CNN": TwoStage,
    "Cascade R-CNN": TwoStage,
    "DETR": Detr,
    "YOLOv4": YoloV4,
    "YOLOv7": YoloV7,
} | dict.fromkeys(catalogue.SEGMENTING, GardenSegmenter)
SAME, OTHER, MORE = "same", "other", "more"  # how a model's classes are related to a checkpoint's
NO_CHECKPOINT = "no checkpoint: every weight starts afresh"
_INITIAL, _MODULES = "task.init_checkpoint", "task.init_checkpoint_modules"


def load(model, checkpoint=None, config=None, seed: int = 0) -> GardenNetwork:
    """A detector or a segmenter of Model Garden.

    Args:
        model: "garden:EXPERIMENT", or the directory of a run.
        checkpoint: of Model Garden, or of detkit; None: the directory's own, what the overrides' `init_checkpoint`
            names, or none, and then every weight is random.
        config: overrides in Model Garden's YAML. A label_map.pbtxt beside them names the classes; without one they
            are those of COCO, Pascal VOC or Cityscapes where there are as many columns of scores as these have.
        seed: of the random weights.

    Raises:
        ConfigError: if the experiment can't be built.
        CheckpointError: if the checkpoint can't be read, or does not cover the model.
    """
    if is_stored(model):
        _no_config(model, config)
        detector = assemble(storage.read(model))
        surgery.apply(detector, reader.open_checkpoint(checkpoint or Path(model) / "checkpoint"))
        return detector
    overrides = build.read_overrides(config)
    detector = assemble(_described(str(model).removeprefix(PREFIX), overrides, config))
    detector.untrained = restore(detector, checkpoint, seed=seed) == NO_CHECKPOINT
    return detector


def transplant(options, classes: Iterable[str], reset=(), seed: int = 0) -> tuple[GardenDetector, str]:
    """A detector for other classes on the weights of a known one.

    Everything is restored but the class head, and that too if the classes are the same.

    Args:
        options: a `detkit.pipeline.settings.ModelConfig`.
        classes: the new class names.
        reset: as for `restore`.
        seed: of what starts afresh.

    Returns:
        (detector, the surgery's report as text).
    """
    _reject(options)
    return adapted(options, classes, "detection", tuple(reset), seed)


def adapted(options, classes: Iterable[str], task: str, reset: tuple[str, ...] = (), seed: int = 0, own=None) -> tuple:
    """A model for other classes on the weights of a known one; arguments and result as of `transplant`.

    Args:
        options: of the model, with `name`, `checkpoint` and `config`.
        task: that it is to be for.
        own: the options of its description.

    Raises:
        ConfigError: if it is for another task.
    """
    source = _source(options, task)
    described, how = _for_classes(source, tuple(classes), getattr(options, "keep_classes", False))
    network = assemble(replace(described, options=own or {}))
    text = restore(network, _checkpoint(options), reset, how, seed)
    unread = build.unread(source.overrides)
    return network, "\n".join([text, *([f"only Model Garden's trainer reads: {', '.join(unread)}"] if unread else [])])


def examine(options, classes: Iterable[str] = (), reset: tuple[str, ...] = ()) -> tuple:
    """What `transplant` would do, without doing it.

    Args:
        options: of the model, with `name`, `checkpoint` and `config`.
        classes: the new class names; none for the known ones.

    Returns:
        (network, the surgery's report).

    Raises:
        ConfigError, CheckpointError: if there is no model or no checkpoint of it.
    """
    source = _described_as(options)
    described, how = _for_classes(source, tuple(classes) or source.classes)
    network = assemble(described)
    checkpoint, _, plan = _plan(network, _checkpoint(options), reset, how)
    if checkpoint is None:
        raise ConfigError(
            "There is no checkpoint that a surgery could begin with.",
            where=options.name,
            fix="Name one, or a run: --checkpoint PATH, or task.init_checkpoint in the overrides.",
        )
    return network, surgery.examine(network, reader.open_checkpoint(checkpoint), plan)


def architecture(model) -> GardenNetwork:
    """A model, as for `load`, whose weights are not read."""
    return assemble(_described_as(ModelConfig(name=str(model))))


def _checkpoint(options):
    """The checkpoint that is named, or that of a stored model."""
    return options.checkpoint or (Path(options.name) / "checkpoint" if is_stored(options.name) else None)


def _for_classes(source: Description, classes: tuple[str, ...], keep: bool = False) -> tuple[Description, str]:
    """The description of a model for other classes, and what `restore` does for it to become one."""
    new = tuple(name for name in classes if name not in source.classes)
    if classes == source.classes or (keep and not new):
        return source, SAME
    if not keep:
        return Description.of_classes(source.experiment, source.overrides, classes), OTHER
    last = source.columns - source.first_column
    ids = (*source.label_ids, *range(last + 1, last + 1 + len(new)))
    wider = replace(source, classes=source.classes + new, label_ids=ids, columns=source.columns + len(new))
    return wider, MORE


def _described_as(options) -> Description:
    """The model that is named."""
    if is_stored(options.name):
        _no_config(options.name, options.config)
        return storage.read(options.name)
    name = str(options.name).removeprefix(PREFIX)
    return _described(name, build.read_overrides(options.config), options.config)


def _source(options, task: str) -> Description:
    """The model that is adapted."""
    stored = storage.read(options.name) if is_stored(options.name) else None
    name = stored.experiment if stored else str(options.name).removeprefix(PREFIX)
    entry = catalogue.find(name).check(training=True)
    if entry.task != task:
        raise ConfigError(
            f"This model is one for {entry.task}.",
            where="model.name",
            got=options.name,
            expected=f"one for {task}, as the pipeline's task says",
            fix=f"Set task: {entry.task} in the pipeline, or choose another model: `detkit garden list`.",
        )
    return _described_as(options)


def task_of(model) -> str:
    """What a model of Model Garden is for: "detection" or "segmentation"."""
    name = storage.read(model).experiment if is_stored(model) else str(model).removeprefix(PREFIX)
    return catalogue.find(name).task


def restore(
    detector: GardenNetwork, checkpoint=None, reset: tuple[str, ...] = (), classes: str = SAME, seed: int = 0
) -> str:
    """Gives a detector the weights of a checkpoint, and fresh ones where it is told to.

    Args:
        checkpoint: None: what the overrides name, and of that the modules that they name.
        reset: parts or regular expressions over paths that start afresh.
        classes: the detector's are the SAME as the checkpoint's, OTHER ones, or these and MORE.
        seed: of what starts afresh.

    Returns:
        The surgery's report as text.

    Raises:
        ConfigError: for a module or a part that is not there.
        CheckpointError: if something is left unexplained.
    """
    detector.initialize(detector.variables(), seed)
    checkpoint, modules, plan = _plan(detector, checkpoint, reset, classes)
    if checkpoint is None:
        return NO_CHECKPOINT
    report = surgery.apply(detector, reader.open_checkpoint(checkpoint), plan, seed)
    keeping = {path for path, columns in detector.class_columns().items() if columns.keeps}
    shared = keeping & set(plan.convert) & set(report.restored)
    others = f"\nof {len(shared)} variables the columns of the classes start afresh, and only those" if shared else ""
    detector.pretrained = "backbone" in modules
    return report.text() + others


def _plan(detector: GardenNetwork, checkpoint, reset, classes: str) -> tuple:
    """(the checkpoint or None, the modules that are taken from it, the plan); arguments as of `restore`."""
    named = dict(build.leaves(detector.description.overrides))
    modules = detector.modules
    if checkpoint is None and named.get(_INITIAL):
        checkpoint, modules = named[_INITIAL], _modules(detector, named.get(_MODULES, "all"))
    if classes == MORE:
        description = detector.description
        plan = surgery.Plan(tuple(reset), (), widening(detector, description.columns - description.first_column))
    else:
        plan = replacing_classes(detector, reset=reset) if classes == OTHER else surgery.Plan(tuple(reset))
    afresh = [f"^{re.escape(path)}$" for path in detector.variables() if path.partition("/")[0] not in modules]
    afresh = afresh if set(modules) < set(detector.modules) else []
    drop = (rf"^(?!(\w+/)?_?({'|'.join(modules)})/)",) if afresh else ()
    return checkpoint, modules, surgery.Plan((*plan.reset, *afresh), (*plan.drop, *drop), plan.convert)


def assemble(description: Description) -> GardenNetwork:
    """The model of a description, with the weights that Model Garden gives a new model."""
    config = build.experiment(description.experiment, description.overrides, description.columns)
    kind = _KINDS[catalogue.find(description.experiment).family]
    kind.check_options(config)
    return kind(description, *build.build(description.experiment, config))


def _described(name: str, overrides: dict, config) -> Description:
    """The experiment as it is, with the names that its classes have."""
    columns, background = build.experiment(name, overrides).task.model.num_classes, catalogue.find(name).background
    path = build.label_map(config)
    names = labelmap.read(path) if path is not None else None
    last = columns - background
    if names is None:
        known = _class_names(name, last) or [f"class {i}" for i in range(1, last + 1)]
        # Where there is no background, column 0 stands for COCO's id 0, which is no class.
        coco = {label_id + 1 - background: name for label_id, name in COCO_CLASSES.items()}
        names = coco if columns == 91 else dict(enumerate(known, start=1))
    elif max(names) > last:
        raise ConfigError(
            "The label map has an id beyond the columns of the class scores.",
            where=path,
            got=f"id {max(names)} ({names[max(names)]})",
            expected=f"1..{last}",
            fix=f"Set task.model.num_classes to {max(names) + background}.",
        )
    return Description(name, overrides, tuple(names.values()), tuple(names), columns)


def _class_names(experiment: str, count: int) -> list[str]:
    """The names of so many classes, none where they can't be known."""
    if catalogue.find(experiment).task == "detection":
        return list(COCO_CLASSES.values()) if count == len(COCO_CLASSES) else []
    known = CITYSCAPES if experiment.endswith("_cityscapes") else PASCAL
    return list(known) if count == len(known) else []


def _modules(detector: GardenNetwork, wanted) -> tuple[str, ...]:
    """The modules that `init_checkpoint_modules` means; upstream restores nothing for a name that it does not know."""
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    if names == ["all"]:
        return detector.modules
    for name in names:
        if name not in detector.modules:
            raise ConfigError(
                "The model has no such module.",
                where=_MODULES,
                got=name,
                expected=f"all, or some of {', '.join(detector.modules)}",
                fix=nearest(name, detector.modules),
            )
    return tuple(names)


def _no_config(model, config) -> None:
    if config is not None:
        raise ConfigError(
            "A trained model has its configuration with it.",
            where=model,
            got=f"config: {config}",
            fix="Leave out the config, or start from the experiment: garden:NAME.",
        )


def _reject(options) -> None:
    """Raises for options of other detectors."""
    imprinting = "Leave it out; examples set the weights of detkit's own heads only."
    borrowing = "Leave it out; for a backbone alone give init_checkpoint_modules in the overrides."
    for name, value, plain, fix in (
        ("backbone", options.backbone, None, borrowing),
        ("init", options.init, "prior", imprinting),
    ):
        if value != plain:
            raise ConfigError(
                "The detectors of Model Garden do not take this option.",
                where=f"model.{name}",
                got=value,
                expected=plain,
                fix=fix,
            )
