"""Views as a whole: what they were stays what it is, threads, class maps, labels, and the OD API's own options."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scenery import SIZE, moon, overlap, painted, photo, views_of

from detkit.data import batches
from detkit.data.example import Example
from detkit.errors import DataError
from detkit.pipeline.settings import USUAL_AUGMENTATION, Augment

FLIP = "random_horizontal_flip { probability: 1 }"


def slope(height, width) -> np.ndarray:
    """A smooth picture, on which versions of OpenCV agree."""
    y, x = np.mgrid[:height, :width] / np.reshape([height, width], (2, 1, 1))
    return np.rint(np.stack([255 * y, 255 * x, 255 * (1 - x * y)], -1)).astype(np.uint8)


PINNED = {
    (0, 1): (
        [[0.08028, 0.0, 0.49181, 0.51137], [0.28605, 0.64551, 0.90334, 0.98085]],
        [0, 1], [1, 1], 1014427442,
        [[8, 64, 255], [1, 113, 250], [0, 163, 232], [103, 54, 233], [97, 103, 189], [91, 153, 145], [199, 43, 198],
         [195, 92, 128], [190, 143, 58]],
    ),
    (1, 3): (
        [[0.03402, 0.01074, 0.98267, 0.94431]],
        [1], [1], 958477807,
        [[55, 32, 212], [68, 101, 201], [82, 170, 189], [126, 33, 210], [139, 101, 186], [153, 169, 160],
         [194, 34, 210], [208, 101, 170], [222, 168, 131]],
    ),
    (0, 2): (
        [[0.02271, 0.13779, 0.24252, 0.36482], [0.13262, 0.42158, 0.41667, 0.56347],
         [0.02379, 0.71981, 0.34076, 0.89429], [0.18228, 0.93791, 0.41667, 1.0], [0.47152, 0.741, 0.77295, 0.86056],
         [0.62224, 0.89045, 1.0, 0.96517], [0.43444, 0.02629, 0.99, 0.62897]],
        [0, 1, 0, 1, 0, 1, 1], [1, 1, 1, 0, 1, 1, 1], 1917650034,
        [[50, 0, 194], [62, 131, 199], [0, 6, 255], [102, 78, 220], [123, 143, 217], [13, 0, 222], [171, 83, 223],
         [191, 147, 197], [175, 0, 223]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("which", PINNED, ids=str)
def test_the_usual_views_are_what_they_were_when_the_documented_figures_were_measured(which):
    first = Example(slope(90, 120), [[0.1, 0.2, 0.5, 0.6], [0.3, 0.7, 0.9, 0.95]], [0, 1], (90, 120))
    second = Example(slope(160, 100), [[0.25, 0.1, 0.75, 0.8]], [1], (160, 100))
    options = Augment(**USUAL_AUGMENTATION)
    view = views_of(first, second, augmentation=options, size=(96, 128), seed=7).view(*which)
    boxes, class_ids, weights, seed, colours = PINNED[which]
    np.testing.assert_allclose(view.boxes, boxes, atol=1e-5)
    assert (view.class_ids.tolist(), view.weights.tolist(), view.seed) == (class_ids, weights, seed)
    np.testing.assert_allclose(view.image[8::40, 8::40].reshape(-1, 3).astype(int), colours, atol=2)


def test_options_that_are_off_change_nothing_bit_for_bit():
    example = photo(moon(np.random.default_rng(0)), keypoints=np.full((1, 2, 2), 0.5))
    view = views_of(example, augmentation=Augment(), size=SIZE, wants=("masks", "semantic", "keypoints")).view(0, 3)
    plain = views_of(example, size=SIZE, wants=("masks", "semantic", "keypoints")).view(0, 3)
    assert all(np.array_equal(a, b) for a, b in zip(view, plain, strict=True) if a is not None)
    assert np.array_equal(plain.image, example.image) and np.array_equal(plain.semantic, example.semantic())


def test_several_threads_get_what_one_gets(monkeypatch):
    monkeypatch.setattr(batches, "PIXELS_KEPT", 150_000)  # two photos
    options = Augment(**USUAL_AUGMENTATION, copy_paste=0.5, noise=10, rotate=20, cutout=0.5)
    photos = [photo(moon(np.random.default_rng(n))) for n in range(5)]
    numbers = [(index, number) for number in range(6) for index in range(5)]
    one, several = (views_of(*photos, augmentation=options, size=(64, 80), wants=("masks",)) for _ in range(2))
    with ThreadPoolExecutor(4) as pool:
        views = list(pool.map(lambda which: several.view(*which), numbers))
    for which, view in zip(numbers, views, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(view, one.view(*which), strict=True) if a is not None)


@pytest.mark.parametrize("options", [
    {"flip": 1}, {"vertical_flip": 1}, {"rotate90": 1}, {"rotate": 90}, {"zoom_in": 2}, {"zoom_out": 3},
    {"stretch": 2}, {"mosaic": 1}, {"copy_paste": 1}, {"mosaic": 0.5, "rotate": 30, "zoom_out": 2},
], ids=str)  # fmt: skip
def test_class_maps_move_with_the_picture(options):
    rng = np.random.default_rng(0)
    photos = [photo(moon(rng), class_ids=[n % 3]) for n in range(3)]
    views = views_of(*photos, augmentation=Augment(**options), wants=("semantic",), size=(110, 130))
    for number in range(8):
        view = views.view(number % 3, number)
        here = np.isin(view.semantic, (1, 2, 3))
        assert view.semantic.shape == (110, 130) and overlap(painted(view.image), here) > 0.88
        filled = view.semantic == 255
        assert not (painted(view.image) & filled).any()
        assert filled.any() == bool({"zoom_out", "rotate", "stretch"} & set(options))


def test_pictures_without_boxes_have_class_maps():
    class_map = np.tile(np.arange(4, dtype=np.uint8).repeat(40), (120, 1))
    example = Example(np.zeros((*SIZE, 3), np.uint8), [], [], SIZE, class_map=class_map)
    view = views_of(example, augmentation=Augment(flip=1), wants=("semantic",), size=SIZE).view(0)
    assert np.array_equal(view.semantic, class_map[:, ::-1]) and view.boxes.shape == (0, 4) and view.masks is None


def labelled(*labels) -> Example:
    return Example(np.zeros((*SIZE, 3), np.uint8), [], [], SIZE, image_labels=labels)


def test_labels_of_pictures():
    both = views_of(labelled(2, 0), labelled(1), wants=("labels",))
    assert both.view(0).labels.tolist() == [0, 2] and both.view(1).labels.dtype == np.int32
    boxed = views_of(photo(moon(np.random.default_rng(0)), class_ids=[1]), wants=("labels",))
    assert boxed.view(0).labels.tolist() == [1]
    photos = labelled(2, 0), labelled(1), labelled()
    mixed = views_of(*photos, augmentation=Augment(mosaic=1, rotate=9), wants=("labels",))
    assert {tuple(mixed.view(0, n).labels.tolist()) for n in range(20)} == {(0, 1, 2), (0, 2)}


@pytest.mark.parametrize(("wants", "what"), [
    (("labels",), "This model learns classes of pictures, and the training data has none."),
    (("semantic",), "This model learns the class of each pixel, and the training data has none."),
    ((), "There is no box in the training data."),
])  # fmt: skip
def test_nothing_to_learn_is_an_error(wants, what):
    with pytest.raises(DataError, match=what) as error:
        views_of(labelled(), wants=wants)
    assert error.value.fix


def test_only_what_is_wanted_is_there_and_changes_nothing_else():
    options = Augment(copy_paste=1, rotate=40, cutout=1)
    points = [[[0.3, 0.3], [0.5, 0.5]]]
    photos = [photo(moon(np.random.default_rng(n)), with_masks=n < 2, keypoints=points) for n in range(3)]
    for number in range(6):
        bare, full = (
            views_of(*photos, augmentation=options, wants=wants).view(2, number) for wants in ((), ("keypoints",))
        )
        assert bare.masks is bare.semantic is bare.labels is bare.keypoints is bare.keypoint_weights is None
        assert full.masks is None and full.keypoints.shape == (len(full.boxes), 2, 2)
        assert all(np.array_equal(a, b) for a, b in zip(bare[:5], full[:5], strict=True))
    bare, full = (views_of(*photos[:2], augmentation=options, wants=wants).view(0) for wants in ((), ("masks",)))
    assert full.masks is not None
    assert all(np.array_equal(a, b) for a, b in zip(bare[:5], full[:5], strict=True))


def test_options_of_the_od_api_make_a_photo_of_their_own():
    example = photo(moon(np.random.default_rng(0)))
    ymin, xmin, ymax, xmax = example.boxes[0]
    view = views_of(example, augmentation=Augment(od_api=[FLIP]), wants=("masks",), size=(50, 50)).view(0)
    assert np.array_equal(view.image, example.image[:, ::-1])  # the model resizes it
    np.testing.assert_allclose(view.boxes, [[ymin, 1 - xmax, ymax, 1 - xmin]], atol=1e-6)
    assert view.masks.any()


def test_options_of_the_od_api_come_before_others():
    example = photo(moon(np.random.default_rng(0)))
    options = Augment(od_api=[FLIP], vertical_flip=1, noise=1)
    view = views_of(example, augmentation=options, size=SIZE).view(0)
    assert overlap(painted(view.image), painted(example.image[::-1, ::-1])) > 0.99
    other = views_of(example, augmentation=Augment(od_api=["random_vertical_flip { }"]))
    assert len({other.view(0, n).image.tobytes() for n in range(12)}) == 2
