"""The causes of errors, one planted error at a time, and the confusion matrix."""

from __future__ import annotations

import numpy as np
import pytest
from random_evaluation import CLASSES, SIZE, random_metrics

from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.detections import Detections
from detkit.evaluation.coco import evaluate
from detkit.evaluation.errors import CAUSES, analyse, confusion

DUCK, DOG = 0, 1
HERE, NEARBY, AWAY = [0.1, 0.1, 0.5, 0.3], [0.1, 0.2, 0.5, 0.4], [0.6, 0.6, 0.9, 0.9]


def matches_of(found, objects=((HERE, DUCK),)):
    """Of detections (box, class, score) in one image of these objects, beside a second image where all is right."""
    second = Example("2.jpg", [HERE, AWAY], [DUCK, DOG], SIZE, image_id=2)
    example = Example("1.jpg", [box for box, _ in objects], [k for _, k in objects], SIZE, image_id=1)
    found = sorted(found, key=lambda each: -each[2])
    boxes = np.array([each[0] for each in found]).reshape(-1, 4)
    first = Detections(boxes, [each[2] for each in found], [each[1] for each in found], CLASSES, SIZE)
    right = Detections([HERE, AWAY], [0.9, 0.8], [DUCK, DOG], CLASSES, SIZE)
    return evaluate(Dataset([example, second], CLASSES), [first, right]).matches


@pytest.mark.parametrize(
    ("found", "cause"),
    [
        ([(HERE, DOG, 0.95)], "class"),
        ([(NEARBY, DUCK, 0.95)], "localization"),
        ([(NEARBY, DOG, 0.95)], "both"),
        ([(HERE, DUCK, 0.95), (HERE, DUCK, 0.93)], "duplicate"),
        ([(HERE, DUCK, 0.7), (AWAY, DUCK, 0.95)], "background"),
        ([], "missed"),
    ],
)
def test_each_cause_is_found_and_costs(found, cause):
    errors = analyse(matches_of(found))
    expected = {name: int(name == cause) for name in CAUSES}
    if cause == "both":
        expected["missed"] = 1  # such a detection excuses nothing
    assert errors.count == expected
    assert errors.cost[cause] > 0
    assert all(cost == 0 for name, cost in errors.cost.items() if not expected[name])


def test_putting_an_error_right_gives_the_ap_without_it():
    right = matches_of([(HERE, DUCK, 0.95)]).average_precision()[0, 0, :2].mean()
    for found in ([(HERE, DOG, 0.95)], [(NEARBY, DUCK, 0.95)]):
        matches = matches_of(found)
        errors = analyse(matches)
        assert matches.average_precision()[0, 0, :2].mean() + sum(errors.cost.values()) == pytest.approx(right)


def test_only_the_best_of_several_is_put_right():
    matches = matches_of([(HERE, DOG, 0.95), (HERE, DOG, 0.94)])
    errors = analyse(matches)
    assert errors.count["class"] == 2
    assert matches.average_precision()[0, 0, :2].mean() + errors.cost["class"] == pytest.approx(1)


@pytest.mark.parametrize("seed", range(5))
def test_every_wrong_detection_has_one_cause(seed):
    matches = random_metrics(seed).matches
    errors = analyse(matches)
    assert ((errors.cause >= 0) == matches.wrong[0]).all()
    assert sum(errors.count[name] for name in CAUSES[:-1]) == matches.wrong[0].sum()
    assert all(cost >= -1e-12 for cost in errors.cost.values())


def test_no_objects_and_no_detections():
    data = Dataset([Example("1.jpg", [], [], SIZE)], CLASSES)
    nothing = Detections(np.zeros((0, 4)), [], [], CLASSES, SIZE)
    errors = analyse(evaluate(data, [nothing]).matches)
    assert set(errors.count.values()) == {0} and set(errors.cost.values()) == {0.0}
    something = Detections([HERE], [0.5], [DUCK], CLASSES, SIZE)
    assert analyse(evaluate(data, [something]).matches).count["background"] == 1


def test_confusion():
    found = [(HERE, DOG, 0.95), (AWAY, DUCK, 0.5), (NEARBY, DUCK, 0.1)]
    matrix = confusion(matches_of(found, [(HERE, DUCK), ([0.6, 0.1, 0.9, 0.3], DOG)]), score=0.3)
    expected = np.zeros((4, 4), int)
    expected[DUCK, DUCK] = expected[DOG, DOG] = 1  # of the second image
    expected[DUCK, DOG] = 1
    expected[DOG, 3] = 1  # not found
    expected[3, DUCK] = 1  # nothing there; the one of score 0.1 does not count
    assert matrix.tolist() == expected.tolist()


@pytest.mark.parametrize("seed", range(4))
def test_rows_of_the_confusion_matrix_are_the_objects(seed):
    matches = random_metrics(seed).matches
    matrix = confusion(matches, score=0.4)
    assert matrix[:3].sum(axis=1).tolist() == matches.objects.sum(axis=0).tolist()
    counted = (matches.score >= 0.4) & ~matches.ignored[0]
    assert matrix[:, :3].sum(axis=0).tolist() == np.bincount(matches.class_id[counted], minlength=3).tolist()
