"""Masks and keypoints in views: they must be where the paint of their object is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detkit import masks as mask_math
from detkit.data import batches
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.errors import DataError
from detkit.pipeline.settings import Augment

SIZE = (120, 160)
PAINT = np.array([255, 0, 255])
NAMES = ("left", "right", "middle")
OPTIONS = {
    "flip": Augment(flip=1.0),
    "zoom out": Augment(zoom_out=2.5),
    "zoom in": Augment(zoom_in=2.0),
    "stretch": Augment(stretch=2.0),
    "all": Augment(flip=0.5, zoom_out=2.0, zoom_in=2.0, stretch=1.8),
}


def rle(mask):
    return mask_math.encode(mask, (0, 0), mask.shape)


def half_moon(rng, size=SIZE):
    """A mask of no symmetry, over 20 pixels high and wide."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    centre, radius = rng.uniform(45, 75, 2), rng.uniform(22, 40)
    disc = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
    return disc & (x + 0.6 * y < centre[1] + 0.6 * centre[0] + 5)


def photo(*masks, value=90, **fields) -> Example:
    """A grey picture of painted masks, in tight boxes."""
    picture = np.full((*SIZE, 3), value, np.uint8)
    boxes = []
    for mask in masks:
        picture[mask] = PAINT
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        boxes.append([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])
    shares = np.array(boxes, np.float32).reshape(-1, 4) / np.tile(SIZE, 2)
    fields = {"segmentations": [rle(mask) for mask in masks], **fields}
    return Example(picture, shares, [0] * len(boxes), SIZE, **fields)


def views_of(*examples, augmentation=None, size=(200, 220), wants=("masks",), names=NAMES, seed=0):
    keypoint_names = names if any(example.keypoints is not None for example in examples) else ()
    dataset = Dataset(examples, ("thing",), keypoint_names=keypoint_names)
    return batches.Views(dataset, lambda _: size, augmentation, seed, wants)


def painted(view) -> np.ndarray:
    return (np.abs(view.image.astype(int) - PAINT) < 80).all(axis=2)


def pasted(view, n) -> np.ndarray:
    """The pixels of the view that the mask of object n covers."""
    cells = [
        np.floor(((np.arange(side) + 0.5) / side - low) / (high - low) * view.masks.shape[1]).astype(int)
        for side, low, high in zip(view.image.shape, view.boxes[n, :2], view.boxes[n, 2:], strict=False)
    ]
    inside = [(0 <= each) & (each < view.masks.shape[1]) for each in cells]
    rows, columns = (np.clip(each, 0, view.masks.shape[1] - 1) for each in cells)
    return (view.masks[n][rows][:, columns] >= 128) & inside[0][:, None] & inside[1]


def overlap(a, b) -> float:
    return (a & b).sum() / max((a | b).sum(), 1)


def test_without_augmentation_a_mask_covers_what_it_did():
    mask = half_moon(np.random.default_rng(0))
    view = views_of(photo(mask)).view(0)
    assert view.masks.shape == (1, 112, 112) and view.masks.dtype == np.uint8
    assert overlap(pasted(view, 0), mask) > 0.99


@pytest.mark.parametrize("name", OPTIONS)
def test_a_mask_stays_on_its_object(name):
    rng = np.random.default_rng(1)
    for number in range(15):
        view = views_of(photo(half_moon(rng)), augmentation=OPTIONS[name]).view(0, number)
        here = painted(view)
        assert overlap(pasted(view, 0), here) > 0.9, number


