"""Baselines that are saved, loaded by `detkit.load`, and damaged on the way."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import detkit
from detkit.baselines import rcnn, storage
from detkit.baselines.features import Backbone
from detkit.baselines.linear import Linear, Scaling
from detkit.baselines.sliding_window import Pyramid, SlidingWindow, WindowClassifier
from detkit.errors import CheckpointError, ConfigError

IMAGE = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)


@pytest.fixture(scope="module")
def hands():
    return detkit.load("hands")


def models(width, columns, seed=0):
    rng = np.random.default_rng(seed)
    linear = Linear(rng.normal(0, 0.1, (width, columns)).astype(np.float32), np.zeros(columns, np.float32))
    return Scaling(np.zeros(width, np.float32), np.ones(width, np.float32)), linear


def make(kind, hands):
    backbone = Backbone(hands, "block_5")
    if kind == "sliding window":
        classify = WindowClassifier(backbone, 2, *models(4 * backbone.channels, 2))
        options = dict(window=classify.window, stride=backbone.stride, pyramid=Pyramid((0.9, 0.4), (1.0,)), shared=True)
        return SlidingWindow(classify, ("a", "b"), label_ids=(7, 3), name="windows", **options)
    settings = rcnn.RCNNSettings(fast=True, mode="single", proposals=20, block="block_5", grid=2, side=128)
    scaling, linear = models(4 * backbone.channels, 2)
    regression = models(4 * backbone.channels, 4, seed=1)[1]
    return rcnn.RCNN(backbone, ("a", "b"), settings, scaling, linear, regression, (7, 3), "regions")


@pytest.fixture(scope="module")
def saved(hands, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    for kind in ("sliding window", "rcnn"):
        storage.save(make(kind, hands), folder / kind)
    return folder


@pytest.mark.parametrize("kind", ["sliding window", "rcnn"])
def test_what_is_loaded_detects_the_same(kind, hands, saved):
    before, after = make(kind, hands), detkit.load(saved / kind)
    assert (after.classes, after.label_ids, after.name) == (before.classes, before.label_ids, before.name)
    (expected,), (found,) = before.detect(IMAGE), after.detect(IMAGE)
    assert len(found) and np.array_equal(found.class_ids, expected.class_ids)
    assert np.allclose(found.boxes, expected.boxes, atol=1e-5)
    assert np.allclose(found.scores, expected.scores, atol=1e-5)


def test_a_directory_of_a_baseline_holds_no_pickle(saved):
    files = {path.name for path in (saved / "rcnn").iterdir()}
    assert files == {"baseline.json", "weights.npz", "model"}
    assert storage.is_baseline(saved / "rcnn") and not storage.is_baseline(saved / "rcnn/model")
    with np.load(saved / "rcnn/weights.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype == np.float32 for name in arrays.files)


def edit(folder, change):
    description = json.loads((folder / "baseline.json").read_text())
    change(description)
    (folder / "baseline.json").write_text(json.dumps(description))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "weights.npz").unlink(),
        lambda folder: (folder / "weights.npz").write_bytes(b"PK"),
        lambda folder: edit(folder, lambda it: it.pop("classes")),
        lambda folder: edit(folder, lambda it: it["settings"].update(unheard=1)),
    ],
)
def test_a_damaged_one_is_an_error(saved, tmp_path, damage):
    folder = shutil.copytree(saved / "rcnn", tmp_path / "copy")
    damage(folder)
    with pytest.raises(CheckpointError, match="damaged or incomplete"):
        storage.load(folder)


def test_a_classifier_of_ones_own_can_not_be_saved(tmp_path):
    with pytest.raises(ConfigError, match="Only a sliding window that detkit trained"):
        storage.save(SlidingWindow(len, ("a",), 8, 8), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_backbone_has_a_stride_and_names_its_blocks(hands):
    backbone = Backbone(hands, "block_5")
    assert (backbone.stride, backbone.channels) == (8, 32)
    assert Backbone(hands).block == "out"
    with pytest.raises(ConfigError, match="expanded_conv, block_1"):
        Backbone(hands, "block_99")
