"""Networks on disk: model.yaml, which says how to build one, and the checkpoint with its weights."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from detkit.checkpoint import reader, surgery, writer
from detkit.errors import ConfigError
from detkit.io import atomic_write, make_directory
from detkit.pipeline import yaml_format
from detkit.pipeline.options import Options, from_mapping, to_mapping
from detkit.pipeline.transfer import HUB, MODELS

FILE = "model.yaml"
BACKBONE = "backbone"  # the folder of a SavedModel that the network begins with
SAVED_MODEL = ("saved_model.pb", "variables", "assets", "assets.extra", "fingerprint.pb", "tfhub_module.pb")


@dataclass(frozen=True)
class Stored:
    """What model.yaml says.

    Attributes:
        task: a key of `detkit.pipeline.transfer.MODELS`.
        options: of that task's model.
        classes, label_ids: of the model.
    """

    task: str
    options: Options
    classes: tuple[str, ...]
    label_ids: tuple[int, ...]


def is_stored(directory) -> bool:
    """Whether a directory holds a network that `save` wrote."""
    return (Path(directory) / FILE).is_file()


def save(network, directory) -> None:
    """Writes a network with its weights; `read` and `restore` bring it back.

    Raises:
        ConfigError, CheckpointError: if the directory can't be written.
    """
    directory = make_directory(directory)
    save_checkpoint(network, directory / "checkpoint")
    options = to_mapping(network.options)
    if network.saved_model is not None:
        _copy(network.saved_model, directory / BACKBONE)
        options["name"] = f"{HUB}{BACKBONE}"
    options["size"] = list(network.input_size) if network.input_size else options["size"]
    stored = {"task": network.task, "model": options, "classes": list(network.classes)}
    with atomic_write(directory / FILE) as file:
        file.write(yaml_format.dumps(stored | {"label_ids": list(network.label_ids)}))


def save_checkpoint(network, directory) -> None:
    """Writes ckpt-0 into a directory, replacing an older one as a whole."""
    stored = {**network.nodes, **network.checkpoint_names}
    held = {id(layer): SimpleNamespace(**network.variables_of(layer)) for layer in stored.values()}
    nodes = {path: held[id(layer)] for path, layer in stored.items()}
    names = {name for node in nodes.values() for name in vars(node)}
    writer.save(nodes, sorted(names), directory, network.checkpoint_items)


def _copy(source: Path, directory: Path) -> None:
    """Copies a SavedModel, and nothing else that may be in its directory; ConfigError if it can't be written."""
    if directory.is_dir() and directory.samefile(source):
        return
    aside = directory.with_name(f".{directory.name}.{os.getpid()}")
    try:
        shutil.copytree(source, aside, ignore=lambda folder, names: _others(names) if Path(folder) == source else ())
        shutil.rmtree(directory, ignore_errors=True)
        aside.rename(directory)
    except (OSError, shutil.Error) as error:
        raise ConfigError(
            "The backbone can't be copied into the run.",
            where=directory,
            got=error,
            fix="Free some space, or choose another folder with --output.",
        ) from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _others(names: list[str]) -> list[str]:
    return [name for name in names if name not in SAVED_MODEL]


def read(directory) -> Stored:
    """What a directory's model.yaml says.

    Raises:
        ConfigError: if it can't be read, or says what no detkit wrote.
    """
    path = Path(directory) / FILE
    try:
        values, _ = yaml_format.loads(path.read_text(encoding="utf-8"), str(path))
        task, classes, label_ids = values["task"], values["classes"], values["label_ids"]
        if values["model"].get("name") == f"{HUB}{BACKBONE}":
            values["model"]["name"] = f"{HUB}{path.parent / BACKBONE}"
        options = _options(MODELS[task], values["model"], path)
        return Stored(task, options, tuple(map(str, classes)), tuple(label_ids))
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            "The model's description can't be read.",
            where=path,
            got=f"{type(error).__name__}: {error}",
            expected=f"task ({', '.join(MODELS)}), model, classes and label_ids, as detkit writes them",
            fix="Copy the run directory again, whole.",
        ) from None


def _options(kind: type[Options], values, path: Path) -> Options:
    try:
        return from_mapping(kind, values)
    except ConfigError as error:
        parts = {"got": error.got, "expected": error.expected, "fix": error.fix}
        raise ConfigError(error.what, where=f"{path}: {error.where}", **parts) from None


def restore(network, directory, checkpoint=None):
    """Gives a network, built as `read` says, its weights; returns the surgery's report.

    Args:
        checkpoint: another checkpoint than the directory's own.

    Raises:
        CheckpointError: if the checkpoint can't be read, or does not cover the network.
    """
    return surgery.apply(network, reader.open_checkpoint(checkpoint or directory))
