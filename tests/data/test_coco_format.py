"""COCO JSON: read as it is meant, found where it is, and refused with a list of reasons."""

from __future__ import annotations

import json

import numpy as np
import pytest
from data_files import picture

from detkit import data
from detkit.data import Dataset, Example
from detkit.errors import DataError


def test_boxes_classes_and_flags(coco):
    dataset = data.read(coco())
    assert dataset.classes == ("boat", "duck") and dataset.label_ids == (3, 7)
    first, second = dataset
    np.testing.assert_allclose(first.boxes, [[0.1, 0.1, 0.6, 0.6]], rtol=1e-6)
    assert first.class_ids.tolist() == [1] and first.area.tolist() == [900] and not first.crowd[0]
    assert second.crowd[0] and np.isnan(second.area[0])
    assert first.size == (60, 80) and first.image_id == 1
    assert first.pixels().shape == (60, 80, 3)
    assert dataset.problems == ()


@pytest.mark.parametrize("folder", [".", "images", "train", "images/train"])
def test_pictures_are_found_beside_the_file(coco, folder):
    assert data.read(coco(folder=folder))[0].image.is_file()


@pytest.mark.parametrize(
    ("name", "folder"), [("test_more_words.json", "test"), ("instances_val2014.json", "val2014")]
)
def test_pictures_are_found_in_folders_named_like_the_file(coco, name, folder):
    assert data.read(coco(name=name, folder=folder))[1].image.parent.name == folder


def test_the_folder_of_pictures_can_be_named(coco, tmp_path):
    path = coco(folder="elsewhere")
    assert data.read(path, images=tmp_path / "elsewhere")[0].image.is_file()
    with pytest.raises(DataError, match="folder of pictures is not there.*\n  where: .*nowhere"):
        data.read(path, images=tmp_path / "nowhere")


def test_reading_opens_no_picture(coco, tmp_path):
    path = coco()
    for file in (tmp_path / "images").iterdir():
        file.write_bytes(b"")
    assert len(data.read(path)) == 2


def test_a_size_that_is_lacking_comes_from_the_picture(coco):
    dataset = data.read(coco(lambda d: [d["images"][0].pop("width"), d["images"][1].update(height=0)]))
    assert [example.size for example in dataset] == [(60, 80), (60, 80)]


def test_annotations_alone_need_no_pictures(coco):
    dataset = data.read(coco(folder="elsewhere"), images=False)
    assert len(dataset) == 2 and dataset[0].image.name == "1.jpg"


def boxed(*bbox):
    return lambda document: document["annotations"][0].update(bbox=list(bbox))


@pytest.mark.parametrize("bbox", [(-0.9, 0, 40, 30), (50, 30, 30.6, 30), (0, 0, 81, 61)])
def test_sticking_out_by_a_pixel_is_rounding(coco, bbox):
    dataset = data.read(coco(boxed(*bbox)))
    assert dataset.problems == () and 0 <= dataset[0].boxes.min() and dataset[0].boxes.max() <= 1


def test_sticking_out_further_is_cut_and_told(coco):
    dataset = data.read(coco(boxed(40, 30, 52, 20)))
    np.testing.assert_allclose(dataset[0].boxes, [[0.5, 0.5, 5 / 6, 1]], rtol=1e-6)
    (problem,) = dataset.problems
    assert problem.severity == "warning" and problem.box == 0 and problem.image.endswith("1.jpg")
    assert problem.what == "A box stuck out of its image by 12 pixels and was cut at the edge."
    assert problem.got == "bbox [40, 30, 52, 20] (annotation id 1)"
    assert problem.expected == "inside the image of 80 x 60 (width x height)"


