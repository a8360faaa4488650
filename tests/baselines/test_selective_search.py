"""Proposals: inside the image, in an order that the seed decides, around what stands out."""

from __future__ import annotations

import numpy as np
import pytest

from detkit import boxes as box_math
from detkit.baselines import selective_search
from detkit.errors import ConfigError, DataError


def scene(size=(90, 130), seed=0):
    """A noisy ground with a red and a striped rectangle on it, and their boxes."""
    rng = np.random.default_rng(seed)
    image = rng.normal(100, 6, (*size, 3))
    image[20:60, 15:50] = [200, 40, 40] + rng.normal(0, 6, (40, 35, 3))
    image[40:80, 80:120] = 60 + 120 * (np.arange(40) // 4 % 2)[:, None]
    boxes = [[20, 15, 60, 50], [40, 80, 80, 120]]
    return image.clip(0, 255).astype(np.uint8), box_math.convert(
        np.array(boxes)[:, [1, 0, 3, 2]], "xyxy_abs", "yxyx", size
    )


@pytest.mark.parametrize("mode", selective_search.MODES)
def test_proposals_are_boxes_inside_the_image_and_no_two_alike(mode):
    found = selective_search.propose(scene()[0], mode)
    assert found.dtype == np.float32 and found.shape[1] == 4
    assert box_math.valid(found).all()
    assert len(np.unique(found, axis=0)) == len(found)
    assert [0, 0, 1, 1] in found.tolist()


def test_what_stands_out_gets_a_tight_box():
    image, boxes = scene()
    overlaps = box_math.iou(boxes, selective_search.propose(image, "fast")).max(axis=1)
    assert (overlaps > 0.8).all()


def test_a_richer_mode_proposes_more():
    counts = [len(selective_search.propose(scene()[0], mode)) for mode in ("single", "fast", "quality")]
    assert counts[0] < counts[1] < counts[2]


def test_the_seed_decides_the_order_and_nothing_else():
    image = scene()[0]
    first, again, other = (selective_search.propose(image, "fast", seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert sorted(first.tolist()) == sorted(other.tolist())


def test_large_regions_tend_to_come_first():
    found = selective_search.propose(scene()[0], "fast")
    areas, half = box_math.area(found), len(found) // 2
    assert areas[:half].mean() > areas[half:].mean()


def test_a_large_image_is_scaled_down():
    image = np.kron(scene()[0], np.ones((4, 4, 1), np.uint8))
    found = selective_search.propose(image, "single", side=130) * [90, 130, 90, 130]
    assert np.allclose(found, np.round(found), atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (30, 2), (40, 40)])
def test_tiny_and_plain_images_have_a_proposal(size):
    found = selective_search.propose(np.full((*size, 3), 90, np.uint8), "fast")
    assert found.tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize("space, channels", [("HSV", 3), ("Lab", 3), ("rgI", 3), ("H", 1), ("I", 1)])
def test_colour_spaces(space, channels):
    image = scene()[0]
    converted = selective_search.in_space(image, space)
    assert converted.shape == (*image.shape[:2], channels) and converted.dtype == np.uint8
    darker = selective_search.in_space(image // 2, space)
    inside = (slice(25, 55), slice(20, 45))  # the red rectangle: neither hue nor the share of red depends on the light
    change = np.abs(converted[inside].astype(int) - darker[inside])
    change = np.minimum(change, 256 - change)[..., 0].mean()
    assert change < 4 if space in ("HSV", "rgI", "H") else change > 10


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_refuses_what_is_no_image(image):
    with pytest.raises(DataError, match="no RGB image"):
        selective_search.propose(image)


def test_refuses_an_unknown_mode():
    with pytest.raises(ConfigError, match="single, fast, quality"):
        selective_search.propose(scene()[0], "quick")
