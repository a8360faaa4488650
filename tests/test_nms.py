"""Non-maximum suppression against a literal reference: class by class, box by box, in exact arithmetic."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detkit import nms
from detkit.errors import DataError


def iou(a, b) -> Fraction:
    """Of two boxes of whole numbers; 0 where both are empty."""
    height = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    width = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - height * width
    return Fraction(height * width, union) if union else Fraction(0)


def reference(boxes, scores, iou_threshold, score_threshold, max_per_class, max_total, keep):
    """[(box, class), ...] as the OD API does it: every class alone, then all by falling score."""
    boxes = [list(map(int, box)) for box in boxes]
    everything = []
    for class_id in range(scores.shape[1]):
        chosen = []
        for row in sorted(range(len(boxes)), key=lambda i: (-scores[i, class_id], i)):
            if scores[row, class_id] <= score_threshold or len(chosen) == max_per_class:
                break
            if all(iou(boxes[row], boxes[other]) <= iou_threshold for other in chosen):
                chosen.append(row)
        everything += [(row, class_id) for row in chosen]
    # Stable: the lower class comes first, then the lower index.
    ordered = sorted(everything, key=lambda pair: -scores[pair])
    return [pair for pair in ordered if keep[pair[0]]][:max_total]


@st.composite
def problems(draw):
    """Boxes on a small grid, many equal, touching or empty; few different scores, so that many tie."""
    count, classes = draw(st.integers(0, 24)), draw(st.integers(1, 5))
    seed, levels, grid = draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 12)), draw(st.integers(1, 6))
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, grid + 1, (count, 2, 2))
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
    scores = (rng.integers(0, levels + 1, (count, classes)) / 16).astype(np.float32)
    limits = {
        "iou_threshold": draw(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])),
        "score_threshold": draw(st.sampled_from([0.0, 1 / 16, 0.25])),
        "max_per_class": draw(st.integers(1, 8)),
        "max_total": draw(st.integers(1, 30)),
    }
    return boxes, scores, limits, rng.random(count) < draw(st.sampled_from([0.5, 1.1]))


def pairs(found) -> list:
    return list(zip(found[0].tolist(), found[1].tolist(), strict=True))


@given(problems())
@settings(max_examples=300, deadline=None)
def test_equals_the_literal_reference(problem):
    boxes, scores, limits, keep = problem
    found = nms.class_wise(boxes, scores, keep=keep, **limits)
    assert pairs(found) == reference(boxes, scores, keep=keep, **limits)


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_reference_beyond_the_first_chunk(seed):
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 40, (120, 2, 2))
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1) + 1], axis=1).astype(np.float32)
    scores = (rng.integers(0, 50, (120, 90)) / 64).astype(np.float32)  # 10,800 pairs with large ties
    limits = {"iou_threshold": 0.25, "score_threshold": 0.0, "max_per_class": 4, "max_total": 500}
    keep = rng.random(120) < 0.7
    found = nms.class_wise(boxes, scores, keep=keep, **limits)
    assert pairs(found) == reference(boxes, scores, keep=keep, **limits)


def test_ties_beyond_the_first_chunk_stay_in_order():
    boxes = np.array([[0, i, 1, i + 1] for i in range(3000)], np.float32)
    rows, class_ids = nms.class_wise(boxes, np.full((3000, 1), 0.5), max_per_class=3000, max_total=3000)
    assert rows.tolist() == list(range(3000))
    assert set(class_ids.tolist()) == {0}


def test_no_boxes_no_detections():
    for shape in ((0, 3), (4, 3)):
        rows, class_ids = nms.class_wise(np.zeros((shape[0], 4)), np.zeros(shape))
        assert rows.shape == class_ids.shape == (0,)


def test_scores_must_exceed_the_threshold():
    boxes, scores = [[0, 0, 1, 1], [2, 2, 3, 3]], [[0.5], [0.25]]
    assert pairs(nms.class_wise(boxes, scores, score_threshold=0.25)) == [(0, 0)]


def test_an_iou_equal_to_the_threshold_does_not_suppress():
    boxes = [[0, 0, 2, 1], [0, 0, 1, 1]]  # IoU exactly one half
    assert len(nms.class_wise(boxes, [[0.9], [0.8]], iou_threshold=0.5)[0]) == 2
    assert len(nms.class_wise(boxes, [[0.9], [0.8]], iou_threshold=0.49)[0]) == 1


def test_a_box_of_another_class_does_not_suppress():
    boxes = [[0, 0, 1, 1], [0, 0, 1, 1]]
    assert pairs(nms.class_wise(boxes, [[0.9, 0.0], [0.0, 0.8]])) == [(0, 0), (1, 1)]


def test_a_masked_box_suppresses_but_is_not_returned():
    boxes = [[0, 0, 1, 1], [0, 0, 1, 0.9], [5, 5, 6, 6]]
    found = nms.class_wise(boxes, [[0.9], [0.8], [0.7]], keep=np.array([False, True, True]))
    assert pairs(found) == [(2, 0)]


def test_equal_boxes_keep_the_first():
    assert pairs(nms.class_wise([[0, 0, 1, 1]] * 4, [[0.5]] * 4)) == [(0, 0)]


@pytest.mark.parametrize(
    ("boxes", "scores", "text"),
    [
        ([[0, 0, 1, 1], [2, 2, 3, 3]], [[np.nan], [0.5]], "A score is not a number"),
        ([[0, 0, 1, np.inf]], [[0.5]], "A box is not a number"),
        ([[0, 0, 1]], [[0.5]], "do not fit together"),
        ([[0, 0, 1, 1]], [0.5], "do not fit together"),
        (np.zeros((2, 3, 4)), np.zeros((2, 2)), "do not fit together"),
        (np.zeros(4), np.zeros((4, 1)), "do not fit together"),
    ],
)
def test_refuses(boxes, scores, text):
    with pytest.raises(DataError, match=text):
        nms.class_wise(boxes, scores)


@given(problems())
@settings(max_examples=60, deadline=None)
def test_greedy_equals_the_literal_reference(problem):
    boxes, scores, limits, _ = problem
    rng = np.random.default_rng(len(boxes))
    class_ids, total = rng.integers(0, 3, len(boxes)), limits["max_total"]
    given_scores = scores[:, 0]
    options = {"iou_threshold": limits["iou_threshold"], "score_threshold": limits["score_threshold"]}
    alone = reference(boxes, scores[:, :1], **options, max_per_class=99, max_total=total, keep=[True] * len(boxes))
    assert nms.greedy(boxes, given_scores, **options, max_total=total).tolist() == [row for row, _ in alone]
    own = np.where(class_ids[:, None] == np.arange(3), given_scores[:, None], -1)
    each = reference(boxes, own, **options, max_per_class=99, max_total=99, keep=[True] * len(boxes))
    found = nms.greedy(boxes, given_scores, class_ids, **options).tolist()
    assert set(found) == {row for row, _ in each}
    assert found == sorted(found, key=lambda row: (-given_scores[row], row))


def test_greedy_refuses_other_class_ids():
    for class_ids in ([0.5], [-1], [0, 1]):
        with pytest.raises(DataError):
            nms.greedy([[0, 0, 1, 1]], [0.5], class_ids)
    assert nms.greedy([], []).tolist() == []


def test_many_rows_with_large_ties_equal_one_class_after_another():
    rng = np.random.default_rng(1)
    corners = rng.integers(0, 30, (2500, 2, 2))
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1) + 1], axis=1).astype(np.float32)
    scores = (rng.integers(0, 40, (2500, 3)) / 64).astype(np.float32)
    separate = [(row, k) for k in range(3) for row in nms.greedy(boxes, scores[:, k], score_threshold=0.1).tolist()]
    expected = sorted(separate, key=lambda pair: -scores[pair])
    assert pairs(nms.class_wise(boxes, scores, score_threshold=0.1, max_per_class=9999, max_total=9999)) == expected


def test_a_batch_is_each_image_alone():
    rng = np.random.default_rng(2)
    boxes = np.sort(rng.random((3, 20, 2, 2)), axis=2).reshape(3, 20, 4)
    scores = rng.random((3, 20, 4))
    found = nms.class_wise_batch(boxes, scores, iou_threshold=0.3)
    assert [pairs(each) for each in found] == [
        pairs(nms.class_wise(*each, iou_threshold=0.3)) for each in zip(boxes, scores, strict=True)
    ]
    with pytest.raises(DataError, match="number of images"):
        nms.class_wise_batch(boxes, scores[:2])


def test_crowded_boxes_take_little_memory():
    rng = np.random.default_rng(3)
    centres = rng.random((8000, 2))
    boxes = np.concatenate([centres, centres + 0.2], axis=1)
    tracemalloc.start()
    nms.greedy(boxes, rng.random(8000), iou_threshold=0.9)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20  # a matrix of all pairs would take 64 MB, even of one byte each


def test_arguments_are_not_changed():
    boxes, scores = np.random.default_rng(0).random((2, 50, 4), np.float32)
    copies = boxes.copy(), scores.copy()
    nms.class_wise(boxes, scores)
    assert np.array_equal(boxes, copies[0]) and np.array_equal(scores, copies[1])


@given(problems(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_boxes_of_their_own_for_every_class(problem, seed):
    _, scores, limits, _ = problem
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.integers(0, 6, (*scores.shape, 2, 2)), axis=2)
    boxes = corners.reshape(*scores.shape, 4).astype(np.float32)
    keep = rng.random(scores.shape) < 0.7
    separate = []
    for class_id in range(scores.shape[1]):
        alone = scores[:, class_id : class_id + 1]
        each = nms.class_wise(boxes[:, class_id], alone, **limits | {"max_total": 1000}, keep=keep[:, class_id])
        separate += [(row, class_id) for row in each[0].tolist()]
    expected = sorted(separate, key=lambda pair: -scores[pair])[: limits["max_total"]]
    assert pairs(nms.class_wise(boxes, scores, **limits, keep=keep)) == expected


def test_one_box_for_all_classes_in_either_form():
    rng = np.random.default_rng(0)
    boxes = np.sort(rng.random((20, 2, 2)), axis=1).reshape(20, 4).astype(np.float32)
    scores, keep = rng.random((20, 4)).astype(np.float32), rng.random(20) < 0.7
    flat = nms.class_wise(boxes, scores, keep=keep)
    assert pairs(nms.class_wise(boxes[:, None], scores, keep=keep[:, None])) == pairs(flat)


@pytest.mark.parametrize(("common", "threshold"), [(117, 0.65), (221, 0.65), (3, 0.6), (7, 0.7), (1, 1 / 3)])
def test_an_iou_equal_to_the_threshold_in_float32_does_not_suppress(common, threshold):
    """Multiplied out, 117 > 0.65 * 180 is true: rounded, 0.65 is a little less."""
    whole = round(common / threshold)
    boxes = [[0, 0, 1, whole], [0, 0, 1, common]]
    assert nms.greedy(boxes, [0.9, 0.8], iou_threshold=threshold).tolist() == [0, 1]
    assert nms.greedy(boxes, [0.9, 0.8], iou_threshold=threshold - 1e-4).tolist() == [0]


def test_no_classes():
    rows, classes = nms.class_wise(np.zeros((2000, 4)), np.zeros((2000, 0)))
    assert len(rows) == len(classes) == 0
