"""Augmentation: a picture with a painted object, and boxes that must be where the paint is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detkit.data.augmentation import geometry
from detkit.data.augmentation.moving import vary
from detkit.data.sample import Sample
from detkit.pipeline.settings import Augment

SIZE = (120, 160)
PAINT = np.array([255, 0, 255], np.uint8)


def painted(*boxes, size=SIZE) -> np.ndarray:
    """A grey picture with rectangles of a colour of its own at boxes [ymin, xmin, ymax, xmax] in pixels."""
    picture = np.full((*size, 3), 90, np.uint8)
    for ymin, xmin, ymax, xmax in boxes:
        picture[ymin:ymax, xmin:xmax] = PAINT
    return picture


def normalised(*boxes, size=SIZE) -> np.ndarray:
    return np.array(boxes, np.float32).reshape(-1, 4) / np.tile(size, 2)


def paint_box(view) -> np.ndarray:
    """The pixel box of what is painted in a view."""
    here = (np.abs(view.astype(int) - PAINT) < 55).all(axis=2)  # what fills up the view is never so near
    rows, columns = np.flatnonzero(here.any(axis=1)), np.flatnonzero(here.any(axis=0))
    return np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])


def view_of(options, boxes, seed=0, size=SIZE, picture=None):
    picture = painted(*boxes) if picture is None else picture
    return augmented(picture, normalised(*boxes), options, size, seed)


def sample_of(picture, boxes) -> Sample:
    return Sample(picture, boxes, np.zeros(len(boxes), np.int32), np.ones(len(boxes), np.float32))


def augmented(picture, boxes, options, size, seed=0):
    """The view, and all boxes in it with their weights, also of those that are gone."""
    sample = sample_of(picture, boxes)
    view = vary(sample, options, size, np.random.default_rng(seed))
    pose = geometry.draw(sample, options, np.random.default_rng(seed))
    moved, weights = pose.geometry(picture.shape[:2]).boxes(sample)
    assert np.array_equal(view.boxes, moved[weights >= 0]) and np.array_equal(view.weights, weights[weights >= 0])
    return view.image, moved, weights


def test_no_options_change_nothing():
    picture = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
    view, boxes, weights = view_of(Augment(), [(10, 20, 50, 70)], picture=picture)
    assert np.array_equal(view, picture)
    assert boxes == pytest.approx(normalised((10, 20, 50, 70)), abs=1e-6)
    assert weights.tolist() == [1.0]


def test_no_options_resize_as_the_model_does():
    """Half of each side: every second pixel, since the model's resize has no half-pixel centres."""
    picture = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
    view, boxes, _ = view_of(Augment(), [(10, 20, 50, 70)], size=(60, 80), picture=picture)
    assert np.array_equal(view, picture[::2, ::2])
    assert boxes == pytest.approx(normalised((10, 20, 50, 70)), abs=1e-6)


def test_a_flip_mirrors_picture_and_boxes_exactly():
    picture = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
    view, boxes, weights = view_of(Augment(flip=1), [(10, 20, 50, 70), (0, 0, 120, 160)], picture=picture)
    assert np.array_equal(view, picture[:, ::-1])
    assert boxes == pytest.approx(normalised((10, 90, 50, 140), (0, 0, 120, 160)), abs=1e-6)
    assert weights.tolist() == [1.0, 1.0]


def test_flip_is_a_probability():
    flips = [view_of(Augment(flip=0.3), [(10, 20, 50, 70)], seed)[1][0, 1] > 0.5 for seed in range(300)]
    assert 0.2 < np.mean(flips) < 0.4


