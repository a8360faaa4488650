"""Figures of maps that are right, wrong, or the same."""

from __future__ import annotations

import numpy as np
import pytest
from toys import BOX, PATCH, brightness, picture

from detkit.explain import scores


def right_map() -> np.ndarray:
    found = np.zeros((32, 32), np.float32)
    found[PATCH] = 1.0
    return found


def test_deletion_is_low_and_insertion_high_for_the_right_map():
    right, wrong = right_map(), -right_map()
    for measure, better in ((scores.deletion, np.less), (scores.insertion, np.greater)):
        areas = [scores.area(measure(brightness, picture(), each)) for each in (right, wrong)]
        assert better(*areas)


def test_curves_go_from_the_whole_picture_to_none_of_it_and_back():
    whole = brightness(picture()[None])[0]
    deleted = scores.deletion(brightness, picture(), right_map(), steps=7)
    inserted = scores.insertion(brightness, picture(), right_map(), steps=7)
    assert deleted.shape == inserted.shape == (8,)
    assert deleted[0] == pytest.approx(whole) and inserted[-1] == pytest.approx(whole)
    assert deleted[-1] == pytest.approx(picture().mean(axis=(0, 1))[0] / 255, abs=0.01)


def test_the_area_is_that_of_trapezoids():
    assert scores.area(np.array([1.0, 0.5, 0.5, 0.0])) == pytest.approx(0.5)


def test_mass_in_the_box():
    found = right_map()
    assert scores.energy_in_box(found, BOX) == scores.top_in_box(found, BOX) == 1
    found[0, 0] = 64.0
    assert scores.energy_in_box(found, BOX) == pytest.approx(0.5)
    assert scores.pointed(right_map(), BOX) and not scores.pointed(found, BOX)
    assert scores.energy_in_box(-right_map(), BOX) == 0


def test_only_the_highest_pixels_count_at_the_top():
    found = right_map()
    found[:16] = 0.9  # half of the picture, but below
    assert scores.top_in_box(found, BOX, top=64 / 1024) == 1
    assert scores.energy_in_box(found, BOX) < 0.2


@pytest.mark.parametrize(
    "other, expected",
    [(lambda a: a**3, 1.0), (lambda a: -a, 1.0), (lambda a: 1 / (a + 1), -1.0), (np.ones_like, 0.0)],
    ids=["the same order", "the other sign", "the other order", "constant"],
)
def test_rank_correlation(other, expected):
    values = np.random.default_rng(0).random((8, 8))
    assert scores.rank_correlation(values, other(values)) == pytest.approx(expected)
