"""The report: what it says, and that it needs nothing else."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from random_evaluation import CLASSES, SIZE, random_set

from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.detections import Detections
from detkit.errors import ConfigError, DataError
from detkit.evaluation.coco import evaluate
from detkit.evaluation.report import write_report
from detkit.evaluation.results import read_results
from detkit.evaluation.summary import summarise
from detkit.evaluation.worst import MISSED, RIGHT, WRONG, worst_images
from detkit.reporting import report


def pictured(seed: int = 0, images: int = 6):
    """A random set whose pictures are grey arrays."""
    data, detections = random_set(seed, images)
    grey = np.full((*SIZE, 3), 128, np.uint8)
    examples = [Example(grey, e.boxes, e.class_ids, SIZE, crowd=e.crowd, image_id=e.image_id) for e in data]
    return Dataset(examples, CLASSES), detections


def test_the_report_is_one_file_with_all_parts(tmp_path):
    data, detections = pictured()
    metrics = evaluate(data, detections)
    summary = summarise(metrics, data, detections, other=evaluate(data, [d.above(0.5) for d in detections]))
    worst = worst_images(summary, data)
    write_report(tmp_path / "report.html", summary, worst, title="ducks & <dogs>")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<title>ducks &amp; &lt;dogs&gt;</title>" in page
    for part in ("Curves", "Classes", "All numbers", "Errors by cause", "The worst images", "Beside the other model"):
        assert f"<h2>{part}</h2>" in page
    assert f"{metrics['AP']:.3f}" in page
    sources = re.findall(r'(?:src|href)="([^"]{5})', page)
    assert len(sources) == 5 + len(worst) and set(sources) == {"data:"}
    assert "http" not in re.sub(r'src="[^"]*"', "", page)


def test_the_json_has_all_numbers_and_is_json():
    data, detections = pictured()
    summary = summarise(evaluate(data, detections), data, detections)
    found = json.loads(json.dumps(summary.to_json(), allow_nan=False))
    assert found["AP"] == summary.metrics["AP"]
    low, high = found["intervals"]["AP50"]
    assert low <= found["AP50"] <= high
    assert found["errors"]["count"].keys() == found["errors"]["AP50_cost"].keys()
    assert set(found["VOC"]) == {"all", "11"} and 0 < found["VOC"]["all"]["mAP"] < 1
    assert found["best_scores"]["all classes"]["f1"] > 0


def test_a_set_without_objects_and_one_without_detections(tmp_path):
    data, detections = pictured()
    empty = Dataset([Example(e.image, [], [], SIZE) for e in data], CLASSES)
    nothing = [each[:0] for each in detections]
    for truth, found in ((empty, detections), (data, nothing), (empty, nothing)):
        summary = summarise(evaluate(truth, found), truth, found)
        write_report(tmp_path / "report.html", summary, worst_images(summary, truth))
        json.dumps(summary.to_json(), allow_nan=False)
        assert summary.table()


def test_the_worst_image_comes_first_with_its_errors_drawn():
    grey, box, away = np.full((*SIZE, 3), 128, np.uint8), [0.1, 0.1, 0.5, 0.3], [0.6, 0.6, 0.9, 0.9]
    data = Dataset([Example(grey, [box], [0], SIZE, image_id=n) for n in range(3)], CLASSES)
    right = Detections([box], [0.9], [0], CLASSES, SIZE)
    wrong = Detections([away], [0.8], [1], CLASSES, SIZE)
    both = Detections([box, away], [0.9, 0.8], [0, 1], CLASSES, SIZE)
    summary = summarise(evaluate(data, [right, wrong, both]), data, [right, wrong, both])
    summary.points[""] = None  # every score counts
    worst = worst_images(summary, data)
    assert [(each.wrong, each.missed) for each in worst] == [(1, 1), (1, 0)]
    colours = [{tuple(c) for c in each.picture.reshape(-1, 3).tolist()} for each in worst]
    assert {WRONG, MISSED} <= colours[0] and RIGHT not in colours[0]
    assert {WRONG, RIGHT} <= colours[1] and MISSED not in colours[1]
    assert worst_images(summary, data, most=1)[0].missed == 1


def test_a_report_that_cant_be_written(tmp_path):
    data, detections = pictured()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError):
        write_report(tmp_path / "file" / "report.html", summarise(evaluate(data, detections), data, detections))


def test_a_model_is_not_compared_with_stored_results(tmp_path):
    with pytest.raises(ConfigError, match="A model can't be compared with stored results"):
        report(object(), pictured()[0], tmp_path, against="results.json")


def results_file(tmp_path, entries):
    (tmp_path / "results.json").write_text(json.dumps(entries))
    return tmp_path / "results.json"


def test_results_are_detections_again(tmp_path):
    data, _ = pictured()
    entries = [
        {"image_id": 2, "category_id": 3, "bbox": [20, 10, 40, 50], "score": 0.25},
        {"image_id": 2, "category_id": 1, "bbox": [0, 0, 200, 100], "score": 0.75},
        {"image_id": 2, "category_id": 99, "bbox": [0, 0, 200, 100], "score": 0.5},
    ]
    found = read_results(results_file(tmp_path, entries), data)
    assert [len(each) for each in found] == [0, 0, 2, 0, 0, 0]
    assert found[2].labels == ["duck", "cat"]
    np.testing.assert_allclose(found[2].boxes, [[0, 0, 1, 1], [0.1, 0.1, 0.6, 0.3]], rtol=1e-6)


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ({"images": []}, "This is no COCO results file"),
        ([{"image_id": 77, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}], "belongs to an image"),
        ([{"image_id": [], "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}], "belongs to an image"),
        ([{"image_id": 1, "category_id": 1, "score": 1}], "need a bbox each"),
        ([{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1], "score": 1}], "need a bbox each"),
        ([{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": "x"}], "need a score each"),
        ([{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1e999], "score": 1}], "bbox that is not a finite"),
    ],
)
def test_what_are_no_results(tmp_path, entries, text):
    with pytest.raises(DataError, match=text):
        read_results(results_file(tmp_path, entries), pictured()[0])


def many_classes(images: int, classes: int = 40):
    """One object of each class on each image, of which the classes 1 and 2 are called 0."""
    names = tuple(f"class {k}" for k in range(classes))
    corner = np.arange(classes)[:, None] / (2 * classes)
    boxes = np.concatenate([corner, corner, corner + 0.3, corner + 0.01], axis=1)
    data = Dataset([Example(f"{n}.jpg", boxes, range(classes), SIZE, image_id=n) for n in range(images)], names)
    called = np.where(np.isin(np.arange(classes), (1, 2)), 0, np.arange(classes))
    return data, [Detections(boxes, np.full(classes, 0.9), called, names, SIZE)] * images


def test_of_many_classes_the_confusions_are_listed(tmp_path):
    data, detections = many_classes(3)
    write_report(tmp_path / "report.html", summarise(evaluate(data, detections), data, detections))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<tr><td>class 1</td><td>class 0</td><td>3</td></tr><tr><td>class 2</td><td>class 0</td>" in page


@pytest.mark.parametrize(("images", "said"), [(3, True), (12, False)])
def test_classes_of_few_objects_are_pointed_out(images, said):
    data, detections = many_classes(images, classes=12)
    text = summarise(evaluate(data, detections), data, detections).table()
    assert ("fewer than 10 objects" in text) == said


def test_two_models_on_no_objects_are_not_compared():
    data, detections = pictured()
    empty = Dataset([Example(e.image, [], [], SIZE) for e in data], CLASSES)
    metrics = evaluate(empty, detections)
    assert summarise(metrics, empty, detections, other=metrics).comparison is None
