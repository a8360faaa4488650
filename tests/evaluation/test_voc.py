"""Pascal VOC's average precision."""

from __future__ import annotations

import json

import numpy as np
import pytest
from random_evaluation import random_set

from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.detections import Detections
from detkit.errors import ConfigError, DataError
from detkit.evaluation.voc import voc_average_precision

SIZE = (1000, 1000)


def boxes_of(rows) -> np.ndarray:
    """From xmin, ymin, width, height in pixels."""
    xywh = np.array(rows, float).reshape(-1, 4)
    return np.concatenate([xywh[:, [1, 0]], xywh[:, [1, 0]] + xywh[:, [3, 2]]], axis=1) / 1000


def case(folder):
    examples, detections = [], []
    for path in sorted((folder / "gts").glob("*.txt")):
        truth = [list(map(float, line.split()[1:])) for line in path.read_text().splitlines()]
        found = [list(map(float, line.split()[1:])) for line in (folder / "dets" / path.name).read_text().splitlines()]
        found.sort(key=lambda row: -row[0])
        examples.append(Example(path.stem + ".jpg", boxes_of(truth), [0] * len(truth), SIZE))
        boxes = boxes_of([row[1:] for row in found])
        detections.append(Detections(boxes, [row[0] for row in found], [0] * len(found), ("object",), SIZE))
    return Dataset(examples, ("object",)), detections


@pytest.mark.parametrize(("points", "name"), [("11", "11-point"), ("all", "every-point")])
def test_the_reference_case(shared, points, name):
    folder = shared / "data/evalref"
    expected = json.loads((folder / "expected_values.json").read_text())
    expected = expected["padilla tests/test_case_1 VOC AP, 24 dets 15 gts"][name]
    data, detections = case(folder / "voc_ap_case")
    for iou, value in expected.items():
        found = voc_average_precision(data, detections, iou=float(iou), points=points)
        assert found == {"object": pytest.approx(value, abs=1e-9)}


def one(objects, found, scores, difficult=None):
    example = Example("a.jpg", boxes_of(objects), [0] * len(objects), SIZE, difficult=difficult)
    found = Detections(boxes_of(found), scores, [0] * len(scores), ("object",), SIZE)
    return Dataset([example], ("object",)), [found]


def test_a_second_detection_of_an_object_is_wrong():
    data, detections = one([[0, 0, 100, 100]], [[0, 0, 100, 100], [0, 0, 100, 101]], [0.8, 0.9])
    assert voc_average_precision(data, detections) == {"object": 1.0}
    data, detections = one([[0, 0, 100, 100], [500, 0, 100, 100]], [[0, 0, 100, 100]] * 2, [0.9, 0.8])
    assert voc_average_precision(data, detections) == {"object": 0.5}
    assert voc_average_precision(data, detections, points="11")["object"] == pytest.approx(6 / 11)


def test_the_object_that_is_overlapped_most_decides_even_if_it_is_taken():
    objects, found = [[0, 0, 100, 100], [0, 30, 100, 100]], [[0, 0, 100, 100], [0, 5, 100, 100]]
    data, detections = one(objects, found, [0.9, 0.8])
    assert voc_average_precision(data, detections) == {"object": 0.5}  # COCO's rule gives the second object to it


def test_difficult_objects_count_neither_way():
    objects, found = [[0, 0, 100, 100], [500, 0, 100, 100]], [[500, 0, 100, 100], [0, 0, 100, 100]]
    data, detections = one(objects, found, [0.9, 0.8], difficult=[False, True])
    assert voc_average_precision(data, detections) == {"object": 1.0}


def test_corners_may_be_whole_pixels_or_lines():
    data, detections = one([[0, 0, 9, 9]], [[0, 0, 9, 4]], [0.5])  # 10 x 5 of 10 x 10 pixels, or 9 x 4 of 9 x 9
    assert voc_average_precision(data, detections) == {"object": 1.0}
    assert voc_average_precision(data, detections, whole_pixels=False) == {"object": 0.0}


def test_classes_without_objects_are_left_out():
    data, detections = random_set(0)
    assert set(voc_average_precision(data, detections)) <= set(data.classes)
    assert voc_average_precision(data[:0], []) == {}


def test_other_points_are_refused():
    with pytest.raises(ConfigError, match="no such VOC average precision"):
        voc_average_precision(*random_set(0), points="12")


def test_another_number_of_detections_is_refused():
    data, detections = random_set(0)
    with pytest.raises(DataError, match="Each image needs its detections"):
        voc_average_precision(data, detections[1:])
