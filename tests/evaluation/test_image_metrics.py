"""Metrics of classification, segmentation and localisation, against slow references."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from detkit.errors import DataError
from detkit.evaluation.classification import classification
from detkit.evaluation.localization import localization
from detkit.evaluation.segmentation import segmentation

CLASSES = ("daisy", "rose", "tulip", "weed")


def counts(truth, predicted, k):
    right = sum(t == k and p == k for t, p in zip(truth, predicted, strict=True))
    return right, sum(t == k for t in truth), sum(p == k for p in predicted)


@pytest.mark.parametrize("seed", range(5))
def test_classification_equals_a_slow_reference(seed):
    rng = np.random.default_rng(seed)
    truth, scores = rng.integers(0, 3, 30), rng.integers(0, 6, (30, 4)) / 5  # ties; the last class is never there
    found = classification(truth, scores, CLASSES, top=(2, 3, 9))
    ranks = [sorted(range(4), key=lambda k, row=row: (-row[k], k)) for row in scores]
    predicted = [rank[0] for rank in ranks]
    assert found.numbers["accuracy"] == pytest.approx(np.mean([p == t for p, t in zip(predicted, truth, strict=True)]))
    for k in (2, 3):
        share = np.mean([t in rank[:k] for t, rank in zip(truth, ranks, strict=True)])
        assert found.numbers[f"top{k}"] == pytest.approx(share)
    assert "top9" not in found.numbers
    f1 = []
    for k, name in enumerate(CLASSES):
        right, there, said = counts(truth, predicted, k)
        row = found.per_class[name]
        assert row["images"] == there
        assert math.isnan(row["precision"]) if not said else row["precision"] == pytest.approx(right / said)
        assert math.isnan(row["recall"]) if not there else row["recall"] == pytest.approx(right / there)
        if there + said:
            f1.append(2 * right / (there + said))
        for other in range(4):
            pairs = zip(truth, predicted, strict=True)
            assert found.confusion[k, other] == sum(t == k and p == other for t, p in pairs)
    assert found.numbers["F1"] == pytest.approx(np.mean(f1))


def test_classification_equals_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    rng = np.random.default_rng(0)
    truth, scores = rng.integers(0, 4, 200), rng.random((200, 4))
    found = classification(truth, scores, CLASSES, top=(2,))
    predicted = scores.argmax(1)
    for name, column in (("precision", 0), ("recall", 1), ("F1", 2)):
        expected = metrics.precision_recall_fscore_support(truth, predicted)[column]
        assert [found.per_class[k][name] for k in CLASSES] == pytest.approx(expected.tolist())
        assert found.numbers[name] == pytest.approx(expected.mean())
    assert found.confusion.tolist() == metrics.confusion_matrix(truth, predicted).tolist()
    assert found.numbers["top2"] == pytest.approx(metrics.top_k_accuracy_score(truth, scores, k=2))


def test_several_labels_an_image():
    truth = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]], bool)
    scores = [[0.9, 0.5, 0.1, 0.0], [0.2, 0.1, 0.3, 0.0], [0.6, 0.1, 0.9, 0.2]]
    found = classification(truth, scores, CLASSES)
    assert found.numbers["accuracy"] == pytest.approx(2 / 3)
    assert found.per_class["daisy"] == {"precision": 0.5, "recall": 1.0, "F1": pytest.approx(2 / 3), "images": 1}
    assert found.confusion is None and found.to_json()["confusion"] is None


def test_the_tables_show_what_is_undefined_as_a_dash():
    text = classification([0, 1], np.eye(4)[:2], CLASSES).table()
    assert "accuracy   1.000" in text
    assert text.splitlines()[-1].split() == ["weed", "-", "-", "-", "0"]


@pytest.mark.parametrize(
    ("truth", "scores", "text"),
    [
        ([0, 1], np.zeros((3, 4)), "do not fit together"),
        ([0, 1], np.zeros((2, 3)), "do not fit together"),
        ([], np.zeros((0, 4)), "no images"),
        ([0, 4], np.zeros((2, 4)), "A class id has no name"),
        ([0, 1], np.full((2, 4), np.nan), "not a finite number"),
        ([[0, 2, 0, 0]], np.zeros((1, 4)), "has a class, or has it not"),
    ],
)
def test_classification_refuses(truth, scores, text):
    with pytest.raises(DataError, match=text):
        classification(np.array(truth, int), scores, CLASSES)


@pytest.mark.parametrize("seed", range(4))
def test_segmentation_equals_a_slow_reference(seed):
    rng = np.random.default_rng(seed)
    truth = rng.choice([0, 1, 2, 255], (3, 9, 11), p=[0.4, 0.3, 0.2, 0.1]).astype(np.uint8)
    predicted = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(0, 3, truth.shape))
    predicted[predicted == 255] = 0
    found = segmentation(iter(truth), iter(predicted), ("cell", "nucleus", "other"), smoothing=1)
    pairs = [(t, p) for t, p in zip(truth.ravel().tolist(), predicted.ravel().tolist(), strict=True) if t != 255]
    ious, dices = [], []
    for k, name in enumerate(found.classes):
        both = sum(t == p == k for t, p in pairs)
        there, said = sum(t == k for t, _ in pairs), sum(p == k for _, p in pairs)
        if not there + said:
            assert math.isnan(found.per_class[name]["IoU"])
            continue
        ious.append(both / (there + said - both))
        dices.append((2 * both + 1) / (there + said + 1))
        assert found.per_class[name]["IoU"] == pytest.approx(ious[-1])
        assert found.per_class[name]["Dice"] == pytest.approx(dices[-1])
    assert found.numbers["mIoU"] == pytest.approx(np.mean(ious))
    assert found.numbers["IoU"] == pytest.approx(np.mean(ious[1:]))
    assert found.numbers["Dice"] == pytest.approx(np.mean(dices))
    assert found.numbers["pixel_accuracy"] == pytest.approx(np.mean([t == p for t, p in pairs]))


def disk(shift: int, radius: int = 20) -> np.ndarray:
    y, x = np.mgrid[:100, :120]
    return ((y - 50) ** 2 + (x - 60 - shift) ** 2 <= radius**2).astype(np.uint8)


def test_the_boundary_score_forgives_what_is_within_its_tolerance():
    score = {shift: segmentation([disk(0)], [disk(shift)], ("disk",)).per_class["disk"] for shift in (0, 1, 12)}
    assert score[0]["boundary_F"] == score[1]["boundary_F"] == 1
    assert score[12]["boundary_F"] < 0.4
    assert score[1]["IoU"] < 1
    assert segmentation([disk(0)], [disk(12)], ("disk",), tolerance=0.2).per_class["disk"]["boundary_F"] == 1


def test_a_map_of_nothing():
    nothing = np.zeros((4, 5), np.uint8)
    found = segmentation([nothing], [nothing], ("disk",))
    assert found.numbers["mIoU"] == 1 and math.isnan(found.numbers["IoU"]) and math.isnan(found.numbers["boundary_F"])
    missed = segmentation([disk(0)], [np.zeros((100, 120), int)], ("disk",))
    assert missed.per_class["disk"]["IoU"] == missed.per_class["disk"]["boundary_F"] == 0
    assert math.isnan(segmentation([np.full((2, 2), 255)], [nothing[:2, :2]], ("disk",)).numbers["pixel_accuracy"])


@pytest.mark.parametrize(
    ("truth", "predicted", "text"),
    [
        ([np.zeros((4, 5), int)], [np.zeros((5, 4), int)], "not of the size of the true one"),
        ([np.full((4, 5), 2)], [np.zeros((4, 5), int)], "A true class map has a value without a class"),
        ([np.zeros((4, 5), int)], [np.full((4, 5), 255)], "A predicted class map has a value without a class"),
        ([np.zeros((4, 5), int)], [np.zeros((4, 5))], "A predicted class map has a value without a class"),
        ([], [], "no images"),
    ],
)
def test_segmentation_refuses(truth, predicted, text):
    with pytest.raises(DataError, match=text):
        segmentation(truth, predicted, ("disk",))


def test_localization():
    truth = [[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0.5, 0.5]]
    predicted = [[0, 0, 1, 1], [0, 0, 1, 0.55], [0.5, 0.5, 1, 1]]
    found = localization(truth, predicted, class_ids=[0, 1, 2], predicted_ids=[0, 2, 2])
    assert found.iou.tolist() == pytest.approx([1, 0.55, 0])
    assert found.numbers["IoU"] == pytest.approx(1.55 / 3)
    assert found.numbers["median_IoU"] == pytest.approx(0.55)
    assert [found.numbers[f"IoU>{t}"] for t in (0.5, 0.6, 0.75)] == pytest.approx([2 / 3, 1 / 3, 1 / 3])
    assert (found.numbers["accuracy"], found.numbers["localized"]) == pytest.approx((2 / 3, 1 / 3))
    assert "IoU>0.6" in found.table() and found.to_json()["images"] == 3


def test_localization_refuses():
    with pytest.raises(DataError, match="differ in number"):
        localization([[0, 0, 1, 1]], [[0, 0, 1, 1]] * 2)
    with pytest.raises(DataError, match="no images"):
        localization([], [])
    with pytest.raises(DataError, match="not a number"):
        localization([[0, 0, 1, 1]], [[0, 0, 1, np.nan]])
    with pytest.raises(DataError, match="true box is not a number"):
        localization([[0, 0, 1, np.nan]], [[0, 0, 1, 1]])
    with pytest.raises(DataError, match="Boxes and classes differ"):
        localization([[0, 0, 1, 1]] * 2, [[0, 0, 1, 1]] * 2, class_ids=[1, 1], predicted_ids=[1])


def test_no_class_anywhere_has_no_means():
    found = classification(np.zeros((2, 4), bool), np.zeros((2, 4)), CLASSES)
    assert found.numbers["accuracy"] == 1 and math.isnan(found.numbers["F1"])
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["F1"] is None


def test_pixels_that_do_not_count_have_no_boundary():
    """Annotators leave a rim around each object uncounted: where in it a prediction ends does not matter."""
    truth = np.full((1, 40, 40), 255, np.uint8)
    truth[:, :5], truth[:, 15:25, 15:25] = 0, 1
    predicted = np.zeros((1, 40, 40), int)
    predicted[:, 12:28, 12:28] = 1
    found = segmentation(truth, predicted, ("nucleus",))
    assert found.numbers["IoU"] == 1 and math.isnan(found.numbers["boundary_F"])
    predicted[:, 18:20, 18:20] = 0  # a hole inside the object
    assert segmentation(truth, predicted, ("nucleus",)).numbers["boundary_F"] == 0
    assert json.dumps(found.to_json(), allow_nan=False)


def test_maps_that_are_too_few_are_refused():
    with pytest.raises(DataError, match="two class maps"):
        segmentation(np.zeros((2, 4, 4), np.uint8), np.zeros((1, 4, 4), int), ("nucleus",))
