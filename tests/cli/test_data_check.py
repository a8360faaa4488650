"""`detkit data check`."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def boxes(tmp_path):
    """A function that writes boxes.json of a picture with two boxes, and the changes to it."""
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "1.png")

    def write(bbox=(40, 30, 40, 30), name="boxes.json"):
        given = [(8, 6, 40, 30), bbox]
        content = {
            "images": [{"id": 1, "file_name": "1.png", "width": 80, "height": 60}],
            "categories": [{"id": 1, "name": "duck"}],
            "annotations": [
                {"id": n, "image_id": 1, "category_id": 1, "bbox": list(box)} for n, box in enumerate(given)
            ],
        }
        (tmp_path / name).write_text(json.dumps(content))

    write()
    return write


def test_nothing_is_wrong(run, boxes):
    result = run("data", "check", "boxes.json")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "No problems found.\n", "")


def test_errors_and_warnings(run, boxes):
    boxes(bbox=(8, 6, 40, 30))
    result = run("data", "check", "boxes.json")
    assert result.exit_code == 0 and result.stdout.startswith("warning: A box is there twice.\n  where: ")
    boxes(bbox=(8, 6, 0, 30))
    result = run("data", "check", "boxes.json")
    assert result.exit_code == 1 and result.stdout.startswith("error: A box has no area.\n")


def test_several_datasets(run, boxes):
    boxes(name="test.json")
    result = run("data", "check", "boxes.json", "test.json")
    assert result.exit_code == 0
    assert "warning: A picture of test.json is in boxes as well." in result.stdout


def test_json(run, boxes):
    boxes(bbox=(8, 6, 0, 30))
    result = run("data", "check", "boxes.json", "--json")
    content = json.loads(result.stdout)
    assert result.exit_code == 1 and content["changes"] == []
    (problem,) = content["problems"]
    assert problem["severity"] == "error" and problem["box"] == 1 and problem["what"] == "A box has no area."
    assert set(problem) == {"severity", "what", "file", "image", "box", "got", "expected", "fix"}


def test_a_model_says_what_is_small(run, boxes):
    boxes(bbox=(0, 0, 1, 1))
    assert "1 of 2 objects are smaller than 8 pixels at the input size 320" in run("data", "check", "boxes.json").stdout
    result = run("data", "check", "boxes.json", "--model", "efficientdet_d7")
    assert (result.exit_code, result.stdout) == (0, "No problems found.\n")
    assert run("data", "check", "boxes.json", "--model", "nope").exit_code == 2


def test_fix(run, boxes, tmp_path):
    boxes(bbox=(8, 6, 40, 30))
    before = (tmp_path / "boxes.json").read_bytes()
    result = run("data", "check", "boxes.json", "--fix", "new")
    assert result.exit_code == 0 and (tmp_path / "boxes.json").read_bytes() == before
    assert result.stdout == (
        "1 x removed: A box is there twice.\nwrote new: boxes.json, changes.json, changes.txt\nNo problems found.\n"
    )
    assert len(json.loads((tmp_path / "new/boxes.json").read_text())["annotations"]) == 1
    assert "removed: A box is there twice." in (tmp_path / "new/changes.txt").read_text()
    result = run("data", "check", "boxes.json", "--fix", "new")
    assert result.exit_code == 2 and "is not empty" in result.stderr


def test_what_can_not_be_fixed_is_printed(run, boxes, tmp_path):
    Image.new("RGB", (80, 20)).save(tmp_path / "1.png")
    boxes(bbox=(8, 6, 5, 5))
    result = run("data", "check", "boxes.json", "--fix", "new", "--json")
    content = json.loads(result.stdout)
    assert result.exit_code == 1
    assert [each["action"] for each in content["changes"]] == ["left"]
    assert "The picture has another size than its annotation says." in [each["what"] for each in content["problems"]]


@pytest.fixture
def yolo(tmp_path):
    """A YOLO dataset whose splits share a picture."""
    for split in ("train", "val"):
        (tmp_path / "images" / split).mkdir(parents=True)
        (tmp_path / "labels" / split).mkdir(parents=True)
        (tmp_path / f"labels/{split}/1.txt").write_text("0 0.5 0.5 0.4 0.4\n0 0.5 0.5 0.4 0.4\n")
    Image.new("RGB", (80, 60)).save(tmp_path / "images/train/1.png")
    shutil.copy(tmp_path / "images/train/1.png", tmp_path / "images/val/1.png")
    (tmp_path / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [duck]\n")


@pytest.mark.parametrize("command", [("check",), ("data", "check")])
def test_a_yolo_dataset_with_its_splits(run, yolo, command):
    result = run(*command, "data.yaml")
    assert result.exit_code == 0
    assert result.stdout.count("A box is there twice.") == 2
    assert "A picture of val is in train as well." in result.stdout


def test_one_split(run, yolo, tmp_path):
    result = run("data", "check", "data.yaml", "--split", "val")
    assert result.stdout.count("warning: ") == 1
    result = run("data", "check", "data.yaml", "--split", "val", "--fix", "new")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "No problems found.")
    assert len((tmp_path / "new/labels/1.txt").read_text().splitlines()) == 1
    result = run("data", "check", "data.yaml", "--fix", "other")
    assert '1 x left out: Only the split "train" was read.' in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope.json"], "Error: There is no dataset here."),
        (["boxes.json", "nope.json"], "Error: There is no dataset here."),
        (["boxes.json", "--images", "nope"], "Error: The folder of pictures is not there."),
        (["boxes.json", "--fix", "boxes.json"], "Error: The repaired copy would lie in the dataset itself."),
        (["boxes.json", "--split", "val"], "Error: This format has no such option."),
    ],
)
def test_what_can_not_be_read(run, boxes, arguments, message):
    result = run("data", "check", *arguments)
    assert result.exit_code == 2 and message in result.stderr and result.stdout == ""


def test_names_beyond_ascii_and_a_missing_folder(run, boxes, tmp_path):
    folder = tmp_path / "Größe 鸭"
    folder.mkdir()
    (tmp_path / "boxes.json").rename(folder / "Kästchen.json")
    result = run("data", "check", folder / "Kästchen.json")
    assert result.exit_code == 0
    (tmp_path / "1.png").unlink()
    result = run("data", "check", folder / "Kästchen.json")
    assert result.exit_code == 1 and "A picture is missing." in result.stdout


def test_file_names_in_another_encoding(run, boxes, tmp_path):
    name = b"Gr\xfc\xdfe.png".decode("utf-8", "surrogateescape")
    shutil.copy(tmp_path / "1.png", tmp_path / name)
    content = json.loads((tmp_path / "boxes.json").read_text())
    content["images"][0]["file_name"] = name
    content["annotations"] *= 2
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    result = run("data", "check", "boxes.json")
    assert result.exit_code == 0 and "Gr\\udcfc\\udcdfe.png" in result.stdout
    result = run("data", "check", "boxes.json", "--fix", "new")
    assert result.exit_code == 0 and result.stdout.endswith("No problems found.\n")
    assert json.loads((tmp_path / "new/boxes.json").read_text())["images"][0]["file_name"] == "../" + name


def test_help_shows_examples_and_exit_codes(run):
    shown = run("data", "check", "--help").stdout
    assert "detkit data check train.json test.json" in shown and "Exit codes:" in shown