BAD_BOXES = [
    ((8, 6, 0, 30), "A box has no area.", "bbox [8, 6, 0, 30]"),
    ((8, 6, 1e-12, 30), "A box has no area.", "annotation id 1"),
    ((8, 6, -4, 30), "The corners of a box are swapped.", "bbox [8, 6, -4, 30]"),
    ((90, 6, 10, 30), "A box lies outside its image.", "bbox [90, 6, 10, 30]"),
    ((-20, 6, 10, 30), "A box lies outside its image.", "bbox [-20"),
    ((float("nan"), 6, 10, 30), "A box has a coordinate that is not a finite number.", "bbox [nan"),
    ((1e999, 6, 10, 30), "A box has a coordinate that is not a finite number.", "bbox [inf"),
    ((10**400, 6, 10, 30), "A box has a coordinate that is not a finite number.", "bbox [1000"),
    ((None, 6, 10, 30), "A box has a coordinate that is not a finite number.", "bbox [None"),
    (("8", 6, 10, 30), "A box has a coordinate that is not a finite number.", "bbox ['8'"),
    ((8, 6, 10), "A box has a coordinate that is not a finite number.", "bbox [8, 6, 10]"),
]


@pytest.mark.parametrize(("bbox", "what", "got"), BAD_BOXES)
def test_a_bad_box_is_refused_or_left_out(coco, bbox, what, got):
    path = coco(boxed(*bbox))
    with pytest.raises(DataError) as error:
        data.read(path)
    assert error.value.what == what and got in error.value.got
    assert error.value.where.startswith(str(path)) and error.value.where.endswith("1.jpg, box 0")
    assert error.value.expected and error.value.fix
    lenient = data.read(path, strict=False)
    assert [len(example) for example in lenient] == [0, 1]
    assert [problem.what for problem in lenient.problems] == [what]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d["annotations"][0].update(category_id=5),
            r"unknown category: annotations\[0\](.|\n)*got: category_id 5\n  expected: one of 7, 3",
        ),
        (lambda d: d["annotations"][0].update(category_id=[7]), r"got: category_id \[7\]"),
        (
            lambda d: d["annotations"][0].update(image_id=9),
            r"isn't there: annotations\[0\].*\n.*\n  got: image_id 9",
        ),
        (
            lambda d: d["categories"][1].update(name="duck"),
            r"Two categories have the same name: categories\[1\].*\n.*\n  got: 'duck', ids 7 and 3",
        ),
        (lambda d: d["categories"][1].update(id=7), "Two categories have the same id"),
        (lambda d: d["categories"][1].update(id="x"), "A category lacks its id or name"),
        (lambda d: d["categories"][1].pop("name"), "A category lacks its id or name"),
        (lambda d: d["images"][1].update(id=1), "Two images have the same id"),
        (lambda d: d["images"][1].pop("file_name"), "An image lacks its id or file_name"),
        (lambda d: d["images"].append("3.jpg"), r"not an object: images\[2\]"),
        (lambda d: d["annotations"].append(None), r"not an object: annotations\[2\]"),
        (
            lambda d: d["images"][0].update(file_name="absent.jpg"),
            "A picture is missing.(.|\n)*absent.jpg\n  got: looked in .*images",
        ),
        (lambda d: d["images"][0].update(file_name="a\0b"), "A picture is missing"),
        (
            lambda d: [image.update(file_name="x" + image["file_name"]) for image in d["images"]],
            "None of the 2 pictures was found.(.|\n)*looked in .*images",
        ),
        (lambda d: d.update(images=[]), 'no list of "images".*\n.*\n  got: an empty list'),
        (lambda d: d.update(annotations={}), 'no list of "annotations".*\n.*\n  got: dict'),
        (lambda d: d.pop("categories"), 'no list of "categories".*\n.*\n  got: nothing'),
    ],
)
def test_bad_files_are_explained(coco, change, message):
    path = coco(change)
    with pytest.raises(DataError, match=message):
        data.read(path)
    if "no list" not in message:
        assert data.read(path, strict=False).problems


