"""kill -9 in the middle of `detkit train`, then --resume: the weights of a run that was left alone, bit for bit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from click.testing import CliRunner
from small_models import equal, values

import detkit
from detkit import data as datasets
from detkit.cli import main
from detkit.data.dataset import Dataset
from detkit.data.synthesis import boats
from detkit.errors import DetkitError
from detkit.pipeline import pipeline as pipelines
from detkit.training.finetune import finetune

PIPELINE = """
task: detection
model: {model}
data: {{train: {train}}}
train: {{steps: {steps}, batch_size: 2, tune: heads, learning_rate: 0.01, checkpoint_every: 5, seed: 3,
         augment: {{flip: 0.5, zoom_out: 1.3}}, views: 2, ema: 0.9}}
"""
COMMAND = [sys.executable, "-c", "from detkit.cli import main; main()", "train"]


@pytest.fixture(scope="module")
def pipeline(small_model, tmp_path_factory):
    """A pipeline file whose run takes long enough to be killed."""
    folder = tmp_path_factory.mktemp("pipeline")
    boats.few_shot_set(folder, train=2, test=1, size=(90, 120))
    path = folder / "boats.yaml"
    path.write_text(PIPELINE.format(model=small_model, train=folder / "train.json", steps=400))
    return path


@pytest.fixture(scope="module")
def whole(pipeline, tmp_path_factory):
    """The run that was left alone."""
    return detkit.api.train(pipeline, output=tmp_path_factory.mktemp("whole") / "run", show_progress=False)


def kill_after_a_checkpoint(arguments, directory, delay):
    """Starts the training, waits for a new state and some more, and kills it; whether it was still at work."""
    state = directory / "training" / "state.npz"
    before = state.stat().st_mtime_ns if state.exists() else 0
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 300
        while process.poll() is None and time.monotonic() < deadline:
            if state.exists() and state.stat().st_mtime_ns > before:
                break
            time.sleep(0.005)
        assert state.exists(), process.communicate()[0]
        time.sleep(delay)
    finally:
        process.kill()
        process.communicate()
    return process.returncode == -signal.SIGKILL


def check_resumed(pipeline, directory, whole):
    runner = CliRunner()
    result = runner.invoke(main, ["train", str(pipeline), "--output", str(directory), "--resume"])
    assert result.exit_code == 0, result.output
    assert "resumed after step" in (directory / "log.txt").read_text()
    assert equal(values(detkit.load(directory)), values(whole.detector)) == []
    assert (directory / "history.csv").read_bytes() == (whole.directory / "history.csv").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_a_killed_run_goes_on(pipeline, whole, tmp_path):
    delay, directory = random.uniform(0, 0.3), tmp_path / "run"
    assert kill_after_a_checkpoint([str(pipeline), "--output", str(directory)], directory, delay)
    assert not (directory / "metrics.json").exists()
    check_resumed(pipeline, directory, whole)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_a_run_killed_again_and_again_goes_on(pipeline, whole, tmp_path):
    directory, resume = tmp_path / "run", []
    for _ in range(6):
        arguments = [str(pipeline), "--output", str(directory), *resume]
        if not kill_after_a_checkpoint(arguments, directory, random.uniform(0, 0.1)):
            break
        resume = ["--resume"]
    check_resumed(pipeline, directory, whole)


def test_resuming_with_other_classes_is_explained(pipeline, whole):
    boats = datasets.read(pipeline.parent / "train.json")
    other = Dataset(boats.examples, (*boats.classes, "duck"))
    plan = replace(pipelines.load(pipeline), output=str(whole.directory))
    with pytest.raises(DetkitError):
        finetune(plan, other, resume=True, show_progress=False)
