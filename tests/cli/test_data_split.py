"""`detkit data split`."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image

from detkit.data import read

SOURCE = "photos/boxes.json"


@pytest.fixture
def photos(tmp_path):
    """A COCO file of twelve pictures of noise, two of them equal; a duck in each, and a boat in every third."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for n in range(12):
        pixels = np.random.default_rng(n % 11).integers(0, 255, (60, 80, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{n}.png")
    things = [(n, category) for n in range(12) for category in (1, 2)[: 2 - bool(n % 3)]]
    content = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 80, "height": 60} for n in range(12)],
        "categories": [{"id": 1, "name": "duck"}, {"id": 2, "name": "boat"}],
        "annotations": [
            {"id": i, "image_id": n, "category_id": category, "bbox": [8 * category, 6, 40, 30]}
            for i, (n, category) in enumerate(things)
        ],
    }
    (tmp_path / SOURCE).write_text(json.dumps(content))
    return content


def names(data) -> set:
    return {example.image.name for example in data}


def test_train_and_val_by_default(run, photos):
    result = run("data", "split", SOURCE, "--output", "parts")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "        train  val\nimages     10    2\nduck       10    2\nboat        3    1\n"
        "1 groups of nearly equal pictures were kept together.\nwrote parts/train.json, parts/val.json\n"
    )
    train, val = (read(f"parts/{name}.json") for name in ("train", "val"))
    assert len(names(train) | names(val)) == 12
    assert any({"0.png", "11.png"} <= names(part) for part in (train, val))
    assert all(example.pixels().shape == (60, 80, 3) for example in train)


FORMATS = {
    "coco": ".json",
    "csv": ".csv",
    "cvat": ".xml",
    "labelme": "",
    "openimages": ".csv",
    "tfrecord": ".record",
    "voc": "",
    "yolo": "",
}


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_written_can_be_read(run, photos, format):
    thirds = ["--into", "a=0.5", "--into", "b=0.25", "--into", "c=0.25"]
    result = run("data", "split", SOURCE, "-o", "parts", "-f", format, *thirds)
    assert result.exit_code == 0, result.stderr
    parts = [read(f"parts/{name}{FORMATS[format]}") for name in "abc"]
    assert [len(part) for part in parts] == [6, 3, 3]
    assert sum(len(example) for part in parts for example in part) == 16
    assert all(example.pixels().shape == (60, 80, 3) for part in parts for example in part)


def test_the_format_of_the_source_is_kept_and_pictures_in_files_are_saved(run, photos, tmp_path):
    assert run("data", "convert", SOURCE, "records/all.record", "-f", "tfrecord").exit_code == 0
    result = run("data", "split", "records/all.record", "-o", "parts")
    assert result.exit_code == 0 and len(read("parts/train.record")) == 10
    result = run("data", "split", "records/all.record", "-o", "other", "-f", "coco")
    assert result.exit_code == 0 and len(names(read("other/train.json"))) == 10
    assert len([*(tmp_path / "other/images").iterdir()]) == 12


def test_class_folders_are_split_by_label(run, tmp_path):
    for n in range(10):
        folder = tmp_path / "sorted" / "ab"[n % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(n).integers(0, 255, (60, 80, 3), np.uint8)).save(folder / f"{n}.png")
    result = run("data", "split", "sorted", "-o", "parts")
    assert result.exit_code == 0 and "images      8    2\na           4    1\nb           4    1\n" in result.stdout
    assert sorted(label for each in read("parts/val") for label in each.image_labels) == [0, 1]


def test_few_shots(run, photos):
    result = run("data", "split", SOURCE, "-o", "shots", "--few-shot", "2")
    assert result.exit_code == 0, result.stderr
    train = read("shots/train.json")
    counting = np.concatenate([example.class_ids[~example.difficult] for example in train])
    assert np.bincount(counting).tolist() == [2, 2]
    val, left_out = read("shots/val.json"), "pictures, nearly equal to one for training, were left out" in result.stdout
    assert len(train) + len(val) == 12 - left_out and not names(train) & names(val)
    for twins in ({"0.png", "11.png"},):
        assert not (names(train) & twins and names(val) & twins)


def test_the_seed_decides(run, photos):
    chosen = set()
    for seed, folder in ((0, "a"), (0, "b"), (1, "c"), (2, "d")):
        assert run("data", "split", SOURCE, "-o", folder, "--seed", str(seed)).exit_code == 0
        chosen.add(frozenset(names(read(f"{folder}/val.json"))))
        assert len(chosen) == 1 or seed
    assert len(chosen) > 1


def test_what_is_lost_is_told(run, photos, tmp_path):
    photos["annotations"][0]["iscrowd"] = 1
    (tmp_path / SOURCE).write_text(json.dumps(photos))
    result = run("data", "split", SOURCE, "-o", "parts", "-f", "yolo")
    assert result.exit_code == 1 and result.stderr.startswith("warning: yolo can't hold crowd regions.\n  got: 1\n")
    assert "wrote parts/train, parts/val" in result.stdout


def test_damaged_pictures_are_told(run, photos, tmp_path):
    (tmp_path / "photos/3.png").write_bytes(b"")
    result = run("data", "split", SOURCE, "-o", "parts")
    assert result.exit_code == 2 and not (tmp_path / "parts").exists()
    assert re.search(r"1 of 12 pictures can't be read(.*\n)*  got: This picture is empty\. .*3\.png", result.stderr)
    assert "--separate-twins" in result.stderr
    assert run("data", "split", SOURCE, "-o", "parts", "--separate-twins").exit_code == 0


def test_nothing_is_overwritten(run, photos, tmp_path):
    assert run("data", "split", SOURCE, "-o", "parts").exit_code == 0
    before = (tmp_path / "parts/train.json").read_bytes()
    result = run("data", "split", SOURCE, "-o", "parts", "--seed", "1")
    assert result.exit_code == 2 and "There is a part of this name already." in result.stderr
    assert (tmp_path / "parts/train.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope.json", "-o", "parts"], "Error: There is no dataset here."),
        ([SOURCE], "Missing option '--output'"),
        ([SOURCE, "-o", "parts", "-f", "excel"], "Error: There is no such annotation format."),
        ([SOURCE, "-o", "parts", "--into", "train"], "'train': give NAME=FRACTION, as train=0.8"),
        ([SOURCE, "-o", "parts", "--into", "train=0.8"], "'train=0.8' is the only part"),
        ([SOURCE, "-o", "parts", "--into", "../x=0.8", "--into", "y=0.2"], "each part needs a file name of its own"),
        ([SOURCE, "-o", "parts", "--into", "x=0.8", "--into", "x=0.2"], "each part needs a file name of its own"),
        ([SOURCE, "-o", "parts", "--into", "x=0.8", "--into", "y=0.3"], "got: 0.8 + 0.3 = 1.1"),
        ([SOURCE, "-o", "parts", "--into", "x=nan", "--into", "y=0.3"], "Error: A split needs fractions."),
        ([SOURCE, "-o", "parts", "--few-shot", "9"], "got: boat 4"),
        ([SOURCE, "-o", "parts", "--few-shot", "1", "--into", "x=0.8"], "Give --into or --few-shot, not both."),
        ([SOURCE, "-o", f"{SOURCE}/x"], "Error: Can't write here."),
    ],
)
def test_split_refuses(run, photos, arguments, message):
    result = run("data", "split", *arguments)
    assert result.exit_code == 2 and message in result.stderr and result.stdout == ""


def test_help_has_examples(run):
    shown = run("data", "split", "--help").stdout
    assert "--into test=0.1" in shown and "Exit codes:" in shown