@pytest.mark.parametrize(
    "options",
    [
        Augment(zoom_out=3.0),
        Augment(zoom_in=2.5),
        Augment(stretch=2.0),
        Augment(flip=1.0, zoom_out=2.0, zoom_in=2.0, stretch=1.5),
    ],
    ids=["zoom out", "zoom in", "stretch", "all"],
)
@pytest.mark.parametrize("size", [SIZE, (200, 200)])
def test_boxes_are_tight_around_the_paint(options, size):
    rng, areas = np.random.default_rng(1), []
    for seed in range(40):
        ymin, xmin = rng.integers(0, 80), rng.integers(0, 100)
        box = (ymin, xmin, ymin + rng.integers(20, 40), xmin + rng.integers(20, 60))
        view, boxes, weights = view_of(options, [box], seed, size)
        assert view.shape == (*size, 3) and view.dtype == np.uint8
        assert weights.tolist() == [1.0]
        assert boxes.dtype == np.float32 and (boxes >= 0).all() and (boxes <= 1).all()
        found = boxes[0] * np.tile(size, 2)
        scale = (found[2:] - found[:2]) / (np.array(box[2:]) - box[:2])  # view pixels per photo pixel
        # Between the last painted pixel and the next one the resize mixes colours.
        assert (np.abs(found - paint_box(view)) <= 1 + np.tile(scale, 2)).all(), seed
        areas.append((found[2:] - found[:2]).prod() / ((box[2] - box[0]) * (box[3] - box[1])))
    assert np.std(areas) > 0.05 or options.stretch > 1


@pytest.mark.parametrize(("options", "low", "high"), [
    (Augment(zoom_out=2.0), 0.5, 1.0),
    (Augment(zoom_in=2.0), 1.0, 2.0),
])  # fmt: skip
def test_zoom_stays_in_its_range_and_keeps_the_aspect(options, low, high):
    zooms = []
    for seed in range(100):
        boxes = view_of(options, [(50, 60, 70, 90)], seed)[1]
        height, width = (boxes[0, 2:] - boxes[0, :2]) / ((20 / 120), (30 / 160))
        assert height == pytest.approx(width, rel=1e-4)
        zooms.append(height)
    assert low - 1e-4 <= min(zooms) < low + 0.2 * (high - low)
    assert high + 1e-4 >= max(zooms) > high - 0.2 * (high - low)


def test_stretch_changes_the_aspect_within_its_range():
    aspects = []
    for seed in range(100):
        boxes = view_of(Augment(stretch=1.5, zoom_out=1.5), [(50, 60, 70, 90)], seed)[1]
        height, width = (boxes[0, 2:] - boxes[0, :2]) / ((20 / 120), (30 / 160))
        aspects.append(height / width)
    assert 1 / 1.5 - 1e-3 <= min(aspects) < 0.8
    assert 1.5 + 1e-3 >= max(aspects) > 1.2


def test_what_lies_beyond_the_photo_is_plain():
    view, boxes, _ = view_of(Augment(zoom_out=4.0), [(0, 0, 120, 160)], seed=3)
    inside = np.zeros(SIZE, bool)
    ymin, xmin, ymax, xmax = np.rint(boxes[0] * np.tile(SIZE, 2)).astype(int)
    inside[max(ymin - 2, 0) : ymax + 2, max(xmin - 2, 0) : xmax + 2] = True
    assert 0 < (~inside).sum()
    assert len(np.unique(view[~inside], axis=0)) == 1


everything = Augment(flip=0.5, zoom_out=3.0, zoom_in=4.0, stretch=2.0, colour=0.5)


