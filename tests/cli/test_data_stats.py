"""`detkit data stats`."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from detkit import api


@pytest.fixture
def pond(tmp_path):
    """A COCO file of two pictures, one with two boxes; the pictures are of no use."""
    for number in (1, 2):
        (tmp_path / f"{number}.jpg").write_bytes(b"no picture")
    content = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": 80, "height": 60} for n in (1, 2)],
        "categories": [{"id": 1, "name": "duck"}, {"id": 5, "name": "boat"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 6, 40, 30]},
            {"id": 2, "image_id": 1, "category_id": 5, "bbox": [0, 0, 4, 4]},
        ],
    }
    (tmp_path / "pond.json").write_text(json.dumps(content))
    return content


@pytest.fixture
def model(monkeypatch):
    """Stands for a model of 320 x 320 with one anchor, or none."""

    def use(anchors):
        from detkit.detection import coverage

        detector = SimpleNamespace(resized=lambda size: (320, 320))
        monkeypatch.setattr(coverage, "architecture", lambda model: detector)
        monkeypatch.setattr(coverage, "anchors_of", lambda detector: anchors)

    return use


def test_a_table_is_printed_and_no_picture_opened(run, pond, tmp_path):
    result = run("data", "stats", "pond.json")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == "pond: 2 images, 2 boxes, 2 classes"
    assert "pixels of the images" in lines[2]
    assert ["duck", "1", "50.0%", "1", "0", "1", "0", "34.6"] in [line.split() for line in lines]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["1.jpg", "2.jpg", "pond.json"]


def test_json_and_picture(run, pond, tmp_path):
    result = run("data", "stats", "pond.json", "--json", "--output", "plots/stats.png")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["per_class"]["boat"]["small"] == 1
    assert result.stderr == "\nDrawn in plots/stats.png.\n"
    with Image.open(tmp_path / "plots/stats.png") as image:
        assert image.format == "PNG"


def test_what_the_anchors_of_a_model_match(run, pond, model):
    model(lambda size: np.array([[32.0, 32.0, 192.0, 192.0]]))
    result = run("data", "stats", "pond.json", "--model", "hands")
    assert result.exit_code == 0 and "pixels of the model input, 320 x 320" in result.stdout
    assert "50.0% of the objects have an anchor with IoU 0.5 or more" in result.stdout
    assert "box 1  boat  21.3 x 16  IoU 0.00" in result.stdout


def test_a_model_without_anchors_says_so(run, pond, model):
    model(None)
    result = run("data", "stats", "pond.json", "--model", "centernet")
    assert result.exit_code == 0 and "anchor" not in result.stdout
    assert "centernet has no anchors" in result.stderr


def test_the_bundled_model(run, pond):
    result = run("data", "stats", "pond.json", "--model", "hands", "--json")
    assert result.exit_code == 0
    anchors = json.loads(result.stdout)["anchors"]
    assert (anchors["anchors"], anchors["unmatched"]) == (12804, 1)


def test_data_without_boxes(run, pond, tmp_path):
    pond["annotations"] = []
    (tmp_path / "pond.json").write_text(json.dumps(pond))
    result = run("data", "stats", "pond.json", "--output", "stats.png")
    assert result.exit_code == 0 and "pond: 2 images, 0 boxes" in result.stdout


def test_what_can_not_be_used_stops_it_or_is_left_out(run, pond, tmp_path):
    pond["annotations"][0]["bbox"] = [8, 6, 0, 30]
    (tmp_path / "pond.json").write_text(json.dumps(pond))
    result = run("data", "stats", "pond.json")
    assert result.exit_code == 2 and "A box has no area." in result.stderr
    result = run("data", "stats", "pond.json", "--leave-out")
    assert result.exit_code == 0 and result.stdout.startswith("pond: 2 images, 1 boxes")
    assert result.stderr.startswith("1 problems in the data")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope.json"], "Error: There is no dataset here."),
        (["pond.json", "--model", "nobody"], "Error: No model has the name 'nobody'."),
        (["pond.json", "--output", "."], "Error: detkit writes this picture as PNG."),
        (["pond.json", "--format", "excel"], "Error: There is no such annotation format."),
        (["pond.json", "--images", "nope"], "Error: The folder of pictures is not there."),
        ([], "Missing argument 'DATA'"),
    ],
)
def test_stats_refuses(run, pond, arguments, message):
    result = run("data", "stats", *arguments)
    assert result.exit_code == 2 and message in result.stderr and result.stdout == ""


def test_a_directory_is_no_output(run, pond, tmp_path):
    (tmp_path / "stats.png").mkdir()
    result = run("data", "stats", "pond.json", "--output", "stats.png")
    assert result.exit_code == 2 and "Error: Can't write here." in result.stderr


def test_a_dataset_or_its_path(pond, tmp_path):
    from detkit.data import read

    paths = (tmp_path / "pond.json", str(tmp_path / "pond.json"), read(tmp_path / "pond.json"))
    assert [api.stats(source).objects for source in paths] == [2, 2, 2]
