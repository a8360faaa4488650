"""Model Garden's models by name, with weights from its checkpoints, and for other classes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from detkit.checkpoint import reader, surgery
from detkit.data import labelmap
from detkit.detection.load import replacing_classes
from detkit.errors import ConfigError
from detkit.garden import build, catalogue, storage
from detkit.garden.detector import Description, GardenDetector
from detkit.garden.names import PREFIX, is_stored
from detkit.garden.retinanet import RetinaNet
from detkit.garden.two_stage import TwoStage
from detkit.pipeline.fields import nearest
from detkit.zoo.coco_classes import COCO_CLASSES

_KINDS = {
    "RetinaNet": RetinaNet,
    "Faster R-CNN": TwoStage,
    "Mask R-CNN": TwoStage,
    "Cascade R-CNN": TwoStage,
}
_INITIAL, _MODULES = "task.init_checkpoint", "task.init_checkpoint_modules"


def load(model, checkpoint=None, config=None, seed: int = 0) -> GardenDetector:
    """A detector of Model Garden.

    Args:
        model: "garden:EXPERIMENT", or the directory of a run.
        checkpoint: of Model Garden, or of detkit; None: the directory's own, what the overrides' `init_checkpoint`
            names, or none, and then every weight is random.
        config: overrides in Model Garden's YAML. A label_map.pbtxt beside them names the classes; without one they
            are COCO's where there are 91 columns of scores.
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
    restore(detector, checkpoint, seed=seed)
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
    if is_stored(options.name):
        _no_config(options.name, options.config)
        source = storage.read(options.name)
        checkpoint = options.checkpoint or Path(options.name) / "checkpoint"
    else:
        overrides = build.read_overrides(options.config)
        source = _described(options.name.removeprefix(PREFIX), overrides, options.config)
        checkpoint = options.checkpoint
    catalogue.find(source.experiment).check(training=True)
    described = source
    if tuple(classes) != source.classes:
        described = Description.of_classes(source.experiment, source.overrides, classes)
    detector = assemble(described)
    text = restore(detector, checkpoint, tuple(reset), described is not source, seed)
    unread = build.unread(source.overrides)
    return detector, "\n".join([text, *([f"only Model Garden's trainer reads: {', '.join(unread)}"] if unread else [])])


def restore(
    detector: GardenDetector, checkpoint=None, reset: tuple[str, ...] = (), other_classes: bool = False, seed: int = 0
) -> str:
    """Gives a detector the weights of a checkpoint, and fresh ones where it is told to.

    Args:
        checkpoint: None: what the overrides name, and of that the modules that they name.
        reset: parts or regular expressions over paths that start afresh.
        other_classes: whether the checkpoint's classes are others.

    Returns:
        The surgery's report as text.

    Raises:
        ConfigError: for a module or a part that is not there.
        CheckpointError: if something is left unexplained.
    """
    named = dict(build.leaves(detector.description.overrides))
    modules = detector.modules
    if checkpoint is None and named.get(_INITIAL):
        checkpoint, modules = named[_INITIAL], _modules(detector, named.get(_MODULES, "all"))
    detector.initialize(detector.variables(), seed)
    if checkpoint is None:
        return "no checkpoint: every weight starts afresh"
    plan = replacing_classes(detector, reset=reset) if other_classes else surgery.Plan(tuple(reset))
    afresh = [f"^{name}/" for name in detector.modules if name not in modules]
    drop = (rf"^(?!(\w+/)?_?({'|'.join(modules)})/)",) if afresh else ()
    plan = surgery.Plan((*plan.reset, *afresh), (*plan.drop, *drop), plan.convert)
    return surgery.apply(detector, reader.open_checkpoint(checkpoint), plan, seed).text()


def assemble(description: Description) -> GardenDetector:
    """The detector of a description, with the weights that Model Garden gives a new model."""
    config = build.experiment(description.experiment, description.overrides, description.columns)
    kind = _KINDS[catalogue.find(description.experiment).family]
    return kind(description, *build.build(description.experiment, config))


def _described(name: str, overrides: dict, config) -> Description:
    """The experiment as it is, with the names that its classes have."""
    columns, background = build.experiment(name, overrides).task.model.num_classes, catalogue.find(name).background
    path = Path(config).parent / "label_map.pbtxt" if config is not None else None
    names = labelmap.read(path) if path is not None and path.is_file() else None
    last = columns - background
    if names is None:
        names = COCO_CLASSES if columns == 91 else {number: f"class {number}" for number in range(1, last + 1)}
    elif max(names) > last:
        raise ConfigError(
            "The label map has an id beyond the columns of the class scores.",
            where=path,
            got=f"id {max(names)} ({names[max(names)]})",
            expected=f"1..{last}",
            fix=f"Set task.model.num_classes to {max(names) + background}.",
        )
    return Description(name, overrides, tuple(names.values()), tuple(names), columns)


def _modules(detector: GardenDetector, wanted) -> tuple[str, ...]:
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
    for name, value, plain in (
        ("keep_classes", options.keep_classes, False),
        ("backbone", options.backbone, None),
        ("init", options.init, "prior"),
    ):
        if value != plain:
            raise ConfigError(
                "The detectors of Model Garden do not take this option.",
                where=f"model.{name}",
                got=value,
                expected=plain,
                fix="Leave it out; for a backbone alone give init_checkpoint_modules in the overrides.",
            )
