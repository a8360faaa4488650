"""Writing checkpoints that the OD API itself would restore, whole or in part.

TensorFlow restores by the object graph that a checkpoint stores, not by key. So the graph is built here as the OD API's
own objects would span it: a node for every name on every path, and one node for a layer however many paths reach it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from detkit.checkpoint.reader import object_names
from detkit.errors import CheckpointError
from detkit.io import atomic_write

STATE = 'model_checkpoint_path: "ckpt-0"\nall_model_checkpoint_paths: "ckpt-0"\n'


def save(nodes: dict, variable_names, directory, items=()) -> None:
    """Writes `directory`/ckpt-0, replacing an older one as a whole.

    Args:
        nodes: {path below "model/": layer}; a layer may stand under several paths.
        variable_names: the names of a layer's attributes that hold variables.
        directory: the checkpoint folder; parents are made.
        items: first names of paths that are also reached without "model/".

    Raises:
        CheckpointError: if it can't be written; an older checkpoint is left as it was.
    """
    import tensorflow as tf

    model = _tree(nodes, variable_names, tf.train.Checkpoint)
    save_object(tf.train.Checkpoint(model=model, **{name: getattr(model, name) for name in items}), directory)


def save_object(root, directory) -> None:
    """Writes a tf.train.Checkpoint as `directory`/ckpt-0; errors as for `save`."""
    import tensorflow as tf

    directory = Path(directory)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}-") as scratch:
            written = Path(root.save(str(Path(scratch) / "new" / "ckpt")))
            for part in written.parent.glob(f"{written.name}.*"):
                part.rename(part.with_name("ckpt-0" + part.name[len(written.name) :]))
            with atomic_write(written.parent / "checkpoint") as file:
                file.write(STATE)
            _replace(directory, written.parent, Path(scratch) / "old")
    except (OSError, tf.errors.OpError) as error:
        raise CheckpointError(
            "The checkpoint can't be written.",
            where=directory,
            got=str(error).splitlines()[0],
            fix="Free some space, or choose another folder with --output.",
        ) from None


def _replace(directory: Path, new: Path, aside: Path) -> None:
    """Puts `new` in the place of `directory`, whose old content moves aside, or back where that fails."""
    existed = directory.exists()
    if existed:
        directory.rename(aside)
    try:
        new.rename(directory)
    except OSError:
        if existed:
            aside.rename(directory)
        raise


def _tree(nodes, variable_names, make):
    """Nested trackable objects for {path: layer}, leaves shared where layers are."""
    leaves: dict = {}
    branches: dict = {}
    for path, layer in nodes.items():
        if id(layer) not in leaves:
            values = {name: getattr(layer, name, None) for name in variable_names}
            leaves[id(layer)] = make(**{name: v.value for name, v in values.items() if v is not None})
        *names, last = object_names(path)
        branch = branches
        for name in names:
            branch = branch.setdefault(name, {})
        branch[last] = leaves[id(layer)]
    return _assemble(branches, make)


def _assemble(branch, make):
    if not isinstance(branch, dict):
        return branch
    return make(**{name: _assemble(child, make) for name, child in branch.items()})
