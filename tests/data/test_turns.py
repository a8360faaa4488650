"""Turned and flipped views: pixels, boxes, masks and keypoints move together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenery import SIZE, box_of, covered, moon, overlap, painted, photo, pixels, views_of

from detkit.data.augmentation import geometry
from detkit.data.augmentation.geometry import Pose
from detkit.data.example import Example
from detkit.data.sample import CutMask, Sample
from detkit.pipeline.settings import Augment

WHOLE = np.array([0.0, 0, 1, 1])
NOISE = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
BOXES = np.array([[0.1, 0.2, 0.5, 0.4], [0.0, 0.0, 1.0, 1.0], [0.3, 0.7, 0.35, 0.9]], np.float32)
EXAMPLE = Example(NOISE, BOXES[::2], [0, 0], SIZE)
everything = Augment(
    flip=0.5, vertical_flip=0.5, rotate90=0.5, rotate=180, zoom_in=3.0, zoom_out=2.0, stretch=1.5, cutout=0.3,
    mosaic=0.2, mixup=0.2, copy_paste=0.3, colour=0.5, blur=2, noise=20, jpeg=50,
)  # fmt: skip


def sample_of(boxes, image=NOISE, **fields) -> Sample:
    return Sample(image, boxes, np.zeros(len(boxes), np.int32), np.ones(len(boxes), np.float32), **fields)


def posed(pose: Pose, image, boxes):
    """A picture and boxes after a pose that keeps the size."""
    shape = image.shape[:2]
    size = pose.turned(shape)
    view = geometry.warp(image, pose.sampling(shape, size), size, (0, 0, 0))
    return view, pose.geometry(shape).boxes(sample_of(boxes, image))[0]


@pytest.mark.parametrize(
    ("pose", "times"),
    [
        (Pose(WHOLE, quarters=1), 4),
        (Pose(WHOLE, quarters=3), 4),
        (Pose(WHOLE, quarters=2), 2),
        (Pose(WHOLE, flips=(True, False)), 2),
        (Pose(WHOLE, flips=(False, True)), 2),
        (Pose(WHOLE, flips=(True, True)), 2),
        (Pose(WHOLE, flips=(True, False), quarters=1), 2),
        (Pose(WHOLE), 1),
    ],
    ids=str,
)
def test_some_poses_several_times_change_nothing(pose, times):
    view, boxes = NOISE, BOXES
    for _ in range(times):
        view, boxes = posed(pose, view, boxes)
    assert np.array_equal(view, NOISE)
    np.testing.assert_allclose(boxes, BOXES, atol=1e-6)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_are_exact_and_counter_clockwise(quarters):
    view, boxes = posed(Pose(WHOLE, quarters=quarters), NOISE, BOXES[:1])
    assert np.array_equal(view, np.rot90(NOISE, quarters))
    marked = np.zeros(SIZE, bool)
    marked[12:60, 32:64] = True
    expected = box_of(np.rot90(marked, quarters)) / np.tile(view.shape[:2], 2)
    np.testing.assert_allclose(boxes[0], expected, atol=1e-6)


def test_a_vertical_flip_is_exact():
    view = views_of(EXAMPLE, augmentation=Augment(vertical_flip=1), size=SIZE).view(0)
    assert np.array_equal(view.image, NOISE[::-1])
    ymin, xmin, ymax, xmax = EXAMPLE.boxes.T
    np.testing.assert_allclose(view.boxes, np.stack([1 - ymax, xmin, 1 - ymin, xmax], 1), atol=1e-6)


def test_rotate90_draws_every_quarter():
    views = views_of(EXAMPLE, augmentation=Augment(rotate90=0.75), size=SIZE[::-1])
    seen = {tuple(np.round(views.view(0, n).boxes[0], 4)) for n in range(40)}
    assert len(seen) == 4


def turned_points(points, angle, shape):
    """(y, x) in pixels after a counter-clockwise turn about the centre of a picture."""
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    y, x = (np.asarray(points) - np.array(shape) / 2).T
    return np.stack([y * cos - x * sin, y * sin + x * cos], 1) + np.array(shape) / 2


@pytest.mark.parametrize("angle", [-100, -30, 5, 45, 179])
def test_a_turn_is_in_pixels_counter_clockwise_about_the_centre(angle):
    points = np.array([[[0.2, 0.3], [0.5, 0.5]]])
    moved = Pose(WHOLE, angle=angle).geometry(SIZE).points(points)[0] * SIZE
    np.testing.assert_allclose(moved, turned_points(points[0] * SIZE, angle, SIZE), atol=1e-9)
    dot = np.zeros((*SIZE, 3), np.uint8)
    dot[38:43, 58:63] = 255
    view, _ = posed(Pose(WHOLE, angle=angle), dot, BOXES)
    centre = np.average(np.indices(SIZE).reshape(2, -1) + 0.5, axis=1, weights=view[..., 0].ravel())
    np.testing.assert_allclose(centre, turned_points([[40.5, 60.5]], angle, SIZE)[0], atol=0.05)


def test_the_box_of_a_turned_ellipse_is_tight_and_less_than_that_of_its_corners():
    y, x = np.mgrid[:120, :160] + 0.5
    mask = ((y - 60) / 20) ** 2 + ((x - 80) / 45) ** 2 < 1
    box = box_of(mask) / np.tile(SIZE, 2)
    for angle in (10, 30, 45, 80):
        pose = Pose(WHOLE, angle=angle)
        bare = sample_of(box[None])
        masked = bare._replace(masks=(CutMask(mask, 0, 0),))
        without, with_mask = (pose.geometry(SIZE).extents(each)[0] * np.tile(SIZE, 2) for each in (bare, masked))
        np.testing.assert_allclose(without, with_mask, atol=1)
        corners = turned_points([[40, 35], [40, 125], [80, 35], [80, 125]], angle, SIZE)
        assert np.prod(without[2:] - without[:2]) < 0.9 * np.prod(np.ptp(corners, axis=0))


def test_labelled_keypoints_in_a_box_stay_in_it():
    box = np.array([[0.4, 0.2, 0.6, 0.8]])
    keypoints = np.array([[[0.401, 0.201], [0.0, 0.0], [0.599, 0.201]]])  # the second one is not in the box
    weights = np.array([[1, 1, 0]], np.float32)
    sample = sample_of(box, keypoints=keypoints, keypoint_weights=weights)
    map_ = Pose(WHOLE, angle=30).geometry(SIZE)
    extent, bare = map_.extents(sample)[0], map_.extents(sample_of(box))[0]
    points = map_.points(keypoints)[0]
    inside = ((points >= extent[:2] - 1e-9) & (points <= extent[2:] + 1e-9)).all(1)
    assert inside.tolist() == [True, False, False] and (extent[:2] < bare[:2]).any()


@given(st.integers(0, 2**31))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_masks_boxes_and_pixels_agree_when_turned(seed):
    options = Augment(rotate=180, flip=0.5, vertical_flip=0.5, rotate90=0.5, stretch=1.5, zoom_out=1.3)
    views = views_of(photo(moon(np.random.default_rng(seed))), augmentation=options, wants=("masks",), seed=seed)
    view = views.view(0)
    here, mask = painted(view.image), covered(view, 0)
    assert overlap(here, mask) > 0.9
    scale = np.array(view.size) / np.array(SIZE) * 1.5  # of view pixels per photo pixel, at most
    for found in (here, mask):
        assert np.abs(box_of(found) - pixels(view.boxes[0], view)).max() <= 1 + scale.max()


@given(st.integers(0, 2**31))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_whatever_is_drawn_boxes_stay_inside_and_weights_follow_the_rule(seed):
    rng = np.random.default_rng(seed)
    photos = [photo(*[moon(rng) for _ in range(n)]) for n in (2, 1, 0)]
    views = views_of(*photos, augmentation=everything, wants=("masks", "semantic"), seed=seed % 97, size=(60, 70))
    view, again = (views.view(seed % 3, seed % 11) for _ in range(2))
    assert view.image.shape == (60, 70, 3) and view.image.dtype == np.uint8 and view.semantic.shape == (60, 70)
    assert (view.boxes >= 0).all() and (view.boxes <= 1).all() and (view.boxes[:, 2:] > view.boxes[:, :2]).all()
    assert set(view.weights.tolist()) <= {0.0, 1.0} and view.masks.shape == (len(view.boxes), 112, 112)
    assert set(np.unique(view.semantic).tolist()) <= {0, 1, 255}
    assert all(np.array_equal(a, b) for a, b in zip(view, again, strict=True) if a is not None)


def test_one_object_stays_whole_when_a_turned_photo_is_cropped():
    options = Augment(rotate=180, zoom_in=4.0)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        low = rng.uniform(0, 0.9, (3, 2))
        boxes = np.concatenate([low, low + rng.uniform(0.05, 1 - low)], axis=1)
        pose = geometry.draw(sample_of(boxes), options, rng)
        extents = pose.geometry(SIZE).extents(sample_of(boxes))
        assert ((extents > -1e-9) & (extents < 1 + 1e-9)).all(1).any(), seed


@pytest.mark.parametrize(("flips", "quarters", "mirrored"), [
    ((False, True), 0, True), ((True, False), 0, True), ((True, True), 0, False), ((False, False), 1, False),
    ((True, False), 3, True),
])  # fmt: skip
def test_left_and_right_change_places_in_mirrored_poses_only(flips, quarters, mirrored):
    assert Pose(WHOLE, flips, quarters).geometry(SIZE).mirrored == mirrored
