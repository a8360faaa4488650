"""The OD API's eager few-shot tutorial: ten steps of its losses, through detkit's own training step."""

from __future__ import annotations

import json

import numpy as np
import pytest
from golden_case import cases, unmatched
from reference_model import reference_value
from reference_weights import image

from detkit.data import batches
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.detection.build import build
from detkit.pipeline import od_config
from detkit.pipeline.settings import TrainConfig
from detkit.training import cache
from detkit.training.optimization import Optimization
from detkit.training.selection import choose

SETTINGS = TrainConfig(
    steps=10, batch_size=2, tune="heads", optimizer="momentum", momentum=0.9, learning_rate=0.01,
    schedule="constant", warmup_steps=0, clip_norm=None, augment="none", ema=None,
)  # fmt: skip


NAMES = cases(["ssd_mobilenet_v2_fpnlite_320x320"], ["ssd_resnet50_v1_fpn_640x640"])


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def reference(name, shared):
    with np.load(shared / "golden" / "golden" / f"fewshot_{name}.npz") as archive:
        return dict(archive)


def detector_of(name, reference, shared):
    """The one-class detector that the tutorial starts from."""
    config = od_config.read(shared / "golden" / "configs" / f"{name}.config")
    detector = build(od_config.with_changes(config, {"model.ssd.num_classes": 1}), ["duck"])
    parts = detector.part_of()
    for path, variable in detector.variables().items():
        value, kind = reference_value(path, tuple(variable.shape), reference["gains"]), path.rsplit("/", 1)[1]
        if parts[path] == "head/class_head" and kind != "depthwise_kernel":
            value = np.full_like(value, -4.6) if kind == "bias" else value * np.float32(0.01)
        variable.assign(value)
    return detector


def photos(reference) -> Dataset:
    size, examples = (427, 640), []
    for i, seed in enumerate(reference["seeds"]):
        boxes = reference[f"boxes_{i}"]
        examples.append(Example(image(int(seed), *size), boxes, [0] * len(boxes), size))
    return Dataset(tuple(examples), ("duck",))


@pytest.fixture(scope="module", params=["cached", pytest.param("uncached", marks=pytest.mark.slow)])
def trained(request, name, reference, shared):
    """(detector, rows of losses) after the ten steps."""
    detector = detector_of(name, reference, shared)
    optimization = Optimization(detector, choose(detector, "heads"), SETTINGS)
    views = batches.Views(photos(reference), detector.resized)
    prefix = cache.Prefix(detector, optimization.seam)
    optimization.set_learning_rate(SETTINGS.learning_rate)
    rows = []
    stored = cache.fill(prefix, views, 1, 1024, True) if request.param == "cached" else None
    for numbers in reference["batches"].tolist():
        if stored is None:
            results = optimization.step(prefix.records([views.view(photo) for photo in numbers]))
        else:
            results = optimization.cached_step(stored.records, stored.rows([(photo, 0) for photo in numbers]))
        rows.append({key: float(value) for key, value in results.items()})
    return detector, rows


@pytest.mark.parametrize("part", ["total", "localization", "classification"])
def test_losses_of_every_step(trained, reference, part):
    ours = [row["loss" if part == "total" else part] for row in trained[1]]
    assert ours == pytest.approx(reference[f"{part}_loss"].tolist(), rel=1e-3)


def test_gradient_norms_of_every_step(trained, reference):
    norms = np.sqrt(np.square(reference["grad_norms"]).sum(axis=1))
    assert [row["gradient_norm"] for row in trained[1]] == pytest.approx(norms.tolist(), rel=1e-3)


def test_final_weights(trained, reference, name, shared):
    names = json.loads((shared / "golden" / "names" / f"{name}.json").read_text())
    paths = {keras_name: key.removeprefix("model/") for key, keras_name in names.items()}
    variables = trained[0].variables()
    for keras_name in map(str, reference["variable_names"]):
        final = variables[paths[keras_name.split(":")[0]]].numpy()
        for key, every in ((f"final/{keras_name}", 1), (f"final_every7/{keras_name}", 7)):
            if key in reference:
                assert np.abs(final.ravel()[::every] - reference[key].ravel()).max() < 1e-4


def test_detections_afterwards(trained, reference):
    detector, _ = trained
    found = detector.detect(image(int(reference["seeds"][0]), 427, 640))[0]
    theirs = [np.squeeze(reference[f"after/detection_{part}"]) for part in ("boxes", "scores", "classes")]
    assert unmatched((found.boxes, found.scores, found.class_ids), *theirs) == []
