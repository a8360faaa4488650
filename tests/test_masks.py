"""Masks: COCO's encodings, refused where pycocotools would crash, and masks stretched over boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_masks

from detkit import masks
from detkit.errors import DataError

SIZE = (40, 60)


@st.composite
def pictures(draw):
    """A mask bool [h, w]: empty, full, noise or a blob."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(1, 30)), draw(st.integers(1, 30))
    return rng.random(shape) < draw(st.sampled_from([0.0, 0.1, 0.5, 0.95, 1.0]))


def pycocotools_rle(mask):
    return coco_masks.encode(np.asfortranarray(mask.astype(np.uint8)))


@given(pictures(), st.tuples(*[st.integers(0, 5)] * 4))
@settings(max_examples=100, deadline=None)
def test_a_mask_in_a_window_is_encoded_as_by_pycocotools(inside, margins):
    whole = np.pad(inside, (margins[:2], margins[2:]))
    rle = masks.encode(inside, (margins[0], margins[2]), whole.shape)
    assert rle["counts"].encode() == pycocotools_rle(whole)["counts"]
    masks.check(rle, whole.shape)
    assert np.array_equal(masks.decode(rle, whole.shape), whole)


@given(pictures())
@settings(max_examples=50, deadline=None)
def test_all_ways_to_write_run_lengths_mean_the_same(mask):
    compressed = pycocotools_rle(mask)
    flat = np.concatenate([[0], mask.T.ravel().astype(int), [0]])
    edges = np.flatnonzero(np.diff(flat))
    counts = np.diff([0, *edges, mask.size]).tolist()
    ways = [counts, tuple(counts), compressed["counts"], compressed["counts"].decode()]
    for way in ways:
        rle = {"size": list(mask.shape), "counts": way}
        masks.check(rle, mask.shape)
        assert np.array_equal(masks.decode(rle, mask.shape), mask)
        assert masks.area(masks.run_lengths(rle, mask.shape)) == mask.sum()


def test_polygons_are_united():
    squares = [[2, 3, 12, 3, 12, 13, 2, 13], [20, 3, 30, 3, 30, 13, 20, 13]]
    masks.check(squares, SIZE)
    mask = masks.decode(squares, SIZE)
    assert mask.sum() == 200 and mask[3:13, 2:12].all() and mask[3:13, 20:30].all()
    assert masks.bounding_box(squares, SIZE) == [2, 3, 28, 10]


def rle(counts, size=SIZE):
    return {"size": list(size), "counts": counts}


