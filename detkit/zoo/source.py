"""Where a model comes from: a zoo name, a model or run directory, or a pipeline.config."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from detkit.data import labelmap
from detkit.errors import ConfigError
from detkit.pipeline import od_config
from detkit.zoo.catalogue import find
from detkit.zoo.coco_classes import COCO_CLASSES
from detkit.zoo.store import fetch


@dataclass(frozen=True)
class ModelSource:
    """What is needed to load a model.

    Attributes:
        name: the zoo name, or the directory's.
        config: the typed pipeline config.
        classes, label_ids: of the detector, one for each of the config's num_classes.
        checkpoint: the path to open.
    """

    name: str
    config: od_config.PipelineConfig
    classes: tuple[str, ...]
    label_ids: tuple[int, ...]
    checkpoint: Path


def locate(model, checkpoint=None) -> ModelSource:
    """Finds a model, downloading it where the name is one of the zoo's.

    Args:
        model: a zoo name, a directory with pipeline.config and a checkpoint, or a pipeline.config.
        checkpoint: another checkpoint than the directory's own.

    Raises:
        ConfigError: for an unknown name, an unreadable config or a label map that does not fit it.
        CheckpointError, DetkitError: if the download fails.
    """
    path = Path(model)
    if path.is_file():
        return _from_directory(path.parent, path, checkpoint)
    if path.is_dir():
        return _from_directory(path, path / "pipeline.config", checkpoint)
    if path.suffix or len(path.parts) > 1:
        raise ConfigError(
            "No model here.",
            where=model,
            expected="a directory with pipeline.config and checkpoint/, a pipeline.config, or a name of the zoo",
            fix="Check the path; `detkit zoo list` shows the names.",
        )
    entry = find(str(model)).check_buildable()
    directory = fetch(entry.name)
    return _from_directory(directory, directory / "pipeline.config", checkpoint, entry.name)


def _from_directory(directory: Path, config_path: Path, checkpoint, name: str | None = None) -> ModelSource:
    if not config_path.is_file():
        raise ConfigError(
            "The model directory has no pipeline.config.",
            where=directory,
            expected="pipeline.config beside checkpoint/, as in the zoo's archives and in detkit's run directories",
            fix="Copy the model's pipeline.config there, or name the directory that has it.",
        )
    config = od_config.read(config_path)
    names = _names(directory, config)
    classes, label_ids = _classes(names, config, directory)
    return ModelSource(name or directory.resolve().name, config, classes, label_ids, Path(checkpoint or directory))


def _names(directory: Path, config) -> dict[int, str]:
    """The label map: beside the config, where the config says, or COCO's."""
    reader = config.train_input_reader
    named = Path(reader.label_map_path) if reader is not None and reader.label_map_path else None
    beside = [
        directory / "label_map.pbtxt",
        *([directory / named.name] if named else []),
        *sorted(directory.glob("*.pbtxt")),
    ]
    for candidate in [*beside, *([named] if named else [])]:
        if candidate.is_file():
            return labelmap.read(candidate)
    return COCO_CLASSES if od_config.meta_architecture(config).num_classes == 90 else {}


def _classes(names: dict, config, directory) -> tuple:
    """(classes, label ids): a name for every id from 1 to num_classes; ids that the label map skips are "unused N"."""
    count = od_config.meta_architecture(config).num_classes
    if names and max(names) > count > 0:
        raise ConfigError(
            "The label map has an id beyond the config's num_classes.",
            where=directory,
            got=f"id {max(names)} ({names[max(names)]})",
            expected=f"1..{count}",
            fix="Use the label map that the model was trained with.",
        )
    missing = "class {}" if not names else "unused {}"
    ids = tuple(range(1, count + 1))
    return tuple(names.get(label_id, missing.format(label_id)) for label_id in ids), ids
