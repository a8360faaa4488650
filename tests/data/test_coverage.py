"""The best anchor for each object, against trying all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detkit import boxes as box_math
from detkit.data.overview.coverage import AnchorIndex


def tried(boxes, anchors):
    """The slow way: every anchor for every box."""
    return box_math.iou(boxes, anchors).max(axis=1) if len(anchors) else np.zeros(len(boxes))


def lattice(rows, columns, stride, shape, offset=0.0):
    """[rows * columns, 4]: a shape at every crossing."""
    axes = np.meshgrid(np.arange(rows) * stride + offset, np.arange(columns) * stride + offset, indexing="ij")
    centres, half = np.stack(axes, axis=-1).reshape(-1, 2), np.array(shape) / 2
    return np.concatenate([centres - half, centres + half], axis=1)


def random_boxes(rng, n, low=0.0, high=128.0):
    corners = np.sort(rng.uniform(low, high, (n, 2, 2)), axis=1)
    return np.concatenate([corners[:, 0], corners[:, 1] + 0.1], axis=1)


lattices = st.builds(
    lattice,
    st.integers(1, 6),
    st.integers(1, 6),
    st.sampled_from([4, 7.5, 16]),
    st.tuples(st.floats(1, 90), st.floats(1, 90)),
    st.sampled_from([0.0, 8.0, 3.25]),
)


windows = st.none() | st.tuples(st.floats(-9, 9), st.floats(-9, 9), st.floats(20, 128), st.floats(20, 128))


@settings(max_examples=80, deadline=None)
@given(st.lists(lattices, max_size=3), st.integers(0, 12), windows, st.integers(0, 2**16))
def test_the_best_overlap_is_that_of_all_anchors(parts, others, window, seed):
    rng = np.random.default_rng(seed)
    anchors = rng.permutation(np.concatenate([*parts, random_boxes(rng, others)]))
    boxes = random_boxes(rng, 30)
    index = AnchorIndex(anchors, window)
    expected = tried(boxes, anchors if window is None else box_math.clip(anchors, window))
    assert len(index) == len(anchors)
    assert index.best_overlaps(boxes).dtype == np.float32
    np.testing.assert_allclose(index.best_overlaps(boxes), expected, atol=1e-4)


def test_of_anchors_that_are_clipped_the_best_is_found_too():
    rng, window = np.random.default_rng(0), (0, 0, 160, 240)
    shapes = [(scale / ratio, scale * ratio) for scale in (16, 64, 256) for ratio in (0.7, 1, 1.4)]
    anchors = np.concatenate([lattice(10, 15, 16, shape) for shape in shapes])
    low = rng.uniform(0, 1, (3000, 2))
    boxes = np.concatenate([low, low + (1.001 - low) * rng.uniform(0, 1, (3000, 2))], axis=1) * [160, 240, 160, 240]
    index = AnchorIndex(anchors, window)
    assert (len(index.lattices), len(index.others)) == (9, 0)  # else it is slow
    np.testing.assert_allclose(index.best_overlaps(boxes), tried(boxes, box_math.clip(anchors, window)), atol=1e-5)


def test_the_noise_of_float32_changes_nothing():
    rng = np.random.default_rng(0)
    sizes = ((16, 16), (22.6, 11.3), (11.3, 22.6), (45, 45))
    anchors = np.concatenate([lattice(20, 30, 16, size, 8.0) for size in sizes])
    stored = (anchors / 320).astype(np.float32).astype(np.float64) * 320
    boxes = random_boxes(rng, 500, high=400)
    index = AnchorIndex(stored)
    assert (len(index.lattices), len(index.others)) == (4, 0)  # else it is slow
    np.testing.assert_allclose(index.best_overlaps(boxes), tried(boxes, anchors), atol=1e-4)


def test_many_boxes_and_many_other_anchors_go_in_parts(monkeypatch):
    from detkit.data.overview import coverage

    monkeypatch.setattr(coverage, "_CHUNK", 7)
    monkeypatch.setattr(coverage, "_PAIRS", 20)
    rng = np.random.default_rng(1)
    anchors, boxes = random_boxes(rng, 50), random_boxes(rng, 30)
    np.testing.assert_allclose(AnchorIndex(anchors).best_overlaps(boxes), tried(boxes, anchors), atol=1e-5)


@pytest.mark.parametrize("n, a", [(0, 0), (0, 5), (3, 0)])
def test_nothing_overlaps_nothing(n, a):
    boxes = random_boxes(np.random.default_rng(0), max(n, a))
    assert AnchorIndex(boxes[:a]).best_overlaps(boxes[:n]).tolist() == [0.0] * n


def test_an_anchor_that_is_the_object_matches_whole():
    anchors = lattice(5, 5, 16, (20, 30))
    np.testing.assert_allclose(AnchorIndex(anchors).best_overlaps(anchors), 1, atol=1e-6)
