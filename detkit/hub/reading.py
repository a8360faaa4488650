"""SavedModels of both versions of TensorFlow, read into memory."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from detkit.errors import CheckpointError
from detkit.hub.source import FILE


def read(directory: Path):
    """The object that a SavedModel holds.

    Modules of TensorFlow 1 may hold their graph several times, for training too; then the one for prediction is read.

    Raises:
        CheckpointError: if it is damaged or incomplete.
    """
    try:
        tags = _tags(directory)
        return tf.saved_model.load(str(directory), tags=tags)
    except Exception as error:  # of many kinds, for damaged files
        raise CheckpointError(
            "This SavedModel can't be loaded.",
            where=directory,
            got=(str(error).strip() or type(error).__name__).splitlines()[0][:300],
            expected="saved_model.pb, variables/ and assets/ as they were written",
            fix="Copy or export the whole directory again.",
        ) from error


def _tags(directory: Path) -> list[str] | None:
    """Which of its graphs is meant; None where there is one."""
    from tensorflow.core.protobuf import saved_model_pb2

    stored = saved_model_pb2.SavedModel.FromString((directory / FILE).read_bytes())
    tags = [list(graph.meta_info_def.tags) for graph in stored.meta_graphs]
    if len(tags) < 2:
        return None
    return min((each for each in tags if "train" not in each), key=lambda each: each != ["serve"], default=tags[0])
