"""Tiles on a picture of 4,000 x 3,000 pixels with small real objects."""

from __future__ import annotations

import pytest
import tiling as benchmark

import detkit
from detkit.data import Dataset
from detkit.inference.predictor import Predictor


@pytest.mark.slow
def test_tiles_find_small_objects_of_a_large_picture_once(shared, tmp_path):
    data = detkit.data.read(shared / "data/ducky/train.json")
    run = detkit.finetune("hands", data, output=tmp_path / "run", steps=100, seed=0)
    example = benchmark.mosaic(detkit.data.read(shared / "data/ducky/test.json"), count=30)
    assert example.size == (3000, 4000) and len(example.boxes) >= 30
    dataset = Dataset([example], data.classes)
    whole, tiled = Predictor(run.detector), Predictor(run.detector, tiles=640)
    without, with_tiles = (detkit.evaluate(predictor, dataset)["AP50"] for predictor in (whole, tiled))
    assert with_tiles > without + 0.3
    assert benchmark.doubles(tiled.detect(example.image, threshold=0.3)[0]) == 0
