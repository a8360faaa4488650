"""Reading and writing pipelines: detkit's YAML, and the files of the OD API and of Model Garden as they are."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from pathlib import Path, PureWindowsPath

from detkit.errors import ConfigError
from detkit.pipeline import garden_yaml, od_config, od_steps, yaml_format
from detkit.pipeline.fields import nearest
from detkit.pipeline.od_config import PipelineConfig
from detkit.pipeline.options import describe, from_mapping, spec_at, to_mapping
from detkit.pipeline.settings import Augment, DataConfig, ModelConfig, Pipeline, TrainConfig, TuneRule
from detkit.pipeline.transfer import HUB, PIPELINES

__all__ = [
    "Augment",
    "DataConfig",
    "ModelConfig",
    "Pipeline",
    "TrainConfig",
    "TuneRule",
    "describe",
    "from_mapping",
    "load",
    "parse",
    "to_yaml",
]

_OD_CONFIG = re.compile(r"^\s*(model|train_config|train_input_reader|eval_config)\s*:?\s*[{<]", re.MULTILINE)
_KINDS = {"detection": Pipeline} | PIPELINES
_PLACEHOLDER = "PATH_TO_BE"  # in the zoo's configs


def load(path: str | Path, overrides: Iterable[str] = ()) -> Pipeline:
    """The pipeline that a file holds: detkit's YAML, Model Garden's, or an OD API pipeline.config.

    Args:
        path: the file.
        overrides: `dotted.key=value`, where the value is written as in YAML. Relative paths in a YAML file
            are relative to its folder; in overrides and, as in the OD API and Model Garden, in a
            pipeline.config and in Model Garden's YAML to the working directory. For a file in Model
            Garden's layout also "experiment=NAME" and the dotted keys of its own.

    Raises:
        ConfigError: naming the dotted path, and line and column or the override, if the file can't be read,
            a key is unknown, or a value isn't allowed.

    Example:
        load("pipelines/raccoon.yaml", ["train.steps=100", "data.train=raccoon/annotations"])
    """
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except OSError as error:
        own = Path(path) / "pipeline.yaml"
        fix = f"Give the path of a YAML file{f', such as {own}' if own.is_file() else ''}."
        raise ConfigError("The pipeline can't be read.", where=path, got=error.strerror, fix=fix) from None
    except (UnicodeDecodeError, ValueError) as error:
        raise ConfigError("The pipeline isn't a text file.", where=path, got=error) from None
    return parse(text, path, overrides)


def parse(text: str, path: str | Path, overrides: Iterable[str] = ()) -> Pipeline:
    """The pipeline that a text holds, as if it were read from that path.

    Raises:
        ConfigError: as `load`.
    """
    if _is_od_config(text, Path(path)):
        config = od_config.parse(text, str(path))
        values = _from_od_config(config, Path(path))
        options = enumerate(od_steps.of_config(config))
        places = {f"train.augment.od_api[{number}]": where for number, (_, where) in options}
    else:
        values, places = yaml_format.loads(text, str(path))
        values, overrides = {} if values is None else values, list(overrides)
        theirs = [override for override in overrides if garden_yaml.own(override)]
        if garden_yaml.is_layout(values) or (theirs and not values):
            values, places = garden_yaml.translate(values, places, Path(path), theirs)
            overrides = [override for override in overrides if override not in theirs]
        else:
            _check_layout(overrides, path)
            _resolve(values, Path(path).parent)
    for override in overrides if isinstance(values, dict) else ():
        _override(values, places, override)
    return _located(values, places, str(path))


def to_yaml(pipeline: Pipeline) -> str:
    """The pipeline as YAML, every option written out; `load` reads an equal pipeline from it."""
    values = to_mapping(pipeline)
    values["train"]["augment"] = values["train"]["augment"] or "none"
    return yaml_format.dumps(values)


def _located(values, places: Mapping[str, str], path: str) -> Pipeline:
    """The checked pipeline; an error gets the place of the value, or of what holds it."""
    try:
        return from_mapping(_kind(values), values)
    except ConfigError as error:
        key = error.where or ""
        while key and key not in places:
            key = key.rpartition(".")[0]
        where = places.get(key, path)
        raise ConfigError(error.what, where=where, got=error.got, expected=error.expected, fix=error.fix) from None


def _kind(values) -> type:
    """The dataclass of the pipeline's task."""
    task = values.get("task", "detection") if isinstance(values, dict) else "detection"
    if not isinstance(task, str) or task not in _KINDS:
        expected = f"one of {', '.join(_KINDS)}"
        raise ConfigError(
            "There is no such task.", where="task", got=repr(task), expected=expected, fix=nearest(task, _KINDS)
        )
    return _KINDS[task]


def _check_layout(overrides: list[str], path) -> None:
    """ConfigError where an experiment is named for a file in detkit's layout."""
    named = next((override for override in overrides if override.startswith("experiment=")), None)
    if named:
        raise ConfigError(
            "An experiment is named for pipelines in Model Garden's layout, and this one is in detkit's.",
            where=path,
            got=named,
            fix=f"Name the model: --set model.name=garden:{named.partition('=')[2]}",
        )