@given(st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_masks_stay_on_objects_that_are_cut_and_in_mosaics(seed):
    rng = np.random.default_rng(seed)
    options = Augment(flip=0.5, zoom_out=1.5, zoom_in=3.0, stretch=1.5, mosaic=0.5)
    photos = [photo(half_moon(rng)) for _ in range(3)]
    view = views_of(*photos, augmentation=options, seed=seed % 1000).view(int(rng.integers(3)), seed % 77)
    together, boxed = np.zeros((2, *view.image.shape[:2]), bool)
    for n, box in enumerate(view.boxes * np.tile(view.image.shape[:2], 2)):
        together |= pasted(view, n)
        top, left, bottom, right = np.rint(box).astype(int)
        boxed[top:bottom, left:right] = True
    # What shows so little of an object that it is left out has paint and no mask.
    here = painted(view) & boxed
    if here.sum() > 1500:
        assert (together & here).sum() / max(together.sum(), 1) > 0.9
        assert overlap(together, here) > 0.85


def test_the_mask_of_a_cut_object_is_over_its_clipped_box():
    mask = np.zeros(SIZE, bool)
    mask[40:80, 60:100] = True
    mask[40:60, 60:80] = False  # three quarters of a square, that looks different at each corner
    views, seen = views_of(photo(mask), augmentation=Augment(zoom_in=6.0)), set()
    for number in range(30):
        view = views.view(0, number)
        box = view.boxes[0] * np.tile(view.image.shape[:2], 2)
        cut = box.min() <= 0 or (box[2:] >= view.image.shape[:2]).any()
        seen.add(bool(cut))
        assert overlap(pasted(view, 0), painted(view)) > 0.85
    assert False in seen


def test_masks_do_not_change_images_and_boxes():
    options = Augment(flip=0.5, zoom_out=1.5, zoom_in=2.0, stretch=1.8, colour=0.5, mosaic=0.5)
    points = np.random.default_rng(0).random((1, 3, 2))
    photos = [photo(half_moon(np.random.default_rng(n)), keypoints=points) for n in range(3)]
    plain, wanted = (views_of(*photos, augmentation=options, wants=w) for w in ((), ("masks", "keypoints")))
    for number in range(20):
        a, b = plain.view(number % 3, number), wanted.view(number % 3, number)
        assert all(np.array_equal(x, y) for x, y in zip(a[:5], b[:5], strict=True))
        assert a.masks is None and a.keypoints is None and b.masks is not None and b.keypoints is not None


def test_an_object_without_a_mask_counts_neither_way():
    moon = half_moon(np.random.default_rng(0))
    example = photo(moon, moon, segmentations=[rle(moon), None])
    view = views_of(example).view(0)
    assert view.weights.tolist() == [1, 0] and not view.masks[1].any()
    assert views_of(example, wants=()).view(0).weights.tolist() == [1, 1]
    bare = photo(moon, segmentations=None)
    assert views_of(bare, example).view(0).weights.tolist() == [0]


def test_masks_are_antialiased():
    """A mask of every second column, seen at half its size, is grey."""
    mask = np.zeros((400, 400), bool)
    mask[:, ::2] = True
    example = Example(np.zeros((400, 400, 3), np.uint8), [[0, 0, 1, 1]], [0], (400, 400), segmentations=[rle(mask)])
    stretched = views_of(example).view(0).masks[0]
    assert stretched.std() < 25 and stretched.mean() == pytest.approx(127.5, abs=1)


def dots(rng):
    """A picture with a dot of its own colour at each of three keypoints."""
    picture = np.full((*SIZE, 3), 90, np.uint8)
    pixels = np.stack([rng.permutation(np.arange(20, 110, 20))[:3], rng.permutation(np.arange(20, 150, 20))[:3]], 1)
    for colour, (y, x) in zip(np.eye(3, dtype=np.uint8) * 255, pixels, strict=True):
        picture[y - 3 : y + 4, x - 3 : x + 4] = colour
    return picture, (pixels + 0.5) / SIZE


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_keypoints_stay_on_their_dots(mosaic):
    """Left is red and right green; in a mirrored view what is red on the picture is called right."""
    options, mirrored = Augment(flip=0.5, zoom_out=1.5, zoom_in=1.8, stretch=1.5, mosaic=mosaic), set()
    for number in range(30):
        picture, points = dots(np.random.default_rng(number))
        example = Example(picture, [[0.1, 0.1, 0.95, 0.95]], [0], SIZE, keypoints=[points])
        view = views_of(example, augmentation=options, wants=("keypoints",)).view(0, number)
        for keypoints, weights in zip(view.keypoints, view.keypoint_weights, strict=True):
            assert weights.tolist() == ((keypoints >= 0) & (keypoints <= 1)).all(1).tolist() or mosaic
            for name, (y, x), weight in zip(NAMES, keypoints, weights, strict=True):
                pixel = int(y * view.image.shape[0] - 0.5), int(x * view.image.shape[1] - 0.5)
                if weight and min(pixel) > 0:
                    shown = int(np.argmax(view.image[pixel]))
                    assert (shown == 2) == (name == "middle")
                    mirrored.add((name, shown))
    assert mirrored == {("left", 0), ("left", 1), ("right", 0), ("right", 1), ("middle", 2)}


def test_a_flip_swaps_left_and_right_exactly():
    points = np.array([[[0.1, 0.2], [0.3, 0.4], [0.5, 0.5]]], np.float32)
    example = Example(
        np.zeros((*SIZE, 3), np.uint8),
        [[0, 0.1, 0.6, 0.6]],
        [0],
        SIZE,
        keypoints=points,
        keypoint_visibility=[[2, 0, 1]],
    )
    view = views_of(example, augmentation=Augment(flip=1.0), wants=("keypoints",)).view(0)
    np.testing.assert_allclose(view.keypoints, [[[0.3, 0.6], [0.1, 0.8], [0.5, 0.5]]], atol=1e-6)
    assert view.keypoint_weights.tolist() == [[0, 1, 1]]
    plain = views_of(example, wants=("keypoints",)).view(0)
    assert np.array_equal(plain.keypoints, points) and plain.keypoint_weights.tolist() == [[1, 0, 1]]


def test_mirrored_names():
    names = ("nose", "left_eye", "right_eye", "LeftEar", "RightEar", "tail_right", "tail_left", "left_wing")
    assert batches.mirrored_order(names) == [0, 2, 1, 4, 3, 6, 5, 7]
    assert batches.mirrored_order(()) == []


def test_photos_without_keypoints_beside_others():
    picture = np.zeros((*SIZE, 3), np.uint8)
    bare = Example(picture, [[0, 0, 1, 1]], [0], SIZE)
    full = Example(picture, [[0, 0, 1, 1]], [0], SIZE, keypoints=np.full((1, 3, 2), 0.5))
    view = views_of(bare, full, wants=("keypoints",)).view(0)
    assert view.keypoints.shape == (1, 3, 2) and view.keypoint_weights.tolist() == [[0, 0, 0]]
    assert view.weights.tolist() == [1]


@pytest.mark.parametrize("wants", ["masks", "keypoints"])
def test_what_is_wanted_and_not_there_is_an_error(wants):
    bare = Example(np.zeros((*SIZE, 3), np.uint8), [[0, 0, 1, 1]], [0], SIZE)
    with pytest.raises(DataError, match=f"This model learns {wants}, and the training data has none.") as error:
        views_of(bare, wants=(wants,))
    assert error.value.got and "COCO" in error.value.expected and "Annotate" in error.value.fix


def test_seeds_differ_from_view_to_view_and_stay_the_same():
    examples = [photo(half_moon(np.random.default_rng(n))) for n in range(3)]
    seeds = [views_of(*examples, seed=s).view(i, n).seed for s in (0, 1) for i in range(3) for n in range(20)]
    assert len(set(seeds)) == len(seeds) and min(seeds) >= 0 and max(seeds) < 2**31
    assert views_of(*examples, seed=1).view(2, 19).seed == seeds[-1]


def test_groundtruth_holds_what_the_views_have():
    moon, points = half_moon(np.random.default_rng(0)), np.full((2, 3, 2), 0.5)
    two, one = photo(moon, moon, keypoints=points), photo(moon, keypoints=points[:1])
    views = views_of(two, one, wants=("masks", "keypoints"))
    truth = batches.groundtruth([views.view(0), views.view(1)])
    assert {name: (value.shape, value.dtype.name) for name, value in truth.items()} == {
        "boxes": ((2, 2, 4), "float32"),
        "class_ids": ((2, 2), "int32"),
        "weights": ((2, 2), "float32"),
        "seed": ((2,), "int32"),
        "masks": ((2, 2, 112, 112), "uint8"),
        "keypoints": ((2, 2, 3, 2), "float32"),
        "keypoint_weights": ((2, 2, 3), "float32"),
    }
    assert truth["masks"][0].any((1, 2)).all() and not truth["masks"][1, 1].any()
    assert truth["keypoint_weights"][1].sum() == 3 and truth["seed"][0] != truth["seed"][1]


def test_masks_are_decoded_once_and_count_towards_what_is_kept(monkeypatch):
    calls, decode = [], mask_math.decode
    monkeypatch.setattr(mask_math, "decode", lambda *arguments: calls.append(1) or decode(*arguments))
    photos = [photo(half_moon(np.random.default_rng(n))) for n in range(3)]
    for kept, decoded in ((batches.PIXELS_KEPT, 3), (1, 3 + 12)):
        monkeypatch.setattr(batches, "PIXELS_KEPT", kept)
        views = views_of(*photos, augmentation=OPTIONS["all"])
        for number in range(12):
            views.view(number % 3, number)
        assert len(calls) == decoded
