"""Reading checkpoints: TensorFlow's object-based ones, whoever wrote them, and detkit's packed bundle."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from detkit.checkpoint import bundle
from detkit.errors import CheckpointError

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
# What a training run keeps beside the model. Slot variables hang below the variable they belong to.
BOOKKEEPING = re.compile(r"(^|/)(save_counter|step|global_step)$|^optimizer/|/\.OPTIMIZER_SLOT/|^_optimizer/")
# What every model has by one of these names: the first two in the OD API, "_backbone" and "backbone" in Model Garden,
# "backbone" and "head" in detkit's other models.
BACKBONES = ("_feature_extractor", "_feature_extractor_for_proposal_features", "_backbone", "backbone", "head")


def open_checkpoint(path) -> Checkpoint:
    """Opens a checkpoint.

    Args:
        path: a checkpoint prefix ("ckpt-0"), its .index file, a folder with a checkpoint, a model directory (with
            pipeline.config and checkpoint/), or a packed bundle (.npz).

    Raises:
        CheckpointError: if there is none, or it can't be read.
    """
    path = Path(path)
    if path.suffix == ".npz" and path.is_file():
        return Checkpoint(str(path), bundle.read(path))
    if path.is_dir() and (path / "weights.npz").is_file():
        return Checkpoint(str(path / "weights.npz"), bundle.read(path / "weights.npz"))
    return _open_tensorflow(find_prefix(path))


def find_prefix(path) -> Path:
    """The prefix of the TensorFlow checkpoint that a path means."""
    path = Path(path)
    if path.suffix == ".index":
        path = path.with_suffix("")
    if Path(f"{path}.index").is_file():
        return path
    tried = [f"{path}.index"]
    if path.is_dir():
        for folder in (path / "checkpoint", path, path / "variables", path / "saved_model" / "variables"):
            tried.append(str(folder))
            found = _latest(folder) if folder.is_dir() else None
            if found is not None:
                return found
    raise CheckpointError(
        "No checkpoint here.",
        where=path,
        expected="a prefix such as checkpoint/ckpt-0 (files .index and .data-*), or a folder that holds one",
        got="looked at " + ", ".join(tried),
        fix="Name the folder that holds pipeline.config and checkpoint/, or the checkpoint's prefix.",
    )


def _latest(folder: Path) -> Path | None:
    """The checkpoint that the folder's state file names, else the one with the highest number."""
    state = folder / "checkpoint"
    if state.is_file():
        named = re.search(r'^model_checkpoint_path:\s*"([^"]+)"', state.read_text(errors="replace"), re.MULTILINE)
        if named and (folder / f"{Path(named[1]).name}.index").is_file():
            return folder / Path(named[1]).name
    numbered = [(int((re.findall(r"\d+", index.stem) or [0])[-1]), index) for index in folder.glob("*.index")]
    return max(numbered)[1].with_suffix("") if numbered else None


class Checkpoint:
    """A readable checkpoint.

    Attributes:
        source: where it came from.
        shapes: {key: shape} of the model's variables, keys as they are stored, without TensorFlow's suffix.
    """

    def __init__(self, source: str, tensors):
        self.source, self._tensors = source, tensors
        self._edges = None
        self.shapes = {key: tuple(value.shape) for key, value in tensors.items()}
        self._root = _root_prefix(self.shapes)

    def find(self, paths) -> str | None:
        """The key under which the first of several equivalent paths ("_box_predictor/...") is stored, if any.

        Where the object graph is stored too, its edges decide, as in TensorFlow's own restore; otherwise the keys.
        """
        for path in paths:
            path = path.removeprefix("./")  # of what the model itself holds
            key = self._walk(path) if self._edges is not None else f"{self._root}{path}"
            if key in self.shapes:
                return key
        return None

    def read(self, key: str) -> np.ndarray:
        """The value stored under a key."""
        return np.asarray(self._tensors[key])

    def model_path(self, key: str) -> str:
        """A key without the name under which the model hangs."""
        return key.removeprefix(self._root)

    @property
    def model_keys(self) -> list[str]:
        """The keys that belong to the model: no optimizer slots, no counters."""
        return [key for key in self.shapes if not BOOKKEEPING.search(key)]

    def _walk(self, path: str) -> str | None:
        """The key that the object graph holds at the end of a path from the model's node."""
        *names, last = object_names(path)
        node = self._model_node
        for name in names:
            node = self._edges.get((node, name))
            if node is None:
                return None
        leaf = self._edges.get((node, last))
        return self._values.get(leaf)

    def use_graph(self, serialized: bytes) -> None:
        """Lets the stored object graph decide where a path leads."""
        from tensorflow.core.protobuf import trackable_object_graph_pb2

        graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(serialized)
        edges = {(i, child.local_name): child.node_id for i, node in enumerate(graph.nodes) for child in node.children}
        self._values = {
            i: attribute.checkpoint_key.removesuffix(SUFFIX)
            for i, node in enumerate(graph.nodes)
            for attribute in node.attributes
            if attribute.name == "VARIABLE_VALUE"
        }
        owners = [0] + [child.node_id for child in graph.nodes[0].children] if graph.nodes else []
        models = [node for node in owners if any((node, name) in edges for name in BACKBONES)]
        if models:
            named = edges.get((0, "model"))
            self._model_node = named if named in models else models[0]
            self._edges = edges


