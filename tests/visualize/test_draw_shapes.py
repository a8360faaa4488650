"""Masks and keypoints drawn on images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detkit.data.example import Example
from detkit.detections import Detections
from detkit.visualize.draw import draw, draw_truth
from detkit.visualize.palette import colour

GREY = np.full((240, 320, 3), 128, np.uint8)
BOX = [0.25, 0.25, 0.75, 0.75]  # rows 60..180, columns 80..240
PLAIN = dict(labels=False, scores=False, thickness=2)
TINT = np.rint(128 * 0.6 + 0.4 * np.array(colour(0)))


def found(boxes=(BOX,), class_ids=None, scores=None, **fields):
    n = len(boxes)
    scores = np.linspace(0.9, 0.5, n) if scores is None else scores
    boxes = np.reshape(boxes, (-1, 4))
    return Detections(boxes, scores, [0] * n if class_ids is None else class_ids, ("duck", "dog"), (240, 320), **fields)


def left_half():
    return np.array([[[1.0, 0.0]]]).repeat(2, axis=1)


def test_a_mask_is_filled_see_through_with_an_outline():
    drawn = draw(GREY, found(masks=left_half()), **PLAIN)
    assert (drawn[120, 100:150] == TINT).all()
    assert (drawn[120, 158] == colour(0)).all()
    assert (drawn[120, 165:230] == 128).all()
    assert (drawn[:60] == 128).all() and (drawn[180:] == 128).all()


def test_the_image_shows_through():
    image = np.random.default_rng(0).integers(0, 255, GREY.shape, np.uint8)
    inside = draw(image, found(masks=np.ones((1, 2, 2))), **PLAIN)[80:160, 100:220]
    below = image[80:160, 100:220]
    assert np.corrcoef(inside[..., 0].ravel(), below[..., 0].ravel())[0, 1] > 0.99


def test_masks_lie_under_all_boxes_and_labels():
    boxes, everywhere = [BOX, [0, 0, 1, 1]], np.ones((2, 2, 2))
    with_masks = draw(GREY, found(boxes, masks=everywhere, scores=[0.5, 0.9]))
    without = draw(GREY, found(boxes, scores=[0.5, 0.9]))
    frame = (without[120, 80:90] != 128).any(axis=1)
    assert np.array_equal(with_masks[120, 80:90][frame], without[120, 80:90][frame])


def test_an_image_of_another_size_gets_its_mask_in_place():
    drawn = draw(np.full((120, 160, 3), 128, np.uint8), found(masks=left_half()), **PLAIN)
    assert (drawn[60, 50:75] == TINT).all() and (drawn[60, 85:110] == 128).all()


POINTS = np.array([[[0.3, 0.3], [0.3, 0.7], [0.7, 0.5]]])


def at(drawn, y, x):
    return drawn[round(y * 240 - 0.5), round(x * 320 - 0.5)]


def test_keypoints_are_dots_of_the_class_where_they_are():
    drawn = draw(GREY, found(class_ids=[1], keypoints=POINTS), **PLAIN)
    for y, x in POINTS[0]:
        assert (at(drawn, y, x) == colour(1)).all()
    assert (at(drawn, 0.3, 0.5) == 128).all()


def test_the_skeleton_joins_keypoints():
    drawn = draw(GREY, found(keypoints=POINTS), skeleton=[(0, 1)], **PLAIN)
    assert (at(drawn, 0.3, 0.5) == colour(0)).all() and (at(drawn, 0.5, 0.4) == 128).all()


def test_unsure_keypoints_and_their_lines_are_left_out():
    scores = np.array([[0.9, 0.2, 0.9]])
    detections = found(keypoints=POINTS, keypoint_scores=scores)
    drawn = draw(GREY, detections, skeleton=[(0, 1), (0, 2)], **PLAIN)
    assert (at(drawn, 0.3, 0.7) == 128).all() and (at(drawn, 0.3, 0.5) == 128).all()
    assert (at(drawn, 0.5, 0.4) == colour(0)).all()
    drawn = draw(GREY, detections, skeleton=[(0, 1)], keypoint_threshold=0.2, **PLAIN)
    assert (at(drawn, 0.3, 0.7) == colour(0)).all() and (at(drawn, 0.3, 0.5) == colour(0)).all()


def test_seventeen_keypoints_are_a_person():
    points = np.zeros((1, 17, 2))
    points[0, 5], points[0, 6] = (0.4, 0.3), (0.4, 0.7)  # the shoulders
    drawn = draw(GREY, found(keypoints=points, keypoint_scores=(points[..., 0] > 0)), **PLAIN)
    assert (at(drawn, 0.4, 0.5) == colour(0)).all()


def test_ground_truth_has_masks_rings_and_no_unlabelled_points():
    outline = [[80, 60, 160, 60, 160, 180, 80, 180]]
    example = Example(
        GREY, [BOX], [0], (240, 320), segmentations=[outline], keypoints=POINTS, keypoint_visibility=[[2, 1, 0]]
    )
    drawn = draw_truth(GREY, example, ("duck",), skeleton=[(0, 1)])
    assert (at(drawn, 0.5, 0.4) == TINT).all() and (at(drawn, 0.6, 0.6) == 128).all()
    assert (at(drawn, 0.3, 0.3) == colour(0)).all() and np.abs(at(drawn, 0.3, 0.5) - np.array(colour(0))).max() < 40
    assert (at(drawn, 0.3, 0.7) != colour(0)).any() and (at(drawn, 0.3, 0.7) != 128).any()
    assert (at(drawn, 0.7, 0.5) == 128).all()
    small = draw_truth(GREY[::2, ::2], example, ("duck",))
    assert (small[60, 50:75] == TINT).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 90), st.integers(1, 90))
@settings(max_examples=60, deadline=None)
def test_any_shape_on_any_image_leaves_shape_and_input_alone(seed, height, width):
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 77, np.uint8)
    points = rng.normal(0.5, 2, (3, 17, 2))
    points[0, 0] = [np.nan, np.inf]
    boxes = rng.uniform(-0.5, 1.5, (3, 4))
    drawn = draw(image, found(boxes, masks=rng.random((3, 5, 5)), keypoints=points))
    assert drawn.shape == image.shape and drawn.dtype == np.uint8
    assert (image == 77).all()


@pytest.mark.parametrize("fields", [dict(masks=np.zeros((0, 2, 2))), dict(keypoints=np.zeros((0, 17, 2)))])
def test_nothing_found_draws_nothing(fields):
    assert (draw(GREY, found([], **fields)) == GREY).all()
