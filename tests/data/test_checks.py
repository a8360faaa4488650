"""Each kind of problem is found once where it is, and nothing where nothing is wrong."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from data_files import picture, voc_xml
from PIL import Image

from detkit import data
from detkit.data import Dataset, Example, check, format_problems
from detkit.data.problems import Problem

BOX = [0.2, 0.2, 0.7, 0.6]


def whats(problems) -> list[str]:
    return [problem.what for problem in problems]


@pytest.fixture
def example(tmp_path):
    """A function that makes an example with a picture of its own."""
    count = iter(range(100))

    def make(boxes=(BOX,), class_ids=None, **parts) -> Example:
        n = next(count)
        file = parts.pop("image", None) or picture(tmp_path / f"{n}.png", seed=n)
        size = parts.pop("size", (60, 80))
        return Example(file, boxes, [0] * len(boxes) if class_ids is None else class_ids, size, **parts)

    return make


def only(*examples, classes=("duck",), **options) -> Problem:
    """The one problem of a dataset."""
    (problem,) = check(Dataset(examples, classes), **options)
    return problem


def square(low, high):
    return [[low, low, high, low, high, high, low, high]]


def test_nothing_is_wrong_with_a_clean_dataset(example):
    boxes = [BOX, [0.2, 0.6, 0.7, 0.9], [0, 0, 1, 1]]
    examples = [example(boxes, [0, 0, 1]), example(boxes[1:], [1, 0], crowd=[False, True])]
    assert check(Dataset(examples, ("duck", "boat"))) == []
    assert (
        check(Dataset(examples[:1], ("duck", "boat")), others={"test": Dataset(examples[1:], ("duck", "boat"))}) == []
    )


@pytest.mark.parametrize(
    ("second", "crowd", "what"),
    [
        (BOX, [0, 0], "A box is there twice."),
        ([0.2, 0.2, 0.7, 0.59], [0, 0], "Two boxes of a class are nearly the same."),
        ([0.2, 0.2, 0.7, 0.5], [0, 0], None),
        (BOX, [0, 1], None),  # a crowd region around an object
    ],
)
def test_objects_given_twice(example, second, crowd, what):
    problems = check(Dataset((example([BOX, second], crowd=crowd),), ("duck",)))
    assert whats(problems) == ([what] if what else [])
    assert not what or (problems[0].box == 1 and "box 0" in problems[0].got)


def test_crossed_objects_with_masks_of_their_own_are_two(example):
    wide, high = [[0, 25, 60, 25, 60, 35, 0, 35]], [[25, 0, 35, 0, 35, 60, 25, 60]]
    boxes = [[0, 0, 1, 0.75]] * 2
    crossed = example(boxes, segmentations=[wide + high[:0], wide])
    assert "A box is there twice." in whats(check(Dataset((crossed,), ("duck",))))
    crossed = example(boxes, segmentations=[wide, high])
    assert not [what for what in whats(check(Dataset((crossed,), ("duck",)))) if "twice" in what or "nearly" in what]


def test_a_box_under_two_classes(example):
    problem = only(example([BOX, BOX, [0, 0, 1, 1]], [0, 1, 0]), classes=("duck", "boat"))
    assert problem.what == "1 boxes are there under two classes." and problem.severity == "info"
    assert problem.got == "duck and boat, as box 0"


def test_thousands_of_boxes_in_one_picture(example):
    starts = np.stack(np.meshgrid(np.arange(40), np.arange(40)), -1).reshape(-1, 2) / 40
    boxes = np.concatenate([starts, starts + 0.02], -1)
    problems = check(Dataset((example(np.concatenate([boxes, boxes])),), ("duck",)), input_size=2000)
    assert whats(problems) == ["A box is there twice."] * 1600
    text = format_problems(problems)
    assert text.count("A box is there twice.") == 10
    assert text.endswith("... and 1590 more like these.\n1600 warnings")


def test_small_objects_depend_on_the_model(example):
    small = example([BOX, [0, 0, 0.03, 0.02]])
    assert only(small).what == "1 of 2 objects are smaller than 8 pixels at the input size 320."
    assert check(Dataset((small,), ("duck",)), input_size=1000) == []


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n cut"])
def test_pictures_that_do_not_open(example, tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    problem = only(example(image=tmp_path / "x.png"))
    assert problem.severity == "error" and problem.image == str(tmp_path / "x.png")


def test_a_picture_cut_short(example, tmp_path):
    whole = picture(tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    assert only(example(image=tmp_path / "cut.jpg")).what == "This picture is damaged or cut short."


def test_another_size_than_annotated(example):
    assert only(example(size=(80, 80))).what == "The picture has another size than its annotation says."


@pytest.mark.parametrize(
    ("size", "orientation", "what"),
    [
        ((60, 80), 6, "The annotation has the size of the photo before its EXIF rotation."),
        ((80, 60), 6, None),
        ((60, 80), 3, "1 photos are turned by EXIF data, and their sizes don't tell if the boxes are too."),
        ((60, 80), 1, None),
    ],
)
def test_exif_rotation(example, tmp_path, size, orientation, what):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (80, 60)).save(tmp_path / "photo.jpg", exif=exif)
    problems = check(Dataset((example(image=tmp_path / "photo.jpg", size=size),), ("duck",)))
    assert whats(problems) == ([what] if what else [])


def test_yolo_files_do_not_tell_which_way_up_they_were_drawn(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (80, 60)).save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.4 0.4\n")
    (tmp_path / "classes.txt").write_text("duck\n")
    assert ["turned by EXIF" in what for what in whats(check(tmp_path))] == [True]


def test_masks(example):
    empty = example(segmentations=[[[10, 10, 10.1, 10, 10, 10.1]]])
    assert only(empty).what == "A mask covers no pixel."
    assert only(example(segmentations=[square(0, 8)])).what == "A mask lies elsewhere than its box."
    assert check(Dataset((example(segmentations=[[[16, 12, 48, 12, 48, 42, 16, 42]]]),), ("duck",))) == []


def test_class_maps(example):
    good, bad = np.zeros((60, 80), np.uint8), np.zeros((60, 80), np.uint8)
    good[:9], good[9], bad[3, 3] = 1, 255, 7
    assert check(Dataset((example((), class_map=good),), ("duck",))) == []
    problem = only(example((), class_map=bad))
    assert problem.what == "A class map has values without a class." and problem.got == "7"


def test_labels_of_whole_pictures(example):
    labelled = [example((), image_labels=[i]) for i in (0, 0, 1)]
    assert check(Dataset(labelled, ("duck", "boat"))) == []
    problems = check(Dataset((*labelled, example(())), ("duck", "boat", "frog")))
    assert whats(problems) == ["1 of 4 pictures have no labels.", "1 of 3 classes have no labels."]


def test_classes_without_boxes_and_with_few(example):
    boxes = [[i / 24, 0.1, (i + 1) / 24, 0.9] for i in range(24)]
    many = example(boxes, [0] * 20 + [1] * 4)
    problems = check(Dataset((many,), ("duck", "boat", "frog")))
    assert whats(problems) == ["1 of 3 classes have no boxes.", "1 of 3 classes have few boxes."]
    assert problems[1].got == "boat 4; the most frequent: duck 20" and problems[1].severity == "info"


@pytest.mark.parametrize(
    ("names", "alike"),
    [
        (("Car", "car "), "'Car' and 'car '"),
        (("traffic_light", "Traffic-Light", "duck"), "'traffic_light' and 'Traffic-Light'"),
        (("berry", "Berries"), "'berry' and 'Berries'"),
        (("ducks", "boat", "duck"), "'duck' and 'ducks'"),
        (("bus", "boxes", "box"), "'box' and 'boxes'"),
        (("a", "as", "1", "1s", "glass", "glove"), None),
    ],
)
def test_names_that_seem_to_be_one_class(example, names, alike):
    boxes = [[0, i / 10, 1, (i + 1) / 10] for i in range(len(names))]
    problems = check(Dataset((example(boxes, range(len(names))),), names))
    assert [problem.got for problem in problems] == ([alike] if alike else [])


def corners(n, first, seed=0):
    """Boxes in whole pixels [n, 4], normalised yxyx; those at the left border begin at pixel `first`."""
    low = np.stack([np.arange(n) * 3 + 5, np.full(n, first)], -1)
    return np.concatenate([low, low + [2, 20 + seed]], -1) / (60, 80, 60, 80)


def test_pixels_counted_from_1(example):
    problem = only(example(corners(6, 1)))
    assert problem.what == "The boxes seem to count pixels from 1." and problem.severity == "info"
    assert problem.got == "6 left or upper edges at pixel 1, none at 0"
    mixed = only(example(corners(6, 1)), example(corners(6, 0)))
    assert mixed.what == "Some boxes seem to count pixels from 1, others from 0."
    assert check(Dataset((example(corners(6, 0)),), ("duck",))) == []
    anywhere = example(np.concatenate([corners(6, first, seed) for seed, first in enumerate((1, 2, 3))]))
    assert check(Dataset((anywhere,), ("duck",))) == []


def test_boxes_that_stick_out_by_a_pixel(voc):
    files = {str(n): voc_xml(f"{n}.jpg", [("duck", 8, 6 + n, 81, 36 + n, 0)]) for n in range(5)}
    path = voc(files, [f"{n}.jpg" for n in range(5)])
    (problem,) = check(path)
    assert problem.what == "5 boxes stuck out of their images by a pixel and were cut at the edge."


@pytest.mark.parametrize(
    ("ids", "what"),
    [
        ([1, 2, 2], "The class numbers seem to be one too high."),
        ([0, 1, 2], None),
    ],
)
def test_yolo_numbers_that_count_from_1(tmp_path, ids, what):
    picture(tmp_path / "a.png")
    rows = [f"{number} 0.{3 + i} 0.5 0.2 0.4" for i, number in enumerate(ids)]
    (tmp_path / "a.txt").write_text("\n".join(rows))
    (tmp_path / "classes.txt").write_text("boat\nduck\n")
    found = whats(check(tmp_path))
    assert found.count("A box has a class number without a name.") == ids.count(2)
    assert [each for each in found if "seem" in each] == ([what] if what else [])


def test_coco_categories_that_count_from_0(coco):
    def spoil(document):
        document["categories"] = [{"id": 1, "name": "boat"}, {"id": 2, "name": "duck"}]
        for entry, number in zip(document["annotations"], (0, 1), strict=True):
            entry["category_id"] = number

    problems = [problem for problem in check(coco(spoil)) if "seem" in problem.what]
    assert whats(problems) == ["The class numbers seem to be one too low."]
    assert problems[0].got == "0, which has no name, but never 2" and problems[0].expected.startswith("1..2")


def test_the_same_picture_twice(example, tmp_path):
    first = example([BOX, [0, 0, 0.1, 0.5]])
    shutil.copy(first.image, tmp_path / "other name ü.png")
    again = replace(first, image=tmp_path / "other name ü.png")
    turned = replace(again, boxes=first.boxes[::-1])
    assert only(first, again).what == only(first, turned).what == "The same picture is there twice."
    other = replace(again, boxes=[BOX, [0, 0, 0.2, 0.5]])
    problem = only(first, other)
    assert problem.what == "The same picture is there twice, with other boxes."
    assert problem.image == str(tmp_path / "other name ü.png") and problem.got == f"equal to {first.image}"


def test_pictures_that_are_nearly_the_same(example, tmp_path):
    photo = picture(tmp_path / "photo.png", (120, 160))
    pixels = Image.fromarray(
        np.kron(np.random.default_rng(0).integers(0, 255, (12, 16, 3)), np.ones((10, 10, 1))).astype(np.uint8)
    )
    pixels.save(photo)
    pixels.resize((80, 60)).save(tmp_path / "small.jpg")
    a, b = example(image=photo, size=(120, 160)), example([BOX, [0, 0, 1, 1]], image=tmp_path / "small.jpg")
    problem = only(a, example(), b)
    assert problem.what == "2 of 3 pictures are nearly the same as another." and problem.severity == "info"
    assert problem.got == "photo.png and small.jpg; 1 of 1 pairs with other numbers of boxes"
    (problem,) = check(Dataset((a,), ("duck",), name="train"), others={"test": Dataset((b,), ("duck",))})
    assert problem.what == "1 pictures of test are nearly the same as pictures of train."
    assert problem.severity == "warning"


def test_leaks_between_splits(example, tmp_path):
    train = [example(), example()]
    shutil.copy(train[1].image, tmp_path / "copy.png")
    test = [example(image=tmp_path / "copy.png"), example()]
    sets = {name: Dataset(examples, ("duck",), name="boxes") for name, examples in (("a", train), ("test", test))}
    (problem,) = check(sets["a"], others={"test": sets["test"]})
    assert problem.what == "A picture of test is in boxes as well." and problem.severity == "warning"
    assert problem.image == str(tmp_path / "copy.png") and problem.got == f"equal to {train[1].image}"


def test_classes_that_only_the_test_set_has(example):
    train, test = Dataset((example(),), ("duck",)), Dataset((example(),), ("Duck",), name="exam")
    problems = check(train, others={"exam": test})
    assert whats(problems) == [
        "1 classes of exam are unknown in dataset.",
        "Some classes seem to be one, spelled differently.",
    ]
    assert problems[1].got == "'duck' and 'Duck'"


def test_all_splits_of_a_path_are_checked(tmp_path):
    for n, split in enumerate(("train", "val")):
        picture(tmp_path / f"images/{split}/{n}.png", seed=3)
        (tmp_path / "labels" / split).mkdir(parents=True)
        (tmp_path / f"labels/{split}/{n}.txt").write_text("0 0.5 0.5 0.4 0.4\n")
    content = {"train": "images/train", "val": "images/val", "test": "images/test", "names": ["duck"]}
    (tmp_path / "data.yaml").write_text(json.dumps(content))
    problems = check(tmp_path / "data.yaml")
    assert whats(problems) == [
        "The pictures that the data.yaml names are not there.",
        "A picture of val is in train as well.",
    ]


def test_a_dataset_that_is_not_there_does_not_hide_the_others(example, tmp_path):
    problems = check(tmp_path / "nothing.json", others={"test": Dataset((example([BOX, BOX]),), ("duck",))})
    assert whats(problems) == ["There is no dataset here.", "A box is there twice."]


FROM_1 = "The boxes seem to count pixels from 1."


def test_the_voc_toy_set_has_one_empty_picture(shared):
    problems = check(shared / "data/voc10_toy/gts_vocpascal_format")
    assert whats(problems) == [FROM_1, "1 of 10 pictures have no boxes."]


@pytest.mark.slow
def test_the_known_twins_of_the_raccoon_set_and_nothing_else(shared):
    problems = check(shared / "data/raccoon")
    twins = [problem for problem in problems if problem.severity == "warning"]
    assert {problem.what for problem in twins} == {"The same picture is there twice, with other boxes."}
    assert sorted(problem.image.rsplit("-", 1)[1] for problem in twins) == ["116.jpg", "74.jpg", "83.jpg", "98.jpg"]
    resized = [problem for problem in problems if problem not in twins]
    assert whats(resized) == [FROM_1, "6 of 200 pictures are nearly the same as another."]
    assert resized[1].got.count(" and ") == 3


@pytest.mark.slow
def test_the_real_datasets_show_what_is_known_of_them_and_nothing_else(shared):
    root = shared / "data"
    folder = root / "voc100_formats"
    for name in ("pascalvoc_format", "yolo_format", "cvat_format"):
        problems = check(folder / "gts" / name, images=folder / "images")
        assert whats(problems) == [FROM_1, "10 of 20 classes have few boxes."]
    frames = "35 of 49 pictures are nearly the same as another."
    assert whats(check(root / "ducky/train.json", others={"test": root / "ducky/test.json"})) == [frames]


def test_check_reads_what_it_is_told(coco, tmp_path):
    moved = tmp_path / "elsewhere"
    path = coco()
    (tmp_path / "images").rename(moved)
    assert check(path, format="coco", images=moved) == []
    assert data.read(path, images=moved).problems == ()
