"""What detkit saves: keys, object graph, restores in plain TensorFlow, and writes that fail."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from small_models import CLASSES, equal, small_detector, tree, values

from detkit.checkpoint.reader import GRAPH, SUFFIX
from detkit.detection import load
from detkit.errors import CheckpointError

TOWER = "_box_predictor/_base_tower_layers_for_heads"
FILES = ["checkpoint", "label_map.pbtxt", "pipeline.config"]
SHARED = "_box_predictor/_head_scope_conv_layers"


def stored(directory):
    """TensorFlow's own reader of a saved model directory."""
    import tensorflow as tf

    return tf.train.load_checkpoint(str(directory / "checkpoint"))


class Graph:
    """The object graph of a checkpoint."""

    def __init__(self, reader):
        from tensorflow.core.protobuf import trackable_object_graph_pb2

        read = trackable_object_graph_pb2.TrackableObjectGraph.FromString
        self.nodes = read(reader.get_tensor(GRAPH)).nodes

    def walk(self, path: str) -> int:
        """The number of the node at a path from the root."""
        number = 0
        for name in path.split("/"):
            number = {child.local_name: child.node_id for child in self.nodes[number].children}[name]
        return number


def test_a_saved_model_is_a_zoo_style_directory(directory):
    import tensorflow as tf

    folder = directory / "checkpoint"
    assert sorted(path.name for path in directory.iterdir()) == FILES
    parts = {"checkpoint", "ckpt-0.index", "ckpt-0.data-00000-of-00001"}
    assert {path.name for path in folder.iterdir()} == parts
    assert tf.train.latest_checkpoint(str(folder)) == str(folder / "ckpt-0")


def test_keys_are_those_of_the_variables(directory, original):
    keys = set(stored(directory).get_variable_to_shape_map())
    expected = {f"model/{path}{SUFFIX}" for path in original.variables()}
    assert keys == expected | {GRAPH, f"save_counter{SUFFIX}"}


def test_values_are_exact(directory, original):
    reader = stored(directory)
    found = {path: reader.get_tensor(f"model/{path}{SUFFIX}") for path in original.variables()}
    assert equal(found, values(original)) == []


def test_load_gives_the_same_detector(directory, original):
    again = load.load(directory)
    assert (again.classes, again.label_ids, again.name) == (CLASSES, original.label_ids, "small")
    assert equal(values(again), values(original)) == []
    picture = np.random.default_rng(0).integers(0, 255, (50, 80, 3), np.uint8)
    a, b = (detector.detect(picture)[0] for detector in (again, original))
    assert len(a) > 0
    assert np.array_equal(a.boxes, b.boxes) and np.array_equal(a.scores, b.scores)


@pytest.mark.parametrize("shared_tower", [True, False])
def test_a_shared_convolution_is_one_node_with_many_names(tmp_path, shared_tower):
    name = "box_predictor.weight_shared_convolutional_box_predictor.share_prediction_tower"
    detector = small_detector(**{name: shared_tower})
    load.save(detector, tmp_path)
    graph = Graph(stored(tmp_path))
    towers = {"box_encodings": "PredictionTower"} if shared_tower else {
        "box_encodings": "BoxPredictionTower", "class_predictions_with_background": "ClassPredictionTower",
    }  # fmt: skip
    for head, tower in towers.items():
        for i in range(2):
            conv = graph.walk(f"model/{SHARED}/{tower}/{i}")
            assert [graph.walk(f"model/{TOWER}/{head}/{level}/{3 * i}") for level in range(5)] == [conv] * 5
        places = [f"model/{TOWER}/{head}/{level}/{3 * i + 1}" for level in range(5) for i in range(2)]
        assert len({graph.walk(place) for place in places}) == 10  # a norm for every level
    assert len({graph.walk(f"model/{SHARED}/{tower}/0") for tower in towers.values()}) == len(towers)