BAD = {
    "text": ("abc", "neither polygons nor run lengths"),
    "number": (5, "neither polygons nor run lengths"),
    "no polygon": ([], "neither polygons nor run lengths"),
    "flat": ([1, 2, 3, 4, 5, 6], "not in a list of polygons"),
    "a polygon and a number": ([[1, 1, 9, 1, 9, 9], 5], "not a list of coordinates"),
    "two points": ([[1, 2, 3, 4]], "under 3 points"),
    "odd": ([[1, 2, 3, 4, 5, 6, 7]], "odd number of coordinates"),
    "NaN": ([[1, 2, 3, 4, 5, float("nan")]], "not a finite number"),
    "infinite": ([[1, 2, 3, 4, 5, float("inf")]], "not a finite number"),
    "a huge integer": ([[1, 2, 3, 4, 5, 10**400]], "not a finite number"),
    "words": ([[1, 2, 3, 4, 5, "6"]], "not a finite number"),
    "null": ([[1, 2, 3, 4, 5, None]], "not a finite number"),
    "beside the image": ([[70, 1, 80, 1, 80, 9]], "outside its image"),
    "so far out that pycocotools would run out of memory": ([[1, 1, 1e12, 1, 1, 9]], "outside its image"),
    "second polygon": ([[1, 1, 9, 1, 9, 9], [1, 2]], "under 3 points"),
    "no size": ({"counts": [2400]}, "another size than its image"),
    "another size": (rle([2400], (60, 40)), "another size than its image"),
    "too few": (rle([100, 20]), "don't sum up"),
    "too many": (rle([2400, 1]), "don't sum up"),
    "negative": (rle([2500, -100]), "can't be read"),
    "fractions": (rle([2399.5, 0.5]), "can't be read"),
    "counts of words": (rle(["2400"]), "can't be read"),
    "no counts": (rle(None), "can't be read"),
    "empty counts": (rle(""), "can't be read"),
    "cut short": (rle("PPP"), "can't be read"),
    "strange letters": (rle("é\x00"), "can't be read"),
    "a run beyond all bounds": (rle("P" * 12 + "0"), "can't be read"),
    "another picture's text": (rle(pycocotools_rle(np.ones((40, 61), bool))["counts"]), "don't sum up"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_pycocotools_can_not_take_is_refused(case):
    segmentation, message = BAD[case]
    with pytest.raises(DataError, match=message) as error:
        masks.check(segmentation, SIZE)
    assert error.value.got and error.value.expected and error.value.fix


@given(st.text(max_size=12))
@settings(max_examples=200, deadline=None)
def test_any_text_is_refused_or_decodes_to_the_whole_picture(text):
    try:
        masks.check(rle(text), SIZE)
    except DataError:
        return
    assert masks.decode(rle(text), SIZE).shape == SIZE


@pytest.mark.parametrize("box", [(0, 0, 1, 1), (0.25, 0.1, 0.75, 0.9), (-0.5, -0.5, 0.5, 1.5), (0.9, 0.9, 1.4, 1.2)])
def test_a_full_mask_covers_the_pixels_whose_centres_are_in_its_box(box):
    values, (top, left) = masks.paste(np.ones((7, 5)), np.array(box), SIZE)
    rows, columns = (np.arange(SIZE[0]) + 0.5) / SIZE[0], (np.arange(SIZE[1]) + 0.5) / SIZE[1]
    inside = ((rows >= box[0]) & (rows < box[2]))[:, None] & ((columns >= box[1]) & (columns < box[3]))
    pasted = np.zeros(SIZE, bool)
    pasted[top : top + values.shape[0], left : left + values.shape[1]] = values == 1
    assert np.array_equal(pasted, inside)


def test_between_its_samples_a_pasted_mask_is_bilinear():
    values, _ = masks.paste(np.array([[0.0, 1.0]]), np.array([0, 0, 1, 1]), (1, 8))
    assert values[0] == pytest.approx((np.arange(8) + 0.5) / 8)


@pytest.mark.parametrize("box", [(0.5, 0.5, 0.5, 0.5), (0.501, 0, 0.502, 1), (2, 2, 3, 3), (0.6, 0.6, 0.4, 0.4)])
def test_a_box_without_a_pixel_takes_none(box):
    values, (top, left) = masks.paste(np.ones((3, 3)), np.array(box), (10, 10))
    assert values.size == 0
    assert not masks.decode(masks.encode(values >= 0.5, (top, left), (10, 10)), (10, 10)).any()


@given(pictures(), st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_stretching_keeps_the_covered_share(mask, side):
    stretched = masks.stretch(mask, (0, 0, *mask.shape), side)
    assert stretched.shape == (side, side) and stretched.dtype == np.uint8
    assert stretched.mean() / 255 == pytest.approx(mask.mean(), abs=3e-3)


def test_stretching_takes_means_and_finds_nothing_beyond_the_mask():
    mask = np.zeros((4, 4), bool)
    mask[:2, :3] = True
    assert masks.stretch(mask, (0, 0, 4, 4), 2).tolist() == [[255, 128], [0, 0]]
    assert masks.stretch(mask, (-2, 0, 2, 4), 2).tolist() == [[0, 0], [255, 128]]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_what_is_stretched_and_pasted_covers_the_same_pixels(seed):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:80, :100] + 0.5
    centre, radii = rng.uniform(25, 55, 2), rng.uniform(10, 24, 2)
    mask = ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 < 1
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1], float)
    stretched = masks.stretch(mask, box, 112) / 255
    values, (top, left) = masks.paste(stretched, box / np.tile(mask.shape, 2), mask.shape)
    pasted = np.zeros_like(mask)
    pasted[top : top + values.shape[0], left : left + values.shape[1]] = values >= 0.5
    assert (pasted & mask).sum() / (pasted | mask).sum() > 0.98
