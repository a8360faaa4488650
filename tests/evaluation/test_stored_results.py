"""Reports on stored results: what may be missing, what is refused before any work is done."""

from __future__ import annotations

import json

import numpy as np
import pytest
from random_evaluation import CLASSES, SIZE, random_set

from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.detections import Detections
from detkit.errors import ConfigError, DataError
from detkit.evaluation.coco import evaluate, evaluate_files
from detkit.evaluation.summary import summarise
from detkit.evaluation.worst import worst_images
from detkit.inference.sinks import coco_entries
from detkit.reporting import report

IDS = (1, 2, 3)


def with_ids(data, ids) -> Dataset:
    """The dataset with other ids of its images, and no crowds."""
    pairs = zip(data, ids, strict=True)
    return Dataset([Example(e.image, e.boxes, e.class_ids, SIZE, image_id=i) for e, i in pairs], CLASSES)


def results(found, ids) -> list[dict]:
    return [entry for each, i in zip(found, ids, strict=True) for entry in coco_entries(each, IDS, i)]


def stored(tmp_path, ids=range(1, 7), change=list):
    """The paths of results, which may be changed, and of annotations without pictures."""
    data, found = random_set(0, len(ids))
    objects = [Detections(e.boxes, np.ones(len(e.boxes)), e.class_ids, CLASSES, SIZE) for e in data]
    truth = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": SIZE[0], "width": SIZE[1]} for i in ids],
        "annotations": [entry | {"id": n} for n, entry in enumerate(results(objects, ids), 1)],
        "categories": [{"id": k, "name": name} for k, name in zip(IDS, CLASSES, strict=True)],
    }
    for name, value in (("found.json", change(results(found, ids))), ("truth.json", truth)):
        (tmp_path / name).write_text(json.dumps(value))
    return tmp_path / "found.json", tmp_path / "truth.json"


def test_without_pictures_the_worst_images_are_named(tmp_path):
    report(*stored(tmp_path), tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "This picture could not be read" in page and "1.jpg: " in page


def test_one_missing_picture_does_not_hide_the_others(tmp_path):
    from PIL import Image

    paths = stored(tmp_path)
    for n in range(1, 6):
        Image.new("RGB", SIZE[::-1]).save(tmp_path / f"{n}.jpg")
    report(*paths, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("could not be read") <= 1 and "image/jpeg" in page


def test_a_score_leaves_out_stored_results_too(tmp_path):
    found, truth = stored(tmp_path)
    numbers = [evaluate_files(truth, found, score=0.5), evaluate_files(truth, found)]
    stored(tmp_path, change=lambda entries: [entry for entry in entries if entry["score"] >= 0.5])
    numbers.append(evaluate_files(truth, found))
    assert dict(numbers[0]) == dict(numbers[2]) != dict(numbers[1])
    assert report(found, truth, tmp_path, score=0.9).metrics.detections < numbers[2].detections


def test_negative_scores_count(tmp_path):
    found, truth = stored(tmp_path)
    plain = evaluate_files(truth, found)
    stored(tmp_path, change=lambda entries: [entry | {"score": entry["score"] - 2} for entry in entries])
    summary = report(found, truth, tmp_path)
    assert dict(summary.metrics) == pytest.approx(dict(plain))
    assert summary.voc["all"] and np.isnan(summary.calibration.error)


def test_no_results_at_all(tmp_path):
    summary = report(*stored(tmp_path, change=lambda entries: []), tmp_path)
    assert summary.metrics["AP"] == 0 and summary.intervals["AP"].high > 0.3


def test_texts_as_ids_have_one_order_everywhere(tmp_path):
    ids = [str(9 - n) for n in range(10)]
    data, found = random_set(0, 10)
    data = with_ids(data, ids)
    expected = worst_images(summarise(evaluate(data, found), data, found), data)
    report(*stored(tmp_path, ids), tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for each in expected:
        name = f"{ids[int(each.name.removesuffix('.jpg'))]}.jpg"  # in the set of its number, here of its id
        assert f"{name}: {each.missed} missed, {each.wrong} wrong" in page


def test_a_dataset_of_any_format(tmp_path):
    data, found = random_set(0, 6)
    ids = [f"picture {n}" for n in range(6)]
    data = with_ids(data, ids)
    (tmp_path / "found.json").write_text(json.dumps(results(found, ids)))
    summary = report(tmp_path / "found.json", data, tmp_path)
    assert summary.metrics["AP"] == pytest.approx(evaluate(data, found)["AP"], abs=1e-6)


def test_what_can_not_be_evaluated_is_refused_first(tmp_path):
    found, truth = stored(tmp_path)
    with pytest.raises(ConfigError, match="stored already"):
        report(found, truth, tmp_path / "out", results=tmp_path / "again.json")

    class Other:
        classes = ("sheep",)

    with pytest.raises(DataError, match="no class in common"):
        report(Other(), random_set(0)[0], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_masks_alone_have_no_report(tmp_path):
    corner = [[0, 0, 50, 0, 50, 50]]

    def masked(entries):
        return [{k: v for k, v in e.items() if k != "bbox"} | {"segmentation": corner} for e in entries]

    found, truth = stored(tmp_path, change=masked)
    document = json.loads(truth.read_text())
    document["annotations"] = [entry | {"segmentation": corner} for entry in document["annotations"]]
    truth.write_text(json.dumps(document))
    metrics = report(found, truth, tmp_path)
    assert metrics.kinds == ("masks",) and "the report are of boxes" in metrics.table()
    assert not (tmp_path / "report.html").exists()
    with pytest.raises(ConfigError, match="compared by their boxes"):
        report(found, truth, tmp_path, against=found)


def test_annotations_without_sizes_say_so(tmp_path):
    found, truth = stored(tmp_path)
    document = json.loads(truth.read_text())
    document["images"] = [{"id": entry["id"], "file_name": entry["file_name"]} for entry in document["images"]]
    truth.write_text(json.dumps(document))
    with pytest.raises(DataError, match="lacks the picture's size"):
        report(found, truth, tmp_path)
