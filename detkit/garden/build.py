"""From an experiment's name and overrides in Model Garden's own YAML to one of its models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from detkit.errors import ConfigError
from detkit.garden import catalogue, upstream
from detkit.pipeline import yaml_format
from detkit.pipeline.fields import nearest

# What the overrides may say that only Model Garden's own trainer reads.
TRAINERS_OWN = ("trainer", "runtime", "task.train_data", "task.validation_data", "task.annotation_file")
READ = ("parser.match_threshold", "parser.unmatched_threshold", "parser.pad", "parser.keep_aspect_ratio")


def read_overrides(path) -> dict:
    """The overrides in a YAML file, as Model Garden's `--config_file` takes them; {} for None.

    Raises:
        ConfigError: if it can't be read, or holds something else.
    """
    if path is None:
        return {}
    try:
        values, _ = yaml_format.loads(Path(path).read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            "The overrides can't be read.", where=path, got=error, fix="Give the path of a YAML file."
        ) from None
    if values is not None and not isinstance(values, dict):
        raise ConfigError("The overrides are no mapping.", where=path, expected="task: {model: {...}} and the like")
    return values or {}


def experiment(name: str, overrides: Mapping, columns: int | None = None):
    """An experiment's configuration with the overrides in it, and with detkit's defaults for one machine.

    Norms are not synchronised among replicas, boxes are suppressed in one go (`nms_version: batched`), and stochastic
    depth, which is not repeatable, is off. None of it changes a variable.

    Args:
        name: an experiment of Model Garden.
        overrides: as `read_overrides` returns them.
        columns: of the class scores, the background's with them, instead of the experiment's own number.

    Raises:
        ConfigError: for an experiment that does not exist or can't be built, and for overrides that are not there, that
            detkit can't honour, or that leave out what the experiment needs.
    """
    entry = catalogue.find(name).check()
    upstream.module(entry.module)
    config = upstream.module("core.exp_factory").get_exp_config(name)
    given = dict(leaves(overrides))
    for path in given:
        _check_path(config, path)
    _reject(given)
    with upstream.quiet():
        config.override(_plain_defaults(config), is_strict=False)
        config.override(dict(overrides), is_strict=True)
    if columns is not None:
        config.task.model.num_classes = columns
    _check_needs(entry, config)
    return config


def unread(overrides: Mapping) -> list[str]:
    """The dotted paths of the overrides that concern Model Garden's own trainer, which detkit does not use."""
    return [
        path
        for path, _ in leaves(overrides)
        if any(path == own or path.startswith(f"{own}.") for own in TRAINERS_OWN) and not path.endswith(READ)
    ]


def build(name: str, config) -> tuple:
    """The task and the tf_keras model of a configuration; its weights come from its own initialisers, always the same.

    Raises:
        ConfigError: if Model Garden can't build it.
    """
    upstream.module(catalogue.find(name).task_module)
    tf_keras, tasks = upstream.module("tf_keras"), upstream.module("core.task_factory")
    with upstream.quiet(), upstream.seeded(0):
        try:
            task = tasks.get_task(config.task)
            model = task.build_model()
            if not model.built:  # and without a decoder its head has no variables
                model(tf_keras.Input(config.task.model.input_size), training=True)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigError(
                "Model Garden can't build this model.",
                where="task.model",
                got=f"{type(error).__name__}: {str(error).partition(chr(10))[0]}",
                fix="Check the overrides; the sides of the input must be multiples of the largest stride.",
            ) from error
    return task, model


def leaves(values: Mapping, above: str = "") -> Iterator[tuple[str, object]]:
    """(dotted path, value) of everything in nested mappings."""
    for name, value in values.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{path}.")
        else:
            yield path, value


def _check_path(config, path: str) -> None:
    """Raises where Model Garden has no such option."""
    node, done = config, []
    for name in path.split("."):
        names = [key for key in vars(node) if not key.startswith("_")] if hasattr(node, "override") else []
        if name not in names:
            raise ConfigError(
                "Model Garden has no such option.",
                where=path,
                got=name,
                expected=f"one of {', '.join(names)}" if names else f"a value for {'.'.join(done)}",
                fix=nearest(name, names),
            )
        node = getattr(node, name)
        done.append(name)


def _reject(given: dict) -> None:
    """Raises for what detkit would have to ignore."""
    reasons = {
        "stochastic_depth_drop_rate": ("training would not be repeatable", lambda value: value),
        "attribute_heads": ("detkit has nothing to show their outputs with", lambda value: value),
        "outer_boxes_scale": ("masks are relative to the boxes", lambda value: value != 1),
        "freeze_backbone": ("what is tuned is said by detkit's own train.tune", lambda value: value),
    }
    for path, value in given.items():
        reason, meant = reasons.get(path.rpartition(".")[2], ("", lambda value: False))
        if meant(value):
            raise ConfigError(f"detkit can't honour this option: {reason}.", where=path, got=value, fix="Leave it out.")


def _plain_defaults(config) -> dict:
    """Overrides of the experiment's own defaults, where they are meant for many machines."""
    wanted = {"use_sync_bn": False, "stochastic_depth_drop_rate": 0.0}
    # In YOLO the same goes by another name.
    quicker = {"v2": "batched", "v3": "batched", "iou": "greedy"}
    nested: dict = {}
    for path, value in leaves(config.task.model.as_dict(), "task.model."):
        *names, last = path.split(".")
        better = quicker.get(value, value) if last == "nms_version" else wanted.get(last, value)
        if better != value:
            branch = nested
            for name in names:
                branch = branch.setdefault(name, {})
            branch[last] = better
    return nested


def _check_needs(entry, config) -> None:
    for path, example in entry.needs.items():
        node = config
        for name in path.split("."):
            node = getattr(node, name, None)
        if not node:
            raise ConfigError(
                f"{entry.name} needs {path}.", where=path, got=node, fix=f"Give it in the overrides: {path}: {example}"
            )
