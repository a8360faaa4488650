"""The training loop: history, validation, best weights, stopping, resuming, and losses that explode."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from toy_detector import INITIAL, ToyDetector, brightnesses, select, settings, values

from detkit.errors import DetkitError
from detkit.training.loop import Loop, TrainingError
from detkit.training.optimization import Optimization
from detkit.training.run_directory import RunDirectory


def loop_in(folder, levels=(0, 51, 255), validate=None, **options):
    """A loop over grey photos, its state in a folder."""
    (folder / "training").mkdir(parents=True, exist_ok=True)
    chosen, rows = settings(**options), []
    optimization = Optimization(ToyDetector(), select(), chosen)
    arguments = (chosen, RunDirectory(folder), validate, rows.append, False)
    loop = Loop(optimization, brightnesses(*levels), *arguments)
    loop.rows = rows
    return loop


def finished(*arguments, **options):
    loop = loop_in(*arguments, **options)
    loop.run()
    return loop


def weights(loop):
    return values(loop.optimization.detector)


def same(a, b) -> bool:
    return all(np.array_equal(a[path], b[path]) for path in INITIAL)


def test_history_has_a_row_for_every_step(tmp_path):
    loop = finished(tmp_path, steps=7)
    assert [row["step"] for row in loop.history] == list(range(1, 8))
    assert loop.rows == loop.history
    for row in loop.history:
        assert row["loss"] == pytest.approx(row["localization"] + row["classification"], rel=1e-6)
        assert row["learning_rate"] == pytest.approx(0.1)
    with open(tmp_path / "history.csv") as file:
        table = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in table] == [row["loss"] for row in loop.history]
    assert [row["step"] for row in table] == [str(n) for n in range(1, 8)]


def test_the_learning_rate_follows_the_schedule(tmp_path):
    loop = finished(tmp_path, steps=4, warmup_steps=4)
    assert [row["learning_rate"] for row in loop.history] == pytest.approx([0.025, 0.05, 0.075, 0.1])


def test_runs_are_deterministic_and_depend_on_the_seed(tmp_path):
    options, seeds = {"steps": 5, "batch_size": 1}, {"a": 1, "b": 1, "c": 2}
    a, b, c = (finished(tmp_path / name, seed=seed, **options) for name, seed in seeds.items())
    assert a.history == b.history and same(weights(a), weights(b))
    assert a.history != c.history


@pytest.mark.parametrize(
    "options", [{}, {"ema": 0.9}, {"optimizer": "adam"}, {"momentum": 0.9, "schedule": "cosine"}]
)
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(tmp_path, options):
    options = options | {"steps": 9, "checkpoint_every": 2, "batch_size": 1}
    whole = finished(tmp_path / "whole", **options)
    interrupted = loop_in(tmp_path / "other", **options)
    interrupted.report = interrupt_at(6)
    with pytest.raises(KeyboardInterrupt):
        interrupted.run()
    resumed = finished(tmp_path / "other", **options)
    assert same(weights(resumed), weights(whole))
    assert resumed.history == whole.history
    assert [row["step"] for row in resumed.rows] == [5, 6, 7, 8, 9]  # the last state was that of step 4
    assert "resumed after step 4" in (tmp_path / "other" / "log.txt").read_text()


def interrupt_at(step):
    def report(row):
        if row["step"] == step:
            raise KeyboardInterrupt

    return report


def test_resuming_a_finished_run_trains_no_more(tmp_path):
    first = finished(tmp_path, steps=3, ema=0.5)
    again = finished(tmp_path, steps=3, ema=0.5)
    assert again.rows == []
    assert again.history == first.history
    assert same(weights(first), weights(again))


def test_the_average_is_what_is_left_at_the_end(tmp_path):
    loop, plain = finished(tmp_path / "a", steps=5, ema=0.9), finished(tmp_path / "b", steps=5)
    assert not same(weights(loop), weights(plain))
    loop.optimization.swap_averages()
    assert same(weights(loop), weights(plain))


class Validation:
    """Gives the APs of a list one after the other, and remembers the weights it saw."""

    def __init__(self, *aps):
        self.aps, self.seen, self.loop = list(aps), [], None

    def __call__(self):
        self.seen.append(weights(self.loop))
        return {"AP": self.aps[len(self.seen) - 1], "AP50": 0.9}


def validated(folder, *aps, **options):
    validation = Validation(*aps)
    validation.loop = loop_in(folder, validate=validation, **options)
    validation.loop.run()
    return validation.loop, validation


def test_validation_and_the_best_weights(tmp_path):
    loop, validation = validated(tmp_path, 0.1, 0.5, 0.3, steps=6, validate_every=2)
    assert [row["step"] for row in loop.history if "val_AP" in row] == [2, 4, 6]
    assert [row["val_AP"] for row in loop.history if "val_AP" in row] == [0.1, 0.5, 0.3]
    assert loop.improved
    assert (loop.facts["best"], loop.facts["best_step"]) == (0.5, 4)
    assert not same(weights(loop), validation.seen[1])
    loop.use_best()
    assert same(weights(loop), validation.seen[1])


def test_validation_sees_the_average_and_training_goes_on_without(tmp_path):
    loop, validation = validated(tmp_path / "a", 0.1, 0.2, steps=4, validate_every=2, ema=0.9)
    plain = finished(tmp_path / "b", steps=4, ema=0.9)
    assert same(weights(loop), weights(plain))
    assert same(validation.seen[-1], weights(plain))


def test_early_stopping(tmp_path):
    loop, _ = validated(tmp_path, 0.5, 0.4, 0.5, 0.9, steps=8, validate_every=2, patience=2)
    assert [row["step"] for row in loop.history] == [1, 2, 3, 4, 5, 6]
    assert loop.facts["best_step"] == 2
    again = loop_in(tmp_path, validate=lambda: 1 / 0, steps=8, validate_every=2, patience=2)
    again.run()
    assert again.rows == []  # a stopped run stays stopped
    again.use_best(), loop.use_best()
    assert same(weights(again), weights(loop))


def test_an_interrupted_run_remembers_its_best_weights(tmp_path):
    options = {"steps": 6, "validate_every": 2, "checkpoint_every": 1}
    whole, _ = validated(tmp_path / "whole", 0.9, 0.5, 0.1, **options)
    validation = Validation(0.9, 0.5, 0.1)
    validation.loop = loop_in(tmp_path / "other", validate=validation, **options)
    validation.loop.report = interrupt_at(4)
    with pytest.raises(KeyboardInterrupt):
        validation.loop.run()
    resumed, _ = validated(tmp_path / "other", 0.5, 0.1, **options)
    assert resumed.facts == whole.facts
    assert resumed.history == whole.history
    resumed.use_best(), whole.use_best()
    assert same(weights(resumed), weights(whole))


def test_validation_only_at_the_end(tmp_path):
    loop, _ = validated(tmp_path, 0.4, steps=5, validate_every=None)
    assert [row["step"] for row in loop.history if "val_AP" in row] == [5]


@pytest.mark.parametrize("cache", ["off", "on"])
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, cache):
    """Names the loss parts, the pictures of that batch and the remedy, and keeps the last good state."""
    options = {"steps": 60, "learning_rate": 10.0, "checkpoint_every": 1, "batch_size": 1, "cache": cache}
    loop = loop_in(tmp_path, levels=(10, 200), **options)
    if cache == "on":
        loop.optimization.seam = 1
    with pytest.raises(TrainingError) as error:
        loop.run()
    assert isinstance(error.value, DetkitError)
    message, step = str(error.value), len(loop.history) + 1
    assert f"The loss is not finite at step {step}." in message
    assert "grey 10" in message or "grey 200" in message
    assert "localization" in message and "classification" in message and "gradient_norm" in message
    assert "Lower train.learning_rate (now 10)" in message
    assert "train.clip_norm" in message and "detkit check" in message
    arrays, facts, history = RunDirectory(tmp_path).load_state()
    assert facts["step"] == len(history) == step - 1
    assert all(np.isfinite(value).all() for value in arrays.values())


def test_a_gradient_that_is_not_finite_stops_the_run(tmp_path):
    import tensorflow as tf

    loop = loop_in(tmp_path, steps=2)
    loop.optimization.step = lambda record: {
        "localization": tf.constant(1.0), "classification": tf.constant(1.0), "loss": tf.constant(2.0),
        "gradient_norm": tf.constant(np.nan),
    }  # fmt: skip
    with pytest.raises(TrainingError, match="gradient_norm nan"):
        loop.run()


def test_the_pictures_named_are_those_of_the_batch(tmp_path):
    from detkit.data import batches

    loop = loop_in(tmp_path, levels=(10, 20, 30, 40), steps=2, batch_size=2)
    loop._stop_if_not_finite({"step": 1, "loss": 1.0, "gradient_norm": 1.0})
    drawn = {f"grey {(10, 20, 30, 40)[photo]}" for photo, _ in batches.draw(4, 2, 0, 0)}
    row = {"step": 1, "loss": np.nan, "localization": np.nan, "classification": 0.0, "gradient_norm": 1.0}
    with pytest.raises(TrainingError) as error:
        loop._stop_if_not_finite(row)
    assert {name.strip() for name in error.value.where.split(",")} == drawn


def test_a_bad_picture_stops_the_run_with_its_own_message(tmp_path):
    from detkit.errors import MediaError

    loop = loop_in(tmp_path, steps=3)

    def view(index, number=0):
        raise MediaError("The picture can't be decoded.", where="duck.jpg")

    loop.views.view = view
    with pytest.raises(MediaError, match=r"duck\.jpg"):
        loop.run()
