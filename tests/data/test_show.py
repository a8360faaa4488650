"""Which pictures a contact sheet shows, and how."""

from __future__ import annotations

import numpy as np
import pytest

from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.data.overview.show import choose, show, show_views, views_of
from detkit.data.overview.stats import stats
from detkit.errors import DataError, MediaError
from detkit.pipeline.settings import Augment
from detkit.visualize.palette import colour

GREY = np.full((60, 80, 3), 128, np.uint8)


def box(side, corner=(0.1, 0.1)):
    return (*corner, corner[0] + side, corner[1] + side)


def photo(sides=(), class_ids=None, **more) -> Example:
    return Example(GREY, [box(side) for side in sides], class_ids or [0] * len(sides), GREY.shape[:2], **more)


def photos(*examples, **more) -> Dataset:
    return Dataset(examples, ("duck", "boat"), **more)


POND = photos(photo([0.5, 0.2]), photo([0.1], [1]), photo(), photo([0.8, 0.3, 0.4]), photo(image_labels=[1]))


def test_random_pictures_are_those_of_the_seed_in_their_order():
    many = photos(*[photo()] * 40)
    chosen = [list(choose(many, 8, seed=seed)) for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]
    assert all(numbers == sorted(set(numbers)) and len(numbers) == 8 for numbers in chosen)
    assert list(choose(POND, 99)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "pick, expected",
    [
        ("first", [0, 1, 2]),
        ("smallest", [1, 0, 3]),
        ("largest", [3, 0, 1]),
        ("most", [3, 0, 1]),
    ],
)
def test_pick(pick, expected):
    assert list(choose(POND, 3, pick)) == expected


def test_unmatched_are_those_with_the_lowest_overlap():
    anchor = np.array([[6.0, 8.0, 36.0, 48.0]])  # that of the first object
    measured = stats(POND, anchors=lambda size: anchor)
    chosen = choose(POND, 2, "unmatched", measured=measured)
    assert list(chosen) == [1, 0]
    assert chosen[1] == "best IoU 0.04"


def test_only_pictures_with_a_class():
    assert list(choose(POND, pick="first", classes=["boat"])) == [1, 4]
    assert list(choose(POND, pick="smallest", classes=["duck"])) == [0, 3]


@pytest.mark.parametrize(
    "dataset, options, message",
    [
        (photos(), {}, "There is no picture to show.\n  where: dataset\n  got: 0 images"),
        (photos(photo()), {"pick": "smallest"}, "no picture to show(.|\n)*got: 1 images, no object"),
        (photos(photo([0.5])), {"classes": ["boat"]}, "got: 1 images, none with boat"),
        (POND, {"classes": ["docks"]}, "no such class(.|\n)*got: 'docks'(.|\n)*Did you mean duck"),
        (POND, {"pick": "best"}, "got: 'best'\n  expected: random, first"),
        (POND, {"pick": "unmatched"}, "not known which objects anchors match"),
    ],
)
def test_what_can_not_be_chosen(dataset, options, message):
    with pytest.raises(DataError, match=message):
        choose(dataset, **options)


def test_a_sheet_has_all_that_is_annotated():
    class_map = np.zeros((60, 80), np.uint8)
    class_map[:30, 40:] = 2
    outline = [[10.0, 40, 30, 40, 30, 58, 10, 58]]
    rich = photo([0.9], segmentations=[outline], class_map=class_map, image_labels=[1],
                 keypoints=[[[0.5, 0.9]]])  # fmt: skip
    sheet, plain = (show(photos(each), {0: ""}) for each in (rich, photo()))
    assert sheet.shape == plain.shape and sheet.shape[1] == 1600
    scale = 1584 / 80

    def at(y, x):
        return sheet[int(8 + y * scale), int(8 + x * scale)]

    assert (plain[100:1000, 100:1500] == 128).all()
    assert np.array_equal(at(20, 60), np.rint(0.6 * 128 + 0.4 * np.array(colour(1))))  # the class map
    assert np.array_equal(at(50, 20), np.rint(0.6 * 128 + 0.4 * np.array(colour(0))))  # the mask
    assert np.array_equal(at(30, 72), colour(0))  # the keypoint
    caption = slice(-30, None)
    assert (sheet[caption] < 100).sum() > (plain[caption] < 100).sum()


def test_names_are_written_only_where_there_are_few_objects():
    boxes = [box(0.1, (row / 5, column / 5)) for row in range(5) for column in range(5)]
    few, many = (Example(GREY, boxes[:n], [0] * n, GREY.shape[:2]) for n in (2, 25))
    dark = [np.count_nonzero((show(photos(each), {0: ""})[8:40] == 24).all(axis=-1)) for each in (few, many)]
    assert dark[0] > dark[1]


def test_a_picture_that_can_not_be_read_is_named(tmp_path):
    broken = Example(tmp_path / "gone.jpg", [], [], (60, 80))
    with pytest.raises(MediaError, match="gone.jpg"):
        show(photos(broken), {0: ""})


def test_views_come_again_until_there_are_enough():
    views = views_of(photos(photo([0.5]), photo([0.4])), lambda size: (32, 32), Augment(flip=0.5, colour=0.8))
    assert views.view(0).image.shape == (32, 32, 3)
    sheet = show_views(views, [0, 1], 8, columns=4)
    cells = [sheet[40:370, 20 + n * 398 : 380 + n * 398] for n in range(4)]
    assert len({cell.tobytes() for cell in cells}) == 4


@pytest.mark.parametrize(
    "examples, wants",
    [
        ([photo([0.5])], ()),
        ([photo([0.5], segmentations=[[[0.0, 0, 9, 0, 9, 9]]]), photo()], ("masks",)),
        ([photo([0.5], segmentations=[[[0.0, 0, 9, 0, 9, 9]]]), photo([0.5])], ()),
        ([photo([0.5], keypoints=[[[0.2, 0.2]]])], ("keypoints",)),
        ([photo([0.5], class_map=np.ones((60, 80), np.uint8))], ("semantic",)),
        ([photo(image_labels=[1])], ("labels",)),
    ],
)
def test_views_have_what_can_be_drawn(examples, wants):
    views = views_of(photos(*examples), None, Augment(flip=1.0))
    assert views.wants == wants
    assert show_views(views, [0], 1).shape[1] == 1600


def test_views_of_large_photos_are_scaled_down():
    large = Example(np.zeros((900, 1280, 3), np.uint8), [box(0.5)], [0], (900, 1280))
    assert views_of(photos(large), None, Augment(flip=0.5)).view(0).image.shape == (450, 640, 3)
