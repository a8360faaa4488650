"""Pictures in folders by class: splits, what is no class, and labels that such folders can't hold."""

from __future__ import annotations

import numpy as np
import pytest
from data_files import picture

from detkit import data
from detkit.errors import DataError


@pytest.fixture
def folder(tmp_path):
    """A function that writes pictures of these names."""

    def build(*names):
        for number, name in enumerate(names):
            picture(tmp_path / name, (6, 8 + number))
        return tmp_path

    return build


def labels(dataset) -> dict[str, str]:
    return {e.image.name: dataset.classes[e.image_labels.item()] for e in dataset}


def test_a_folder_for_each_class(folder):
    path = folder("duck/1.jpg", "duck/2.PNG", "ü b/1.bmp", ".hidden/0.png")
    (path / "frog").mkdir()
    dataset = data.read(path)
    assert dataset.classes == ("duck", "frog", "ü b") and dataset.problems == ()
    assert [(e.image.name, e.image_labels.tolist(), e.size, len(e)) for e in dataset] == [
        ("1.jpg", [0], (6, 8), 0),
        ("2.PNG", [0], (6, 9), 0),
        ("1.bmp", [2], (6, 10), 0),
    ]


def test_splits_share_their_classes(folder):
    path = folder("train/duck/1.jpg", "train/boat/2.jpg", "validation/duck/3.jpg", "validation/frog/4.jpg")
    first = data.read(path)
    assert labels(first) == {"2.jpg": "boat", "1.jpg": "duck"} and first.classes == ("boat", "duck", "frog")
    assert [problem.got for problem in first.problems] == ["also val"]
    second = data.read(path, split="val")
    assert labels(second) == {"3.jpg": "duck", "4.jpg": "frog"} and second.classes == first.classes
    assert data.read(path / "validation").classes == ("duck", "frog")
    with pytest.raises(DataError, match="no such split(.|\n)*expected: train, val"):
        data.read(path, split="test")
    with pytest.raises(DataError, match="no such split(.|\n)*a folder without splits"):
        data.read(path / "train", split="val")


def test_a_class_may_be_called_as_a_split(folder):
    assert data.read(folder("train/1.jpg", "test/2.jpg", "bus/3.jpg")).classes == ("bus", "test", "train")


def test_what_is_passed_over_is_said(folder):
    path = folder("boat/1.jpg", "duck/2.jpg", "duck/more/3.jpg")
    (path / "duck/4.heic").write_bytes(b"x")
    (path / "duck/Thumbs.db").write_bytes(b"x")
    dataset = data.read(path)
    assert labels(dataset) == {"1.jpg": "boat", "2.jpg": "duck"}
    assert [(problem.severity, problem.got) for problem in dataset.problems] == [("warning", "1 .heic, 1 folders")]


def test_a_damaged_picture(folder):
    path = folder("boat/1.jpg", "duck/2.jpg")
    (path / "duck/2.jpg").write_bytes(b"text")
    with pytest.raises(DataError, match="not a picture that detkit reads(.|\n)*duck/2.jpg"):
        data.read(path)
    assert len(data.read(path, strict=False)) == 1


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (["duck/1.jpg"], "there are pictures in 1 of its folders"),
        (["images/1.jpg", "duck/1.jpg"], "its folder images/ has no name of a class"),
        (["train/images/1.jpg", "train/duck/1.jpg"], "its folder images/ has no name of a class"),
        (["1.jpg"], "there are pictures in 0 of its folders"),
    ],
)
def test_what_is_not_taken_for_one(folder, files, reason):
    with pytest.raises(DataError, match=f"not image_folder: {reason}"):
        data.read(folder(*files))


def test_annotations_come_first(folder):
    path = folder("duck/1.jpg", "boat/2.jpg")
    (path / "all.json").write_text("{}")
    with pytest.raises(DataError, match="not image_folder: it holds all.json, an annotation file"):
        data.read(path)
    assert len(data.read(path, "image_folder")) == 2


def test_what_can_not_be_read(folder):
    path = folder("duck/1.jpg")
    assert len(data.read(path, "image_folder")) == 1
    with pytest.raises(DataError, match="holds its own pictures(.|\n)*images='False'"):
        data.read(path, "image_folder", images=False)
    with pytest.raises(DataError, match="no pictures by class here(.|\n)*expected: pictures in a folder for each"):
        data.read(path / "duck", "image_folder")
    with pytest.raises(DataError, match="no folder of pictures by class"):
        data.read(path / "duck/1.jpg", "image_folder")


def example(image, *ids) -> data.Example:
    return data.Example(image, [], [], (6, 8), image_labels=ids)


def test_links_and_pictures_in_memory(tmp_path):
    file = picture(tmp_path / "photos/a.jpg", (6, 8))
    pixels = np.full((6, 8, 3), 7, np.uint8)
    dataset = data.Dataset((example(file, 1), example(pixels, 1), example(file)), ("boat", "duck"))
    data.write(dataset, tmp_path / "out", "image_folder")
    data.write(dataset, tmp_path / "out", "image_folder")  # once more is no harm
    found = data.read(tmp_path / "out", "image_folder")
    assert labels(found) == {"a.jpg": "duck", "picture_000001.png": "duck"} and found.classes == ("boat", "duck")
    assert found[0].image.samefile(file)
    np.testing.assert_array_equal(found[1].pixels(), pixels)


@pytest.mark.parametrize(
    ("ids", "classes", "message"),
    [
        ([(0, 1)], ("boat", "duck"), "one label only(.|\n)*got: boat, duck"),
        ([()], ("boat",), "None of the pictures has a label"),
        ([(0,)], ("/m/01",), "can't be the name of a folder(.|\n)*got: '/m/01'"),
        ([(0,)], (".",), "can't be the name of a folder"),
        ([(0,), (0,)], ("boat",), "have the same name(.|\n)*0/a.jpg and .*1/a.jpg"),
    ],
)
def test_what_can_not_be_written(tmp_path, ids, classes, message):
    examples = [example(picture(tmp_path / str(n) / "a.jpg", (6, 8), n), *each) for n, each in enumerate(ids)]
    with pytest.raises(DataError, match=message):
        data.write(data.Dataset(examples, classes), tmp_path / "out", "image_folder")


def test_real_folders_of_flowers(shared):
    train, val = (data.read(shared / "data/flowers5", split=split) for split in ("train", "val"))
    assert (len(train), len(val)) == (480, 120)
    assert train.classes == val.classes == ("daisy", "dandelion", "rose", "sunflower", "tulip")
    counts = np.bincount([e.image_labels.item() for e in train])
    assert counts.tolist() == [96] * 5
