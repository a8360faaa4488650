"""Strategies: what they train, at which rate, and that a run in two stages resumes and keeps its best weights."""

from __future__ import annotations

import numpy as np
import pytest
from small_models import equal, values
from small_network import Colours

from detkit import models
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.errors import ConfigError
from detkit.pipeline.transfer import ClassificationPipeline, TransferTraining
from detkit.training import finetune as training
from detkit.training import phases
from detkit.training.loop import Loop

BACKBONE = ["backbone/first/kernel", "backbone/first_norm/beta", "backbone/first_norm/gamma",
            "backbone/second/bias", "backbone/second/kernel"]  # fmt: skip
HEAD = ["head/logits/bias", "head/logits/kernel"]


def groups(**options):
    return [
        {rate: sorted(paths) for rate, paths in phase.selection.groups}
        for phase in phases.plan(Colours(), TransferTraining(**options))
    ]


def test_what_each_strategy_trains():
    assert groups(strategy="head") == groups(strategy="auto") == [{1.0: HEAD}]
    assert groups(strategy="full") == [{1.0: BACKBONE + HEAD}]
    finetune = {1.0: HEAD, 0.1: BACKBONE[-2:]}
    assert groups(strategy="finetune", unfreeze="second") == groups(strategy="finetune", unfreeze=0.3) == [finetune]
    assert groups(strategy="two_stage", unfreeze="second") == [{1.0: HEAD}, finetune]
    assert groups(strategy="finetune", unfreeze=1, finetune_rate=0.5) == [{1.0: HEAD, 0.5: BACKBONE}]


def test_the_second_stage_has_steps_of_its_own():
    plan = phases.plan(Colours(), TransferTraining(strategy="two_stage", steps=7, finetune_steps=3))
    assert [(phase.name, phase.settings.steps) for phase in plan] == [("head", 7), ("finetune", 3)]


def test_a_layer_that_does_not_exist():
    with pytest.raises(ConfigError, match="Did you mean first_norm") as error:
        groups(strategy="finetune", unfreeze="frist_norm")
    assert "no such layer" in str(error.value) and "train.unfreeze" in str(error.value)


@pytest.mark.parametrize("strategy", ["head", "finetune", "two_stage"])
def test_a_backbone_without_weights_is_not_left_as_it_is(strategy):
    with pytest.raises(ConfigError, match="The backbone has no weights"):
        phases.plan(Colours(pretrained=False), TransferTraining(strategy=strategy))
    assert phases.plan(Colours(pretrained=False), TransferTraining())[0].selection.seam == 0


@pytest.fixture
def pictures(tmp_path):
    """Six pictures, dark and light by turns."""
    from PIL import Image

    examples = []
    for i in range(6):
        path = tmp_path / f"{i}.png"
        Image.fromarray(np.full((8, 8, 3), 20 + 180 * (i % 2) + i, np.uint8)).save(path)
        examples.append(Example(path, np.zeros((0, 4)), [], (8, 8), image_labels=[i % 2]))
    return Dataset(tuple(examples), ("dark", "light"), name="pictures")


OPTIONS = {"strategy": "two_stage", "steps": 4, "finetune_steps": 4, "batch_size": 2, "augment": "none", "unfreeze": 1,
           "views": 1, "validate_every": 2, "checkpoint_every": 2, "learning_rate": 0.05}  # fmt: skip


def score(network) -> float:
    """Of its weights, and as good as drawn by chance."""
    return float(np.abs(network.variables()["head/logits/kernel"].numpy()).sum()) * 1000 % 1


@pytest.fixture
def run(monkeypatch, pictures, tmp_path):
    """Trains in two stages with these options."""
    monkeypatch.setattr(models, "build", lambda *_: Colours())
    monkeypatch.setattr(training, "measure", lambda *_: None)
    monkeypatch.setattr(training, "numbers", lambda *_: {})
    monkeypatch.setattr(training, "Validation", lambda network, *_: lambda: {"accuracy": score(network)})

    def start(name, resume=False, **options):
        plan = ClassificationPipeline(train=OPTIONS | options, output=str(tmp_path / name))
        return training.finetune(plan, pictures, pictures, resume=resume, show_progress=False)

    return start


@pytest.mark.parametrize("options", [{"seed": seed} for seed in range(3)], ids=str)
def test_two_stages_are_one_history_and_the_best_weights_of_both_stay(run, options):
    done = run("run", **options)
    assert [row["step"] for row in done.history] == list(range(1, 9))
    validated = {row["val_accuracy"]: row["step"] for row in done.history if "val_accuracy" in row}
    assert len(validated) == 4
    assert done.metrics["best_step"] == validated[max(validated)]
    assert done.metrics["val_accuracy"] == max(validated) == score(done.model)


class Killed(Exception):
    pass


@pytest.mark.parametrize("step", [2, 6])
def test_a_killed_run_goes_on_in_the_stage_where_it_was(run, monkeypatch, step):
    whole = run("whole")
    real = Loop._save

    def save(loop):
        real(loop)
        if loop.last_step == step:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Loop, "_save", save)
        run("run")
    resumed = run("run", resume=True)
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in whole.history]
    assert equal(values(resumed.model), values(whole.model)) == []


def test_cached_and_uncached_training_agree(run):
    options = {"strategy": "head", "augment": {"flip": 0.5}, "views": 2}  # as many views as rounds of the pictures
    cached, plain = run("cached", cache="on", **options), run("plain", cache="off", **options)
    pairs = zip(cached.history, plain.history, strict=True)
    assert all(a["loss"] == pytest.approx(b["loss"], rel=1e-4) for a, b in pairs)