def test_an_unreadable_picture_without_annotated_size(coco, tmp_path):
    path = coco(lambda d: d["images"][0].pop("width"))
    (tmp_path / "images" / "1.jpg").write_bytes(b"text")
    with pytest.raises(DataError, match="lacks the picture's size(.|\n)*got: This is not a picture"):
        data.read(path)


def test_all_problems_come_at_once_up_to_twenty(coco):
    def spoil(document):
        box = {"image_id": 1, "category_id": 7, "bbox": [0, 0, 0, 0]}
        document["annotations"] += [{"id": 10 + i, **box} for i in range(23)]
        document["annotations"].append({"id": 99, "image_id": 50, "category_id": 7, "bbox": [0, 0, 1, 1]})

    path = coco(spoil)
    with pytest.raises(DataError) as error:
        data.read(path)
    message = str(error.value)
    assert message.startswith("There are 24 problems in this dataset.\n- An annotation belongs to an image")
    assert message.count("A box has no area.") == 19 and "... and 4 more." in message
    assert "strict=False" in error.value.fix


def test_files_that_are_no_annotations(tmp_path):
    path = tmp_path / "train.json"
    for content, expected in {
        "": "The annotation file is empty.*\n.*\n  got: 0 bytes",
        '{"images": [],\n "annotations": [}': "not valid JSON.*\n  where: .*train.json, line 2, column 18\n",
        '{"images": 5': "not valid JSON",
    }.items():
        path.write_text(expected and content)
        with pytest.raises(DataError, match=expected):
            data.read(path)
    with pytest.raises(DataError, match="got: a directory\n  expected: a file"):
        data.read(tmp_path, format="coco")


def test_what_is_written_is_read(coco, tmp_path):
    dataset = data.read(coco())
    data.write(dataset, tmp_path / "sub" / "copy.json", "coco")
    assert (
        json.loads((tmp_path / "sub" / "copy.json").read_text())["images"][0]["file_name"]
        == "../images/1.jpg"
    )
    copy = data.read(tmp_path / "sub" / "copy.json")
    assert (copy.classes, copy.label_ids) == (dataset.classes, dataset.label_ids)
    for old, new in zip(dataset, copy, strict=True):
        np.testing.assert_allclose(new.boxes, old.boxes, atol=1e-5)
        np.testing.assert_array_equal(new.class_ids, old.class_ids)
        np.testing.assert_array_equal(new.crowd, old.crowd)
        assert new.size == old.size and new.image_id == old.image_id and new.image.samefile(old.image)
    assert copy[1].area.tolist() == [4800]


def test_difficult_objects_stay_difficult(tmp_path):
    path = picture(tmp_path / "a.jpg")
    example = Example(path, [[0, 0, 1, 1], [0, 0, 0.5, 1]], [0, 0], (60, 80), difficult=[True, False])
    data.write(Dataset((example,), ("duck",)), tmp_path / "a.json", "coco")
    assert data.read(tmp_path / "a.json")[0].difficult.tolist() == [True, False]


def test_pictures_in_memory_can_not_be_named(tmp_path):
    example = Example(np.zeros((60, 80, 3), np.uint8), [], [], (60, 80))
    with pytest.raises(DataError, match="no file that an annotation could name(.|\n)*Save the picture first"):
        data.write(Dataset((example,), ("duck",)), tmp_path / "a.json", "coco")


def test_real_coco_files(shared):
    ducky = shared / "data/ducky"
    train = data.read(ducky / "train.json")
    assert len(train) == 5 and train.classes == ("rubber_ducky",) and train.problems == ()
    test = data.read(ducky / "test_reflections_ignored.json")
    assert len(test) == 49 and sum(example.crowd.sum() for example in test) == 43
    assert {example.image.parent.name for example in test} == {"test"}
    coco = data.read(shared / "data/evalref/instances_val2014_100.json", images=False)
    assert len(coco) == 100 and coco.label_ids[-1] == 90 and len(coco.classes) == 80
