"""Synthetic scenes: the same for the same seed, with boxes that fit."""

from __future__ import annotations

import numpy as np
import pytest

from detkit import data
from detkit.boxes import iou, valid
from detkit.data.synthesis import boats
from detkit.data.synthesis.toy_boat import toy_boat
from detkit.errors import ConfigError

SIZE = (90, 120)


def test_a_seed_gives_one_scene():
    (first, boxes), (again, boxes_again), (other, _) = (
        boats.scene(np.random.default_rng(seed), SIZE) for seed in (3, 3, 4)
    )
    assert first.dtype == np.uint8 and first.shape == (*SIZE, 3)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(boxes, boxes_again)
    assert (first != other).any()


@pytest.mark.parametrize("count", [1, 2, 4])
def test_boats_are_inside_and_apart(count):
    for seed in range(5):
        _, boxes = boats.scene(np.random.default_rng(seed), SIZE, count)
        assert boxes.shape == (count, 4) and valid(boxes).all()
        assert iou(boxes, boxes)[~np.eye(count, dtype=bool)].max(initial=0) < 0.05


@pytest.mark.parametrize("angle", [0, 20, -75])
def test_a_box_is_tight(angle):
    """On a black ground the lit boat is all there is to see, and its box is the smallest around it."""
    picture, box = boats.place(np.zeros((200, 300, 3), np.float32), boats.Pose(0.4, 0.5, 0.5, angle))
    rows, columns = (np.flatnonzero((picture > 0.03).any(axis)) for axis in ((1, 2), (0, 2)))
    seen = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
    np.testing.assert_allclose(box * [200, 300, 200, 300], seen, atol=1.01)


def test_the_boat_is_cut_out():
    alpha = np.asarray(toy_boat().getchannel("A"))
    assert alpha[0, 0] == 0 and 0.2 < (alpha > 128).mean() < 0.6


def test_a_few_shot_set_can_be_read_back(tmp_path):
    train, test = boats.few_shot_set(tmp_path, seed=1, train=3, test=4, size=SIZE)
    assert (len(train), len(test), train.classes) == (3, 4, ("toy_boat",))
    assert [len(example) for example in train] == [1, 1, 2]
    read = data.read(tmp_path / "train.json")
    for written, found in zip(train, read, strict=True):
        np.testing.assert_allclose(found.boxes, written.boxes, atol=1e-4)
        assert found.pixels().shape == (*SIZE, 3)
    problems = data.check(tmp_path / "test.json")
    assert [problem for problem in problems if problem.severity != "info"] == []


def test_train_and_test_differ(tmp_path):
    train, test = boats.few_shot_set(tmp_path, train=2, test=2, size=SIZE)
    assert (train[0].pixels() != test[0].pixels()).any()


def test_an_unwritable_directory_is_explained(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="Part of this path is a file"):
        boats.few_shot_set(tmp_path / "file", train=1, test=1, size=SIZE)


def test_the_film_is_smooth_and_reproducible():
    film = list(boats.clip(seed=5, frames=30, size=SIZE))
    again = next(iter(boats.clip(seed=5, frames=30, size=SIZE)))
    assert len(film) == 30
    np.testing.assert_array_equal(film[0][0], again[0])
    boxes = np.concatenate([box for _, box in film])
    assert valid(boxes).all()
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    steps = np.linalg.norm(np.diff(centres, axis=0), axis=-1)
    assert 0.02 < steps.max() < 0.2
    assert np.ptp(centres[:, 1]) > 0.4
