"""YOLO: data.yaml and bare folders, boxes and polygons."""

from __future__ import annotations

import numpy as np
import pytest
from data_files import picture

from detkit import data
from detkit.errors import DataError


@pytest.fixture
def yolo(tmp_path):
    """A function that writes images/ and labels/ from {stem: text}, and files from {name: text}."""

    def build(labels, files=None, folders=("images", "labels"), pictures=("1", "2")):
        for number, stem in enumerate(pictures):
            picture(tmp_path / folders[0] / f"{stem}.jpg", seed=number)
        (tmp_path / folders[1]).mkdir(parents=True, exist_ok=True)
        for stem, text in labels.items():
            (tmp_path / folders[1] / f"{stem}.txt").write_text(text, encoding="utf-8")
        for name, text in ({"classes.txt": "boat\nduck\n"} if files is None else files).items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path

    return build


BOX = "1 0.35 0.35 0.5 0.5\n"


def test_boxes_polygons_and_pictures_without_labels(yolo):
    dataset = data.read(yolo({"1": BOX + "\n0 0.25 0.25 0.75 0.25 0.75 0.5\n"}))
    assert dataset.classes == ("boat", "duck") and dataset.problems == ()
    first, second = dataset
    np.testing.assert_allclose(first.boxes, [[0.1, 0.1, 0.6, 0.6], [0.25, 0.25, 0.5, 0.75]], atol=1e-6)
    assert first.class_ids.tolist() == [1, 0] and first.size == (60, 80)
    assert first.segmentations == (None, [[20, 15, 60, 15, 60, 30]])
    assert len(second) == 0 and second.image.name == "2.jpg"


YAML = "path: .\ntrain: images\nnames: [boat, duck]\n"


@pytest.mark.parametrize(
    "text",
    [
        YAML,
        "train: images\nval: images\nnames:\n  0: boat\n  1: duck\n",
        "train: ../images\nnames: [boat, duck]\n",
        "train: [images]\nnames: {1: duck, 0: boat}\n",
        "train: list.txt\nnames: [boat, duck]\n",
    ],
)
def test_data_yaml(yolo, text):
    path = yolo({"1": BOX}, {"data.yaml": text, "list.txt": "./images/1.jpg\nimages/2.jpg\n"})
    for source in (path, path / "data.yaml"):
        dataset = data.read(source)
        assert dataset.classes == ("boat", "duck") and [len(example) for example in dataset] == [1, 0]
        assert dataset.problems == ()


