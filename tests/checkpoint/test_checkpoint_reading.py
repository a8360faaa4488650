"""Finding and reading checkpoints of every origin, and naming what is wrong with those that can't be read."""

from __future__ import annotations

import shutil

import pytest
from small_models import equal, tree, values

from detkit.checkpoint import surgery
from detkit.checkpoint.reader import find_prefix, open_checkpoint
from detkit.detection import load
from detkit.errors import CheckpointError


def restored(checkpoint, detector) -> dict:
    """What a restore of everything puts into the detector."""
    surgery.apply(detector, checkpoint)
    return values(detector)


@pytest.mark.parametrize("form", ["", "checkpoint", "checkpoint/ckpt-0", "checkpoint/ckpt-0.index"])
def test_every_way_to_name_a_checkpoint(directory, original, form):
    checkpoint = open_checkpoint(directory / form)
    assert {checkpoint.model_path(key) for key in checkpoint.model_keys} == set(original.variables())


def test_the_state_file_decides_which_checkpoint(tmp_path, directory):
    for number in (3, 12, 100):
        for part in (directory / "checkpoint").glob("ckpt-0.*"):
            shutil.copy(part, tmp_path / part.name.replace("ckpt-0", f"ckpt-{number}"))
    assert find_prefix(tmp_path).name == "ckpt-100"  # by number, not by spelling
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/elsewhere/ckpt-12"\n')
    assert find_prefix(tmp_path).name == "ckpt-12"
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "ckpt-99"\n')
    assert find_prefix(tmp_path).name == "ckpt-100"


def training_run(arrays, folder):
    """A checkpoint as a training run writes it: a step, the model, an optimizer with slot variables."""
    import tensorflow as tf

    model, variables = tree(arrays)
    optimizer = tf.compat.v1.train.MomentumOptimizer(0.1, 0.9)
    some = [variable for path, variable in variables.items() if path.endswith(("kernel", "bias"))]
    optimizer.apply_gradients([(tf.zeros_like(variable), variable) for variable in some])
    step = tf.Variable(7, dtype=tf.int64)
    root = tf.train.Checkpoint(step=step, model=model, optimizer=optimizer)
    return tf.train.CheckpointManager(root, str(folder), max_to_keep=7).save(), len(some)


def test_a_training_runs_checkpoint(tmp_path, original, fresh):
    _, slots = training_run(values(original), tmp_path)
    checkpoint = open_checkpoint(tmp_path)
    assert sum("OPTIMIZER_SLOT" in key for key in checkpoint.shapes) == slots
    assert len(checkpoint.model_keys) == len(original.variables())
    assert equal(restored(checkpoint, fresh), values(original)) == []


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_a_training_runs_checkpoint_with_a_keras_optimizer(tmp_path, original, fresh, optimizer):
    import keras
    import tensorflow as tf

    model, variables = tree(values(original))
    trained = list(variables.values())[:3]
    momentum = {"momentum": 0.9} if optimizer == "SGD" else {}
    keras_optimizer = getattr(keras.optimizers, optimizer)(0.1, **momentum)
    keras_optimizer.build(trained)
    root = tf.train.Checkpoint(step=tf.Variable(1), model=model, optimizer=keras_optimizer)
    root.save(str(tmp_path / "ckpt"))
    assert equal(restored(open_checkpoint(tmp_path), fresh), values(original)) == []


@pytest.mark.parametrize("name", ["model", "detection_model", None])
def test_the_model_may_hang_under_another_name(tmp_path, original, fresh, name):
    import tensorflow as tf

    model, _ = tree(values(original))
    root = tf.train.Checkpoint(**{name: model}) if name else model
    root.save(str(tmp_path / "ckpt"))
    assert equal(restored(open_checkpoint(tmp_path), fresh), values(original)) == []


