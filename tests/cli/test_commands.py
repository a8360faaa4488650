"""What each command calls, prints and returns."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from detkit.data.problems import Problem
from detkit.detections import Detections
from detkit.inference.predict import predict


class Detector:
    classes = ("hand", "face")

    def detect(self, images, batch_size=8, threshold=0.0):
        boxes = [[0.1, 0.2, 0.5, 0.6], [0.3, 0.3, 0.9, 0.8]]
        return [Detections(boxes, [0.9, 0.4], [0, 1], self.classes, image.shape[:2]) for image in images]


@pytest.fixture
def recorded(api):
    """Replaces api functions by ones that note how they were called."""
    calls = []

    def replace(name, answer):
        def call(*arguments, **options):
            calls.append((name, arguments, options))
            return answer

        setattr(api, name, call)

    return SimpleNamespace(calls=calls, replace=replace)


@pytest.fixture
def predicting(api, tmp_path):
    api.load = lambda model: Detector()
    api.predict = predict
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / "photo.png")


def test_predict_writes_a_drawn_copy_and_says_so(run, predicting):
    result = run("predict", "hands", "photo.png")
    assert result.exit_code == 0 and result.stderr == ""
    assert "1 frames, 2 detections" in result.stdout and "wrote photo.detected.png" in result.stdout
    assert Path("photo.detected.png").is_file()


def test_a_model_without_weights_is_used_with_a_warning(run, predicting, monkeypatch):
    monkeypatch.setattr(Detector, "untrained", True, raising=False)
    result = run("predict", "garden:retinanet", "photo.png")
    assert result.exit_code == 0 and "Warning: The weights of garden:retinanet are random" in result.stderr


def test_predict_options(run, predicting):
    run("predict", "hands", "photo.png", "-c", "face", "-t", "0.2", "--json", "out.json", "--csv", "out.csv")
    assert [entry["category_id"] for entry in json.loads(Path("out.json").read_text())] == [2]
    assert Path("out.csv").read_text().splitlines()[1].startswith("photo.png,,,face,0.4")
    assert not Path("photo.detected.png").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nope.png"], "There is no such file or folder."),
        (["photo.png", "-c", "foot"], "The detector has no such class."),
        (["photo.png", "-t", "30"], "The score threshold is out of range."),
        (["photo.png", "--rate", "1/0"], "The frame rate is out of range."),
        (["photo.png", "-o", "photo.png/sub/"], "Can't write here."),
        (["photo.png", "-o", "photo.png"], "The output would replace a source."),
        (["photo.png", "--line", "0,0,1"], "This is no line."),
        (["photo.png", "--zone", "0,0,1,1"], "This is no zone."),
        (["photo.png", "--counts", "out.json"], "There is nothing to count."),
        (["photo.png", "--track-lost", "2"], "--track-lost does nothing without --track."),
        (["photo.png", "--track", "--count-at", "bottom"], "--count-at does nothing without --line or --zone."),
        (["photo.png", "--workers", "4"], "--workers does nothing without --engine ray."),
    ],
)
def test_predict_refuses(run, predicting, arguments, message):
    result = run("predict", "hands", *arguments)
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith(f"Error: {message}\n")


def test_predict_counts_and_resumes(run, predicting):
    options = ["--zone", "all=0,0,1,0,1,1,0,1", "--line", "0,0.5,1,0.5", "--counts", "counts.json", "--resume"]
    result = run("predict", "hands", "photo.png", "--json", "out.json", *options)
    assert result.exit_code == 0 and "wrote counts.json" in result.stdout
    assert [entry["track_id"] for entry in json.loads(Path("out.json").read_text())] == [-1, -1]
    (source,) = json.loads(Path("counts.json").read_text())["sources"]
    assert [shape["name"] for kind in ("lines", "zones") for shape in source[kind]] == ["line 1", "all"]


def test_predict_without_a_source(run):
    result = run("predict", "hands")
    assert result.exit_code == 2 and "Missing argument 'SOURCE...'" in result.stderr


def test_predict_finishes_the_others_when_one_is_broken(run, predicting):
    Path("broken.jpg").write_text("text")
    result = run("predict", "hands", "broken.jpg", "photo.png")
    assert result.exit_code == 1
    assert "Warning: Skipped broken.jpg" in result.stderr and "wrote photo.detected.png" in result.stdout


def test_train(run, recorded):
    metrics = {"AP": 0.8125, "AR": float("nan"), "AP/duck": 1}
    recorded.replace("train", SimpleNamespace(directory=Path("runs/duck"), metrics=metrics))
    overriding = ["--set", "train.steps=3", "--set", "a.b=c"]
    result = run("train", "duck.yaml", *overriding, "-o", "runs/duck", "--resume")
    options = {"overrides": ["train.steps=3", "a.b=c"], "output": Path("runs/duck"), "resume": True, "overwrite": False}
    assert recorded.calls == [("train", (Path("duck.yaml"),), options)]
    assert "detkit predict runs/duck PHOTO" in result.stdout
    assert result.stdout.startswith("AP  0.8125\nAR       -\n") and "AP/duck" not in result.stdout


def test_demo(run, recorded):
    recorded.replace("demo", "A detector of ducks.")
    assert run("demo", "-o", "there", "--seed", "4").stdout == "A detector of ducks.\n"
    assert recorded.calls == [("demo", (Path("there"), 4), {})]


def test_inspect(run, recorded):
    recorded.replace("inspect", "backbone 1 variable")
    surgery = ["--reset", "head", "--class", "duck"]
    result = run("inspect", "hands", *surgery, "--variables")
    assert result.stdout == "backbone 1 variable\n"
    options = {"reset": ("head",), "classes": ("duck",), "variables": True, "checkpoint": None, "config": None}
    assert recorded.calls == [("inspect", ("hands",), options)]


@pytest.mark.parametrize("severity, code", [("error", 1), ("warning", 0)])
def test_check_lists_problems(run, recorded, severity, code):
    problem = Problem(severity, "The box has no area.", file="a.json", box=3, fix="Draw it.")
    recorded.replace("check", [problem])
    result = run("check", "a.json", "--set", "data.train=b")
    assert result.exit_code == code
    assert f"{severity}: The box has no area." in result.stdout and "box 3" in result.stdout
    assert recorded.calls == [("check", (Path("a.json"),), {"overrides": ["data.train=b"]})]


def test_check_without_problems(run, recorded):
    recorded.replace("check", [])
    assert run("check", "a.json").stdout == "No problems found.\n"


@pytest.fixture
def truth(tmp_path):
    path = tmp_path / "truth.json"
    image = {"id": 1, "file_name": "photo.png", "height": 48, "width": 64}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 8, 24, 24], "area": 576, "iscrowd": 0}
    category = {"id": 1, "name": "hand"}
    path.write_text(json.dumps({"images": [image], "annotations": [box], "categories": [category]}))
    Image.new("RGB", (64, 48)).save(tmp_path / "photo.png")
    return path


def test_eval_of_a_results_file(run, truth):
    entry = {"image_id": 1, "category_id": 1, "bbox": [8, 8, 24, 24], "score": 0.9}
    Path("found.json").write_text(json.dumps([entry]))
    result = run("eval", "found.json", truth, "--json", "numbers.json")
    assert result.exit_code == 0, result.stderr
    assert "AP50" in result.stdout and "95% intervals" in result.stdout
    assert "Written: detkit-eval/metrics.json, detkit-eval/report.html, numbers.json." in result.stdout
    numbers = json.loads(Path("numbers.json").read_text())
    assert numbers["AP"] == pytest.approx(1.0)
    assert numbers == json.loads(Path("detkit-eval/metrics.json").read_text())


def test_eval_against_other_results(run, truth):
    entry = {"image_id": 1, "category_id": 1, "bbox": [8, 8, 24, 24], "score": 0.9}
    Path("a.json").write_text(json.dumps([entry]))
    Path("b.json").write_text(json.dumps([entry | {"bbox": [9, 9, 20, 20]}]))
    result = run("eval", "a.json", truth, "--against", "b.json")
    assert result.exit_code == 0, result.stderr
    assert "AP: A 1.000, B 0." in result.stdout and "don't say which is better" in result.stdout


def test_eval_of_a_model(run, truth, recorded):
    recorded.replace("load", "the detector")
    recorded.replace("report", SimpleNamespace(table=lambda: "AP 0.5"))
    result = run("eval", "hands", truth, "--results", "found.json", "--score", "0.1", "-o", "here")
    assert result.stdout == "AP 0.5\n\nWritten: here/metrics.json, here/report.html, found.json.\n"
    name, (detector, dataset, output), options = recorded.calls[-1]
    assert (name, detector, dataset.classes, output) == ("report", "the detector", ("hand",), Path("here"))
    given = {name: options[name] for name in ("results", "score", "against")}
    assert given == {"results": Path("found.json"), "score": 0.1, "against": None}


def test_eval_of_missing_data(run, recorded):
    recorded.replace("load", "the detector")
    result = run("eval", "hands", "nope.json")
    assert result.exit_code == 2 and result.stderr.startswith("Error: ") and "nope.json" in result.stderr
