"""Where a model comes from: a zoo name, a model or run directory, or a pipeline.config."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from detkit.data import labelmap
from detkit.errors import ConfigError, DataError
from detkit.pipeline import od_config
from detkit.zoo.catalogue import find
from detkit.zoo.coco_classes import COCO_CLASSES
from detkit.zoo.store import fetch

_GRAPHS = (".tar.gz", ".tgz", ".tflite", ".onnx")


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
    _reject_graph(path, str(model))
    if path.is_file():
        return _from_directory(path.parent, path, checkpoint)
    if path.is_dir():
        return _from_directory(path, path / "pipeline.config", checkpoint)
    if path.suffix or len(path.parts) > 1:
        raise ConfigError(
            "No model here.",
            where=model,
            expected="a directory with pipeline.config and checkpoint/, a pipeline.config, or a name of the zoo",
            fix="Leave out hub:, which is for backbones of classifiers."
            if str(model).startswith("hub:")
            else "Check the path; `detkit zoo list` shows the names.",
        )
    entry = find(str(model)).check_buildable()
    directory = fetch(entry.name)
    return _from_directory(directory, directory / "pipeline.config", checkpoint, entry.name)


def _reject_graph(path: Path, model: str) -> None:
    graph = any((place / "saved_model.pb").is_file() for place in (path, path / "saved_model"))
    alone = graph and not (path / "pipeline.config").is_file()
    if alone or model.startswith(("http://", "https://")) or model.endswith(_GRAPHS):
        raise ConfigError(
            "This is a finished graph: there is no network in it to train or to look into.",
            where=model,
            expected="a directory with pipeline.config and checkpoint/, a pipeline.config, or a name of the zoo",
            fix="Take the same model of the zoo (`detkit zoo list`), or one of Model Garden (`detkit garden list`); "
            "as it is, it can be used with `detkit predict` and `detkit eval`.",
        )


def _from_directory(directory: Path, config_path: Path, checkpoint, name: str | None = None) -> ModelSource:
    if (directory / "training").is_dir() and not config_path.is_file():
        raise ConfigError(
            "The run in this directory has left no model.",
            where=directory,
            expected="model.yaml, or pipeline.config of a detector, and checkpoint/, which the end of training writes",
            fix=f"Go on with it: `detkit train PIPELINE --output {directory} --resume`, or copy all of it again.",
        )
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
    """The label map: beside the config, where the config says, another one beside it that fits, or COCO's."""
    readers = [reader for reader in (config.train_input_reader, *config.eval_input_reader) if reader is not None]
    named = [reader.label_map_path for reader in readers if reader.label_map_path]
    # A config that has moved names its label map by a path, of whatever system, that is no more.
    moved = [directory / PureWindowsPath(path).name for path in named]
    for path in (directory / "label_map.pbtxt", *moved, *map(Path, named)):
        if path.is_file():
            return labelmap.read(path)
    count = od_config.meta_architecture(config).num_classes
    fitting = (names for path in sorted(directory.glob("*.pbtxt")) if (names := _fitting(path, count)))
    return next(fitting, COCO_CLASSES if count == 90 else {})


def _fitting(path: Path, count: int) -> dict[int, str]:
    """The label map that a file holds; {} for a graph, or where it has more classes than the model."""
    try:
        names = labelmap.read(path)
    except DataError:
        return {}
    return names if max(names) <= count else {}


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
