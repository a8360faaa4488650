"""COCO metrics of a results file on an annotation file."""

from __future__ import annotations

import json

import pytest

from detkit.errors import DataError
from detkit.evaluation.coco import evaluate_files

REFERENCES = {
    "instances_val2014_100 bbox": (
        "evalref/instances_val2014_100.json",
        "evalref/instances_val2014_fakebbox100_results.json",
    ),
    "voc100_formats (pycocotools_results.json vs gts/coco_format_v1) bbox": (
        "voc100_formats/gts/coco_format_v1/instances_default.json",
        "voc100_formats/pycocotools_results.json",
    ),
    "voc10_toy (pycocotools_results.json vs gts_coco_format) bbox": (
        "voc10_toy/gts_coco_format/toy_example_coco.JSON",
        "voc10_toy/pycocotools_results.json",
    ),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_the_reference_numbers_come_out_to_six_digits(shared, name):
    truth, results = (shared / "data" / path for path in REFERENCES[name])
    expected = json.loads((shared / "data" / "evalref" / "expected_values.json").read_text())[name]
    assert dict(evaluate_files(truth, results)) == pytest.approx(expected, abs=6e-7)


@pytest.fixture
def files(tmp_path):
    """Writes an annotation file and a results file, after the given changes, and returns their paths."""

    def write(change_truth=lambda d: None, change_results=lambda d: None):
        box = {"image_id": 7, "category_id": 3, "bbox": [10, 10, 50, 40]}
        truth = {
            "images": [{"id": 7}, {"id": 5}],
            "annotations": [{**box, "id": 1}, {**box, "id": 2, "image_id": 5, "iscrowd": 1}],
            "categories": [{"id": 3, "name": "duck"}, {"id": 9, "name": "dog"}],
        }
        results = [{**box, "score": 0.9}]
        change_truth(truth)
        change_results(results)
        paths = tmp_path / "truth.json", tmp_path / "results.json"
        for path, value in zip(paths, (truth, results), strict=True):
            path.write_text(json.dumps(value))
        return paths

    return write


def test_areas_and_crowds_may_be_left_out(files):
    metrics = evaluate_files(*files())
    assert metrics["AP"] == pytest.approx(1)
    assert metrics["APm"] == pytest.approx(1)
    assert (metrics.images, metrics.boxes, metrics.detections) == (2, 1, 1)
    assert metrics.warnings == ()


def test_no_results_score_zero(files):
    assert evaluate_files(*files(change_results=list.clear))["AP"] == 0


def test_an_annotation_with_id_zero_is_pointed_out(files):
    """pycocotools takes its match for none; the numbers stay pycocotools' own."""
    metrics = evaluate_files(*files(lambda truth: truth["annotations"][0].update(id=0)))
    assert metrics["AP"] == 0
    assert "number the annotations from 1" in metrics.warnings[0]


def test_some_unknown_categories_are_left_out_with_a_warning(files):
    paths = files(change_results=lambda results: results.append({**results[0], "category_id": 4}))
    metrics = evaluate_files(*paths)
    assert metrics.detections == 1
    assert metrics.warnings == ("1 detections have categories unknown to the annotations and are left out: 4",)


def test_only_unknown_categories_are_an_error(files):
    paths = files(change_results=lambda results: results[0].update(category_id=0))
    with pytest.raises(DataError, match="no category in common(.|\n)*got: category ids 0(.|\n)*among 3, 9"):
        evaluate_files(*paths)


BAD_TRUTH = {
    "no categories": (lambda d: d.pop("categories"), "This is no COCO annotation file"),
    "no images": (lambda d: d["images"].clear(), 'got: an empty list "images"'),
    "image without id": (lambda d: d["images"][0].pop("id"), r'no "id"(.|\n)*images\[0\]'),
    "one image id twice": (lambda d: d["images"][0].update(id=5), "got: id 5 twice"),
    "id of another type": (lambda d: d["images"][0].update(id=[5]), "whole number or a text"),
    "two names alike": (lambda d: d["categories"][0].update(name="dog"), "two categories(.|\n)*'dog'"),
    "unknown image": (
        lambda d: d["annotations"][1].update(image_id=6),
        r"Unknown image_id(.|\n)*annotations\[1\](.|\n)*got: 6",
    ),
    "unknown category": (lambda d: d["annotations"][0].update(category_id=4), "Unknown category_id"),
    "three numbers": (lambda d: d["annotations"][0].update(bbox=[1, 2, 3]), "A box is four numbers"),
    "negative width": (lambda d: d["annotations"][0].update(bbox=[1, 2, -3, 4]), "negative width or height"),
    "NaN": (lambda d: d["annotations"][0].update(bbox=[1, 2, float("nan"), 4]), "bbox must be a finite"),
    "area as text": (lambda d: d["annotations"][0].update(area="big"), "area must be a finite number"),
    "a list": (lambda d: d["annotations"].append([]), r"annotations\[2\](.|\n)*got: a list"),
}


@pytest.mark.parametrize("case", BAD_TRUTH)
def test_bad_annotations_are_errors(files, case):
    change, message = BAD_TRUTH[case]
    with pytest.raises(DataError, match=f"(?i){message}"):
        evaluate_files(*files(change_truth=change))


BAD_RESULTS = {
    "no score": (lambda r: r[0].pop("score"), r'no "score"(.|\n)*results.json, \[0\]'),
    "score is true": (lambda r: r[0].update(score=True), "score must be a finite number"),
    "unknown image": (lambda r: r[0].update(image_id="7"), "Unknown image_id(.|\n)*'7'(.|\n)*one of 5, 7"),
    "no box": (lambda r: r[0].pop("bbox"), 'no "bbox"'),
}


@pytest.mark.parametrize("case", BAD_RESULTS)
def test_bad_results_are_errors(files, case):
    change, message = BAD_RESULTS[case]
    with pytest.raises(DataError, match=message):
        evaluate_files(*files(change_results=change))


def test_swapped_files_are_an_error(files):
    truth, results = files()
    with pytest.raises(DataError, match="no COCO annotation file(.|\n)*got: a list"):
        evaluate_files(results, truth)
    with pytest.raises(DataError, match="no COCO results file(.|\n)*got: an object with images"):
        evaluate_files(truth, truth)


def test_a_missing_file_is_an_error(files, tmp_path):
    truth, _ = files()
    with pytest.raises(DataError, match=r"nowhere\.json"):
        evaluate_files(truth, tmp_path / "nowhere.json")
