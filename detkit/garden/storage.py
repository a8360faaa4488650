"""Models of Model Garden on disk: garden.yaml, which says what they are, and a checkpoint that both sides read."""

from __future__ import annotations

from pathlib import Path

from detkit.checkpoint import writer
from detkit.data import labelmap
from detkit.errors import ConfigError
from detkit.garden import upstream
from detkit.garden.names import FILE
from detkit.garden.network import Description
from detkit.io import atomic_write, make_directory
from detkit.pipeline import yaml_format


def save(detector, directory) -> None:
    """Writes garden.yaml, label_map.pbtxt and checkpoint/, and params.yaml, Model Garden's whole configuration.

    Model Garden's trainer goes on with it: `--experiment=NAME --config_file=params.yaml` with `init_checkpoint` set to
    the checkpoint.

    Raises:
        ConfigError, CheckpointError: if the directory can't be written.
    """
    directory, described = make_directory(directory), detector.description
    save_checkpoint(detector, directory / "checkpoint")
    stored = {
        "experiment": described.experiment,
        "overrides": dict(described.overrides),
        "classes": list(described.classes),
        "label_ids": list(described.label_ids),
        "columns": described.columns,
    }
    if described.background is not None:
        stored["background"] = described.background
    if described.options:
        stored["options"] = dict(described.options)
    labelmap.write(directory / "label_map.pbtxt", dict(zip(detector.label_ids, detector.classes, strict=True)))
    for name, values in ((FILE, stored), ("params.yaml", {"task": detector.task_config.as_dict()})):
        with atomic_write(directory / name) as file:
            file.write(yaml_format.dumps(values))


def save_checkpoint(detector, directory) -> None:
    """Writes ckpt-0 into a directory, under all the names that Model Garden's own checkpoints have."""
    import tensorflow as tf

    model = detector.model
    items = getattr(model, "checkpoint_items", {"backbone": model.backbone})  # DETR has none
    with upstream.quiet():
        writer.save_object(tf.train.Checkpoint(model=model, **items), directory)


def read(directory) -> Description:
    """What a directory's garden.yaml says.

    Raises:
        ConfigError: if it can't be read, or says what no detkit wrote.
    """
    path = Path(directory) / FILE
    try:
        values, _ = yaml_format.loads(path.read_text(encoding="utf-8"), str(path))
        return Description(
            str(values["experiment"]),
            dict(values["overrides"]),
            tuple(map(str, values["classes"])),
            tuple(map(int, values["label_ids"])),
            int(values["columns"]),
            None if values.get("background") is None else int(values["background"]),
            dict(values.get("options") or {}),
        )
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            "The model's description can't be read.",
            where=path,
            got=f"{type(error).__name__}: {error}",
            expected="experiment, overrides, classes, label_ids and columns, as detkit writes them",
            fix="Copy the file from the run again.",
        ) from None
