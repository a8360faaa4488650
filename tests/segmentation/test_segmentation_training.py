"""A segmenter from pipeline to run directory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shapes import dataset, picture

import detkit
from detkit.evaluation.segmentation import segmentation
from detkit.pipeline import pipeline as pipelines
from detkit.training.finetune import finetune

PIPELINE = Path(__file__).parents[2] / "pipelines" / "nuclei_unet.yaml"


def trained(output: Path, **train):
    overrides = ["model.encoder=null", "model.weights=null", "model.width=8", "model.depth=2", "model.size=32"]
    overrides += ["train.augment=none"]
    overrides += [f"train.{name}={value}" for name, value in train.items()]
    pipeline = replace(pipelines.load(PIPELINE, overrides), output=str(output))
    return finetune(pipeline, dataset(6), None, dataset(3), show_progress=False)


@pytest.mark.slow
def test_the_shipped_pipeline_learns_shapes(tmp_path):
    run = trained(tmp_path / "run", steps=60, learning_rate=0.01)
    assert run.metrics["iou"] > 0.7
    assert run.history[-1]["loss"] < run.history[0]["loss"] / 2
    again = detkit.load(tmp_path / "run")
    images, truth = zip(*(picture(n) for n in range(3)), strict=True)
    found = [each.class_map for each in again.segment(list(images))]
    assert segmentation(truth, found, again.classes).numbers["IoU"] == pytest.approx(run.metrics["iou"])


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(tmp_path):
    runs = [trained(tmp_path / name, steps=3) for name in "ab"]
    ours, theirs = ([variable.numpy() for variable in run.model.variables().values()] for run in runs)
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
