"""Counts and sizes of a dataset's objects, against counting one by one."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detkit import boxes as box_math
from detkit import data
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.data.overview.stats import stats

CLASSES = ("duck", "boat", "fish")


def example(boxes=(), class_ids=(), size=(100, 200), **more) -> Example:
    return Example(f"{len(boxes)}.jpg", list(boxes), list(class_ids), size, **more)


def dataset(*examples, classes=CLASSES) -> Dataset:
    return Dataset(examples, classes, name="pond")


@st.composite
def datasets(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    examples = []
    for _ in range(draw(st.integers(0, 6))):
        n = draw(st.integers(0, 5))
        low = rng.uniform(0, 0.8, (n, 2))
        boxes = np.concatenate([low, low + rng.uniform(0.01, 0.2, (n, 2))], axis=1)
        marks = {"crowd": rng.random(n) < 0.2, "difficult": rng.random(n) < 0.2}
        size = draw(st.sampled_from([(100, 200), (300, 400), (64, 48)]))
        labels = rng.choice(3, rng.integers(0, 3), replace=False)
        examples.append(example(boxes, rng.integers(0, 3, n), size, image_labels=labels, **marks))
    return dataset(*examples)


def one_by_one(pictures: Dataset):
    """(picture, row, example) of every object that counts."""
    for number, each in enumerate(pictures):
        for row in range(len(each)):
            if not each.crowd[row] and not each.difficult[row]:
                yield number, row, each


@settings(max_examples=40, deadline=None)
@given(datasets())
def test_counts(pictures):
    found, rows = stats(pictures), list(one_by_one(pictures))
    classes = Counter(int(each.class_ids[row]) for _, row, each in rows)
    assert found.objects == len(rows)
    assert found.boxes == sum(map(len, pictures))
    assert found.crowd == sum(int(each.crowd.sum()) for each in pictures)
    assert found.difficult == sum(int(each.difficult.sum()) for each in pictures)
    assert found.per_class.tolist() == [classes[n] for n in range(3)]
    assert found.per_image.tolist() == [sum(n == number for n, *_ in rows) for number in range(len(pictures))]
    having = {(number, int(each.class_ids[row])) for number, row, each in rows}
    assert found.images_per_class.tolist() == [sum(c == n for _, c in having) for n in range(3)]
    assert found.labels.tolist() == [sum(n in each.image_labels for each in pictures) for n in range(3)]
    pairs = Counter(pair for pair in combinations(range(3), 2) for n in range(len(pictures)) if _both(pair, n, having))
    assert {(a, b): n for a, b, n in found.together} == dict(pairs)
    assert [n for *_, n in found.together] == sorted(pairs.values(), reverse=True)


def _both(pair, number, having):
    return all((number, class_id) in having for class_id in pair)


@settings(max_examples=40, deadline=None)
@given(datasets(), st.booleans())
def test_sizes_and_places(pictures, squeezed):
    found = stats(pictures, (lambda size: (320, 160)) if squeezed else None)
    rows = list(one_by_one(pictures))
    for n, (_, row, each) in enumerate(rows):
        ymin, xmin, ymax, xmax = map(float, each.boxes[row])
        height, width = (320, 160) if squeezed else each.size
        sides = ((ymax - ymin) * height, (xmax - xmin) * width)
        np.testing.assert_allclose(found.sides[n], sides, rtol=1e-4)
        np.testing.assert_allclose(found.aspect_ratios[n], sides[1] / sides[0], rtol=1e-4)
        area = sides[0] * sides[1]
        if min(abs(area / 32**2 - 1), abs(area / 96**2 - 1)) > 1e-3:
            assert found.size_ids[n] == (area >= 32**2) + (area >= 96**2)
    cells = np.zeros((32, 32), int)
    for _, row, each in rows:
        ymin, xmin, ymax, xmax = each.boxes[row]
        cells[int((ymin + ymax) / 2 * 32), int((xmin + xmax) / 2 * 32)] += 1
    assert (found.centre_counts == cells).all()


@settings(max_examples=25, deadline=None)
@given(datasets())
def test_overlaps_are_with_the_anchors_of_each_picture(pictures):
    def anchors_of(size):
        rng = np.random.default_rng(size)
        low = rng.uniform(-5, 40, (30, 2))
        return np.concatenate([low, low + rng.uniform(2, 40, (30, 2))], axis=1)

    found = stats(pictures, lambda size: (64, 64), anchors_of)
    rows = list(one_by_one(pictures))
    expected = [box_math.iou(each.boxes[[row]] * 64, anchors_of(each.size)).max() for _, row, each in rows]
    np.testing.assert_allclose(found.overlaps, expected, atol=1e-5)
    worst = sorted((overlap, each.label, row) for overlap, (_, row, each) in zip(expected, rows, strict=True))
    worst = [entry for entry in worst if entry[0] < 0.5][:20]
    assert [each.overlap for each in found.unmatched] == pytest.approx([overlap for overlap, *_ in worst], abs=1e-5)
    if rows:
        assert found.recall() == np.mean(np.array(expected) >= 0.5)
        assert found.recall(0.2, slice(1)) == float(expected[0] >= 0.2)


def test_the_objects_that_no_anchor_matches_are_named():
    whole = np.array([[0.0, 0.0, 64.0, 64.0]])
    boxes = [(0, 0, 1, 1), (0.5, 0.5, 0.6, 0.7), (0, 0, 0.5, 0.5)]
    pictures = dataset(example(boxes, [0, 1, 2], crowd=[True, False, False]))
    found = stats(pictures, lambda size: (64, 64), lambda size: whole)
    small, large = found.unmatched
    assert (small.image, small.box, small.class_name) == ("3.jpg", 1, "boat")
    assert small.size == pytest.approx((6.4, 12.8), rel=1e-4) and small.overlap == pytest.approx(0.02, rel=1e-3)
    assert (large.box, large.overlap) == (2, 0.25)
    assert found.anchors == 1
    assert "0.0% of the objects have an anchor" in found.table()
    assert "  3.jpg  box 1  boat  6.4 x 12.8  IoU 0.02" in found.table()


def test_anchors_are_asked_for_once_a_size():
    asked, shared = [], np.array([[0.0, 0.0, 8.0, 8.0]])
    pictures = [example([(0, 0, 0.5, 0.5)], [0], size) for size in ((10, 20), (30, 20), (20, 10), (10, 20))]
    found = stats(dataset(*pictures), lambda size: (16, 16), lambda size: asked.append(size) or shared)
    assert found.overlaps.tolist() == [1.0] * 4
    assert sorted(asked) == [(10, 20), (20, 10), (30, 20)]


def test_what_else_is_there_is_counted():
    boxes, outline = [(0, 0, 0.5, 0.5), (0, 0, 0.6, 0.6), (0, 0, 0.7, 0.7)], [[0.0, 0, 9, 0, 9, 9]]
    points = np.full((3, 1, 2), 0.1)
    pictures = dataset(
        example(boxes, [0] * 3, segmentations=[outline, None, outline], difficult=[False, False, True],
                keypoints=points, keypoint_visibility=[[2], [0], [2]]),
        example(image_labels=[2], class_map=np.zeros((100, 200), np.uint8)),
    )  # fmt: skip
    found = stats(pictures)
    assert (found.masks, found.keypoints, found.labelled, found.class_maps) == (1, 1, 1, 1)
    head = found.table().splitlines()
    assert head[0] == "pond: 2 images, 3 boxes (1 difficult: not counted below), 3 classes"
    assert "1 images without objects" in head and "1 images with class maps" in head


def test_pictures_are_not_opened(tmp_path):
    there = [Example(tmp_path / "missing.jpg", [(0, 0, 1, 1)], [0], (10, 10))]
    assert stats(dataset(*there)).objects == 1


@settings(max_examples=20, deadline=None)
@given(datasets(), st.booleans())
def test_json_is_plain_and_whole(pictures, anchored):
    anchors = (lambda size: np.array([[0.0, 0.0, 9.0, 9.0]])) if anchored else None
    found = stats(pictures, anchors=anchors)
    written = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert written["objects"] == found.objects == sum(written["sizes"].values())
    assert sum(row["objects"] for row in written["per_class"].values()) == found.objects
    assert (written["anchors"] is None) == (not anchored)
    if found.objects:
        assert written["sides"]["median"] == pytest.approx(np.median(found.mean_sides), rel=1e-4)
    assert found.table()


@pytest.mark.parametrize("classes", [(), CLASSES])
def test_a_dataset_without_anything(classes):
    found = stats(dataset(classes=classes), lambda size: (8, 8), lambda size: np.zeros((0, 4)))
    assert (found.images, found.boxes, found.objects, found.anchors) == (0, 0, 0, 0)
    assert np.isnan(found.recall()) and found.to_json()["sides"] is None
    assert found.table().startswith(f"pond: 0 images, 0 boxes, {len(classes)} classes")


def test_pictures_without_objects():
    found = stats(dataset(example(), example()), None, lambda size: np.ones((0, 4)))
    assert found.per_image.tolist() == [0, 0] and found.overlaps.tolist() == []
    assert found.to_json()["images_without_objects"] == 2


def test_the_table_names_classes_by_falling_number():
    boxes = [(0, 0, 0.5, 0.5)] * 3
    table = data.stats(dataset(example(boxes, [2, 0, 2]))).table().splitlines()
    rows = [line.split()[:3] for line in table if line.split()[:1] and line.split()[0] in CLASSES]
    assert rows == [["fish", "2", "66.7%"], ["duck", "1", "33.3%"], ["boat", "0", "0.0%"]]


def test_the_table_of_labels_only_is_of_labels():
    table = stats(dataset(example(image_labels=[0, 2]), example(image_labels=[2]))).table()
    assert "2 images with labels" in table and "object height" not in table and "pixels" not in table
    rows = [line.split() for line in table.splitlines() if line.split()[:1] and line.split()[0] in CLASSES]
    assert rows == [["duck", "1"], ["boat", "0"], ["fish", "2"]]
