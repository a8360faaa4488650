"""COCO metrics of detections on a dataset."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import detkit.data
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.detections import Detections
from detkit.errors import ConfigError, DataError
from detkit.evaluation.coco import evaluate, evaluate_files

CLASSES = ("duck", "dog", "cat")
TWELVE = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]


def example(boxes=(), class_ids=(), size=(100, 200), **fields):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    fields = {"image": np.zeros((*size, 3), np.uint8), "image_id": "image", **fields}
    return Example(boxes=boxes, class_ids=np.array(class_ids, np.int32), size=size, **fields)


def found(boxes=(), scores=(), class_ids=(), classes=CLASSES, size=(100, 200)):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(boxes, np.array(scores), np.array(class_ids), classes, size)


def random_boxes(rng, n, size):
    """Whole-pixel boxes, so that IoU is often exactly on a threshold."""
    height, width = size
    y, x = rng.integers(0, height - 60, n), rng.integers(0, width - 60, n)
    h, w = rng.integers(4, 60, n), rng.integers(4, 60, n)
    boundary = rng.random(n) < 0.2
    h, w = np.where(boundary, rng.choice([16, 32], n), h), np.where(boundary, 32, w)
    return np.stack([y, x, y + h, x + w], axis=1) / [height, width, height, width]


def perfect(data: Dataset) -> list[Detections]:
    return [found(e.boxes, np.linspace(1, 0.5, len(e)), e.class_ids) for e in data]


BOX = [0.1, 0.1, 0.5, 0.5]
NEAR = [0.1, 0.1, 0.5, 0.52]
FAR = [0.6, 0.6, 0.9, 0.9]


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_perfect_detections_score_one(seed, images):
    rng = np.random.default_rng(seed)
    counts = [3, *rng.integers(0, 5, images - 1)]
    data = Dataset([example(random_boxes(rng, n, (100, 200)), rng.integers(0, 3, n)) for n in counts], CLASSES)
    metrics = evaluate(data, perfect(data))
    assert [metrics[name] for name in ("AP", "AP50", "AR100")] == pytest.approx([1, 1, 1], abs=1e-9)
    assert metrics.boxes == metrics.detections == sum(counts)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_the_order_of_detections_with_distinct_scores_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    data = Dataset([example(random_boxes(rng, 4, (100, 200)), rng.integers(0, 3, 4))], CLASSES)
    jitter = rng.normal(0, 0.02, (8, 4))
    boxes = np.concatenate([data[0].boxes, data[0].boxes]) + jitter
    scores, class_ids = rng.permutation(8) / 10, rng.integers(0, 3, 8)
    order = rng.permutation(8)
    first = evaluate(data, [found(boxes, scores, class_ids)])
    second = evaluate(data, [found(boxes[order], scores[order], class_ids[order])])
    assert dict(first) == dict(second)


@pytest.mark.parametrize("seeds", [range(12), pytest.param(range(12, 2000), marks=pytest.mark.slow)], ids=str)
def test_every_number_equals_plain_pycocotools(seeds, tmp_path, capsys):
    """Random datasets with ties, crowds, empty images, absent classes, more than a hundred detections and boxes on
    the boundary of an area range; as files and as a Dataset."""
    for seed in seeds:
        compare_with_plain_pycocotools(np.random.default_rng(seed), tmp_path, capsys)


def compare_with_plain_pycocotools(rng, tmp_path, capsys):
    data, detections = random_dataset(rng)
    truth, results = tmp_path / "truth.json", tmp_path / "results.json"
    truth.write_text(json.dumps(coco_truth(data)))
    results.write_text(json.dumps(coco_results(data, detections)))
    expected = plain_pycocotools(truth, results)
    capsys.readouterr()
    for metrics in (evaluate(data, detections), evaluate_files(truth, results)):
        assert list(metrics) == TWELVE
        assert list(metrics.values()) == pytest.approx(expected, abs=1e-9)
    assert capsys.readouterr() == ("", "")


def random_dataset(rng):
    examples, detections = [], []
    for image_id in rng.permutation(6):
        size = (int(rng.integers(80, 300)), int(rng.integers(80, 300)))
        n = int(rng.integers(0, 6))
        boxes, class_ids = random_boxes(rng, n, size), rng.integers(0, 2, n)
        examples.append(example(boxes, class_ids, size, crowd=rng.random(n) < 0.2, image_id=int(image_id)))
        shifted = boxes + rng.integers(-4, 5, boxes.shape) / [*size, *size]
        shifted[:, 2:] = np.maximum(shifted[:, 2:], shifted[:, :2])
        boxes = np.concatenate([boxes, shifted, random_boxes(rng, 3, size)])
        if rng.random() < 0.15:
            boxes = np.concatenate([boxes, random_boxes(rng, 110, size)])
        scores = rng.integers(1, 6, len(boxes)) / 8  # few values, so many ties; exact in float32
        detections.append(found(boxes, scores, rng.integers(0, 3, len(boxes)), size=size))
    return Dataset(examples, CLASSES), detections


def pixels(box, size):
    ymin, xmin, ymax, xmax = np.round(np.asarray(box, float) * [*size, *size]).tolist()
    return [xmin, ymin, xmax - xmin, ymax - ymin]


def coco_truth(data):
    annotations = []
    for e in data:
        for n in range(len(e)):
            box = pixels(e.boxes[n], e.size)
            entry = {"image_id": e.image_id, "category_id": int(e.class_ids[n]) + 1, "bbox": box}
            entry |= {"id": len(annotations) + 1, "area": box[2] * box[3], "iscrowd": int(e.crowd[n])}
            annotations.append(entry)
    images = [{"id": e.image_id, "height": e.size[0], "width": e.size[1]} for e in data]
    categories = [{"id": k, "name": name} for k, name in enumerate(data.classes, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def coco_results(data, detections):
    return [
        {
            "image_id": e.image_id,
            "category_id": int(d.class_ids[n]) + 1,
            "bbox": pixels(d.boxes[n], e.size),
            "score": float(d.scores[n]),
        }
        for e, d in zip(data, detections, strict=True)
        for n in range(len(d))
    ]


def plain_pycocotools(truth, results):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    reference = COCO(str(truth))
    evaluation = COCOeval(reference, reference.loadRes(str(results)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats.tolist()


def test_the_numbers_of_a_small_case_by_hand():
    """One of two ducks found, with one false detection before it: precision 1/2 up to recall 1/2."""
    data = Dataset([example([BOX, FAR], [0, 0])], CLASSES)
    metrics = evaluate(data, [found([[0, 0, 0.05, 0.05], BOX], [0.9, 0.8], [0, 0])])
    assert metrics["AP"] == pytest.approx(0.5 * 51 / 101)
    assert metrics["AR100"] == 0.5
    assert metrics["AR1"] == 0
    assert metrics["APs"] == -1
    assert metrics.pr_curves["duck"][[0, 50, 51]] == pytest.approx([0.5, 0.5, 0])
    assert metrics.per_class["duck"] == {
        "AP": metrics["AP"],
        "AP50": metrics["AP50"],
        "AR100": 0.5,
        "boxes": 2,
    }
    assert metrics.per_class["dog"] == {"AP": -1, "AP50": -1, "AR100": -1, "boxes": 0}
    assert list(metrics.pr_curves) == ["duck"]


def test_difficult_boxes_count_neither_way_and_take_any_number_of_detections():
    data = Dataset([example([BOX, FAR], [0, 0], difficult=[True, False])], CLASSES)
    both = evaluate(data, [found([BOX, NEAR, FAR], [0.9, 0.8, 0.7], [0, 0, 0])])
    assert both["AP50"] == pytest.approx(1)
    assert both.boxes == 1
    missed = evaluate(data, [found([FAR], [0.7], [0])])
    assert missed["AP50"] == pytest.approx(1)


def test_a_small_detection_inside_a_box_is_excused_by_a_crowd_but_not_by_a_difficult_object():
    inside = [0.1, 0.1, 0.2, 0.2]
    detections = [found([inside, FAR], [0.9, 0.7], [0, 0])]
    crowd = Dataset([example([BOX, FAR], [0, 0], crowd=[True, False])], CLASSES)
    difficult = Dataset([example([BOX, FAR], [0, 0], difficult=[True, False])], CLASSES)
    assert evaluate(crowd, detections)["AP50"] == pytest.approx(1)
    assert evaluate(difficult, detections)["AP50"] == pytest.approx(0.5)


def test_an_overlap_of_exactly_one_half_counts_at_any_image_size():
    sizes = [(97, width) for width in range(50, 350)]
    whole = [[3 / h, 7 / w, 13 / h, 27 / w] for h, w in sizes]
    half = [[3 / h, 7 / w, 13 / h, 17 / w] for h, w in sizes]
    data = Dataset([example([box], [0], size) for box, size in zip(whole, sizes, strict=True)], CLASSES)
    detections = [found([box], [0.9], [0], size=size) for box, size in zip(half, sizes, strict=True)]
    assert evaluate(data, detections).per_class["duck"]["AP50"] == pytest.approx(1)


def test_the_annotations_area_decides_the_area_range():
    detections = [found([BOX], [0.9], [0])]  # 40 x 80 pixels: medium by its box
    by_box = evaluate(Dataset([example([BOX], [0])], CLASSES), detections)
    by_area = evaluate(Dataset([example([BOX], [0], area=[500.0])], CLASSES), detections)
    assert (by_box["APs"], by_box["APm"]) == (-1, pytest.approx(1))
    assert (by_area["APs"], by_area["APm"]) == (pytest.approx(1), -1)


def test_classes_are_matched_by_name():
    data = Dataset([example([BOX, FAR], [0, 1])], ("duck", "dog"))
    metrics = evaluate(data, [found([BOX, FAR, NEAR], [0.9, 0.8, 0.99], [1, 2, 0], ("moon", "duck", "dog"))])
    assert metrics["AP"] == pytest.approx(1)
    assert metrics.detections == 2
    assert metrics.warnings == ()


def test_a_class_that_the_detector_does_not_know_scores_zero_and_is_named():
    data = Dataset([example([BOX, FAR], [0, 1])], ("duck", "dog", "a class without boxes"))
    metrics = evaluate(data, [found([BOX], [0.9], [0], ("duck",))])
    assert metrics.per_class["dog"]["AP"] == 0
    assert metrics["AP"] == pytest.approx(0.5)
    assert metrics.warnings == ("the detector does not know these classes, they score 0: dog",)
    assert "Note: the detector does not know" in metrics.table()


def test_no_common_class_is_an_error_with_both_lists():
    data = Dataset([example([BOX], [0])], ("duck", "dog"))
    with pytest.raises(DataError) as error:
        evaluate(data, [found([BOX], [0.9], [0], ("Duck", "hand"))])
    assert str(error.value) == (
        "Model and dataset have no class in common.\n"
        "  got: model: Duck, hand\n"
        "  expected: dataset: duck, dog\n"
        "  fix: Classes are matched by name: rename them in the label map or in the annotations, "
        "or train the model on this dataset's classes."
    )


def test_detections_of_nothing_score_zero():
    data = Dataset([example([BOX], [0]), example()], CLASSES)
    metrics = evaluate(data, [found(), found()])
    assert metrics["AP"] == metrics["AR100"] == 0
    assert metrics.warnings == ()


def test_images_without_boxes_still_count_false_detections():
    data = Dataset([example([BOX], [0]), example()], CLASSES)
    metrics = evaluate(data, [found([BOX], [0.8], [0]), found([FAR], [0.9], [0])])
    assert metrics["AP50"] == pytest.approx(0.5)


def test_a_dataset_without_any_box_has_no_numbers_and_says_so():
    metrics = evaluate(Dataset([example()], CLASSES), [found([BOX], [0.9], [0])])
    assert set(metrics.values()) == {-1.0}
    assert metrics.warnings == ("the dataset has no boxes to find, so the numbers are undefined",)


def test_an_empty_dataset_is_an_error():
    with pytest.raises(DataError, match="the dataset has no images"):
        evaluate(Dataset([], CLASSES), [])


def test_another_number_of_detections_is_an_error():
    with pytest.raises(DataError, match="got: 0 detections for 1 images"):
        evaluate(Dataset([example([BOX], [0])], CLASSES), [])


@pytest.mark.parametrize(
    "boxes, scores", [([[np.nan, 0, 1, 1]], [0.5]), ([BOX], [np.nan]), ([[0, 0, np.inf, 1]], [0.5])]
)
def test_numbers_that_are_not_finite_are_an_error(boxes, scores):
    data = Dataset([example([BOX], [0], source="photos.json")], CLASSES)
    with pytest.raises(DataError, match=r"not a finite number.\n  where: photos.json image, detection 0"):
        evaluate(data, [found(boxes, scores, [0])])


@pytest.mark.parametrize("limits", [(), (0, 10), (10, 1), (1, 1), (1.5,)])
def test_limits_that_do_not_rise_from_one_are_an_error(limits):
    with pytest.raises(ConfigError, match="rising whole numbers"):
        evaluate(Dataset([example([BOX], [0])], CLASSES), [found()], max_detections=limits)


def test_average_precision_counts_up_to_the_last_limit():
    data = Dataset([example([BOX, FAR], [0, 0])], CLASSES)
    metrics = evaluate(data, [found([BOX, FAR], [0.9, 0.8], [0, 0])], max_detections=(1,))
    assert list(metrics) == ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "ARs", "ARm", "ARl"]
    assert metrics["AR1"] == metrics.per_class["duck"]["AR1"] == 0.5
    assert metrics["AP"] == pytest.approx(51 / 101)


def test_sizes_that_differ_hint_at_a_wrong_order():
    data = Dataset([example([BOX], [0])], CLASSES)
    metrics = evaluate(data, [found([BOX], [0.9], [0], size=(200, 100))])
    assert "1 images differ in size" in metrics.warnings[0]


def test_the_table_and_json_say_the_same():
    data = Dataset([example([BOX, FAR], [0, 1])], ("duck", "dog"))
    metrics = evaluate(data, [found([BOX], [0.9], [0])])
    table = metrics.table().splitlines()
    assert table[0] == "1 images, 2 boxes, 1 detections"
    assert table[2] == "AP      0.500   average precision at IoU 0.50 to 0.95"
    assert table[5] == "APs         -   average precision, small, up to 32 x 32 pixels"
    assert table[-2:] == ["duck   1.000  1.000  1.000      1", "dog    0.000  0.000  0.000      1"]
    written = json.loads(json.dumps(metrics.to_json()))
    assert written["AP"] == metrics["AP"]
    assert written["boxes"] == 2
    assert written["per_class"]["dog"] == {"AP": 0, "AP50": 0, "AR100": 0, "boxes": 1}


def test_the_dataset_layer_keeps_the_reference_numbers_to_six_digits(shared):
    folder = shared / "data" / "evalref"
    truth = folder / "instances_val2014_100.json"
    data = detkit.data.read(truth, format="coco", images=False)
    results = json.loads((folder / "instances_val2014_fakebbox100_results.json").read_text())
    metrics = evaluate(data, [detections_of(e, results, data) for e in data])
    expected = json.loads((folder / "expected_values.json").read_text())["instances_val2014_100 bbox"]
    assert dict(metrics) == pytest.approx(expected, abs=6e-7)


def detections_of(e, results, data):
    height, width = e.size
    mine = [r for r in results if r["image_id"] == e.image_id]
    corners = [(y, x, y + h, x + w) for x, y, w, h in (r["bbox"] for r in mine)]
    boxes = np.array(corners).reshape(-1, 4) / [height, width, height, width]
    class_ids = [data.label_ids.index(r["category_id"]) for r in mine]
    return found(boxes, [r["score"] for r in mine], class_ids, data.classes, e.size)
