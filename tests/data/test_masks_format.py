"""Folders of pictures and masks: layouts, lists of classes, what is guessed, and masks of objects."""

from __future__ import annotations

import numpy as np
import pytest
from data_files import picture, voc_xml
from PIL import Image

from detkit import data
from detkit.data.class_map import IGNORED, ClassMap
from detkit.data.formats import voc_masks
from detkit.errors import DataError

SIZE = (20, 30)


def semantic(last=2) -> np.ndarray:
    """Two classes and pixels to ignore."""
    values = np.zeros(SIZE, np.uint8)
    values[2:8, 2:10], values[10:16, 5:25], values[0, :] = 1, last, IGNORED
    return values


def mask(path, values, palette=None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(values))
    if palette is not None:
        image.putpalette(palette.tobytes())
    image.save(path)


@pytest.fixture
def folder(tmp_path):
    """A function that writes pictures and masks {name: values} into two folders, and a list of classes."""

    def build(masks, pictures="images", where="masks", palette=None, classes=None, name="classes.txt"):
        for number, stem in enumerate(masks):
            picture(tmp_path / pictures / f"{stem}.jpg", SIZE, number)
            mask(tmp_path / where / f"{stem}.png", masks[stem], palette)
        if classes:
            (tmp_path / name).write_text(classes, encoding="utf-8")
        return tmp_path

    return build


NAMED = "background\nboat\nduck\n"


@pytest.mark.parametrize(
    ("pictures", "masks"),
    [("images", "masks"), ("JPEGImages", "SegmentationClass"), ("images", "labels"), ("imgs", "annotations")],
)
def test_two_folders(folder, pictures, masks):
    path = folder({"a": semantic(), "ü b": semantic()}, pictures, masks, voc_masks.palette(), NAMED)
    for place in (path, path / masks):
        dataset = data.read(place)
        assert dataset.classes == ("boat", "duck") and dataset.problems == ()
        assert [example.image.name for example in dataset] == ["a.jpg", "ü b.jpg"]
        assert dataset[0].size == SIZE and len(dataset[0]) == 0
        np.testing.assert_array_equal(dataset[0].semantic(), semantic())


def test_splits(folder):
    folder({"a": semantic()}, "train/images", "train/masks", None, NAMED)
    path = folder({"b": semantic()}, "valid/images", "valid/masks")
    train = data.read(path)
    assert [e.image.name for e in train] == ["a.jpg"] and "also val" in train.problems[0].got
    assert [e.image.name for e in data.read(path, split="val")] == ["b.jpg"]
    with pytest.raises(DataError, match="no such split(.|\n)*got: 'test'\n  expected: train, val"):
        data.read(path, split="test")


def test_splits_inside_the_two_folders(folder):
    folder({"a": semantic()}, "images/training", "annotations/training", None, NAMED)
    path = folder({"b": semantic()}, "images/validation", "annotations/validation")
    assert [[e.image_id for e in data.read(path, split=split)] for split in ("train", "val")] == [["a"], ["b"]]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "boat\r\n\r\nduck"),
        ("labels.txt", "__ignore__\n_background_\nboat\nduck\n"),
        ("labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\nboat:128,0,0::\nduck:0,128,0::\n"),
        ("labelmap.txt", "boat:::\nduck:::\nbackground:0,0,0::"),
    ],
)
def test_lists_of_classes(folder, name, text):
    dataset = data.read(folder({"a": semantic()}, classes=text, name=name))
    assert dataset.classes == ("boat", "duck")
    expected = semantic() if not text.startswith("boat:") else np.array([1, 2, 0])[semantic() % 255]
    expected[0] = IGNORED
    np.testing.assert_array_equal(dataset[0].semantic(), expected)
    guessed = "has no background" in "".join(problem.what for problem in dataset.problems)
    assert guessed == ("background" not in text) and len(dataset.problems) == guessed


def test_colours_of_a_labelmap(folder):
    colours = voc_masks.palette()[[5, 0, 9]]
    text = "".join(f"{n}:{r},{g},{b}::\n" for n, (r, g, b) in zip(("boat", "background", "duck"), colours, strict=True))
    painted = voc_masks.palette()[np.array([0, 5, 9])[semantic() % 255]]
    painted[0] = (224, 224, 192)
    dataset = data.read(folder({"a": painted}, classes=text, name="labelmap.txt"))
    np.testing.assert_array_equal(dataset[0].semantic(), semantic())


def test_classes_that_the_caller_names(folder):
    path = folder({"a": semantic(last=7)})
    dataset = data.read(path, classes={1: "boat", 7: "duck", 0: "water"})
    assert dataset.classes == ("boat", "duck", "water")
    np.testing.assert_array_equal(np.unique(dataset[0].semantic()), [1, 2, 3, IGNORED])
    with pytest.raises(DataError, match=r"stand for no class(.|\n)*got: 7 \(120 pixels\)"):
        data.read(path, classes=["background", "boat", "duck"])[0].semantic()


