"""Examples and datasets are checked, immutable, and can be cut into parts."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from data_files import picture
from PIL import Image

from detkit.data import Dataset, Example
from detkit.errors import DataError, MediaError

BOX = [0.1, 0.2, 0.5, 0.6]


def dataset(n=10, classes=("duck", "boat")) -> Dataset:
    return Dataset(
        tuple(Example(f"{i}.jpg", [BOX], [i % 2], (60, 80), image_id=i) for i in range(n)), classes
    )


def ids(data) -> list:
    return [example.image_id for example in data]


def test_an_example_fills_in_and_freezes():
    example = Example("a.jpg", [BOX], [0], (60, 80))
    assert example.boxes.dtype == np.float32 and example.class_ids.dtype == np.int32
    assert not example.crowd.any() and not example.difficult.any() and np.isnan(example.area).all()
    assert len(example) == 1
    with pytest.raises(FrozenInstanceError):
        example.size = (1, 1)
    with pytest.raises(ValueError, match="read-only"):
        example.boxes[0, 0] = 0


def test_an_example_may_have_no_boxes():
    example = Example("a.jpg", [], [], (60, 80))
    assert example.boxes.shape == (0, 4) and example.area.shape == (0,)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"boxes": [[0.5, 0, 0.2, 1]]}, r"not a box inside the image.*\n  where: a.jpg, box 0\n  got: \[0.5"),
        ({"boxes": [[0, 0, np.nan, 1]]}, "not a box inside the image"),
        ({"boxes": [[0, 0, 1, 1.5]]}, "expected: 0 <= ymin < ymax <= 1"),
        ({"boxes": [[0, 0, 1]]}, r"wrong shape.*\n  got: \[1, 3\]"),
        ({"class_ids": [0, 1]}, r"class_ids differs in length.*\n.*\n  got: \(2,\)\n  expected: \(1,\)"),
        ({"class_ids": [0.5]}, r"class_ids are no ids of classes.*\n.*\n  got: \[0.5\]"),
        ({"class_ids": [-1]}, "class_ids are no ids of classes"),
        ({"size": "60x80"}, r"no size of a picture.*\n.*\n  got: '60x80'"),
        ({"size": (0, 80)}, "no size of a picture"),
        ({"crowd": []}, "crowd differs in length"),
        (
            {"image": np.zeros((60, 81, 3), np.uint8)},
            r"got: uint8 \[60, 81, 3\]\n  expected: uint8 \[60, 80, 3\]",
        ),
        ({"image": np.zeros((60, 80, 3))}, "got: float64"),
    ],
)
def test_an_example_refuses(parts, message):
    with pytest.raises(DataError, match=message):
        Example(**{"image": "a.jpg", "boxes": [BOX], "class_ids": [0], "size": (60, 80), **parts})


def test_pixels_come_from_the_file_or_the_array(tmp_path):
    path = picture(tmp_path / "a.png")
    pixels = Example(path, [], [], (60, 80)).pixels()
    assert pixels.shape == (60, 80, 3)
    np.testing.assert_array_equal(Example(pixels, [], [], (60, 80)).pixels(), pixels)
    with pytest.raises(MediaError, match="no such file"):
        Example(tmp_path / "b.png", [], [], (60, 80)).pixels()


def test_pixels_of_another_size_are_refused(tmp_path):
    path = picture(tmp_path / "a.png")
    with pytest.raises(DataError) as error:
        Example(path, [], [], (30, 40), source="train.json").pixels()
    assert str(error.value) == (
        f"The picture has another size than its annotation says.\n  where: train.json, {path}\n"
        "  got: a picture of 60 x 80 (height x width)\n  expected: 30 x 40, as in the annotation\n"
        "  fix: Correct width and height in the annotation, or restore the picture that was annotated."
    )


def test_a_class_map_of_another_size_is_told_so(tmp_path):
    path = picture(tmp_path / "a.png")
    with pytest.raises(DataError, match="class map have different sizes(.|\n)*60 x 80(.|\n)*30 x 40(.|\n)*Export the"):
        Example(path, [], [], (30, 40), class_map=np.zeros((30, 40), np.uint8)).pixels()


def test_a_rotated_photo_with_its_unrotated_size_is_explained(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (80, 60)).save(tmp_path / "a.jpg", exif=exif)
    assert Example(tmp_path / "a.jpg", [], [], (80, 60)).pixels().shape == (80, 60, 3)
    with pytest.raises(DataError, match="before its EXIF rotation") as error:
        Example(tmp_path / "a.jpg", [], [], (60, 80)).pixels()
    assert "remove its EXIF orientation (6)" in error.value.fix


def test_indices_slices_and_iteration():
    data = dataset()
    assert len(data) == 10 and data[3].image_id == 3
    assert isinstance(data[2:4], Dataset) and ids(data[2:4]) == [2, 3]
    assert ids(data) == list(range(10))
    assert repr(data) == "Dataset('dataset': 10 images, 10 boxes, classes ['duck', 'boat'])"


def test_sampling_depends_on_the_seed_alone_and_keeps_order():
    data = dataset()
    assert ids(data.sample(4, seed=1)) == ids(data.sample(4, seed=1)) == sorted(ids(data.sample(4, seed=1)))
    assert len({tuple(ids(data.sample(4, seed=seed))) for seed in range(5)}) > 1
    with pytest.raises(DataError, match=r"got: 11\n  expected: 0..10"):
        data.sample(11, seed=0)


def test_split_and_without_leave_nothing_out_and_nothing_twice():
    data = dataset()
    first, second = data.split(0.3, seed=2, twins=False)
    assert len(first) == 3 and sorted(ids(first) + ids(second)) == list(range(10))
    assert ids(data.without(first)) == ids(second)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"classes": ("duck", "duck")}, "Two classes have the same name.*\n.*\n  got: 'duck'"),
        ({"label_ids": (3, 3)}, "Two classes have the same label id"),
        ({"label_ids": (3,)}, "Each class needs one label id"),
        ({"classes": ("duck", "")}, r"A class has no name.*\n.*\n  got: \['duck', ''\]"),
        ({"classes": ("duck", None)}, "A class has no name"),
        ({"examples": ["1.jpg"]}, "A dataset holds examples.*\n.*\n  got: '1.jpg'"),
        (
            {"classes": ("duck",)},
            r"A class id has no name.*\n  where: 1.jpg\n  got: ids 1..1\n  expected: 0..0",
        ),
    ],
)
def test_a_dataset_refuses(parts, message):
    with pytest.raises(DataError, match=message):
        Dataset(**{"examples": dataset().examples, "classes": ("duck", "boat"), **parts})


def test_classes_are_matched_by_name():
    data = Dataset(dataset().examples, ("duck", "boat"), (17, 5))
    other = data.with_classes(["boat", "frog", "duck"])
    assert [other.classes[e.class_ids[0]] for e in other] == [data.classes[e.class_ids[0]] for e in data]
    assert data.with_classes(["boat", "duck"]).label_ids == (5, 17)
    with pytest.raises(DataError, match="unknown there.*\n.*\n  got: duck\n  expected: boat"):
        data.with_classes(["boat"])
