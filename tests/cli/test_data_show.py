"""`detkit data show`."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from detkit.cli.data import show as command
from detkit.data.overview.show import PICKS


@pytest.fixture
def pond(tmp_path):
    """A COCO file of three pictures with one box each, of different classes."""
    for number in (1, 2, 3):
        Image.new("RGB", (80, 60), (40 * number,) * 3).save(tmp_path / f"{number}.png")
    content = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 80, "height": 60} for n in (1, 2, 3)],
        "categories": [{"id": n, "name": f"kind {n}"} for n in (1, 2, 3)],
        "annotations": [{"id": n, "image_id": n, "category_id": n, "bbox": [8, 6, 10 * n, 8 * n]} for n in (1, 2, 3)],
    }
    (tmp_path / "pond.json").write_text(json.dumps(content))
    return content


def greys(path) -> list[int]:
    """The greys of the pictures on a sheet with one row, in their order."""
    with Image.open(path) as image:
        row = np.asarray(image.convert("RGB"))[-110, :, 0]
    kinds = [value for value in (40, 80, 120) if (row == value).sum() > 50]
    return sorted(kinds, key=lambda value: np.flatnonzero(row == value)[0])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], [40, 80, 120]),
        (["--count", 2, "--pick", "first"], [40, 80]),
        (["--pick", "smallest"], [40, 80, 120]),
        (["--pick", "largest"], [120, 80, 40]),
        (["--class", "kind 3", "--class", "kind 1"], [40, 120]),
        (["--pick", "unmatched", "--model", "hands", "--count", 1], [120]),
    ],
)
def test_pictures_are_drawn(run, pond, tmp_path, arguments, expected):
    result = run("data", "show", "pond.json", "sheet.png", "--columns", 3, *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"Drew {len(expected)} of 3 images in sheet.png.\n"
    assert greys(tmp_path / "sheet.png") == expected


def test_the_same_seed_draws_the_same(run, pond, tmp_path):
    for name, seed in (("a.png", 1), ("b.png", 1), ("c.png", 2)):
        assert run("data", "show", "pond.json", name, "--augment", "usual", "--seed", seed).exit_code == 0
    a, b, c = ((tmp_path / name).read_bytes() for name in ("a.png", "b.png", "c.png"))
    assert a == b != c


def test_views_of_a_pipeline(run, pond, tmp_path):
    (tmp_path / "plain.yaml").write_text("model: hands\ntrain: {augment: {flip: 1.0}}\n")
    result = run("data", "show", "pond.json", "sheet.jpg", "--augment", "plain.yaml", "--count", 2, "--columns", 2)
    assert (result.exit_code, result.stderr) == (0, "")
    with Image.open(tmp_path / "sheet.jpg") as image:
        assert image.format == "JPEG" and image.height > 788  # the model's input is square


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope.json", "a.png"], "Error: There is no dataset here."),
        (["pond.json", "a.gif"], "Error: detkit writes pictures as PNG or JPEG."),
        (["pond.json", "."], "Error: detkit writes pictures as PNG or JPEG."),
        (["pond.json", "pond.json/a.png"], "Error: Can't write here."),
        (["pond.json", "a.png", "--class", "duck"], "Error: There is no such class in this dataset."),
        (["pond.json", "a.png", "--pick", "unmatched"], "--pick unmatched needs --model"),
        (["pond.json", "a.png", "--pick", "unmatched", "--model", "nobody"], "No model has the name 'nobody'."),
        (["pond.json", "a.png", "--augment", "nope.yaml"], "nope.yaml"),
        (["pond.json", "a.png", "--count", "0"], "Invalid value for '--count'"),
        (["pond.json"], "Missing argument 'SHEET'"),
    ],
)
def test_show_refuses(run, pond, tmp_path, arguments, message):
    result = run("data", "show", *arguments)
    assert result.exit_code == 2 and message in result.stderr and result.stdout == ""
    assert not (tmp_path / "a.png").exists()


def test_an_empty_dataset_and_a_broken_picture_are_told(run, pond, tmp_path):
    (tmp_path / "1.png").write_bytes(b"no picture")
    result = run("data", "show", "pond.json", "a.png")
    assert result.exit_code == 2 and "1.png" in result.stderr
    pond["annotations"] = []
    (tmp_path / "pond.json").write_text(json.dumps(pond))
    result = run("data", "show", "pond.json", "a.png", "--pick", "most")
    assert result.exit_code == 2 and "There is no picture to show." in result.stderr


def test_the_help_explains_every_pick(run):
    shown = run("data", "show", "--help").stdout
    assert command.PICKS == PICKS
    assert all(f"  {name} " in shown for name in PICKS)