def test_values_are_the_names_where_there_are_no_others(folder):
    dataset = data.read(folder({"a": semantic(last=7), "b": semantic(last=0)}))
    assert dataset.classes == ("class 1", "class 7")
    assert [(problem.severity, problem.got) for problem in dataset.problems] == [("info", "1, 7")]
    np.testing.assert_array_equal(dataset[0].semantic(), np.where(semantic(7) == 7, 2, semantic(7)))


BINARY = np.where(semantic() == 1, 255, 0).astype(np.uint8)


@pytest.mark.parametrize(("classes", "name"), [(None, "object"), ("duck\n", "duck"), ("background\nduck\n", "duck")])
def test_black_and_white_masks(folder, classes, name):
    dataset = data.read(folder({"a": BINARY, "b": BINARY * 0}, classes=classes))
    assert dataset.classes == (name,) and np.unique(dataset[0].semantic()).tolist() == [0, 1]
    assert [problem.severity for problem in dataset.problems] == ["info"]
    assert "255 was taken for the class" in dataset.problems[0].what


def test_255_is_ignored_where_one_mask_of_all_has_another_class(folder):
    path = folder({"a": BINARY, "b": semantic(last=1)}, classes="background\nduck\n")
    dataset = data.read(path)
    assert np.unique(dataset[0].semantic()).tolist() == [0, IGNORED] and dataset.problems == ()
    folder({"a": BINARY, "b": BINARY}, palette=voc_masks.palette())  # a palette tells 255 from white
    assert np.unique(data.read(path)[0].semantic()).tolist() == [0, IGNORED]
    (path / "classes.txt").unlink()
    with pytest.raises(DataError, match="Nothing tells(.|\n)*got: 0 values other than 0 and 255"):
        data.read(path)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["boat", "boat"], "no class names(.|\n)*got: 'boat'"),
        ("boat", "no class names"),
        ([], "no class names"),
        ({1: 2}, "no class names"),
        ({-1: "boat"}, "has no value(.|\n)*got: -1"),
        ([str(i) for i in range(255)], "too many classes(.|\n)*got: 255"),
        ([str(i) for i in range(400)], "too many classes"),
    ],
)
def test_classes_that_are_refused(folder, classes, message):
    with pytest.raises(DataError, match=message):
        data.read(folder({"a": semantic()}), "masks", classes=classes)


def test_what_has_no_partner(folder, tmp_path):
    path = folder({"a": semantic(), "b": semantic()}, classes=NAMED)
    (path / "images/b.jpg").rename(path / "images/c.jpg")
    with pytest.raises(DataError, match="A picture is missing.\n  where: .*, b\n"):
        data.read(path)
    dataset = data.read(path, strict=False)
    assert [example.image_id for example in dataset] == ["a"]
    assert [problem.what for problem in dataset.problems[1:]] == ["1 pictures have no mask and were left out."]
    assert len(data.read(path, images=False)) == 2


def test_damaged_masks_are_named(folder):
    path = folder({"a": semantic(), "b": semantic()})
    (path / "masks/b.png").write_bytes((path / "masks/b.png").read_bytes()[:60])
    with pytest.raises(DataError, match="damaged or cut short(.|\n)*masks/b.png"):
        data.read(path)
    assert [example.image_id for example in data.read(path, strict=False)] == ["a"]


def test_what_is_no_dataset_of_masks(folder, tmp_path):
    with pytest.raises(DataError, match="not masks: there are no folders of pictures and masks in it"):
        data.read(tmp_path)
    folder({"a": semantic()}, classes=NAMED)
    (tmp_path / "masks/a.png").rename(tmp_path / "masks/z.png")
    with pytest.raises(DataError, match="not masks: no PNG file in masks/ has the name of a picture in images/"):
        data.read(tmp_path)
    (tmp_path / "masks/z.png").rename(tmp_path / "masks/a.jpg")
    with pytest.raises(DataError, match="not masks: there are no PNG files in masks/, but a.jpg"):
        data.read(tmp_path)
    with pytest.raises(DataError, match="no dataset of masks(.|\n)*no PNG files"):
        data.read(tmp_path, "masks")
    (tmp_path / "boat.txt").write_text("x")
    with pytest.raises(DataError, match="not masks: it is a file"):
        data.read(tmp_path / "boat.txt")


def test_vocs_folders_are_read_as_voc(folder):
    path = folder({"a": semantic()}, "JPEGImages", "SegmentationClass", voc_masks.palette())
    (path / "Annotations").mkdir()
    (path / "Annotations/a.xml").write_text(voc_xml("a.jpg", [("boat", 2, 2, 10, 8, 0)], SIZE))
    (path / "Annotations/b.xml").write_text(voc_xml("b.jpg", [("cat", 2, 2, 10, 8, 0)], SIZE))
    picture(path / "JPEGImages/b.jpg", SIZE)
    dataset = data.read(path)
    assert len(dataset.classes) == 20 and len(dataset[0]) == 1 and dataset[1].class_map is None
    assert [dataset.classes[i] for i in np.unique(dataset[0].semantic())[1:3] - 1] == ["aeroplane", "bicycle"]
    (path / "labelmap.txt").write_text("background:0,0,0::\ndog:128,0,0::\nboat:0,128,0::\n")
    dataset = data.read(path)
    assert dataset.classes == ("boat", "cat", "dog") and dataset.problems == ()
    assert np.unique(dataset[0].semantic()).tolist() == [0, 1, 3, IGNORED]
    (path / "labelmap.txt").unlink()
    (path / "Annotations/b.xml").write_text(voc_xml("b.jpg", [("duck", 2, 2, 10, 8, 0)], SIZE))
    dataset = data.read(path)
    assert dataset[0].class_map is None and "nothing tells what their values mean" in dataset.problems[0].what
    assert len(data.read(path, "masks", classes=["background", "dog", "boat"])) == 1


