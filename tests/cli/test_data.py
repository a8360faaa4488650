"""`detkit data`."""

from __future__ import annotations

import json

import pytest
from PIL import Image


@pytest.fixture
def boxes(tmp_path):
    """A COCO file of two pictures with a box and a crowd region."""
    for number in (1, 2):
        Image.new("RGB", (80, 60)).save(tmp_path / f"{number}.jpg")
    content = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": 80, "height": 60} for n in (1, 2)],
        "categories": [{"id": 1, "name": "duck"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 6, 40, 30]},
            {"id": 2, "image_id": 2, "category_id": 1, "bbox": [0, 0, 80, 60], "iscrowd": 1},
        ],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    return content


def test_convert(run, boxes, tmp_path):
    result = run("data", "convert", "boxes.json", "records/a.record", "--format", "tfrecord")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "wrote records/a.record: 2 images, 2 boxes, 1 class\n"
    result = run("data", "convert", "records/a.record", "new/boxes.json", "-f", "coco")
    assert result.exit_code == 0 and (tmp_path / "new/images/1.jpg").is_file()
    annotations = json.loads((tmp_path / "new/boxes.json").read_text())["annotations"]
    assert [entry["bbox"] for entry in annotations] == [[8, 6, 40, 30], [0, 0, 80, 60]]


def test_what_a_format_can_not_hold_is_told(run, boxes):
    result = run("data", "convert", "boxes.json", "yolo", "-f", "yolo")
    assert result.exit_code == 1 and result.stdout.startswith("wrote yolo: 2 images")
    assert result.stderr.startswith("warning: yolo can't hold crowd regions.\n  got: 1\n")


def test_what_can_not_be_used_stops_it_or_is_left_out(run, boxes, tmp_path):
    boxes["annotations"][0]["bbox"] = [8, 6, 0, 30]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    result = run("data", "convert", "boxes.json", "voc", "-f", "voc")
    assert result.exit_code == 2 and "A box has no area." in result.stderr and not (tmp_path / "voc").exists()
    result = run("data", "convert", "boxes.json", "voc", "-f", "voc", "--leave-out")
    assert result.exit_code == 1 and "error: A box has no area." in result.stderr
    assert sorted(file.name for file in (tmp_path / "voc").iterdir()) == ["1.xml", "2.xml"]


def test_options_of_the_source(run, tmp_path):
    Image.new("RGB", (80, 60)).save(tmp_path / "1.jpg")
    (tmp_path / "a.csv").write_text("photo,what,xmin,ymin,xmax,ymax\n1.jpg,duck,8,6,48,36\n")
    columns = ["--column", "filename=photo", "--column", "class=what"]
    result = run("data", "convert", "a.csv", "b.xml", "-f", "cvat", "--from", "csv", *columns)
    assert result.exit_code == 0 and 'label="duck"' in (tmp_path / "b.xml").read_text()
    assert run("data", "convert", "b.xml", "c.csv", "-f", "csv", "--split", "val").exit_code == 2
    result = run("data", "convert", "a.csv", "b.xml", "-f", "cvat", "--column", "photo")
    assert result.exit_code == 2 and "OURS=THEIRS" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope.json", "a.csv", "-f", "csv"], "Error: There is no dataset here."),
        (["boxes.json", "a.csv", "-f", "excel"], "Error: There is no such annotation format."),
        (["boxes.json", "boxes.json/a.csv", "-f", "csv"], "Error: Can't write here."),
        (["boxes.json", "a.csv", "-f", "csv", "--images", "nope"], "Error: The folder of pictures is not there."),
        (["boxes.json", "a.csv"], "Missing option '--format'"),
    ],
)
def test_convert_refuses(run, boxes, arguments, message):
    result = run("data", "convert", *arguments)
    assert result.exit_code == 2 and message in result.stderr and result.stdout == ""


def test_convert_replaces_nothing_unasked(run, boxes, tmp_path):
    source = (tmp_path / "boxes.json").read_bytes()
    for more in ([], ["--overwrite"]):
        result = run("data", "convert", "boxes.json", tmp_path / "boxes.json", "-f", "csv", *more)
        assert result.exit_code == 2 and "The dataset would be written over itself." in result.stderr
    assert (tmp_path / "boxes.json").read_bytes() == source
    for target, format in (("voc", "voc"), ("a.csv", "csv"), ("a.record@2", "tfrecord")):
        assert run("data", "convert", "boxes.json", target, "-f", format).exit_code in (0, 1)
        result = run("data", "convert", "boxes.json", target, "-f", format)
        assert result.exit_code == 2 and "There is something at the target already." in result.stderr
        assert run("data", "convert", "boxes.json", target, "-f", format, "--overwrite").exit_code in (0, 1)


def test_annotations_without_pictures(run, boxes, tmp_path):
    for number in (1, 2):
        (tmp_path / f"{number}.jpg").unlink()
    for arguments in (["convert", "boxes.json", "a.csv", "-f", "csv"], ["stats", "boxes.json"]):
        result = run("data", *arguments)
        assert result.exit_code == 2 and "None of the 2 pictures was found." in result.stderr
        assert run("data", *arguments, "--no-images").exit_code in (0, 1)
    assert run("data", "split", "boxes.json", "-o", "parts", "--no-images").exit_code == 0
    assert {file.name for file in (tmp_path / "parts").iterdir()} == {"train.json", "val.json"}


def test_help_names_every_format(run):
    from detkit.data import formats

    shown = run("data", "convert", "--help").stdout
    assert all(f" {name} " in shown for name in formats.NAMES)
