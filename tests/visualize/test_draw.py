"""Detections and ground truth drawn on images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detkit.data.example import Example
from detkit.detections import Detections
from detkit.errors import DataError
from detkit.visualize.draw import draw, draw_truth
from detkit.visualize.palette import colour, ink

GREY = np.full((240, 320, 3), 128, np.uint8)
BOX = [0.25, 0.25, 0.75, 0.75]  # rows 60..180, columns 80..240


def found(boxes, scores=None, class_ids=None, classes=("duck", "dog")):
    n = len(boxes)
    scores = np.linspace(0.9, 0.5, n) if scores is None else scores
    class_ids = np.zeros(n, int) if class_ids is None else class_ids
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), scores, class_ids, classes, (240, 320))


def changed(before, after):
    rows, columns = np.nonzero((before != after).any(axis=2))
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


def test_a_box_is_drawn_where_it_is_in_the_colour_of_its_class():
    drawn = draw(GREY, found([BOX], class_ids=[1]), labels=False, scores=False, thickness=3)
    assert changed(GREY, drawn) == (60, 180, 80, 240)
    assert (drawn[120, 82] == colour(1)).all()
    assert (drawn[90:150, 110:210] == 128).all()


def test_the_label_stands_above_the_box():
    drawn = draw(GREY, found([BOX]))
    top, bottom, left, right = changed(GREY, drawn)
    assert top < 60
    assert (bottom, left, right) == (180, 80, 240)
    assert (drawn[top, left + 1] == colour(0)).all()


@pytest.mark.parametrize(
    "labels, scores, wider", [(True, True, True), (False, True, False), (True, False, False)]
)
def test_labels_and_scores_can_be_left_out(labels, scores, wider):
    drawn = draw(GREY, found([BOX]), labels=labels, scores=scores)
    width = np.count_nonzero((drawn[50] != 128).any(axis=1))
    assert 0 < width
    assert (width > 45) == wider


def test_the_threshold_includes_its_own_score():
    detections = found([BOX, [0, 0, 0.2, 0.2]], scores=[0.5, 0.25])
    assert (draw(GREY, detections, threshold=0.5)[:40] == 128).all()
    assert (draw(GREY, detections, threshold=0.25)[:40] != 128).any()


def test_the_surest_detection_is_on_top():
    drawn = draw(GREY, found([BOX, BOX], scores=[0.3, 0.9], class_ids=[0, 1]), labels=False, scores=False)
    alone = draw(GREY, found([BOX], class_ids=[1]), labels=False, scores=False)
    assert (drawn == alone).all()


@given(
    st.lists(st.lists(st.floats(-0.5, 1.5, width=32), min_size=4, max_size=4), max_size=4),
    st.integers(1, 90),
    st.integers(1, 90),
)
@settings(max_examples=60, deadline=None)
def test_any_box_on_any_image_leaves_shape_and_input_alone(boxes, height, width):
    image = np.full((height, width, 3), 77, np.uint8)
    drawn = draw(image, found(boxes))
    assert drawn.shape == image.shape and drawn.dtype == np.uint8
    assert (image == 77).all()


def test_an_image_that_is_a_read_only_view_can_be_drawn_on():
    view = GREY[::2, ::-1]
    view.setflags(write=False)
    assert draw(view, found([BOX])).shape == (120, 320, 3)


def test_nothing_found_gives_an_equal_copy():
    drawn = draw(GREY, found([]))
    assert (drawn == GREY).all() and not np.shares_memory(drawn, GREY)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)]
)
def test_other_images_are_an_error(image):
    with pytest.raises(DataError, match=r"no RGB image(.|\n)*expected: uint8 \[H, W, 3\]"):
        draw(image, found([BOX]))


def test_a_box_that_is_not_finite_is_an_error():
    with pytest.raises(DataError, match="A box is not finite.\n  where: box 1"):
        draw(GREY, found([BOX, [0, np.nan, 1, 1]]))


def test_ground_truth_is_dashed_and_says_what_is_ignored():
    def truth(**fields):
        example = Example(GREY, np.array([BOX]), np.array([0]), size=(240, 320), **fields)
        return draw_truth(GREY, example, ("duck",))

    plain, crowd, difficult = truth(), truth(crowd=[True]), truth(difficult=[True])
    side = plain[100:170, 81]
    assert (side == 128).all(axis=1).any() and (side != 128).any()
    assert changed(plain, crowd)[1] <= 61
    assert changed(crowd, difficult)[1] <= 61


def test_colours_are_distinct_and_their_ink_contrasts():
    palette = [colour(n) for n in range(21)]
    assert len(set(palette)) == 21
    assert colour(21) == colour(0)
    for tint in palette:
        assert abs(np.dot([0.299, 0.587, 0.114], np.subtract(ink(tint), tint))) > 100


def test_the_number_of_a_track_is_written_with_its_class():
    plain, unknown, followed = (draw(GREY, replace(found([BOX]), track_ids=ids)) for ids in (None, [-1], [12]))
    assert np.array_equal(plain, unknown) and (plain != followed).any()
    assert np.array_equal(*(draw(GREY, replace(found([BOX]), track_ids=ids), labels=False) for ids in (None, [12])))
