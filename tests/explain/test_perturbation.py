"""Maps made from answers alone."""

from __future__ import annotations

import numpy as np
import pytest
from toys import BOX, brightness, picture

from detkit.explain.perturbation import occlusion, rise
from detkit.explain.scores import pointed, top_in_box

METHODS = [lambda answer: rise(answer, picture(), masks=200, cells=6), lambda answer: occlusion(answer, picture())]


@pytest.mark.parametrize("method", METHODS, ids=["rise", "occlusion"])
def test_what_the_answer_depends_on_is_found(method):
    found = method(brightness)
    assert found.shape == (32, 32)
    assert pointed(found, BOX) and top_in_box(found, BOX) > 0.9


@pytest.mark.parametrize("method", METHODS, ids=["rise", "occlusion"])
def test_an_answer_that_never_changes_has_an_empty_map(method):
    found = method(lambda pictures: np.full(len(pictures), 0.7, np.float32))
    assert not found.any()


def test_what_disturbs_is_below_zero():
    found = occlusion(lambda pictures: 1 - brightness(pictures), picture())
    assert found.min() < -0.1 and pointed(-found, BOX)


def test_masks_are_the_same_for_the_same_seed():
    first, again, other = (rise(brightness, picture(), masks=20, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_pictures_come_in_batches_of_their_own_size():
    seen = []

    def answer(pictures):
        seen.append(pictures.shape)
        assert pictures.dtype == np.uint8
        return np.zeros(len(pictures), np.float32)

    rise(answer, picture()[:20], masks=21)
    assert sum(shape[0] for shape in seen) == 21 and {shape[1:] for shape in seen} == {(20, 32, 3)}
