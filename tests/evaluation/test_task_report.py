"""What is measured of models that are no detectors, and the page that shows it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.detections import Detections
from detkit.errors import DataError
from detkit.evaluation.measure import measure, numbers
from detkit.evaluation.task_report import write_task_report

CLASSES = ("cat", "dog")


def model(task, labels="one", classes=CLASSES):
    return SimpleNamespace(task=task, classes=classes, options=SimpleNamespace(labels=labels))


def classified(*scores, classes=CLASSES):
    best = int(np.argmax(scores))
    return SimpleNamespace(scores=np.array(scores), classes=classes, label=classes[best], score=scores[best])


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "p.png"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    return path


def examples(path, count, **truth):
    """Pictures with one of several truths each."""
    columns = [dict(zip(truth, values, strict=True)) for values in zip(*truth.values(), strict=True)]
    given = [{"boxes": np.zeros((0, 4)), "class_ids": []} | each for each in columns]
    return Dataset(tuple(Example(path, size=(8, 8), **each) for each in given[:count]), CLASSES)


def report(tmp_path, of, data, results):
    metrics = measure(of, data, results)
    write_task_report(tmp_path / "report.html", of, data, results, metrics, "A <title>")
    return metrics, (tmp_path / "report.html").read_text()


def test_a_classifier(picture, tmp_path):
    data = examples(picture, 3, image_labels=[[0], [1], [1]])
    results = [classified(0.9, 0.1), classified(0.8, 0.2), classified(0.3, 0.7)]
    metrics, page = report(tmp_path, model("classification"), data, results)
    assert numbers("classification", metrics)["accuracy"] == pytest.approx(2 / 3)
    assert numbers("classification", metrics)["recall/dog"] == 0.5
    assert "p.png: dog, found as cat 0.80" in page and page.count("<figure>") == 1
    assert "A &lt;title&gt;" in page and "http" not in page


def test_a_classifier_of_several_labels(picture, tmp_path):
    data = examples(picture, 2, image_labels=[[0, 1], []])
    results = [classified(0.9, 0.6), classified(0.1, 0.7)]
    metrics, page = report(tmp_path, model("classification", "several"), data, results)
    assert metrics.numbers["accuracy"] == 0.5
    assert "nothing, found as dog 0.70" in page


def test_classes_in_another_order_or_unknown_are_matched_by_name(picture):
    data = examples(picture, 2, image_labels=[[0], [1]])
    results = [classified(0.9, 0.1, classes=("dog", "bird")), classified(0.9, 0.1, classes=("dog", "bird"))]
    found = measure(model("classification", classes=("dog", "bird")), data, results)
    assert found.classes == ("cat", "dog", "bird") and found.numbers["accuracy"] == 0.5


@pytest.mark.parametrize("task", ["classification", "localization", "segmentation"])
def test_no_common_class_is_an_error(picture, task):
    data = examples(picture, 1, image_labels=[[0]])
    with pytest.raises(DataError, match="no class in common(.|\n)*model: bird, fish(.|\n)*dataset: cat, dog"):
        measure(model(task, classes=("bird", "fish")), data, [classified(1.0, 0.0)])


def test_a_picture_without_a_class(picture):
    data = examples(picture, 1, image_labels=[[]])
    with pytest.raises(DataError, match="doesn't have one class") as error:
        measure(model("classification"), data, [classified(1.0, 0.0)])
    assert str(picture) in str(error.value) and "model.labels=several" in str(error.value)


def test_a_localiser_is_measured_on_the_largest_object(picture, tmp_path):
    boxes = [[[0, 0, 0.5, 0.5], [0, 0, 0.1, 0.1]], np.zeros((0, 4))]
    data = examples(picture, 2, boxes=boxes, class_ids=[[1, 0], []])
    found = [Detections([[0, 0, 0.5, 0.25]], [0.9], [1], CLASSES, (8, 8))] * 2
    metrics, page = report(tmp_path, model("localization"), data, found)
    assert numbers("localization", metrics) == pytest.approx(
        {"iou": 0.5, "median_iou": 0.5, "iou>0.5": 0, "iou>0.6": 0, "iou>0.75": 0, "accuracy": 1, "localized": 0}
    )
    assert "IoU 0.50" in page
    nothing = examples(picture, 1, boxes=[np.zeros((0, 4))])
    with pytest.raises(DataError, match="no picture has an object"):
        measure(model("localization"), nothing, found[:1])


def test_a_segmenter(picture, tmp_path):
    truth = np.zeros((8, 8), np.uint8)
    truth[:4], truth[4:, :2] = 2, 255
    data = examples(picture, 1, class_map=[truth])
    wrong = SimpleNamespace(class_map=np.where(np.arange(64).reshape(8, 8) < 16, 2, 0).astype(np.uint8))
    metrics, page = report(tmp_path, model("segmentation"), data, [wrong])
    assert numbers("segmentation", metrics)["iou"] == 0.5 and numbers("segmentation", metrics)["iou/dog"] == 0.5
    assert "p.png: IoU 0.50" in page


def test_a_picture_that_is_gone_is_said_to_be(picture, tmp_path):
    data = examples(picture, 1, image_labels=[[0]])
    picture.unlink()
    assert "could not be read" in report(tmp_path, model("classification"), data, [classified(0.1, 0.9)])[1]
