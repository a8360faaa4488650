"""The quality of proposals: what the numbers are, and what the command prints and writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from detkit import data as datasets
from detkit.baselines import quality
from detkit.cli import main
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.data.images import decode
from detkit.errors import DataError

BLANK = np.zeros((10, 10, 3), np.uint8)


def example(boxes, class_ids, **flags):
    return Example(BLANK, boxes, class_ids, (10, 10), **flags)


def halves(image):
    """Twelve boxes in the corner that have nothing to do with anything, then the left half and the whole."""
    return np.array([[0.9, 0.9, 1, 1]] * 12 + [[0, 0, 1, 0.5], [0, 0, 1, 1]], np.float32)


def test_numbers_of_a_small_case():
    truth = Dataset(
        [
            example([[0, 0, 1, 0.4], [0, 0, 0.6, 1]], [0, 0]),
            example([[0, 0, 1, 1], [0, 0, 0.5, 0.5]], [1, 1], difficult=[False, True]),
        ],
        ("a", "b"),
    )
    found = quality.measure(truth, halves)
    # The left half covers the first to 0.8; the whole covers the second to 0.6 and the third.
    assert found.proposals == 14 and found.overlaps.shape == (10, 3)
    assert found.overlaps[-1].tolist() == pytest.approx([0.8, 0.6, 1.0])
    assert found.recall(0.5)[-1] == 1 and found.recall(0.7)[-1] == pytest.approx(2 / 3)
    assert found.mabo()[-1] == pytest.approx((0.7 + 1.0) / 2)
    assert found.counts[0] == 10 and found.recall(0.5)[0] == 0


def test_more_proposals_never_cover_less():
    rng = np.random.default_rng(0)
    corners = np.sort(rng.uniform(0, 1, (300, 2, 2)), axis=1).reshape(300, 4)
    truth = Dataset([example(corners[:20], [0] * 20)], ("a",))
    found = quality.measure(truth, lambda image: corners[40:])
    assert (np.diff(found.overlaps, axis=0) >= 0).all() and (np.diff(found.mabo()) >= 0).all()


def test_no_proposals_cover_nothing():
    found = quality.measure(Dataset([example([[0, 0, 1, 1]], [0])], ("a",)), lambda image: np.zeros((0, 4)))
    assert found.recall().tolist() == [0] * 10 and found.proposals == 0


@pytest.mark.parametrize("examples", [[], [example([], [])], [example([[0, 0, 1, 1]], [0], crowd=[True])]])
def test_refuses_data_without_objects(examples):
    with pytest.raises(DataError, match="no objects"):
        quality.measure(Dataset(examples, ("a",)), halves)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A photo with a bright rectangle, and its annotation."""
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(0).integers(0, 30, (60, 80, 3), np.uint8)
    image[15:45, 20:60] += 150
    Image.fromarray(image).save("photo.png")
    box = [[0.25, 0.25, 0.75, 0.75]]
    datasets.write(Dataset([Example("photo.png", box, [0], (60, 80))], ("bright",)), "truth.json", "coco")


def run(*arguments):
    return CliRunner().invoke(main, ["propose", *arguments])


def test_command_measures_data(photos):
    result = run("truth.json", "--mode", "single", "--json", "numbers.json", "--picture", "curves.png")
    assert result.exit_code == 0, result.output
    assert "1 objects" in result.output and "Wrote curves.png." in result.output
    numbers = json.loads(Path("numbers.json").read_text())
    assert numbers["recall"]["0.50"]["all"] == 1 and numbers["mabo"]["all"] > 0.8
    assert decode("curves.png").shape[1] > 600


def test_command_proposes_for_images(photos):
    result = run("photo.png", "photo.png", "--json", "boxes.json", "--picture", "drawn.png", "--draw", "3")
    assert result.exit_code == 0, result.output
    rows = json.loads(Path("boxes.json").read_text())
    assert [row["image"] for row in rows] == ["photo.png"] * 2 and rows[0] == rows[1]
    assert np.shape(rows[0]["boxes"])[1] == 4
    assert decode("drawn.png").shape[1] == 1600


def test_command_draws_a_single_image_in_its_own_size(photos):
    assert run("photo.png", "--picture", "drawn.png", "--draw", "1").exit_code == 0
    drawn, image = decode("drawn.png"), decode("photo.png")
    assert drawn.shape == image.shape and (drawn != image).any()


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["nope.json"], 2, "nope.json"),
        (["nope.png"], 2, "nope.png"),
        (["truth.json", "photo.png"], 2, "one set of data, or images only"),
        (["photo.png", "--mode", "best"], 2, "best"),
        ([], 2, "Missing argument"),
    ],
)
def test_command_refuses(photos, arguments, code, message):
    result = run(*arguments)
    assert result.exit_code == code and message in result.output