def _resolve(values, folder: Path) -> None:
    """Make the paths that a YAML file holds relative to its folder, in place."""
    if not isinstance(values, dict):
        return
    if isinstance(values.get("model"), str):
        values["model"] = ModelConfig.expand(values["model"])
    for section, names in {
        "data": ("train", "val", "test", "images", "label_map"),
        "model": ("name", "checkpoint", "config", "backbone", "weights"),
    }.items():
        options = values.get(section)
        for name in set(names) & set(options) if isinstance(options, dict) else ():
            options[name] = _in_folder(options[name], folder, name in ("name", "backbone", "weights"))


def _in_folder(value, folder: Path, is_model: bool):
    if is_model and isinstance(value, str) and value.startswith(HUB):
        return f"{HUB}{_in_folder(value.removeprefix(HUB), folder, False)}"
    if not isinstance(value, str) or not value or "://" in value or (is_model and "/" not in value):
        return value
    if value == garden_yaml.NUMBERS:
        return value
    path = os.path.join(folder, os.path.expanduser(value))
    return path if os.path.exists(path) or not is_model else value  # a zoo name may hold a slash


def _override(values: dict, places: dict[str, str], override: str) -> None:
    """Set one value, in place."""
    path, equals, text = override.partition("=")
    path, where = path.strip(), f"--set {override}"
    if not equals or not all(path.split(".")):
        raise ConfigError("This is no override.", where=where, expected="KEY=VALUE, as train.steps=300")
    *parents, name = path.split(".")
    kind = _kind(values)
    for depth, parent in enumerate(parents, 1):
        above = ".".join(parents[:depth])
        spec = spec_at(kind, above)
        # What was not written stands at its default: one option of the usual augmentation can be changed alone.
        child = values[parent] if parent in values else _default(kind, above)
        child = to_mapping(child) if is_dataclass(child) else child
        child = spec.kind.expand(child) if spec and is_dataclass(spec.kind) else child
        if not isinstance(child, dict | None) or (spec and not is_dataclass(spec.kind)):
            raise ConfigError(f"{above} has no keys below it.", where=where, got=path)
        values[parent] = values = dict(child or {})
        places.setdefault(above, where)
    values[name] = _override_value(kind, path, text, where)
    for stale in [key for key in places if key.startswith((f"{path}.", f"{path}["))]:
        del places[stale]
    places[path] = where


def _default(kind: type, path: str):
    """The default of an option that has a short form for several (augment: true), else None."""
    return next((option.default for option in describe(kind) if option.path == path), None)


def _override_value(kind: type, path: str, text: str, where: str):
    spec = spec_at(kind, path)
    is_path = spec is not None and (spec.metadata.get("path") or path == "model")
    if is_path and text.strip() not in ("", "~", "null"):
        return text  # whatever it looks like to YAML
    return yaml_format.loads(text, where)[0]


def _is_od_config(text: str, path: Path) -> bool:
    if path.suffix.lower() in (".yaml", ".yml"):
        return False
    return path.suffix == ".config" or bool(_OD_CONFIG.search(text))


def _from_od_config(config: PipelineConfig, path: Path) -> dict:
    """What a pipeline.config says of model, data and training.

    The optimizer and its learning rate are taken over where detkit has the same, and are detkit's defaults
    otherwise. The augmentation is the config's own.
    """
    model = {"name": os.path.abspath(path.parent if path.name == "pipeline.config" else path)}
    data, train = {}, {}
    if config.train_input_reader:
        data["train"] = _records(config.train_input_reader)
    if config.eval_input_reader:
        data["val"] = _records(config.eval_input_reader[0])
    data["label_map"] = _label_map([config.train_input_reader, *config.eval_input_reader[:1]], path)
    if options := config.train_config:
        if options.fine_tune_checkpoint and _PLACEHOLDER not in options.fine_tune_checkpoint:
            model["checkpoint"] = options.fine_tune_checkpoint
        train = {"batch_size": options.batch_size, "clip_norm": options.gradient_clipping_by_norm or None}
        train |= {"steps": options.num_steps} if options.num_steps else {}
        train["augment"] = {"od_api": [text for text, _ in od_steps.of_config(config)]}
        train |= _optimizer(options.optimizer) if options.optimizer else {}
    return {"model": model, "data": data, "train": train}


def _records(reader) -> str | None:
    paths = reader.tf_record_input_reader.input_path if reader.tf_record_input_reader else ()
    given = [path for path in paths if _PLACEHOLDER not in path]
    return ",".join(path if "://" in path else os.path.abspath(path) for path in given) or None


def _label_map(readers, path: Path) -> str | None:
    """The label map that the readers name, where it is, or where it is beside a config that has moved."""
    named = [reader.label_map_path for reader in readers if reader and reader.label_map_path]
    places = [place for name in named for place in (Path(name), path.parent / PureWindowsPath(name).name)]
    return next((os.path.abspath(place) for place in places if place.is_file()), None)


def _optimizer(optimizer) -> dict:
    if momentum := optimizer.momentum_optimizer:
        kind = {"optimizer": "momentum", "momentum": momentum.momentum_optimizer_value}
        return kind | _schedule(momentum.learning_rate)
    if adam := optimizer.adam_optimizer:
        return {"optimizer": "adam"} | _schedule(adam.learning_rate)
    return {}


def _schedule(rate) -> dict:
    if rate and (cosine := rate.cosine_decay_learning_rate):
        course = {"learning_rate": cosine.learning_rate_base, "warmup_steps": cosine.warmup_steps}
        return {"schedule": "cosine", **course}
    if rate and (constant := rate.constant_learning_rate):
        return {"schedule": "constant", "learning_rate": constant.learning_rate, "warmup_steps": 0}
    return {}
