"""What a run leaves behind, and what is left of it when writing fails."""

from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np
import pytest

from detkit.errors import CheckpointError, ConfigError
from detkit.pipeline.pipeline import Pipeline
from detkit.training.run_directory import RunDirectory

ARRAYS = {"weights/a/kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "group/0/1": np.int64(7)}
FACTS = {"step": 2, "best": -1.0, "best_step": 0, "waited": 0, "stopped": False}
ROW = {"localization": 0.1, "classification": 0.2, "learning_rate": 1e-3, "gradient_norm": 1.0}
HISTORY = [{"step": 1, "loss": 0.1 + 0.2, **ROW}, {"step": 2, "loss": 1 / 3, **ROW, "val_AP": 0.5}]
TRAIN = {"steps": 10, "learning_rate": 0.001}
OTHER_MODELS = [{"keep_classes": True}, {"init": "imprint"}, {"reset": ["neck"]}]


def pipeline(folder, **train):
    return Pipeline(model="hands", train=TRAIN | train, output=str(folder))


def begun(folder, **options):
    directory = RunDirectory(folder)
    directory.begin(pipeline(folder), **({"resume": False, "overwrite": False} | options))
    return directory


def test_state_round_trip(tmp_path):
    directory = begun(tmp_path / "run")
    assert directory.load_state() is None
    directory.save_state(ARRAYS, FACTS, HISTORY)
    arrays, facts, history = RunDirectory(tmp_path / "run").load_state()
    assert arrays.keys() == ARRAYS.keys()
    assert all(np.array_equal(arrays[name], ARRAYS[name]) for name in ARRAYS)
    assert all(arrays[name].dtype == np.asarray(ARRAYS[name]).dtype for name in ARRAYS)
    assert facts == FACTS
    assert history == HISTORY


def test_history_before_the_first_step(tmp_path):
    directory = begun(tmp_path)
    directory.save_state(ARRAYS, FACTS, [])
    assert directory.load_state()[2] == []


def test_an_existing_run_is_not_overwritten_by_accident(tmp_path):
    begun(tmp_path).save_state(ARRAYS, FACTS, HISTORY)
    with pytest.raises(ConfigError) as error:
        begun(tmp_path)
    assert "There is a run in this directory already." in str(error.value)
    assert str(tmp_path) in str(error.value)
    assert all(word in str(error.value) for word in ("--resume", "--overwrite", "--output"))
    assert RunDirectory(tmp_path).load_state() is not None


def test_overwriting_starts_afresh(tmp_path):
    directory = begun(tmp_path)
    directory.save_state(ARRAYS, FACTS, HISTORY)
    folders = ("checkpoint", "checkpoint_last", "plots", "tensorboard")
    for name in (*(f"{folder}/file" for folder in folders), "metrics.json", "log.txt", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("old")
    directory = begun(tmp_path, overwrite=True)
    assert directory.load_state() is None
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"pipeline.yaml", "notes.txt"}  # what isn't detkit's stays


def test_resuming_with_other_settings(tmp_path):
    begun(tmp_path)
    with pytest.raises(ConfigError) as error:
        RunDirectory(tmp_path).begin(pipeline(tmp_path, learning_rate=0.5), resume=True, overwrite=False)
    assert "The run to resume was made with other settings." in str(error.value)
    assert "got: train.learning_rate=0.5" in str(error.value)
    assert "expected: train.learning_rate=0.001" in str(error.value)


def test_resuming_with_another_interval_or_place_is_fine(tmp_path):
    begun(tmp_path)
    moved = pipeline("/elsewhere", checkpoint_every=3, cache_mb=100)
    RunDirectory(tmp_path).begin(moved, resume=True, overwrite=False)


@pytest.mark.parametrize("model", OTHER_MODELS)
def test_resuming_with_another_model_section(tmp_path, model):
    begun(tmp_path)
    other = Pipeline(model={"name": "hands"} | model, train=TRAIN, output=str(tmp_path))
    with pytest.raises(ConfigError, match="other settings"):
        RunDirectory(tmp_path).begin(other, resume=True, overwrite=False)


def test_a_new_run_does_not_take_up_a_state_that_lies_there(tmp_path):
    begun(tmp_path).save_state(ARRAYS, FACTS, HISTORY)
    (tmp_path / "pipeline.yaml").unlink()
    try:
        directory = begun(tmp_path)
    except ConfigError:
        return
    assert directory.load_state() is None


def test_resuming_where_nothing_is_starts_a_run(tmp_path):
    directory = begun(tmp_path / "new", resume=True)
    assert directory.load_state() is None
    assert (tmp_path / "new" / "pipeline.yaml").is_file()


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="Can't write here"):
        begun(tmp_path / "file" / "run")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("share", [0.2, 0.9])
def test_a_damaged_state_is_named(tmp_path, share):
    import gc

    directory = begun(tmp_path)
    directory.save_state(ARRAYS, FACTS, HISTORY)
    data = directory.state_file().read_bytes()
    directory.state_file().write_bytes(data[: int(share * len(data))])
    with pytest.raises(CheckpointError) as error:
        directory.load_state()
    assert "The training state can't be read." in str(error.value)
    assert str(directory.state_file()) in str(error.value) and "--overwrite" in str(error.value)
    del error
    gc.collect()


def test_an_empty_state_is_named(tmp_path):
    directory = begun(tmp_path)
    directory.state_file().write_bytes(b"")
    with pytest.raises(CheckpointError):
        directory.load_state()


def test_no_pickle_is_read(tmp_path):
    directory = begun(tmp_path)
    np.savez(directory.state_file(), facts=np.array([{"step": 1}], dtype=object))
    with pytest.raises(CheckpointError, match="can't be read"):
        directory.load_state()


WRITER = """
import resource, signal, sys
import numpy as np
from detkit.training.run_directory import RunDirectory
directory = RunDirectory(sys.argv[1])
if sys.argv[2] == "killed":
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
facts = {"step": 4, "best": -1.0, "best_step": 0, "waited": 0, "stopped": False}
directory.save_state({"weights/a/kernel": np.ones(1_000_000, np.float32)}, facts, [])
"""


def limited(folder, ending):
    """Saves a state larger than a file may get: the write fails, or the process is killed in it."""
    command = [sys.executable, "-c", WRITER, str(folder), ending]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
@pytest.mark.parametrize("ending", ["failed", "killed"])
def test_a_write_cut_short_leaves_the_last_good_state(tmp_path, ending):
    directory = begun(tmp_path)
    directory.save_state(ARRAYS, FACTS, HISTORY)
    done = limited(tmp_path, ending)
    assert done.returncode == (-signal.SIGXFSZ if ending == "killed" else 1)
    arrays, facts, history = directory.load_state()
    assert facts == FACTS and history == HISTORY
    assert np.array_equal(arrays["weights/a/kernel"], ARRAYS["weights/a/kernel"])
    if ending == "failed":
        assert "ConfigError" in done.stderr or "CheckpointError" in done.stderr
        assert [path.name for path in directory.state_file().parent.iterdir()] == ["state.npz"]


def test_a_full_disk_says_how_to_go_on(tmp_path):
    directory = begun(tmp_path)
    directory.save_state(ARRAYS, FACTS, HISTORY)
    message = limited(tmp_path, "failed").stderr
    assert "the last one is untouched" in message
    assert "--resume" in message