@pytest.fixture
def nuclei(tmp_path):
    """A function that writes a folder for each picture, with masks {name: values} of its objects."""

    def build(**pictures):
        for name, masks in pictures.items():
            picture(tmp_path / name / "images" / f"{name}.png", SIZE)
            (tmp_path / name / "masks").mkdir()
            for number, values in enumerate(masks):
                mask(tmp_path / name / "masks" / f"{number}.png", values)
        return tmp_path

    return build


def test_masks_of_objects(nuclei):
    first, second = semantic() == 1, semantic() == 2
    dataset = data.read(nuclei(a=[first.astype(np.uint8) * 255, second], b=[]))
    assert dataset.classes == ("object",) and [problem.severity for problem in dataset.problems] == ["info"]
    np.testing.assert_array_equal(dataset[0].masks(), [first, second])
    scale = np.tile(SIZE, 2)
    np.testing.assert_allclose(dataset[0].boxes * scale, [[2, 2, 8, 10], [10, 5, 16, 25]], rtol=1e-5)
    assert len(dataset[1]) == 0 and dataset[1].semantic().max() == 0
    assert data.read(dataset[0].image.parents[2], classes=["nucleus"]).classes == ("nucleus",)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (np.zeros(SIZE, np.uint8), "A mask is empty."),
        (semantic(), "A mask of one object has several values."),
        (np.ones((9, 9), np.uint8), "A mask has another size than its picture."),
    ],
)
def test_odd_masks_of_objects(nuclei, values, what):
    path = nuclei(a=[semantic() == 1, values])
    with pytest.raises(DataError, match=f"{what}(.|\n)*masks/1.png, .*a.png, box 1"):
        data.read(path)
    dataset = data.read(path, strict=False, classes=["nucleus"])
    assert len(dataset[0]) == 1 and [problem.what for problem in dataset.problems] == [what]


def test_masks_of_objects_are_of_one_class(nuclei):
    path = nuclei(a=[semantic() == 1])
    with pytest.raises(DataError, match="of one class only(.|\n)*got: boat, duck"):
        data.read(path, classes=["boat", "duck"])
    picture(path / "a/images/b.jpg")
    with pytest.raises(DataError, match="needs one picture(.|\n)*got: 2 in images/"):
        data.read(path)


def test_the_files_that_are_written(tmp_path):
    image = picture(tmp_path / "photos/a.jpg", SIZE)
    example = data.Example(image, [], [], SIZE, class_map=semantic())
    data.write(data.Dataset((example,), ("boat", "duck")), tmp_path / "out", "masks")
    assert (tmp_path / "out/classes.txt").read_text() == NAMED and (tmp_path / "out/images/a.jpg").samefile(image)
    written = Image.open(tmp_path / "out/masks/a.png")
    assert written.mode == "P" and written.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]


def test_what_can_not_be_written(tmp_path):
    image = picture(tmp_path / "photos/a.jpg", SIZE)
    boxed = data.Example(image, [[0, 0, 1, 1]], [0], SIZE)
    with pytest.raises(DataError, match="boxes, but no masks"):
        data.write(data.Dataset((boxed,), ("boat",)), tmp_path / "out", "masks")
    empty = data.Example(image, [], [], SIZE)
    for classes in (("Background",), ("a\nb",), ("void",), [str(i) for i in range(255)]):
        with pytest.raises(DataError, match="can't be listed|too many classes"):
            data.write(data.Dataset((empty,), classes), tmp_path / "out", "masks")


def test_real_masks_of_objects(shared, tmp_path):
    folder = shared / "data/dsb2018_nuclei"
    for number in ("rle", "poly"):
        coco = data.read(folder / f"instances_val_{number}.json")[:4]
        for example in coco:
            if not (link := tmp_path / example.image.parents[1].name).exists():
                link.symlink_to(example.image.parents[1])
        found = {example.image.name: example for example in data.read(tmp_path)}
        for example in coco:
            other = found[example.image.name]
            assert {mask.tobytes() for mask in other.masks()} == {mask.tobytes() for mask in example.masks()}
            assert sorted(other.boxes.tolist()) == sorted(example.boxes.tolist())
            index = data.Example(example.image, [], [], example.size, class_map=_index(folder, example))
            np.testing.assert_array_equal(index.semantic(), other.semantic())


def _index(folder, example) -> ClassMap:
    return ClassMap(folder / "semantic" / example.image.name, {0: 0, 1: 1})
