"""Blur, noise and JPEG artefacts: they change pixels, by as much as asked for, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from scenery import SIZE, moon, photo, views_of

from detkit.data.augmentation import degrade
from detkit.pipeline.settings import Augment

RNG = np.random.default_rng(0)
GRAIN = RNG.integers(40, 215, (*SIZE, 3), np.uint8)
PLAIN = np.full((200, 200, 3), 128, np.uint8)


@pytest.mark.parametrize("given", [{"blur": 3}, {"noise": 20}, {"jpeg": 80}], ids=str)
def test_pixels_change_and_nothing_else(given):
    example, options = photo(moon(np.random.default_rng(0))), Augment(**given)
    varied, plain = (views_of(example, augmentation=each, wants=("masks",), size=SIZE) for each in (options, Augment()))
    views, before = [varied.view(0, n) for n in range(6)], plain.view(0)
    assert len({view.image.tobytes() for view in views}) == 6
    for view in views:
        assert view.image.dtype == np.uint8 and view.image.shape == before.image.shape
        assert np.array_equal(view.boxes, before.boxes) and np.array_equal(view.masks, before.masks)
    assert np.array_equal(varied.view(0, 3).image, views[3].image)


def test_noise_has_its_deviation_in_each_value():
    difference = degrade.noise(PLAIN, 12.0, np.random.default_rng(0)).astype(int) - 128
    assert difference.std() == pytest.approx(12, abs=0.3) and abs(difference.mean()) < 0.2
    assert abs(np.corrcoef(difference[..., 0].ravel(), difference[..., 1].ravel())[0, 1]) < 0.03
    assert abs(np.corrcoef(difference[:, 1:].ravel(), difference[:, :-1].ravel())[0, 1]) < 0.03
    assert np.array_equal(degrade.noise(PLAIN, 0.0, np.random.default_rng(0)), PLAIN)


def test_blur_is_gaussian_of_its_deviation():
    dot = np.zeros((81, 81, 3), np.uint8)
    dot[37:44, 37:44] = 255
    blurred = degrade.blur(dot, 4.0)[..., 0].astype(float)
    place = np.arange(81) - 40
    assert blurred.sum() == pytest.approx(255 * 49, rel=0.05)
    assert (blurred.sum(0) * place**2).sum() / blurred.sum() == pytest.approx(16 + 4, rel=0.05)
    assert np.array_equal(degrade.blur(GRAIN, 0.0), GRAIN)


def test_the_lower_the_quality_the_more_jpeg_changes():
    smooth = degrade.blur(GRAIN, 2.0)
    changes = [np.abs(degrade.jpeg(smooth, quality).astype(int) - smooth).mean() for quality in (100, 80, 30, 5)]
    assert changes == sorted(changes) and changes[0] < 3 < changes[-1]
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 220
    assert np.abs(degrade.jpeg(red, 95).astype(int) - red).max() < 6  # no channels change places
