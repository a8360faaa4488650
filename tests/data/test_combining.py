"""Mixup, copy-paste and cutout: several photos in a view, and what is left of objects that something hides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenery import GREY, PAINT, SIZE, box_of, covered, moon, overlap, painted, photo, pixels, views_of

from detkit.data.augmentation.erase import seen
from detkit.data.example import Example
from detkit.data.sample import View
from detkit.pipeline.settings import Augment

GREEN = np.array([0, 255, 0], np.uint8)


def rectangle(top, left, bottom, right):
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


def a_view(*boxes, masks=None, weights=None) -> View:
    """A view of 100 x 100 with boxes in pixels."""
    boxes = np.array(boxes, np.float32) / 100
    weights = np.ones(len(boxes)) if weights is None else np.array(weights)
    labels = np.arange(len(boxes), dtype=np.int32)
    return View(np.zeros((100, 100, 3), np.uint8), boxes, labels, weights.astype(np.float32), masks=masks)


def all_but(top, left, bottom, right):
    shown = np.ones((100, 100), bool)
    shown[top:bottom, left:right] = False
    return shown


@pytest.mark.parametrize(
    ("hidden_columns", "weight"), [(0, 1), (15, 1), (16, 1), (17, 0), (29, 0), (31, None), (40, None)]
)
def test_the_weight_of_a_hidden_object_follows_the_visible_share(hidden_columns, weight):
    left = seen(a_view((10, 10, 50, 50)), all_but(0, 0, 100, 10 + hidden_columns))
    assert left.weights.tolist() == ([] if weight is None else [weight])


def test_an_object_that_did_not_count_does_not_begin_to():
    assert seen(a_view((10, 10, 50, 50), weights=[0]), all_but(10, 10, 20, 20)).weights.tolist() == [0]


def test_a_box_shrinks_to_what_shows_of_it():
    view = a_view((10, 10, 50, 50), (60, 60, 90, 90), (20, 60, 40, 80))
    left = seen(view, all_but(0, 0, 20, 100))
    np.testing.assert_allclose(left.boxes * 100, [(20, 10, 50, 50), (60, 60, 90, 90), (20, 60, 40, 80)], atol=1e-5)
    hole_inside = seen(view, all_but(20, 20, 30, 30))
    assert np.array_equal(hole_inside.boxes, view.boxes)
    assert np.array_equal(view.boxes, a_view((10, 10, 50, 50), (60, 60, 90, 90), (20, 60, 40, 80)).boxes)


def test_by_its_mask_an_object_is_hidden_where_its_box_is_not():
    masks = np.zeros((1, 112, 112), np.uint8)
    masks[0, :, :56] = 255  # the left half
    view = a_view((10, 10, 50, 50), masks=masks)
    unhurt = seen(view, all_but(0, 32, 100, 100))
    assert unhurt.weights.tolist() == [1] and np.array_equal(unhurt.boxes, view.boxes)
    half = seen(view, all_but(0, 20, 100, 100))
    assert half.weights.tolist() == [0]
    np.testing.assert_allclose(half.boxes * 100, [(10, 10, 50, 20)], atol=1e-5)
    assert half.masks[0].min() > 250  # stretched over the smaller box
    assert seen(view, all_but(0, 0, 100, 28)).weights.size == 0


@given(st.integers(0, 2**31))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_masks_boxes_and_pixels_agree_behind_holes(seed):
    rng = np.random.default_rng(seed)
    example = photo(moon(rng))
    view = views_of(example, augmentation=Augment(cutout=1), wants=("masks",), seed=seed % 999, size=SIZE).view(0)
    for n in range(len(view.boxes)):
        mask = covered(view, n)
        assert overlap(mask, painted(view.image, near=1)) > 0.9
        assert np.abs(box_of(mask) - pixels(view.boxes[n], view)).max() <= 2


def test_cutout_is_a_probability_and_hides_pixels_and_classes():
    mask = rectangle(30, 30, 90, 120)
    options, counts = Augment(cutout=0.4), []
    for number in range(60):
        view = views_of(photo(mask), augmentation=options, wants=("semantic",), size=SIZE).view(0, number)
        hidden = view.semantic == 255
        assert np.array_equal(view.semantic[~hidden], mask[~hidden].astype(np.uint8))
        assert np.array_equal(view.image[~hidden], photo(mask).image[~hidden])
        counts.append(hidden.any())
        assert hidden.mean() < 0.4
    assert 0.2 < np.mean(counts) < 0.6


def test_mixup_shows_both_photos_and_keeps_all_objects():
    left, right = rectangle(30, 10, 90, 60), rectangle(30, 100, 90, 150)
    photos = photo(left, class_ids=[0]), photo(right, paint=GREEN, class_ids=[1])
    views = views_of(*photos, augmentation=Augment(mixup=1), wants=("semantic", "labels"), size=SIZE)
    for number in range(10):
        view = views.view(number % 2, number)
        assert sorted(view.class_ids.tolist()) == view.labels.tolist() == [0, 1]
        assert view.weights.tolist() == [1, 1]
        both = {0: view.image[60, 30].astype(int), 1: view.image[60, 125].astype(int)}
        assert 20 < both[0][0] - GREY < 150 and 20 < both[1][1] - GREY < 150
        assert np.array_equal(view.semantic == 255, left | right)


@pytest.mark.parametrize("with_masks", [True, False])
def test_copy_paste_shows_boxed_objects_of_another_photo(with_masks):
    rng, counts = np.random.default_rng(0), set()
    for number in range(25):
        below, above = moon(rng), moon(rng)
        small = rectangle(98, 138, 118, 158)
        ground = photo(below, class_ids=[0], with_masks=with_masks)
        other = photo(above, small, paint=GREEN, class_ids=[1, 1], with_masks=with_masks)
        wants = ("masks",) if with_masks else ()
        view = views_of(ground, other, augmentation=Augment(copy_paste=1), wants=wants, size=SIZE).view(0, number)
        pasted = painted(view.image, GREEN)
        assert (view.class_ids == 1).any()
        counts.add(tuple(view.class_ids.tolist()))
        for n in np.flatnonzero(view.class_ids == 1):
            top, left, bottom, right = np.rint(pixels(view.boxes[n], view)).astype(int)
            inside = pasted[top:bottom, left:right]
            assert np.abs(box_of(inside) - [0, 0, *inside.shape]).max() <= 2
            pasted[top:bottom, left:right] = False
        assert not pasted.any()  # every pasted object has its box
        for n in np.flatnonzero(view.class_ids == 0) if with_masks else ():
            visible = painted(view.image) & below
            assert overlap(covered(view, n), visible) > 0.9
            share = visible.sum() / below.sum()
            assert abs(share - 0.6) < 0.02 or (view.weights[n] == 1) == (share > 0.6)
            assert np.abs(box_of(visible) - pixels(view.boxes[n], view)).max() <= 2
    assert {(0, 1), (0, 1, 1)} <= counts


def test_copy_paste_without_masks_fades_out_around_the_box():
    box = rectangle(40, 50, 80, 110)
    ground, other = photo(rectangle(2, 2, 6, 6)), photo(box, paint=GREEN, with_masks=False)
    other.image[~box] = (0, 200, 200)
    view = views_of(ground, other, augmentation=Augment(copy_paste=1), size=SIZE).view(0)
    assert (view.image[box] == GREEN).all()
    profile = view.image[60, 105:125, 2].astype(int)  # to the right, out of the box
    assert (np.diff(profile[5:12]) < 0).any() and abs(profile[-1] - GREY) <= 1 and profile[5] > 150
    assert (view.image[:25] == np.where(painted(ground.image)[:25, :, None], PAINT, GREY)).all()


def test_copy_paste_moves_classes_and_leaves_out_what_does_not_count():
    mask = rectangle(40, 50, 80, 110)
    ground, other = photo(rectangle(2, 2, 6, 6), class_ids=[0]), photo(mask, paint=GREEN, class_ids=[2])
    options = Augment(copy_paste=1)
    view = views_of(ground, other, augmentation=options, wants=("semantic",), size=SIZE).view(0)
    assert np.array_equal(view.semantic == 3, mask) and (view.semantic[2:6, 2:6] == 1).all()
    crowd = photo(mask, crowd=[True])
    view = views_of(ground, crowd, augmentation=options, size=SIZE).view(0)
    assert len(view.boxes) == 1 and np.array_equal(view.image, ground.image)


def test_photos_without_objects_combine():
    bare = Example(np.zeros((*SIZE, 3), np.uint8), [], [], SIZE)
    options = Augment(mixup=0.5, copy_paste=1, cutout=1, mosaic=0.5, rotate=30)
    views = views_of(bare, photo(moon(np.random.default_rng(0))), bare, augmentation=options, wants=("masks",))
    assert {len(views.view(n % 3, n).boxes) > 0 for n in range(20)} == {True, False}
    alone = views_of(photo(moon(np.random.default_rng(0))), augmentation=options)
    assert alone.view(0).image.shape == (200, 220, 3)