def test_splits(yolo):
    for split in ("train", "val"):
        path = yolo({"1" + split: BOX}, {}, (f"images/{split}", f"labels/{split}"), pictures=["1" + split])
    (path / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [boat, duck]\n")
    dataset = data.read(path)
    assert [example.image.name for example in dataset] == ["1train.jpg"]
    assert [(p.severity, p.got) for p in dataset.problems] == [("info", "also val")]
    for given in (data.read(path, split="val"), data.read(path / "images/val"), data.read(path / "labels/val")):
        assert [example.image.name for example in given] == ["1val.jpg"] and sum(map(len, given)) == 1
    with pytest.raises(DataError, match="no such split(.|\n)*expected: train, val"):
        data.read(path, split="test")


def test_pictures_and_labels_side_by_side(yolo):
    path = yolo({"1": BOX, "train": BOX}, {"obj.names": "boat\nduck"}, (".", "."), pictures=("1", "train"))
    assert [len(example) for example in data.read(path)] == [1, 1]


def test_pictures_elsewhere(yolo, tmp_path):
    path = yolo({"1": BOX}, folders=("photos", "set/labels"))
    (path / "classes.txt").rename(path / "set/classes.txt")
    assert len(data.read(path / "set", images=path / "photos")) == 2
    with pytest.raises(DataError, match="A picture is missing"):
        data.read(path / "set")
    with pytest.raises(DataError, match="can't be read without their pictures"):
        data.read(path / "set", images=False)


@pytest.mark.parametrize(
    ("row", "what", "got"),
    [
        ("1 0.3 0.3 0.2 0.2 0.98", "A row has one number too many: a confidence?", "1 0.3 0.3 0.2 0.2 0.98"),
        ("1 0.1 0.1 0.2 0.1 0.2 0.2 0.9", "A row has one number too many: a confidence?", "1 0.1"),
        ("1 0.3 0.3", "A row is too short.", "1 0.3 0.3"),
        ("2 0.3 0.3 0.2 0.2", "A box has a class number without a name.", "2 0.3"),
        ("-1 0.3 0.3 0.2 0.2", "A box has a class number without a name.", "-1 0.3"),
        ("duck 0.3 0.3 0.2 0.2", "A box has a class number without a name.", "duck 0.3"),
        ("1 0.3 x 0.2 0.2", "A box has a coordinate that is not a finite number.", "1 0.3 x"),
        ("1 0.3 1_0 0.2 0.2", "A box has a coordinate that is not a finite number.", "1 0.3 1_0"),
        ("1 0.3 0.3 0 0.2", "A box has no area.", "1 0.3"),
        ("1 0.3 0.3 -0.1 0.2", "The corners of a box are swapped.", "1 0.3"),
        ("1 200 200 30 30", "A box lies outside its image.", "1 200"),
    ],
)
def test_a_bad_row_is_refused_or_left_out(yolo, row, what, got):
    path = yolo({"1": BOX + row + "\n"})
    with pytest.raises(DataError) as error:
        data.read(path)
    assert error.value.what == what and error.value.got.startswith(got)
    assert error.value.where == f"{path}/labels/1.txt, line 2, {path}/images/1.jpg, box 1"
    found = data.read(path, strict=False)
    assert [len(example) for example in found] == [1, 0] and len(found.problems) == 1


def test_keypoints_of_a_pose_dataset_are_no_polygon(yolo):
    text = "train: images\nkpt_shape: [2, 3]\nnames: [boat, duck]\n"
    path = yolo({"1": BOX.strip() + " 0.2 0.2 2 0.4 0.4 1\n"}, {"data.yaml": text})
    (example, _) = dataset = data.read(path)
    assert [problem.severity for problem in dataset.problems] == ["info"]
    np.testing.assert_allclose(example.boxes, [[0.1, 0.1, 0.6, 0.6]], atol=1e-6)
    with pytest.raises(DataError, match="not as many numbers as kpt_shape"):
        data.read(yolo({"1": BOX}, {"data.yaml": text}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: images\nnames: [duck, duck]\n", "Two classes have the same name"),
        ("train: images\nnames: {0: boat, 2: duck}\n", "names can't be read(.|\n)*without gaps"),
        ("train: images\nnames: []\n", "names can't be read"),
        ("train: pictures\nnames: [boat, duck]\n", "not there(.|\n)*pictures; looked for .*/pictures"),
        ("train: 5\nnames: [boat, duck]\n", "is no path"),
        ("train: images\nkpt_shape: 9\nnames: [boat, duck]\n", r"kpt_shape: \[17, 3\]"),
        ("names: [boat, duck\n", "not valid YAML"),
        ("train: images\nnames: " + "{" * 100_000, "nested too deeply"),
        ("train: images\nnames:\n" + "- " * 100_000, "nested too deeply"),
        ("train: images\nnames: [boat, duck]\n# " + "x" * 2_000_000, "too large"),
        ("a: &a [x, x]\ntrain: images\nnames: [*a, *a]\n", "uses aliases"),
        ("train: images\nnames: [!!python/object/apply:os.getcwd []]\n", "not valid YAML"),
    ],
)
def test_a_bad_data_yaml_is_explained(yolo, text, message):
    path = yolo({"1": BOX}, {"data.yaml": text})
    with pytest.raises(DataError, match=message):
        data.read(path / "data.yaml", format="yolo")


def test_class_names_are_needed(yolo):
    with pytest.raises(DataError, match="class names of these YOLO labels are not there(.|\n)*classes.txt"):
        data.read(yolo({"1": BOX}, {}))


def test_labels_without_a_picture(yolo):
    path = yolo({"1": BOX, "9": BOX})
    with pytest.raises(DataError, match="A picture is missing(.|\n)*9"):
        data.read(path)
    assert len(data.read(path, strict=False)) == 2


def test_a_picture_is_linked_and_links_are_replaced(tmp_path):
    file = picture(tmp_path / "photos/a.jpg")
    dataset = data.Dataset((data.Example(file, [[0, 0, 1, 1]], [0], (60, 80)),), ("duck",))
    for _ in range(2):
        data.write(dataset, tmp_path / "out", "yolo")
        assert (tmp_path / "out/images/a.jpg").samefile(file)
    data.write(data.read(tmp_path / "out"), tmp_path / "out", "yolo")
    assert data.read(tmp_path / "out")[0].pixels().shape == (60, 80, 3)


def test_a_picture_that_is_there_is_not_replaced_by_another(tmp_path):
    file = picture(tmp_path / "photos/a.jpg")
    other = picture(tmp_path / "out/images/a.jpg", seed=5).read_bytes()
    dataset = data.Dataset((data.Example(file, [], [], (60, 80)),), ("duck",))
    with pytest.raises(DataError, match="another picture of this name(.|\n)*out/images/a.jpg"):
        data.write(dataset, tmp_path / "out", "yolo")
    assert (tmp_path / "out/images/a.jpg").read_bytes() == other
    (tmp_path / "out/images/a.jpg").write_bytes(file.read_bytes())
    data.write(dataset, tmp_path / "out", "yolo")
    file.unlink()
    with pytest.raises(DataError, match="A picture is missing(.|\n)*photos/a.jpg"):
        data.write(dataset, tmp_path / "out", "yolo")


def test_an_array_can_not_be_named(tmp_path):
    example = data.Example(np.zeros((4, 4, 3), np.uint8), [], [], (4, 4))
    with pytest.raises(DataError, match="has no file"):
        data.write(data.Dataset((example,), ("duck",)), tmp_path, "yolo")