def object_names(path: str) -> list[str]:
    """The names of the objects along a path, which TensorFlow escapes in keys: "box.Sscale" is "box/scale"."""
    return [re.sub(r"\.[.S]", lambda found: "." if found[0] == ".." else "/", part) for part in path.split("/")]


def _root_prefix(keys) -> str:
    """ "model/", "" or whatever else the model hangs under."""
    for key in keys:
        *_, first, second = ("", *key.split("/")[:2])
        if second in BACKBONES:
            return f"{first}/"
    return ""


class _Tensors:
    """The tensors of a TensorFlow checkpoint, read on demand."""

    def __init__(self, reader, prefix):
        self._reader, self._prefix = reader, prefix
        self._names = {name.removesuffix(SUFFIX): name for name in reader.get_variable_to_shape_map() if name != GRAPH}
        self._shapes = reader.get_variable_to_shape_map()

    def items(self):
        return [(key, _Shape(self._shapes[name])) for key, name in sorted(self._names.items())]

    def __getitem__(self, key):
        return read_tensor(self._reader, self._names[key], self._prefix)


class _Shape:
    def __init__(self, shape):
        self.shape = tuple(shape)


def read_tensor(reader, name: str, prefix):
    """One tensor, or a CheckpointError that says which could not be read."""
    try:
        return reader.get_tensor(name)
    except Exception as error:  # TensorFlow raises several kinds for damaged files
        raise CheckpointError(
            "The checkpoint is damaged: a variable can't be read.",
            where=f"{prefix}: {name}",
            got=str(error).splitlines()[0],
            fix="Copy or download the checkpoint again; compare the size of its .data file with the original's.",
        ) from None


def _open_tensorflow(prefix: Path) -> Checkpoint:
    import tensorflow as tf

    if not list(prefix.parent.glob(f"{prefix.name}.data-*")):
        raise CheckpointError(
            "The checkpoint has an .index file but no data.",
            where=prefix,
            expected=f"{prefix.name}.data-00000-of-00001 beside {prefix.name}.index",
            fix="Copy the .data file too.",
        )
    try:
        reader = tf.train.load_checkpoint(str(prefix))
    except Exception as error:
        raise CheckpointError(
            "The checkpoint's index can't be read.",
            where=f"{prefix}.index",
            got=str(error).splitlines()[0],
            fix="Copy or download the checkpoint again.",
        ) from None
    names = reader.get_variable_to_shape_map()
    if GRAPH not in names and not any(name.endswith(SUFFIX) for name in names):
        raise CheckpointError(
            "This is a TensorFlow 1 (name-based) checkpoint.",
            where=prefix,
            got=", ".join(sorted(names)[:3]) + ", ...",
            expected="a TensorFlow 2 object-based checkpoint, as the TF2 Detection Model Zoo has",
            fix="Start from the TF2 version of the model: `detkit zoo list`.",
        )
    checkpoint = Checkpoint(str(prefix), _Tensors(reader, prefix))
    if GRAPH in names:
        checkpoint.use_graph(read_tensor(reader, GRAPH, prefix))
    return checkpoint
