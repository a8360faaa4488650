"""Repairs: what needs no decision is put right in a copy and logged, the rest is left and listed."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from data_files import picture, voc_xml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from detkit import data
from detkit.data.repairs import repair, summary
from detkit.errors import ConfigError, DataError

NOT_REPAIRED = ("info", "have no boxes", "nearly the same", "with other boxes", "another size")


def done(changes) -> list[tuple[str, str]]:
    return [(change.action, change.what) for change in changes]


def written(folder):
    """The repaired annotation file or folder in a directory."""
    return folder / json.loads((folder / "changes.json").read_text())["repaired"]


def test_everything_that_needs_no_decision(coco, tmp_path):
    def spoil(document):
        boxes = [[0, 0, 0, 5], [70, 50, 30, 30], [48, 36, -40, -30], [8, 6, 40, 30], [None, 0, 5, 5], [90, 70, 5, 5]]
        for number, bbox in enumerate(boxes, 3):
            entry = {"id": number, "image_id": 1, "category_id": 7, "bbox": bbox}
            document["annotations"].append(entry)
        for number, name in enumerate(("broken.jpg", "missing.jpg"), 3):
            document["images"].append({"id": number, "file_name": name, "width": 80, "height": 60})

    source = coco(spoil)
    (tmp_path / "images/broken.jpg").write_bytes(b"text")
    before = source.read_bytes()
    repaired, changes = repair(source, tmp_path / "new")
    assert done(changes) == [
        ("left out", "A picture is missing."),
        ("corrected", "The corners of a box were swapped and were put in order."),
        ("left out", "A box has a coordinate that is not a finite number."),
        ("left out", "A box has no area."),
        ("left out", "A box lies outside its image."),
        ("corrected", "A box stuck out of its image by 20 pixels and was cut at the edge."),
        ("removed", "This is not a picture that detkit reads."),
        ("removed", "A box is there twice."),
        ("removed", "A box is there twice."),
    ]
    assert source.read_bytes() == before
    copy = data.read(written(tmp_path / "new"))
    assert [len(example) for example in copy] == [2, 1] == [len(example) for example in repaired]
    np.testing.assert_allclose(copy[0].boxes * [60, 80, 60, 80], [[6, 8, 36, 48], [50, 70, 60, 80]], atol=0.01)
    assert data.check(written(tmp_path / "new")) == []
    assert repair(written(tmp_path / "new"), tmp_path / "again")[1] == []


def test_pictures_that_are_there_twice(coco, tmp_path):
    def spoil(document):
        for number in (3, 4):
            document["images"].append({"id": number, "file_name": f"{number}.jpg", "width": 80, "height": 60})
            entry = {"id": number, "image_id": number, "category_id": 7, "bbox": [8, 6, 40, 30 - number % 3]}
            document["annotations"].append(entry)

    source = coco(spoil)
    for number in (3, 4):
        shutil.copy(tmp_path / "images/1.jpg", tmp_path / f"images/{number}.jpg")
    repaired, changes = repair(source, tmp_path / "new")
    assert done(changes) == [
        ("removed", "The same picture is there twice."),
        ("left", "The same picture is there twice, with other boxes."),
    ]
    assert [example.image.name for example in repaired] == ["1.jpg", "2.jpg", "4.jpg"]
    assert changes[0].got == f"equal to {tmp_path / 'images/1.jpg'}"
    assert str(changes[1]).startswith("left: The same picture is there twice, with other boxes.\n  where: ")


@pytest.mark.parametrize(
    ("annotated", "actual", "bbox", "expected", "action"),
    [
        # It was resized to the same shape: the boxes are scaled.
        ((60, 80), (120, 160), [8, 6, 40, 30], [16, 12, 80, 60], "corrected"),
        ((61, 81), (120, 160), [8, 6, 40, 30], [15.802, 11.803, 79.012, 59.016], "corrected"),
        # Another shape, and a box that only fits in the picture: its size was wrong.
        ((60, 60), (120, 160), [8, 6, 140, 30], [8, 6, 140, 30], "corrected"),
        # Another shape, and it fits in both.
        ((60, 60), (120, 160), [8, 6, 40, 30], None, "left"),
    ],
)
def test_sizes(coco, tmp_path, annotated, actual, bbox, expected, action):
    def spoil(document):
        document["images"][0] |= {"height": annotated[0], "width": annotated[1]}
        x, y, w, h = bbox
        outline = [x, y, x + w, y, x + w, y + h]
        document["annotations"][0] |= {"bbox": bbox, "segmentation": [outline]}

    source = coco(spoil)
    picture(tmp_path / "images/1.jpg", actual)
    _, changes = repair(source, tmp_path / "new")
    assert action in [change.action for change in changes]
    document = json.loads(written(tmp_path / "new").read_text())
    if expected:
        assert document["annotations"][0]["bbox"] == pytest.approx(expected, abs=0.01)
        assert document["annotations"][0]["segmentation"][0][:2] == pytest.approx(expected[:2], abs=0.01)
        assert (document["images"][0]["height"], document["images"][0]["width"]) == actual
        assert data.check(written(tmp_path / "new")) == []
    again = repair(written(tmp_path / "new"), tmp_path / "again")[1]
    assert {change.action for change in again} <= {"left"}


@pytest.mark.parametrize("orientation", range(5, 9))
def test_boxes_on_a_photo_before_its_rotation(coco, tmp_path, orientation):
    """A white rectangle is where the box is, before and after."""

    def spoil(document):
        document["annotations"][0]["bbox"] = [66, 10, 12, 20]

    source = coco(spoil)
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[10:30, 66:78] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "images/1.jpg", exif=exif, quality=95)
    repaired, changes = repair(source, tmp_path / "new")
    assert done(changes) == [
        ("corrected", "The boxes were turned as EXIF turns their photo: they were drawn on it unturned.")
    ]
    example = data.read(written(tmp_path / "new"))[0]
    top, left, bottom, right = np.rint(example.boxes[0] * np.tile(example.size, 2)).astype(int)
    upright = example.pixels() > 128
    assert upright[top:bottom, left:right].all() and upright.sum() == 3 * 12 * 20


def test_a_rotation_that_can_not_be_told_is_left(coco, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    source = coco()
    Image.new("RGB", (80, 60)).save(tmp_path / "images/1.jpg", exif=exif)
    repaired, changes = repair(source, tmp_path / "new")
    assert [change.action for change in changes] == ["left"] and "EXIF" in changes[0].what
    assert repaired[0].size == (60, 80)


@pytest.mark.parametrize("format", ["voc", "yolo", "csv", "cvat", "labelme", "tfrecord", "openimages", "coco"])
def test_every_format(format, tmp_path):
    files = [picture(tmp_path / f"pictures/ü {n}.png", seed=n) for n in range(3)]
    shutil.copy(files[0], tmp_path / "pictures/copy.png")
    box = [0.1, 0.2, 0.6, 0.7]
    examples = [
        data.Example(file, [box, box, [0, 0, 1, 1]][: 3 - n], [0, 0, 0][: 3 - n], (60, 80))
        for n, file in enumerate([*files[:2], tmp_path / "pictures/copy.png"])
    ]
    dataset = data.Dataset(examples, ("duck",))
    folder = tmp_path / "source"
    source = folder / {
        "csv": "b.csv",
        "openimages": "b.csv",
        "cvat": "b.xml",
        "tfrecord": "b.record",
        "coco": "b.json",
    }.get(format, "")
    data.write(dataset, source, format)
    images = tmp_path / "pictures" if format == "openimages" else None
    repaired, changes = repair(source, tmp_path / "new", images=images)
    assert ("removed", "A box is there twice.") in done(changes)
    again, changes = repair(written(tmp_path / "new"), tmp_path / "again", images=images)
    assert [change for change in changes if change.action != "left"] == []
    assert [len(example) for example in again] == [len(example) for example in repaired]


def test_outlines_are_cut_with_their_boxes(tmp_path):
    picture(tmp_path / "source/a.png")
    rows = ["0 0.5 0.5 1.5 0.5 0.5 1.5", "0 0.1 0.1 0.2 0.1 0.1 0.2"]
    (tmp_path / "source/a.txt").write_text("\n".join(rows))
    (tmp_path / "source/classes.txt").write_text("duck\n")
    repaired, changes = repair(tmp_path / "source", tmp_path / "new")
    assert [change.action for change in changes] == ["corrected", "corrected"]
    # The long side of the triangle passes through the corner of the picture: a rectangle remains.
    assert repaired[0].masks()[0].sum() == pytest.approx(30 * 40, abs=1)
    assert (tmp_path / "new/labels/a.txt").read_text().splitlines()[1] == "0 0.1 0.1 0.2 0.1 0.1 0.2"
    assert repair(tmp_path / "new", tmp_path / "again")[1] == []


def test_labels_of_whole_pictures(tmp_path):
    for n, name in enumerate(("duck/1.png", "duck/2.png", "boat/3.png", "frog/4.png")):
        picture(tmp_path / "source" / name, seed=n % 3)
    (tmp_path / "source/boat/5.png").write_bytes(b"text")
    shutil.copy(tmp_path / "source/duck/2.png", tmp_path / "source/duck/copy.png")
    repaired, changes = repair(tmp_path / "source", tmp_path / "new")
    assert sorted(done(changes)) == [
        ("left", "The same picture is there twice, with other labels."),
        ("left out", "This is not a picture that detkit reads."),
        ("removed", "The same picture is there twice."),
    ]
    again = data.read(written(tmp_path / "new"))
    assert [again.classes[i] for example in again for i in example.image_labels] == ["boat", "duck", "duck", "frog"]


def test_class_maps(tmp_path):
    class_map = np.zeros((60, 80), np.uint8)
    class_map[:30] = 1
    files = [picture(tmp_path / f"{n}.png", seed=n % 2) for n in range(3)]
    examples = [data.Example(file, [], [], (60, 80), class_map=class_map) for file in files]
    data.write(data.Dataset(examples, ("duck",)), tmp_path / "source", "masks")
    _, changes = repair(tmp_path / "source", tmp_path / "new")
    assert done(changes) == [("removed", "The same picture is there twice.")]
    assert [(example.semantic() == class_map).all() for example in data.read(written(tmp_path / "new"))] == [True, True]


def test_a_dataset_in_memory(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    dataset = data.Dataset([data.Example(pixels, [[0, 0, 1, 1]] * 2, [0, 0], (60, 80))], ("duck",))
    repair(dataset, tmp_path / "new")
    assert [len(example) for example in data.read(tmp_path / "new/annotations.json")] == [1]
    assert (tmp_path / "new/images/picture_000000.png").is_file()


def test_nothing_to_do(coco, tmp_path):
    source = coco()
    repaired, changes = repair(source, tmp_path / "new")
    assert changes == [] and (tmp_path / "new/changes.txt").read_text() == "Nothing had to be changed.\n"
    assert summary(changes, tmp_path / "new").startswith("Nothing had to be changed.\nwrote ")
    assert summary(changes, tmp_path / "new").endswith("changes.json, changes.txt, train.json")


def test_it_never_writes_in_place(voc, coco, tmp_path):
    source = voc({"1": voc_xml()})
    for output in (source, source / "repaired"):
        with pytest.raises(ConfigError, match="would lie in the dataset itself"):
            repair(source, output)
    with pytest.raises(ConfigError, match="is not empty(.|\n)*nothing is changed in place"):
        repair(coco(), tmp_path)
    (tmp_path / "notes").write_text("text")
    with pytest.raises(ConfigError, match="not empty(.|\n)*got: a file"):
        repair(coco(), tmp_path / "notes")
    with pytest.raises(DataError, match="no dataset here"):
        repair(tmp_path / "nothing.json", tmp_path / "new")
    assert not (tmp_path / "new").exists()


numbers = st.sampled_from([float("nan"), -20.0, 0.0, 5.0, 12.0, 30.0, 59.5, 60.0, 75.0, 80.0, 81.0, 200.0, 1e12])
rows = st.tuples(st.integers(0, 2), st.lists(numbers, min_size=4, max_size=4))


@settings(max_examples=8, deadline=None)
@given(
    rows=st.lists(rows, max_size=12),
    sizes=st.lists(st.sampled_from([(60, 80), (80, 60), (120, 160)]), min_size=3, max_size=3),
)
def test_whatever_is_wrong_the_copy_is_clean(tmp_path_factory, rows, sizes):
    folder = tmp_path_factory.mktemp("any")
    lines = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
    for n, (height, width) in enumerate(sizes):
        picture(folder / f"{n % 2}{n}.png", seed=n % 2)
        lines.append(f"{n % 2}{n}.png,{width},{height},,,,,")
        lines += [f"{n % 2}{n}.png,{width},{height},duck,{','.join(map(str, box))}" for m, box in rows if m == n]
    (folder / "boxes.csv").write_text("\n".join(lines) + "\n")
    repair(folder / "boxes.csv", folder / "new")
    problems = data.check(folder / "new/boxes.csv")
    remaining = [str(problem) for problem in problems]
    assert [text for text in remaining if not any(word in text for word in (*NOT_REPAIRED, "no boxes at all"))] == []
    again = repair(folder / "new/boxes.csv", folder / "again")[1]
    assert {change.action for change in again} <= {"left"}
