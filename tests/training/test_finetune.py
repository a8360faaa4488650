"""Fine-tuning from beginning to end on a small model: the run, its directory, and what it is good for."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from small_models import equal, values
from small_photos import photo

import detkit
from detkit.data.dataset import Dataset
from detkit.errors import ConfigError, DataError
from detkit.training.loop import Loop
from detkit.training.validation import Validation

TRAIN = {
    "tune": "heads", "steps": 6, "batch_size": 2, "learning_rate": 0.02, "warmup_steps": 2, "validate_every": 2,
    "checkpoint_every": 3, "optimizer": "momentum", "augment": "none", "ema": None,
}  # fmt: skip


def finetune(model, photos, output, **options):
    return detkit.finetune(model, photos, output=output, show_progress=False, **(TRAIN | options))


@pytest.fixture(scope="module")
def run(small_model, photos, tmp_path_factory):
    """A run with validation and test data; tests must leave its directory as it is."""
    test = Dataset((photos[0],), photos.classes, name="test")
    return finetune(small_model, photos, tmp_path_factory.mktemp("runs") / "first", val=photos, test=test)


def picture(seed=0):
    return np.random.default_rng(seed).integers(0, 255, (70, 90, 3), np.uint8)


def test_test_data_of_other_classes_are_refused_before_training(small_model, photos, tmp_path):
    other = photos.rename_classes({name: f"other {name}" for name in photos.classes})
    with pytest.raises(DataError, match="no class in common"):
        finetune(small_model, photos, tmp_path / "run", test=other)
    assert not (tmp_path / "run").exists()


def test_the_run_directory(run):
    names = {str(path.relative_to(run.directory)) for path in run.directory.rglob("*") if path.is_file()}
    assert {name for name in names if not name.startswith("tensorboard/")} == {
        "pipeline.yaml", "pipeline.config", "label_map.pbtxt", "log.txt", "history.csv", "metrics.json",
        "training/state.npz", "plots/loss.png", "plots/precision_recall.png",
        "checkpoint/checkpoint", "checkpoint/ckpt-0.index", "checkpoint/ckpt-0.data-00000-of-00001",
        "checkpoint_last/checkpoint", "checkpoint_last/ckpt-0.index", "checkpoint_last/ckpt-0.data-00000-of-00001",
    }  # fmt: skip
    assert any(name.startswith("tensorboard/events.out") for name in names)


def test_metrics_are_flat_strict_json(run):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    text = (run.directory / "metrics.json").read_text()
    found = json.loads(text, parse_constant=refuse)
    assert found.keys() == run.metrics.keys()
    assert {"steps", "loss", "AP", "AP50", "AP/duck", "AP/boat", "seconds"} <= found.keys()
    assert not any(isinstance(value, dict | list) for value in found.values())
    assert found["steps"] == 6


def test_history_in_memory_and_on_disk(run):
    with open(run.directory / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert [float(row["loss"]) for row in rows] == [row["loss"] for row in run.history]
    assert [row["step"] for row in rows if row["val_AP"]] == ["2", "4", "6"]


def test_the_log_explains_the_surgery_and_the_selection(run):
    text = (run.directory / "log.txt").read_text()
    assert ["head/class_head", "reset", "3"] in [line.split()[:3] for line in text.splitlines()]
    assert "tune head/box_head x1: 3 variables" in text and "tune head/class_head x1: 3 variables" in text
    assert "frozen:" in text and "first tuned: head/final" in text
    assert "cache: 1 views of each photo" in text


def test_the_run_directory_is_a_model(run, photos):
    again = detkit.load(run.directory)
    assert again.classes == photos.classes == run.detector.classes
    assert equal(values(again), values(run.detector)) == []
    for seed in range(2):
        a, b = again.detect(picture(seed))[0], run.detector.detect(picture(seed))[0]
        assert len(a) > 0
        assert np.array_equal(a.boxes, b.boxes)
        assert np.array_equal(a.scores, b.scores)
        assert np.array_equal(a.class_ids, b.class_ids)


def test_frozen_weights_are_those_of_the_model_bit_for_bit(run, small_model):
    before, after = values(detkit.load(small_model)), values(run.detector)
    parts = run.detector.part_of()
    frozen = [path for path in after if parts[path] not in ("head/box_head", "head/class_head")]
    assert len(frozen) > 150
    assert equal({path: before[path] for path in frozen}, {path: after[path] for path in frozen}) == []


def test_the_same_seed_gives_the_same_weights(run, small_model, photos, tmp_path):
    test = Dataset((photos[0],), photos.classes, name="test")
    again = finetune(small_model, photos, tmp_path / "again", val=photos, test=test)
    assert equal(values(again.detector), values(run.detector)) == []
    assert again.history == run.history


def test_validation_decides_which_weights_stay(small_model, photos, tmp_path, monkeypatch):
    aps, seen = iter((0.2, 0.6, 0.4)), []

    def validate(validation):
        seen.append(values(validation.network))
        return {"AP": next(aps), "AP50": 0.5}

    monkeypatch.setattr(Validation, "__call__", validate)
    run = finetune(small_model, photos, tmp_path / "run", val=photos)
    assert (run.metrics["best_step"], run.metrics["val_AP"]) == (4, 0.6)
    assert equal(values(run.detector), seen[1]) == []
    assert equal(values(detkit.load(tmp_path / "run")), seen[1]) == []
    last = detkit.load(tmp_path / "run", checkpoint=tmp_path / "run" / "checkpoint_last")
    assert equal(values(last), seen[2]) == []


def test_resuming_where_nothing_is_logs_what_matched(small_model, photos, tmp_path):
    finetune(small_model, photos, tmp_path / "run", resume=True, steps=1)
    assert "tune head/box_head" in (tmp_path / "run" / "log.txt").read_text()


def test_an_existing_run(run, small_model, photos):
    with pytest.raises(ConfigError, match="There is a run in this directory already"):
        finetune(small_model, photos, run.directory)


def test_resuming_with_other_settings(run, small_model, photos):
    with pytest.raises(ConfigError, match=r"other settings.*\n.*\n.*train\.steps=7"):
        finetune(small_model, photos, run.directory, steps=7, resume=True)


def test_nothing_to_learn_from(small_model, photos, tmp_path):
    with pytest.raises(DataError, match="There is no box in the training data"):
        finetune(small_model, Dataset((photos[1],), ("duck",)), tmp_path / "run")
    with pytest.raises(ConfigError, match="names no class"):
        finetune(small_model, Dataset((photos[1],), ()), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_unknown_option_names_the_nearest(small_model, photos, tmp_path):
    with pytest.raises(ConfigError, match="learning_rate"):
        finetune(small_model, photos, tmp_path / "run", lerning_rate=0.1)


def test_keeping_classes_trains_beside_the_old_ones(small_model, tmp_path):
    ducks = Dataset((photo(0, [[0.1, 0.1, 0.7, 0.6]], [0]),), ("duck",))
    run = finetune(small_model, ducks, tmp_path / "run", keep_classes=True, steps=2)
    assert run.detector.classes == ("cat", "dog", "duck")
    assert detkit.load(tmp_path / "run").classes == ("cat", "dog", "duck")


def test_imprinting_beside_kept_classes(small_model, tmp_path):
    """The new class starts from its examples, the old ones keep their columns."""
    ducks = Dataset((photo(0, [[0.1, 0.1, 0.7, 0.6]], [0]),), ("duck",))
    options = {"keep_classes": True, "steps": 1, "learning_rate": 1e-9, "init": "imprint"}
    run = finetune(small_model, ducks, tmp_path / "run", **options)
    path = next(path for path in run.detector.variables() if path.endswith("_class_predictor_layers/0/bias"))
    bias = run.detector.variables()[path].numpy().reshape(-1, 4)  # background, cat, dog, duck
    assert np.abs(bias[:, 3] + 4.6).min() > 0.01
    old = detkit.load(small_model).variables()[path].numpy().reshape(-1, 3)
    assert bias[:, :3] == pytest.approx(old, abs=1e-6)


@pytest.mark.slow
def test_imprinting_starts_from_the_examples(small_model, photos, tmp_path):
    options = {"steps": 1, "learning_rate": 1e-9}
    prior, imprinted = (
        finetune(small_model, photos, tmp_path / init, init=init, **options) for init in ("prior", "imprint")
    )
    first = photos[0].pixels()
    scores = [run.detector.detect(first)[0].scores.max() for run in (prior, imprinted)]
    assert scores[0] < 0.05 < scores[1]


UNFROZEN = {"tune": "towers", "freeze_batch_norm": False, "steps": 4, "checkpoint_every": 2}


def test_unfrozen_batch_norm_moves_its_statistics(small_model, photos, tmp_path, monkeypatch):
    """Training moves them; validation in between does not."""
    changed, real = [], Validation.__call__

    def validate(validation):
        before = values(validation.network)
        found = real(validation)
        changed.append(equal(before, values(validation.network)))
        return found

    monkeypatch.setattr(Validation, "__call__", validate)
    finetune(small_model, photos, tmp_path / "run", val=photos, **(UNFROZEN | {"steps": 2}))
    assert changed == [[]]
    last = detkit.load(tmp_path / "run", checkpoint=tmp_path / "run" / "checkpoint_last")
    before, after, parts = values(detkit.load(small_model)), values(last), last.part_of()
    for path in after:
        if path.endswith(("moving_mean", "moving_variance")):
            moved = not np.array_equal(before[path], after[path])
            assert moved == (parts[path] == "head/towers"), path


@pytest.mark.slow
def test_a_run_with_unfrozen_batch_norm_resumes(small_model, photos, tmp_path, monkeypatch):
    whole = finetune(small_model, photos, tmp_path / "whole", val=photos, **UNFROZEN)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Loop, "_save", save_and_die)
        finetune(small_model, photos, tmp_path / "run", val=photos, **UNFROZEN)
    resumed = finetune(small_model, photos, tmp_path / "run", val=photos, resume=True, **UNFROZEN)
    assert equal(values(resumed.detector), values(whole.detector)) == []
    assert resumed.history == whole.history


def save_and_die(self, save=Loop._save):
    save(self)
    raise KeyboardInterrupt
