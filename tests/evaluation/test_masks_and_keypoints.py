"""COCO metrics of masks and keypoints: pycocotools' numbers."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detkit import api, masks
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.detections import Detections
from detkit.errors import ConfigError, DataError
from detkit.evaluation.coco import evaluate, evaluate_all, evaluate_files
from detkit.inference.sinks import coco_entries

CLASSES = ("duck", "dog")
KEYPOINT_NUMBERS = ["AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl"]


def ellipse(rng, size) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    centre, radii = rng.uniform(0.25, 0.75, 2) * size, rng.uniform(4, 60, 2)
    return ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 < 1


def box_of(mask, size):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]) / np.tile(size, 2)


def random_example(rng, image_id: int, keypoints: int) -> Example:
    size = int(rng.integers(120, 260)), int(rng.integers(120, 260))
    shapes = [ellipse(rng, size) for _ in range(rng.integers(0, 5))]
    boxes = np.array([box_of(shape, size) for shape in shapes]).reshape(-1, 4)
    points = boxes[:, None, :2] + rng.random((len(boxes), keypoints, 2)) * (boxes[:, 2:] - boxes[:, :2])[:, None]
    visibility = rng.integers(0, 3, points.shape[:2])
    visibility[rng.random(len(boxes)) < 0.3] = 0
    return Example(
        np.zeros((*size, 3), np.uint8),
        boxes,
        rng.integers(0, 2, len(boxes)),
        size,
        crowd=rng.random(len(boxes)) < 0.2,
        area=[shape.sum() for shape in shapes],
        image_id=image_id,
        segmentations=[masks.encode(shape, (0, 0), size) for shape in shapes],
        keypoints=points,
        keypoint_visibility=visibility,
    )


def random_detections(rng, example: Example) -> Detections:
    """Shifted objects and some of nothing, with few scores, so that there are ties."""
    order = rng.permutation(np.repeat(np.arange(len(example)), 2))
    shift = rng.normal(0, 0.02, (len(order), 1, 2))
    boxes = (example.boxes[order].reshape(-1, 2, 2) + shift).reshape(-1, 4)
    shapes = [masks.decode(example.segmentations[i], example.size) for i in order]
    pixels = [example.boxes[i] * np.tile(example.size, 2) for i in order]
    stretched = [masks.stretch(s, b, 28) / 255 for s, b in zip(shapes, pixels, strict=True)]
    return Detections(
        boxes,
        rng.integers(1, 6, len(order)) / 8,
        rng.integers(0, 2, len(order)),
        CLASSES,
        example.size,
        masks=np.array(stretched, np.float32).reshape(-1, 28, 28),
        keypoints=example.keypoints[order] + shift + rng.normal(0, 0.01, (len(order), *example.keypoints.shape[1:])),
        keypoint_scores=rng.random((len(order), example.keypoints.shape[1])),
    )


def random_case(seed: int, keypoints: int = 17):
    rng = np.random.default_rng(seed)
    examples = [random_example(rng, int(i), keypoints) for i in rng.permutation(5)]
    return Dataset(examples, CLASSES), [random_detections(rng, each) for each in examples]


def as_files(tmp_path, data: Dataset, detections, drop=("bbox",)):
    """Both as COCO files, the results without some keys."""
    annotations, entries = [], []
    for e, d in zip(data, detections, strict=True):
        entries += coco_entries(d, (1, 2), e.image_id)
        for n in range(len(e)):
            points = np.column_stack([e.keypoints[n][:, ::-1] * e.size[::-1], e.keypoint_visibility[n]])
            box = e.boxes[n].astype(float) * np.tile(e.size, 2)
            annotations.append({
                "id": len(annotations) + 1,
                "image_id": e.image_id,
                "category_id": int(e.class_ids[n]) + 1,
                "bbox": np.round([box[1], box[0], box[3] - box[1], box[2] - box[0]], 3).tolist(),
                "area": float(e.area[n]),
                "iscrowd": int(e.crowd[n]),
                "segmentation": e.segmentations[n],
                "keypoints": np.round(points, 3).ravel().tolist(),
                "num_keypoints": int(np.count_nonzero(e.keypoint_visibility[n])),
            })  # fmt: skip
    truth = {
        "images": [{"id": e.image_id, "height": e.size[0], "width": e.size[1]} for e in data],
        "annotations": annotations,
        "categories": [{"id": k, "name": name} for k, name in enumerate(data.classes, 1)],
    }
    results = [{key: value for key, value in entry.items() if key not in drop} for entry in entries]
    tmp_path.mkdir(exist_ok=True)
    paths = tmp_path / "truth.json", tmp_path / "results.json"
    for path, value in zip(paths, (truth, results), strict=True):
        path.write_text(json.dumps(value))
    return paths


def plain_pycocotools(truth, results, kind):
    ground_truth = COCO(str(truth))
    evaluation = COCOeval(ground_truth, ground_truth.loadRes(str(results)), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["masks", "keypoints"])
def test_every_number_equals_plain_pycocotools(kind, seed, tmp_path, capsys):
    data, detections = random_case(seed)
    drop = ("bbox", "segmentation" if kind == "keypoints" else "keypoints")
    paths = as_files(tmp_path, data, detections, drop)
    expected = plain_pycocotools(*paths, "segm" if kind == "masks" else "keypoints")
    capsys.readouterr()
    assert expected[0] > 0.05
    for metrics in (evaluate(data, detections, kind=kind), evaluate_files(*paths, kind=kind)):
        assert metrics.kinds == (kind,)
        assert list(metrics.values()) == pytest.approx(expected, abs=1e-9)
        assert kind == "masks" or list(metrics) == KEYPOINT_NUMBERS
    assert capsys.readouterr() == ("", "")


def test_results_with_boxes_sort_masks_by_the_area_of_their_boxes_as_pycocotools_does(tmp_path, capsys):
    data, detections = random_case(7)
    paths = as_files(tmp_path, data, detections, drop=("keypoints",))
    expected = plain_pycocotools(*paths, "segm")
    assert list(evaluate_files(*paths, kind="masks").values()) == pytest.approx(expected, abs=1e-9)


def test_the_reference_numbers_of_masks_come_out_to_six_digits(shared):
    folder = shared / "data" / "evalref"
    expected = json.loads((folder / "expected_values.json").read_text())["instances_val2014_100 segm"]
    paths = folder / "instances_val2014_100.json", folder / "instances_val2014_fakesegm100_results.json"
    assert dict(evaluate_files(*paths, kind="masks")) == pytest.approx(expected, abs=6e-7)


def perfect(data: Dataset) -> list[Detections]:
    found = []
    for e in data:
        pixels = e.boxes * np.tile(e.size, 2)
        stretched = [masks.stretch(m, b, 112) / 255 for m, b in zip(e.masks(), pixels, strict=True)]
        scores, shapes = np.linspace(1, 0.5, len(e)), np.array(stretched).reshape(-1, 112, 112)
        ones = np.ones(e.keypoints.shape[:2])
        found.append(Detections(e.boxes, scores, e.class_ids, CLASSES, e.size, "", shapes, e.keypoints, ones))
    return found


@pytest.mark.parametrize("keypoints", [17, 5])
def test_perfect_masks_and_keypoints_score_one(keypoints):
    data, _ = random_case(3, keypoints)
    metrics = evaluate_all(data, perfect(data))
    assert metrics.kinds == ("boxes", "masks", "keypoints")
    # A mask comes back through its 112 x 112 cells, which costs the smallest ones a pixel.
    assert metrics["AP"] == pytest.approx(1) and metrics["mask_AP"] > 0.95
    assert metrics["keypoint_AP"] == pytest.approx(1)


def test_all_kinds_are_one_table():
    data, detections = random_case(0)
    metrics = evaluate_all(data, detections)
    parts = {"": "boxes", "mask_": "masks", "keypoint_": "keypoints"}
    for prefix, kind in parts.items():
        alone = evaluate(data, detections, kind=kind)
        assert {name: metrics[prefix + name] for name in alone} == dict(alone)
        for name in CLASSES:
            assert metrics.per_class[name][prefix + "AP"] == alone.per_class[name]["AP"]
    assert metrics.per_class["duck"]["boxes"] == evaluate(data, detections).per_class["duck"]["boxes"]
    table = metrics.table()
    assert "average precision of masks at IoU 0.50 to 0.95" in table
    assert "average recall of keypoints at OKS 0.75" in table and "average precision at IoU 0.50" in table
    written = json.loads(json.dumps(metrics.to_json()))
    assert written["mask_AP"] == metrics["mask_AP"] and written["kinds"] == list(parts.values())


def without(detections, *names):
    return [
        Detections(
            d.boxes,
            d.scores,
            d.class_ids,
            d.classes,
            d.size,
            "",
            **{name: getattr(d, name) for name in ("masks", "keypoints", "keypoint_scores") if name not in names},
        )  # fmt: skip
        for d in detections
    ]


def test_only_what_both_sides_have_is_evaluated(tmp_path):
    data, detections = random_case(0)
    boxes = without(detections, "masks", "keypoints", "keypoint_scores")
    assert evaluate_all(data, boxes).kinds == ("boxes",)
    assert evaluate_all(data, without(detections, "masks")).kinds == ("boxes", "keypoints")
    paths = as_files(tmp_path, data, detections, drop=("keypoints",))
    metrics = evaluate_files(*paths)
    assert metrics.kinds == ("boxes", "masks") and metrics["mask_AP"] == evaluate_files(*paths, kind="masks")["AP"]
    assert evaluate_files(*as_files(tmp_path, data, detections, drop=("bbox",))).kinds == ("masks", "keypoints")


def test_another_number_of_keypoints():
    data, detections = random_case(0)
    other = [Detections(d.boxes, d.scores, d.class_ids, CLASSES, d.size, keypoints=d.keypoints[:, :5],
                        keypoint_scores=d.keypoint_scores[:, :5]) for d in detections]  # fmt: skip
    with pytest.raises(DataError, match="differ in the number of keypoints(.|\n)*got: 5\n  expected: 17"):
        evaluate(data, other, kind="keypoints")
    metrics = evaluate_all(data, other)
    assert metrics.kinds == ("boxes",) and "keypoints are not evaluated" in metrics.warnings[-1]


def test_objects_without_a_mask_are_ignored():
    mask = np.zeros((100, 100), bool)
    mask[10:40, 10:60] = True
    boxes = [[0.1, 0.1, 0.4, 0.6], [0.5, 0.5, 0.9, 0.9]]
    pixels, rle = np.zeros((100, 100, 3), np.uint8), masks.encode(mask, (0, 0), (100, 100))
    data = Dataset([Example(pixels, boxes, [0, 0], (100, 100), segmentations=[rle, None])], CLASSES)
    found = Detections(boxes, [0.8, 0.9], [0, 0], CLASSES, (100, 100), masks=np.ones((2, 4, 4)))
    metrics = evaluate(data, [found], kind="masks")
    assert metrics["AP"] == pytest.approx(1) and metrics.boxes == 1


def test_masks_or_keypoints_that_are_not_there_are_errors():
    data, detections = random_case(0)
    bare = Dataset([Example(e.image, e.boxes, e.class_ids, e.size) for e in data], CLASSES)
    for kind in ("masks", "keypoints"):
        with pytest.raises(DataError, match=f"The dataset has no {kind} to compare with"):
            evaluate(bare, detections, kind=kind)
        with pytest.raises(DataError, match=f"These detections have no {kind}"):
            evaluate(data, without(detections, kind), kind=kind)
    with pytest.raises(ConfigError, match="no such evaluation(.|\n)*got: 'mask'\n  expected: boxes, masks, keypoints"):
        evaluate(data, detections, kind="mask")


BAD_FILES = {
    "no mask": ("results", lambda e: e.pop("segmentation"), 'no "segmentation"'),
    "broken mask": ("results", lambda e: e["segmentation"].update(counts="!"), r"counts of an RLE.*\n.*results.json, "),
    "broken annotation": ("truth", lambda e: e.update(segmentation=[[1, 2]]), r"under 3 points.*\n.*annotations\[0\]"),
    "no keypoints": ("results", lambda e: e.pop("keypoints"), 'no "keypoints"'),
    "odd keypoints": ("results", lambda e: e.update(keypoints=[1, 2]), "Keypoints are three numbers each"),
    "other keypoints": ("results", lambda e: e.update(keypoints=[1, 2, 1]), "differ in the number of keypoints"),
    "keypoint NaN": ("truth", lambda e: e.update(keypoints=[float("nan")] * 51), "must be a finite number"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_entries_are_errors(case, tmp_path):
    which, change, message = BAD_FILES[case]
    paths = dict(zip(("truth", "results"), as_files(tmp_path, *random_case(1)), strict=True))
    document = json.loads(paths[which].read_text())
    change(document[0] if which == "results" else document["annotations"][0])
    paths[which].write_text(json.dumps(document))
    kind = "keypoints" if "keypoint" in case else "masks"
    with pytest.raises(DataError, match=message):
        evaluate_files(paths["truth"], paths["results"], kind=kind)


def test_masks_need_the_size_of_their_image(tmp_path):
    truth, results = as_files(tmp_path, *random_case(1))
    document = json.loads(truth.read_text())
    for image in document["images"]:
        del image["height"]
    truth.write_text(json.dumps(document))
    with pytest.raises(DataError, match="has no size(.|\n)*height and width"):
        evaluate_files(truth, results, kind="masks")


def test_evaluating_a_detector_reports_all_that_it_finds(tmp_path):
    data, detections = random_case(0)
    detector = SimpleNamespace(classes=CLASSES, detect_stream=lambda images: iter(detections))
    metrics = api.evaluate(detector, data, results=tmp_path / "results.json", show_progress=False)
    assert {"AP", "mask_AP", "mask_AP50", "keypoint_AP"} <= set(metrics)
    truth, _ = as_files(tmp_path / "files", data, detections)
    again = evaluate_files(truth, tmp_path / "results.json")
    names = ("AP", "AP50", "AR100", "mask_AP", "mask_AP75", "mask_AR100", "keypoint_AP", "keypoint_AR")
    assert [again[name] for name in names] == pytest.approx([metrics[name] for name in names], abs=1e-6)
