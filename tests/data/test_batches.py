"""From a dataset to batches: views, padding, order, and the thread that makes them ahead of time."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from detkit.data import batches
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.errors import DataError, MediaError
from detkit.pipeline.settings import Augment

AUGMENT = Augment(flip=0.5, zoom_out=1.5, zoom_in=2.0, colour=0.3)


def example(seed=0, boxes=((0.1, 0.1, 0.5, 0.5),), class_ids=None, size=(40, 60), **options) -> Example:
    picture = np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)
    return Example(picture, list(boxes), class_ids or [0] * len(boxes), size, **options)


def views_of(*examples, augmentation=None, seed=0) -> batches.Views:
    return batches.Views(Dataset(examples, ("a", "b")), lambda size: (32, 32), augmentation, seed)


def test_without_augmentation_a_view_is_the_photo():
    photo = example(boxes=[(0.1, 0.1, 0.5, 0.5), (0.2, 0.3, 0.9, 0.8)], class_ids=[1, 0])
    view = views_of(photo).view(0, 5)
    assert np.array_equal(view.image, photo.pixels())
    assert np.array_equal(view.boxes, photo.boxes)
    assert view.class_ids.tolist() == [1, 0]
    assert view.weights.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("augmentation", [None, Augment(flip=1.0)])
@pytest.mark.parametrize("kind", ["crowd", "difficult"])
def test_crowds_and_difficult_objects_have_weight_zero(kind, augmentation):
    boxes = [(0.1, 0.1, 0.5, 0.5), (0.2, 0.3, 0.9, 0.8)]
    view = views_of(example(boxes=boxes, **{kind: [False, True]}), augmentation=augmentation).view(0)
    assert view.weights.tolist() == [1.0, 0.0]


def test_views_are_decided_by_seed_photo_and_number():
    photos = [example(0), example(0)]
    views = views_of(*photos, augmentation=AUGMENT)
    image = views.view(0, 0).image
    assert np.array_equal(image, views_of(*photos, augmentation=AUGMENT).view(0, 0).image)
    assert not np.array_equal(image, views.view(0, 1).image)
    assert not np.array_equal(image, views.view(1, 0).image)
    assert not np.array_equal(image, views_of(*photos, augmentation=AUGMENT, seed=1).view(0, 0).image)


def test_views_do_not_depend_on_the_order_in_which_they_are_asked_for():
    views, again = (views_of(example(0), example(1), augmentation=AUGMENT) for _ in range(2))
    forward = [views.view(i, n).image for i in (0, 1) for n in (0, 1)]
    backward = [again.view(i, n).image for i in (1, 0) for n in (1, 0)]
    assert all(np.array_equal(a, b) for a, b in zip(forward, backward[::-1], strict=True))


def test_an_augmented_view_has_the_models_size_and_no_lost_objects():
    boxes = [(0.0, 0.0, 0.2, 0.2), (0.8, 0.8, 1.0, 1.0)]
    views = views_of(example(boxes=boxes, class_ids=[0, 1]), augmentation=Augment(zoom_in=4.0))
    counts = set()
    for number in range(50):
        view = views.view(0, number)
        assert view.image.shape == (32, 32, 3)
        assert len(view.boxes) == len(view.class_ids) == len(view.weights) >= 1
        assert (view.weights >= 0).all()
        assert (view.boxes[:, 2:] > view.boxes[:, :2]).all()
        counts.add(len(view.boxes))
    assert counts == {1, 2}


COLOURS = np.array([[250, 10, 10], [10, 250, 10], [10, 10, 250], [250, 250, 10]], np.uint8)


def coloured(class_id, boxes) -> Example:
    """A grey photo with a rectangle of the class's colour at every box, given in pixels of 100 x 120."""
    picture = np.full((100, 120, 3), 128, np.uint8)
    for ymin, xmin, ymax, xmax in boxes:
        picture[ymin:ymax, xmin:xmax] = COLOURS[class_id]
    shares = np.array(boxes, np.float32) / (100, 120, 100, 120)
    return Example(picture, shares, [class_id] * len(boxes), (100, 120))


def test_a_mosaic_shows_four_photos_with_boxes_around_their_objects():
    boxes = [[(20, 30, 60, 80)], [(10, 10, 50, 40), (60, 70, 90, 110)], [(5, 20, 95, 100)], [(30, 40, 70, 60)]]
    photos = Dataset(tuple(coloured(i, each) for i, each in enumerate(boxes)), tuple("abcd"))
    augmentation = Augment(mosaic=1.0, flip=0.5, zoom_out=1.5)  # which leave every object whole
    views, seen = batches.Views(photos, lambda size: (128, 160), augmentation), set()
    for number in range(40):
        view = views.view(number % 4, number)
        assert view.image.shape == (128, 160, 3) and view.image.dtype == np.uint8
        assert number % 4 in view.class_ids.tolist()
        assert len(view.boxes) == len(view.class_ids) == len(view.weights) >= 4
        assert (view.boxes >= 0).all() and (view.boxes <= 1).all()
        here = np.zeros((128, 160), bool)
        for box, class_id in zip(view.boxes, view.class_ids, strict=True):
            ymin, xmin, ymax, xmax = np.rint(box * (128, 160, 128, 160)).astype(int)
            inside = view.image[ymin + 3 : ymax - 3, xmin + 3 : xmax - 3].reshape(-1, 3).astype(int)
            assert (np.abs(inside - COLOURS[class_id]) < 40).all()
            here[max(ymin - 3, 0) : ymax + 3, max(xmin - 3, 0) : xmax + 3] = True
            seen.add(int(class_id))
        distance = np.abs(view.image[:, :, None].astype(int) - COLOURS).max(axis=-1).min(axis=-1)
        assert not ((distance < 40) & ~here).any()  # every object has its box
    assert seen == {0, 1, 2, 3}


