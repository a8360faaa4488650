"""Box orders, areas and overlaps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detkit import boxes
from detkit.errors import DataError

SIZE = (48, 64)
unit = st.floats(0, 1, width=32)


@st.composite
def yxyx(draw):
    """Boxes [N, 4], normalised, with ymin <= ymax and xmin <= xmax."""
    corners = draw(st.lists(st.tuples(unit, unit, unit, unit), max_size=5))
    array = np.array(corners, np.float32).reshape(-1, 2, 2)
    return np.sort(array, axis=1).reshape(-1, 4)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("yxyx_abs", [20, 10, 60, 40]),
        ("xyxy_abs", [10, 20, 40, 60]),
        ("xywh_abs", [10, 20, 30, 40]),
        ("cxcywh_abs", [25, 40, 30, 40]),
        ("yxyx", [0.2, 0.05, 0.6, 0.2]),
        ("xyxy", [0.05, 0.2, 0.2, 0.6]),
        ("xywh", [0.05, 0.2, 0.15, 0.4]),
        ("cxcywh", [0.125, 0.4, 0.15, 0.4]),
    ],
)
def test_one_box_in_every_order(order, expected):
    converted = boxes.convert([[10, 20, 30, 40]], "xywh_abs", order, size=(100, 200))
    assert converted.dtype == np.float32
    np.testing.assert_allclose(converted, [expected], rtol=1e-6)


@given(yxyx())
def test_every_conversion_comes_back(array):
    for there, back in itertools.product(boxes.ORDERS, repeat=2):
        first = boxes.convert(array, "yxyx", there, SIZE)
        second = boxes.convert(first, there, back, SIZE)
        np.testing.assert_allclose(boxes.convert(second, back, "yxyx", SIZE), array, atol=1e-5)


def test_no_boxes_are_boxes_too():
    assert boxes.convert([], "xywh_abs", "yxyx", SIZE).shape == (0, 4)
    assert boxes.iou([], [[0, 0, 1, 1]]).shape == (0, 1)
    assert boxes.valid([]).shape == (0,)


@given(yxyx(), yxyx())
def test_iou_is_symmetric_and_bounded(a, b):
    overlap = boxes.iou(a, b)
    assert overlap.shape == (len(a), len(b))
    assert ((overlap >= 0) & (overlap <= 1 + 1e-6)).all()
    np.testing.assert_allclose(overlap, boxes.iou(b, a).T, rtol=1e-6)


@given(yxyx())
def test_iou_with_itself_is_one_where_there_is_area(a):
    own = np.diag(boxes.iou(a, a))
    has_area = (a[:, 2:] > a[:, :2]).all(-1)
    np.testing.assert_allclose(own, has_area.astype(float), rtol=1e-6)


@given(yxyx(), yxyx())
def test_an_intersection_fits_into_both(a, b):
    common = boxes.intersection(a, b)
    assert (common <= np.minimum(boxes.area(a)[:, None], boxes.area(b)[None]) + 1e-6).all()


def test_iou_of_known_boxes():
    overlap = boxes.iou([[0, 0, 2, 2]], [[1, 1, 3, 3], [0, 0, 2, 2], [2, 2, 3, 3], [0, 0, 1, 2]])
    np.testing.assert_allclose(overlap, [[1 / 7, 1, 0, 0.5]], rtol=1e-6)


def test_clip_keeps_what_is_inside_the_window():
    clipped = boxes.clip([[-0.5, 0.2, 0.5, 1.5]])
    np.testing.assert_allclose(clipped, [[0, 0.2, 0.5, 1]])
    np.testing.assert_allclose(boxes.clip([[0, 0, 90, 90]], (10, 20, 30, 40)), [[10, 20, 30, 40]])


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ([0.5, 0, 0.2, 1], "swapped"),
        ([0.5, 0, 0.5, 1], "no height"),
        ([0, 0, np.nan, 1], "not a number"),
        ([0, 0, 1, np.inf], "infinite"),
        ([0, 0, 1, 1.01], "outside"),
        ([-0.01, 0, 1, 1], "negative"),
    ],
)
def test_a_box_is_not_valid_when(box, reason):
    assert boxes.valid([box, [0, 0, 1, 1]]).tolist() == [False, True], reason


@pytest.mark.parametrize("wrong", [[[1, 2, 3]], 5, np.zeros((2, 5)), [["a", "b", "c", "d"]], [[1, 2], [3]]])
def test_wrong_shapes_raise(wrong):
    with pytest.raises(DataError, match=r"expected: \[N, 4\]"):
        boxes.convert(wrong, "yxyx", "xyxy")
    with pytest.raises(DataError, match=r"The first boxes"):
        boxes.iou(wrong, [[0, 0, 1, 1]])


def test_unknown_orders_are_listed():
    with pytest.raises(DataError, match=r"got: 'ltrb'\n  expected: yxyx, xyxy, xywh, cxcywh, yxyx_abs"):
        boxes.convert([[0, 0, 1, 1]], "ltrb", "yxyx")


@pytest.mark.parametrize("size", [None, (0, 5), (5,)])
def test_pixels_need_the_size(size):
    with pytest.raises(DataError, match="needs the image's size"):
        boxes.convert([[0, 0, 1, 1]], "yxyx", "xyxy_abs", size)
