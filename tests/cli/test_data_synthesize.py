"""`detkit data synthesize`."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def cutouts(tmp_path):
    """A folder with one cut-out."""
    rgba = np.zeros((20, 20, 4), np.uint8)
    rgba[2:18, 4:16] = (200, 30, 30, 255)
    (tmp_path / "cutouts").mkdir()
    Image.fromarray(rgba, "RGBA").save(tmp_path / "cutouts/brick_1.png")


SMALL = ("--size", "48x64", "--count", "2")


def test_cutouts(run, cutouts, tmp_path):
    options = ("--objects", "1-1", "--scale", "0.3-0.5", "--angle", "0", "--no-mirror", "--encoding", "png")
    result = run("data", "synthesize", "cutouts", "out", *SMALL, *options)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "wrote out: 2 images, 2 boxes, 1 class\nlook at out/sheet.png\n"
    document = json.loads((tmp_path / "out/annotations.json").read_text())
    assert [entry["file_name"] for entry in document["images"]] == ["images/000000.png", "images/000001.png"]
    assert document["categories"][0]["name"] == "brick" and "segmentation" in document["annotations"][0]
    result = run("data", "synthesize", "out/annotations.json", "more", *SMALL, "--seed", "1")
    assert result.exit_code == 0 and "wrote more: 2 images" in result.stdout


def test_a_preset(run, tmp_path):
    result = run("data", "synthesize", "shapes", "out", *SMALL, "--test", "1")
    assert result.exit_code == 0 and "wrote train: 2 images" in result.stdout
    assert "look at out/train/sheet.png and out/test/sheet.png" in result.stdout


def test_what_a_format_loses_is_told(run, cutouts):
    result = run("data", "synthesize", "cutouts", "out", *SMALL, "--format", "csv")
    assert result.exit_code == 1 and "wrote out" in result.stdout and "csv can't hold masks" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", "out"], "Error: There is no dataset here."),
        (["cutouts", "cutouts"], "Error: There are other files in this folder."),
        (["cutouts", "out", "--format", "excel"], "Error: Synthetic pictures are not annotated so."),
        (["cutouts", "out", "--count", "0"], "0 is not in the range x>=1"),
        (["cutouts", "out", "--size", "48"], "'48' is not two numbers, as 480x640"),
        (["cutouts", "out", "--scale", "0.5-2"], "Error: Scenes can't be made so."),
        (["cutouts", "out", "--test", "2"], "Error: A set of cut-outs has no such option."),
        (["digits", "out", "--shadow", "0.5"], "Error: digits has no such option."),
        (["cutouts", "out", "--backgrounds", "nothing"], "Error: There is no such folder."),
        (["cutouts", "cutouts/brick_1.png/out"], "Error: Can't write here."),
    ],
)
def test_what_is_wrong_is_explained(run, cutouts, arguments, message):
    result = run("data", "synthesize", *arguments)
    assert result.exit_code == 2 and message in result.stderr and result.stdout == ""


def test_help_names_every_preset(run):
    from detkit.data.synthesis.presets import PRESETS

    shown = run("data", "synthesize", "--help").stdout
    assert all(f"  {name} " in shown for name in PRESETS) and "Examples:" in shown
