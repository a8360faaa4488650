"""A segmenter from pipeline to run directory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
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


@pytest.mark.parametrize(
    ("names", "values", "expected"),
    [("background\nshape\n", (0, 0), "no picture has a pixel of one"), ("background\n", (0, 0), "names no class")],
)
def test_the_check_finds_that_there_is_nothing_to_learn(names, values, expected, tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number, value in enumerate(values):
        Image.fromarray(picture(number)[0]).save(tmp_path / f"images/{number}.png")
        Image.fromarray(np.full((40, 56), value, np.uint8)).save(tmp_path / f"masks/{number}.png")
    (tmp_path / "classes.txt").write_text(names)
    overrides = [f"data.train={tmp_path}", "model.encoder=null", "model.weights=null", "model.width=4", "model.depth=2"]
    errors = [problem for problem in detkit.api.check(PIPELINE, overrides) if problem.severity == "error"]
    assert [expected in problem.what for problem in errors] == [True]
