"""Random datasets, and one with very many boxes, written and read again in every format."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_files import picture
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_datasets import MAPS, TARGETS, assert_same_boxes, by_picture, datasets, labelled, passed_through

from detkit import data
from detkit.data.formats.lost import KEEPS


@pytest.mark.parametrize("name", TARGETS)
@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_random_datasets_survive(name, drawn):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pictures").mkdir()
        dataset = drawn.draw(datasets(Path(folder) / "pictures"))
        new = passed_through(dataset, name, Path(folder))
        if "empty" not in KEEPS[name]:
            dataset = replace(dataset, examples=tuple(example for example in dataset if len(example)))
        assert_same_boxes(dataset, new)


@pytest.mark.parametrize("name", [*MAPS, "tfrecord"])
@settings(deadline=None, max_examples=5, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_random_labels_and_class_maps_survive(name, drawn):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pictures").mkdir()
        dataset = drawn.draw(labelled(Path(folder) / "pictures"))
        new = passed_through(dataset, name, Path(folder))
        found = by_picture(new)
        assert new.classes == dataset.classes and len(new) == len(dataset)
        for stem, example in by_picture(dataset).items():
            if "image labels" in KEEPS[name]:
                assert found[stem].image_labels.tolist() == example.image_labels.tolist()
            if "class maps" in KEEPS[name]:
                np.testing.assert_array_equal(found[stem].semantic(), example.semantic())


@pytest.mark.parametrize("name", TARGETS)
def test_thousands_of_boxes_in_a_picture(tmp_path, name):
    file = picture(tmp_path / "many.png", (200, 200))
    corner = np.random.default_rng(0).uniform(0, 0.9, (2_000, 2))
    boxes = np.concatenate([corner, corner + 0.05], -1)
    dataset = data.Dataset((data.Example(file, boxes, np.arange(2_000) % 2, (200, 200)),), ("a", "b"))
    assert_same_boxes(dataset, passed_through(dataset, name, tmp_path))