def test_mosaic_is_a_probability_and_deterministic():
    photos = [coloured(0, [(20, 30, 60, 80)]), coloured(1, [(20, 30, 60, 80)])]
    views = [views_of(*photos, augmentation=Augment(mosaic=0.4)) for _ in range(2)]
    counts = [len(views[0].view(0, number).boxes) for number in range(200)]
    assert set(counts) == {1, 4}
    assert 0.25 < np.mean(np.array(counts) == 4) < 0.55
    for number in range(20):
        a, b = (each.view(1, number) for each in views)
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_mosaic_keeps_crowds_at_weight_zero():
    photo = example(boxes=[(0.1, 0.1, 0.5, 0.5), (0.2, 0.3, 0.9, 0.8)], crowd=[False, True])
    view = views_of(photo, augmentation=Augment(mosaic=1.0)).view(0)
    assert sorted(view.weights.tolist()) == [0.0] * 4 + [1.0] * 4


def test_zero_labels_are_an_error():
    with pytest.raises(DataError) as error:
        views_of(example(boxes=[]), example(boxes=[]))
    assert "There is no box in the training data." in str(error.value)
    assert "got: 2 images without objects" in str(error.value)
    assert "detkit check" in str(error.value)


def test_photos_without_objects_are_fine_beside_others():
    view = views_of(example(boxes=[]), example()).view(0)
    assert view.boxes.shape == (0, 4)


def test_decoded_photos_are_kept_within_bounds(monkeypatch):
    calls, picture = [], np.zeros((10, 10, 3), np.uint8)
    monkeypatch.setattr(Example, "pixels", lambda self: calls.append(self.image_id) or picture)
    monkeypatch.setattr(batches, "PIXELS_KEPT", 700)  # two photos of 300 bytes
    views = views_of(*(example(image_id=name) for name in "abc"))
    for index in (0, 1, 0, 1, 2, 1, 0):
        views.view(index)
    assert calls == ["a", "b", "c", "a"]  # the photo that was looked at longest ago went


def test_groundtruth_is_padded():
    a = views_of(example(boxes=[(0.1, 0.1, 0.5, 0.5), (0.2, 0.3, 0.9, 0.8)], class_ids=[1, 0])).view(0)
    b = views_of(example(boxes=[(0.3, 0.3, 0.4, 0.4)])).view(0)
    empty = views_of(example(boxes=[]), example()).view(0)
    truth = batches.groundtruth([a, b, empty])
    assert {name: (value.shape, value.dtype.name) for name, value in truth.items()} == {
        "seed": ((3,), "int32"),
        "boxes": ((3, 2, 4), "float32"),
        "class_ids": ((3, 2), "int32"),
        "weights": ((3, 2), "float32"),
    }
    assert truth["weights"].tolist() == [[1, 1], [1, 0], [0, 0]]
    assert truth["class_ids"].tolist() == [[1, 0], [0, 0], [0, 0]]
    assert np.array_equal(truth["boxes"][0], a.boxes)
    assert not truth["boxes"][1, 1].any() and not truth["boxes"][2].any()


def test_groundtruth_of_pictures_without_objects_has_one_empty_row():
    empty = views_of(example(boxes=[]), example()).view(0)
    assert batches.groundtruth([empty])["boxes"].shape == (1, 1, 4)


@pytest.mark.parametrize(("count", "batch_size"), [(5, 2), (3, 8), (1, 4), (7, 7)])
def test_every_round_shows_every_photo_once(count, batch_size):
    shown = [which for step in range(count * 3) for which in batches.draw(count, batch_size, step, seed=1)]
    rounds = [shown[i : i + count] for i in range(0, len(shown) // count * count, count)]
    for number, each in enumerate(rounds):
        assert sorted(photo for photo, _ in each) == list(range(count))
        assert {seen for _, seen in each} == {number}


def test_a_batch_depends_on_step_and_seed_only():
    assert batches.draw(5, 2, 17, seed=1) == batches.draw(5, 2, 17, seed=1)
    orders = {tuple(batches.draw(50, 50, 0, seed=seed)) for seed in range(5)}
    assert len(orders) == 5
    assert len({tuple(photo for photo, _ in batches.draw(50, 50, step, seed=0)) for step in range(5)}) == 5


def test_prefetch_keeps_the_order():
    def slow(n):
        time.sleep(0.002 * (n % 3))
        return n * n

    assert list(batches.prefetch(slow, range(20))) == [n * n for n in range(20)]
    assert list(batches.prefetch(slow, [])) == []


def test_prefetch_hands_an_error_to_the_consumer_after_what_came_before():
    def make(n):
        if n == 3:
            raise MediaError("photo 3 can't be decoded")
        return n

    got = []
    with pytest.raises(MediaError, match="photo 3"):
        for value in batches.prefetch(make, range(10)):
            got.append(value)
    assert got == [0, 1, 2]


def test_prefetch_stops_its_thread_when_the_consumer_stops():
    before, made = threading.active_count(), []
    stream = batches.prefetch(lambda n: made.append(n) or n, range(10**6), depth=2)
    assert [next(stream), next(stream)] == [0, 1]
    stream.close()
    for _ in range(100):
        if threading.active_count() == before:
            break
        time.sleep(0.02)
    assert threading.active_count() == before
    assert len(made) < 10


def test_prefetch_works_ahead_by_no_more_than_its_depth():
    made = []
    stream = batches.prefetch(lambda n: made.append(n) or n, range(100), depth=3)
    next(stream)
    time.sleep(0.3)
    assert 2 <= len(made) <= 6
    stream.close()