@st.composite
def scenes(draw):
    """Between one and six valid boxes, some as small as a pixel, some as large as the photo."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    corners = np.sort(rng.integers(0, 121, (draw(st.integers(1, 6)), 2, 2)), axis=1)
    corners[:, 1] = np.maximum(corners[:, 1], corners[:, 0] + 1)
    boxes = corners.reshape(-1, 4) / 121.0
    return np.clip(boxes, 0, 1).astype(np.float32)


@given(scenes(), st.integers(0, 10**6))
@settings(max_examples=150, deadline=None)
def test_one_object_stays_whole_and_the_weights_follow_the_rule(boxes, seed):
    options = Augment(flip=0.5, zoom_out=3.0, zoom_in=8.0, stretch=2.0)
    _, moved, weights = augmented(painted(), boxes, options, (40, 50), seed)
    assert moved.shape == boxes.shape and weights.shape == (len(boxes),)
    assert set(weights.tolist()) <= {1.0, 0.0, -1.0}
    assert (weights == 1).any()
    assert (moved >= 0).all() and (moved <= 1).all()
    counted = moved[weights >= 0]
    assert (counted[:, 2:] > counted[:, :2]).all()


def test_weights_by_the_visible_share():
    """One object is whole in every view; of another what is visible decides its weight."""
    boxes, seen = [(50, 20, 70, 40), (50, 100, 70, 140)], set()
    for seed in range(300):
        view, moved, weights = view_of(Augment(zoom_in=3.0), boxes, seed)
        assert (weights == 1).any()
        whole = np.flatnonzero(weights == 1)[0]
        sides = normalised(*boxes)[:, 2:] - normalised(*boxes)[:, :2]
        zoom = (moved[whole, 2:] - moved[whole, :2]) / sides[whole]
        other = 1 - whole
        share = float(((moved[other, 2:] - moved[other, :2]) / (sides[other] * zoom)).prod())
        if min(abs(share - 0.6), abs(share - 0.25)) > 0.02 and weights[other] < 1:
            assert weights[other] == (0 if share > 0.25 else -1)
        if weights[other] == 1:
            assert share > 0.58
        seen.add(float(weights[other]))
    assert seen == {1.0, 0.0, -1.0}


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_colour_changes_the_picture_and_no_box(strength):
    picture = np.random.default_rng(0).integers(60, 200, (*SIZE, 3), np.uint8)
    box = (10, 20, 50, 70)
    views = [view_of(Augment(colour=strength), [box], seed, picture=picture) for seed in range(20)]
    assert all(boxes == pytest.approx(normalised(box), abs=1e-6) for _, boxes, _ in views)
    changes = [np.abs(view.astype(int) - picture).mean() for view, _, _ in views]
    assert min(changes) > 0.1
    assert len({view.tobytes() for view, _, _ in views}) == 20
    # What was brighter than its neighbour stays recognisable: views correlate with the photo.
    grey = picture.mean(axis=2).ravel()
    assert min(np.corrcoef(view.mean(axis=2).ravel(), grey)[0, 1] for view, _, _ in views) > 0.5


def test_stronger_colour_changes_more():
    picture = np.random.default_rng(0).integers(60, 200, (*SIZE, 3), np.uint8)

    def change(strength):
        options, box = Augment(colour=strength), (10, 20, 50, 70)
        views = [view_of(options, [box], seed, picture=picture)[0] for seed in range(20)]
        return np.mean([np.abs(view.astype(int) - picture).mean() for view in views])

    assert change(0.1) < change(0.5) < change(1.0)


def test_the_same_seed_gives_the_same_view():
    boxes = [(10, 20, 50, 70), (60, 80, 100, 150)]
    first, again, other = (view_of(everything, boxes, seed) for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_a_picture_without_boxes():
    for seed in range(20):
        view, boxes, weights = view_of(everything, [], seed)
        assert view.shape == (*SIZE, 3)
        assert boxes.shape == (0, 4) and weights.shape == (0,)


def test_arguments_are_not_changed():
    picture, boxes = painted((10, 20, 50, 70)), normalised((10, 20, 50, 70))
    copies = picture.copy(), boxes.copy()
    picture.setflags(write=False)
    boxes.setflags(write=False)
    augmented(picture, boxes, everything, SIZE)
    assert np.array_equal(picture, copies[0]) and np.array_equal(boxes, copies[1])


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (3, 2)])
def test_tiny_pictures(size):
    boxes = np.array([[0, 0, 1, 1]], np.float32)
    picture = np.zeros((*size, 3), np.uint8)
    view, moved, weights = augmented(picture, boxes, everything, (64, 64))
    assert view.shape == (64, 64, 3)
    assert weights.tolist() == [1.0]