def test_partial_restore_of_the_few_shot_tutorial(directory, original):
    """A fake predictor of base towers and box head, and the feature extractor, follow the stored graph."""
    import tensorflow as tf

    arrays = values(original)
    # The tutorial reaches the tower's convolutions by their place in the base towers, which is not their key.
    places = {f"{SHARED}/PredictionTower/{i}": f"{TOWER}/box_encodings/{3 - i}/{3 * i}" for i in (0, 1)}
    prefixes = ("_feature_extractor", TOWER, "_box_predictor/_box_prediction_head")
    wanted = {path: np.full_like(value, 77) for path, value in arrays.items() if path.startswith(prefixes)}
    key_of = {path: path for path in wanted}
    for shared, place in places.items():
        for path in [path for path in arrays if path.startswith(f"{shared}/")]:
            moved = place + path.removeprefix(shared)
            wanted[moved], key_of[moved] = np.full_like(arrays[path], 77), path
    model, variables = tree(wanted)
    fake = tf.train.Checkpoint(
        _base_tower_layers_for_heads=model._box_predictor._base_tower_layers_for_heads,
        _box_prediction_head=model._box_predictor._box_prediction_head,
    )
    fake_model = tf.train.Checkpoint(_box_predictor=fake, _feature_extractor=model._feature_extractor)
    status = tf.train.Checkpoint(model=fake_model).restore(str(directory / "checkpoint" / "ckpt-0"))
    status.assert_existing_objects_matched()
    status.expect_partial()
    assert len(wanted) > 250
    assert equal({p: v.numpy() for p, v in variables.items()}, {p: arrays[key_of[p]] for p in wanted}) == []


def test_whole_restore_consumes_everything(directory, original):
    import tensorflow as tf

    arrays = values(original)
    model, variables = tree({path: np.full_like(value, 77) for path, value in arrays.items()})
    root = tf.train.Checkpoint(model=model)
    root.restore(str(directory / "checkpoint" / "ckpt-0")).assert_existing_objects_matched()
    assert equal({path: variable.numpy() for path, variable in variables.items()}, arrays) == []


def test_saving_over_an_older_model_replaces_it(tmp_path, original, fresh):
    load.save(original, tmp_path / "model")
    load.save(fresh, tmp_path / "model")
    assert equal(values(load.load(tmp_path / "model")), values(fresh)) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == FILES


def test_saving_is_deterministic(tmp_path, original):
    for name in ("a", "b"):
        load.save(original, tmp_path / name)
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    different = [f for f in files if (tmp_path / "a" / f).read_bytes() != (tmp_path / "b" / f).read_bytes()]
    assert [str(name) for name in different if name.suffix != ".index"] == []


def test_a_file_in_the_way_is_explained(tmp_path, original):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError) as error:
        load.save(original, tmp_path / "file")
    assert "can't be written" in str(error.value) and str(tmp_path / "file") in str(error.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_directory_is_explained(tmp_path, original):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(CheckpointError, match="can't be written"):
            load.save(original, tmp_path / "model")
    finally:
        tmp_path.chmod(0o700)


def test_a_failed_write_leaves_the_older_checkpoint(tmp_path, original, fresh, monkeypatch):
    import tensorflow as tf

    load.save(original, tmp_path / "model")
    monkeypatch.setattr(tf.train.Checkpoint, "save", _full_disk)
    with pytest.raises(CheckpointError) as error:
        load.save_checkpoint(fresh, tmp_path / "model" / "checkpoint")
    assert "No space left" in str(error.value) and "fix:" in str(error.value)
    assert equal(values(load.load(tmp_path / "model")), values(original)) == []
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == FILES


def test_a_failed_move_leaves_the_older_checkpoint(tmp_path, original, fresh, monkeypatch):
    load.save(original, tmp_path / "model")
    folder, real = tmp_path / "model" / "checkpoint", Path.rename

    def rename(self, target):
        if Path(target) == folder and self.name == "new":
            raise OSError(errno.EIO, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(CheckpointError):
        load.save_checkpoint(fresh, folder)
    monkeypatch.undo()
    assert equal(values(load.load(tmp_path / "model")), values(original)) == []


def _full_disk(self, prefix):
    raise OSError(errno.ENOSPC, "No space left on device")