def test_the_graph_leads_to_a_variable_stored_under_another_of_its_paths(tmp_path, original, fresh):
    """A checkpoint whose shared convolutions are filed under the base towers only."""
    import tensorflow as tf

    moved, shared = {}, "_box_predictor/_head_scope_conv_layers/PredictionTower"
    tower = "_box_predictor/_base_tower_layers_for_heads/box_encodings/0"
    for path, value in values(original).items():
        for i in (0, 1):
            path = path.replace(f"{shared}/{i}/", f"{tower}/{3 * i}/")
        moved[path] = value
    model, _ = tree(moved)
    tf.train.Checkpoint(model=model).save(str(tmp_path / "ckpt"))
    assert not any(shared in key for key in open_checkpoint(tmp_path).shapes)
    assert equal(restored(open_checkpoint(tmp_path), fresh), values(original)) == []


def test_a_real_zoo_index_without_its_data(shared):
    index = next((shared / "golden" / "zoo_index").rglob("*.index"))
    with pytest.raises(CheckpointError) as error:
        open_checkpoint(index)
    assert "has an .index file but no data" in str(error.value)
    assert ".data-00000-of-00001" in str(error.value)
    assert "fix: Copy the .data file too." in str(error.value)


@pytest.fixture
def copy(directory, tmp_path):
    """A copy of the model directory, to be damaged."""
    return shutil.copytree(directory, tmp_path / "copy")


def data_file(folder):
    return next((folder / "checkpoint").glob("*.data-*"))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_truncated_data(copy, share, fresh):
    path = data_file(copy)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(CheckpointError) as error:
        restored(open_checkpoint(copy), fresh)
    assert "The checkpoint is damaged: a variable can't be read." in str(error.value)
    assert str(copy / "checkpoint" / "ckpt-0") in str(error.value)
    assert "compare the size of its .data file" in str(error.value)


def test_a_flipped_bit_in_the_data(copy, fresh):
    path = data_file(copy)
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        restored(open_checkpoint(copy), fresh)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_truncated_index(copy, share):
    path = copy / "checkpoint" / "ckpt-0.index"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(CheckpointError) as error:
        open_checkpoint(copy)
    assert "index can't be read" in str(error.value) and str(path) in str(error.value)


def test_missing_data(copy):
    data_file(copy).unlink()
    with pytest.raises(CheckpointError, match=r"an \.index file but no data"):
        open_checkpoint(copy)


def test_missing_checkpoint(copy):
    shutil.rmtree(copy / "checkpoint")
    with pytest.raises(CheckpointError) as error:
        load.load(copy)
    assert "No checkpoint here." in str(error.value)
    assert f"where: {copy}" in str(error.value)
    assert "Name the folder that holds pipeline.config and checkpoint/" in str(error.value)


def test_an_empty_directory_and_a_path_that_does_not_exist(tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(CheckpointError, match="No checkpoint here"):
            open_checkpoint(path)


def test_a_tensorflow_1_checkpoint(tmp_path):
    import tensorflow as tf

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.get_variable("FeatureExtractor/MobilenetV1/Conv2d_0/weights", [3, 3], use_resource=False)
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    with pytest.raises(CheckpointError) as error:
        open_checkpoint(tmp_path / "model.ckpt")
    assert "TensorFlow 1 (name-based) checkpoint" in str(error.value)
    assert "FeatureExtractor/MobilenetV1/Conv2d_0/weights" in str(error.value)
    assert "detkit zoo list" in str(error.value)


def test_a_checkpoint_of_something_else(tmp_path, original):
    import tensorflow as tf

    tf.train.Checkpoint(weights=tf.Variable([1.0])).save(str(tmp_path / "ckpt"))
    with pytest.raises(CheckpointError) as error:
        surgery.apply(original, open_checkpoint(tmp_path))
    assert f"missing in the checkpoint: {len(original.variables())}" in str(error.value)
    assert "unused in the checkpoint: 1\n  weights" in str(error.value)


def test_reading_needs_no_more_than_is_asked_for(copy, fresh):
    """Shapes come from the index: inspecting a damaged checkpoint still works."""
    checkpoint = open_checkpoint(copy)
    path = data_file(copy)
    path.write_bytes(path.read_bytes()[:100])
    report = surgery.examine(fresh, checkpoint)
    assert report.explained
    assert all(isinstance(shape, tuple) for shape in checkpoint.shapes.values())
