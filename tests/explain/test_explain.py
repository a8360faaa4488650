"""From a model and a picture to sheets and figures; and what is told where that can't be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from toys import BOX, RedFinder, flat_classifier, picture, red_classifier

import detkit
from detkit.cli import main
from detkit.errors import ConfigError, DataError, MediaError
from detkit.explain.run import layers


@pytest.fixture(scope="module")
def classifier():
    return red_classifier()


@pytest.fixture
def photo(tmp_path) -> Path:
    Image.fromarray(picture()).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_classifier_is_explained(classifier, photo, tmp_path):
    summary = detkit.explain(
        classifier, photo, tmp_path / "why", method=("grad-cam", "rise"), masks=40, cells=6,
        maps=True, activations=True, filters=True,
    )  # fmt: skip
    names = ["explained.png", "explained.json", "grad-cam.npy", "grad-cam.png", "rise.npy", "rise.png"]
    assert [file.name for file in summary.files] == [f"photo.{name}" for name in names]
    written = json.loads((tmp_path / "why/photo.explained.json").read_text())
    assert written["target"].startswith("red ") and written["layer"] == "coarse" and written["box"] is None
    assert written["methods"]["grad-cam"]["insertion"] > written["methods"]["grad-cam"]["deletion"]
    np.testing.assert_array_equal(np.load(summary.files[2]), summary.explanations[0].maps["grad-cam"])
    assert len(summary.explanations[0].grids) == 2
    assert "red" in str(summary) and "grad-cam: deletion" in str(summary)
    with Image.open(summary.files[0]) as sheet:
        assert sheet.width > 700


def test_a_page_holds_its_pictures(classifier, photo, tmp_path):
    detkit.explain(classifier, photo, tmp_path, format="html", method="saliency", class_name="green", scores=False)
    page = (tmp_path / "photo.explained.html").read_text()
    assert page.count("data:image/png;base64,") == 3 and "green" in page and 'src="http' not in page


def test_a_detector_that_only_answers_is_explained():
    explanation = detkit.explain(RedFinder(), picture(), masks=200, cells=6).explanations[0]
    assert list(explanation.maps) == ["d-rise"] and explanation.layer is None
    np.testing.assert_array_equal(explanation.box, BOX)
    assert explanation.numbers["d-rise"]["pointed"] and explanation.numbers["d-rise"]["top_in_box"] > 0.8


def test_random_weights_change_the_map_and_are_put_back(classifier):
    before = {path: value.numpy() for path, value in classifier.variables().items()}
    numbers = (
        detkit.explain(classifier, picture(), method="grad-cam", sanity=True, scores=False).explanations[0].numbers
    )
    assert abs(numbers["grad-cam"]["random_all"]) < 0.9
    for path, value in classifier.variables().items():
        np.testing.assert_array_equal(value.numpy(), before[path])


def test_two_pictures_of_one_name_have_two_sheets(classifier, photo, tmp_path):
    summary = detkit.explain(classifier, [photo, photo], tmp_path / "why", method="saliency", scores=False)
    sheets = [file.name for file in summary.files if file.suffix == ".png"]
    assert sheets == ["photo.explained.png", "photo-2.explained.png"]


def test_a_picture_that_can_not_be_read_does_not_stop_the_others(classifier, photo, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    summary = detkit.explain(classifier, [broken, photo], method="saliency", scores=False)
    assert len(summary.explanations) == 1 and "broken.png" in str(summary.problems[0])
    with pytest.raises(MediaError, match="broken.png"):
        detkit.explain(classifier, broken)


def test_a_folder_stands_for_its_pictures(classifier, photo, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("p10.png", "p2.png", ".hidden.png", "notes.txt"):
        shutil.copy(photo, folder / name)
    summary = detkit.explain(classifier, folder, method="saliency", scores=False)
    assert [Path(each.source).name for each in summary.explanations] == ["p2.png", "p10.png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="The folder holds no images"):
        detkit.explain(classifier, [photo, tmp_path / "empty"])


def test_layers_are_listed(classifier):
    assert layers(classifier) == {"colours": [32, 32, 4], "coarse": [8, 8, 4]}


@pytest.mark.parametrize(
    "options, words",
    [
        ({"layer": "coarze"}, ["no such layer", "coarze", "Did you mean coarse?"]),
        ({"class_name": "gren"}, ["does not know this class", "Did you mean green?"]),
        ({"detection": 1}, ["Only detectors have detections", "Name a class."]),
        ({"method": "gradcam"}, ["no such method", "grad-cam, grad-cam++"]),
        ({"mask": 3}, ["no such option", "Did you mean masks?"]),
        ({"masks": 1}, ["masks", "of at least 2"]),
    ],
)
def test_wrong_options_are_told(classifier, options, words):
    with pytest.raises(ConfigError) as error:
        detkit.explain(classifier, picture(), **({"method": "grad-cam"} | options))
    assert all(word in str(error.value) for word in words), error.value


def test_without_a_convolution_what_works_is_told():
    flat = flat_classifier()
    with pytest.raises(ConfigError) as error:
        detkit.explain(flat, picture(), method="grad-cam")
    assert "no convolution" in str(error.value) and "Use a method that needs none: saliency" in str(error.value)
    assert "saliency" in detkit.explain(flat, picture(), method="saliency", scores=False).explanations[0].maps


def test_what_needs_gradients_does_not_go_with_answers():
    with pytest.raises(ConfigError, match="only answers.*\n.*RedFinder\n.*Use d-rise or occlusion"):
        detkit.explain(RedFinder(), picture(), method="saliency")


@pytest.mark.parametrize(
    "image, options, kind, words",
    [
        (np.full((32, 32, 3), 90, np.uint8), {}, DataError, ["no detection in this picture", "Take another picture."]),
        (picture(), {"class_name": "green"}, DataError, ['no detection of class "green"']),
        (picture(), {"detection": 3}, ConfigError, ["no detection 3", "0: red 1.00", "Numbers count from 0"]),
        (picture(), {"class_name": "blue"}, ConfigError, ["does not know this class", "red, green"]),
    ],
)
def test_a_detection_that_is_not_there_is_told(image, options, kind, words):
    with pytest.raises(kind) as error:
        detkit.explain(RedFinder(), image, **options)
    assert all(word in str(error.value) for word in words), error.value


def test_detections_below_the_threshold_are_hinted_at():
    image = picture()
    image[16:22, 8:16] = 90  # three quarters of the patch are gone
    with pytest.raises(DataError, match="the best has a score of 0.25\n.*Lower the threshold"):
        detkit.explain(RedFinder(), image)
    assert detkit.explain(RedFinder(), image, threshold=0.2, masks=8).explanations[0].target == "red 0.25"


@pytest.fixture
def run(monkeypatch, photo):
    monkeypatch.chdir(photo.parent)
    monkeypatch.setattr("detkit.api.load", lambda name: RedFinder() if name == "finder" else red_classifier())
    return lambda *arguments: CliRunner().invoke(main, ["explain", *arguments])


def test_the_command_writes_a_sheet_and_says_so(run, photo):
    result = run("finder", "photo.png", "--masks", "40", "--no-scores")
    assert result.exit_code == 0, result.output
    assert "photo.png: red 1.00" in result.stdout and "Written: photo.explained.png" in result.stdout
    assert (photo.parent / "photo.explained.json").is_file()


def test_the_command_names_what_it_skipped(run):
    result = run("finder", "photo.png", "nope.png", "--masks", "8", "--no-scores")
    assert result.exit_code == 1 and "nope.png" in result.stderr and "Written" in result.stdout


def test_the_command_lists_layers_and_asks_for_pictures(run):
    assert run("toy", "--list-layers").stdout == "colours  32 x 32 x 4\ncoarse  8 x 8 x 4\n"
    assert run("finder", "--list-layers").exit_code == 2
    assert "IMAGE" in run("toy").stderr
