"""From an experiment's name and overrides in Model Garden's own YAML to one of its models."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path

from detkit.errors import ConfigError
from detkit.garden import catalogue, options, upstream
from detkit.pipeline import yaml_format

# What the overrides may say that only Model Garden's own trainer reads.
TRAINERS_OWN = (
    *("trainer", "runtime", "task.train_data", "task.validation_data", "task.annotation_file"),
    *("task.losses.l2_weight_decay", "task.losses.class_offset"),
)
DETKITS_OWN = ("experiment", "label_map")  # keys beside Model Garden's, see `detkit.pipeline.garden_yaml`
LISTED = 3  # options of one section that are listed one by one
READ = (
    "parser.match_threshold",
    "parser.unmatched_threshold",
    "parser.pad",
    "parser.keep_aspect_ratio",
    "train_data.image_feature.mean",
    "train_data.image_feature.stddev",
    "validation_data.output_size",
    "validation_data.resize_scales",
    "parser.letter_box",
    "train_data.parser.max_num_instances",
    "train_data.parser.anchor_thresh",
    "train_data.parser.best_match_only",
    "train_data.parser.use_tie_breaker",
    "train_data.parser.rpn_match_threshold",
    "train_data.parser.rpn_unmatched_threshold",
    "train_data.parser.rpn_batch_size_per_im",
    "train_data.parser.rpn_fg_fraction",
    "train_data.parser.mask_crop_size",
)


def read_overrides(config) -> dict:
    """The overrides in a YAML file, as Model Garden's `--config_file` takes them, or in a mapping; {} for None.

    Raises:
        ConfigError: if it can't be read, or holds something else.
    """
    values = config if isinstance(config, Mapping) or config is None else _read(config)
    if values is not None and not isinstance(values, Mapping):
        raise ConfigError("The overrides are no mapping.", where=config, expected="task: {model: {...}} and the like")
    return {name: value for name, value in (values or {}).items() if name not in DETKITS_OWN}


def label_map(config) -> Path | None:
    """The label map that belongs to overrides: named in a mapping, or beside a file."""
    if isinstance(config, Mapping):
        return Path(config["label_map"]) if config.get("label_map") else None
    beside = config and Path(config).parent / "label_map.pbtxt"
    return beside if beside and beside.is_file() else None


def _read(path):
    try:
        return yaml_format.loads(Path(path).read_text(encoding="utf-8"), str(path))[0]
    except (OSError, UnicodeDecodeError, TypeError) as error:
        raise ConfigError(
            "The overrides can't be read.", where=path, got=error, fix="Give the path of a YAML file."
        ) from None


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
    for path, value in given.items():
        options.check(config, path, value)
    _reject(given)
    with upstream.quiet():
        config.override(_plain_defaults(config), is_strict=False)
    _override(config, overrides)
    if entry.task == "segmentation":  # images of any size, whatever the experiment says
        config.task.model.input_size = [None, None, *(config.task.model.input_size[2:] or [3])]
    if columns is not None:
        config.task.model.num_classes = columns
    _check_needs(entry, config)
    return config


def unread(overrides: Mapping) -> list[str]:
    """The dotted paths of the overrides that concern Model Garden's own trainer, which detkit does not use.

    Of a section with many of them, "SECTION (NUMBER options)"; what is off anyway (null, false, 0) is left out.
    """
    sections: dict[str, list[str]] = {}
    for path, value in leaves(overrides):
        its = any(path == own or path.startswith(f"{own}.") for own in TRAINERS_OWN)
        if its and value and not path.endswith(READ):
            sections.setdefault(path.rpartition(".")[0], []).append(path)
    return [
        text
        for section, paths in sections.items()
        for text in (paths if len(paths) <= LISTED else [f"{section} ({len(paths)} options)"])
    ]


def build(name: str, config) -> tuple:
    """The task and the tf_keras model of a configuration; its weights come from its own initialisers, always the same.

    Raises:
        ConfigError: if Model Garden can't build it.
    """
    entry = catalogue.find(name)
    for needed in (entry.task_module, *entry.part_modules):
        upstream.module(needed)
    tf_keras, tasks = upstream.module("tf_keras"), upstream.module("core.task_factory")
    with upstream.quiet(), upstream.seeded(0), upstream.seeds_kept():
        try:
            task = tasks.get_task(config.task)
            model = task.build_model()
            if not model.built:  # and without a decoder its head has no variables
                model(tf_keras.Input(config.task.model.input_size), training=True)
        except (ValueError, TypeError, LookupError, AttributeError, AssertionError) as error:
            raise ConfigError(
                "Model Garden can't build this model.",
                where="task.model",
                got=_reason(error),
                fix="Check the overrides; the sides of the input must be multiples of the largest stride.",
            ) from error
    return task, model


def _reason(error: Exception) -> str:
    """The type and the first lines of an error of Model Garden."""
    if isinstance(error, KeyError):  # its text is the key alone
        return f"{error}, which Model Garden does not know"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])}"[:300]


def leaves(values: Mapping, above: str = "") -> Iterator[tuple[str, object]]:
    """(dotted path, value) of everything in nested mappings."""
    for name, value in values.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{path}.")
        else:
            yield path, value


def _override(config, overrides: Mapping) -> None:
    """Puts overrides into a configuration; ConfigError for values of another type."""
    try:
        with upstream.quiet():
            config.override(copy.deepcopy(dict(overrides)), is_strict=True)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            "Model Garden can't take these overrides.",
            where=", ".join(dict.fromkeys(path.rpartition(".")[0] for path, _ in leaves(overrides))),
            got=_reason(error),
            fix="Give each option a value of the type that it has in Model Garden.",
        ) from error


def _reject(given: dict) -> None:
    """Raises for what detkit would have to ignore."""
    reasons = {
        "stochastic_depth_drop_rate": ("training would not be repeatable", lambda value: value),
        "attribute_heads": ("detkit has nothing to show their outputs with", lambda value: value),
        "outer_boxes_scale": ("masks are relative to the boxes", lambda value: value != 1),
        "apply_nms": ("what is found would be found many times", lambda value: not value),
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
                f"{entry.name} needs {path}.",
                where=path,
                got=node,
                fix=f"Write in the overrides {_nested(path, example)}",
            )
    columns, least = config.task.model.num_classes, entry.background + 1
    if columns < least:
        raise ConfigError(
            "The class scores have no column for a class.",
            where="task.model.num_classes",
            got=columns,
            expected=f"{least} or more" + (", for the first column is the background's" if entry.background else ""),
            fix="Set it to the number of classes" + (" and one more." if entry.background else "."),
        )
    size = list(config.task.model.input_size)
    fixed = entry.task == "detection"  # segmenters take images of any size
    if fixed and (len(size) != 3 or not all(isinstance(n, int) and n > 0 for n in size) or size[2] != 3):
        raise ConfigError(
            "This is no size of colour images.",
            where="task.model.input_size",
            got=size,
            expected="[HEIGHT, WIDTH, 3]",
            fix="Give height and width in pixels, and three channels.",
        )


def _nested(path: str, value: str) -> str:
    """An option as YAML, in one line."""
    *above, name = path.split(".")
    text = f"{name}: {value}"
    for each in reversed(above):
        text = f"{each}: {{{text}}}"
    return text
