"""Hierarchical grouping against a slow literal reference, and what holds of every hierarchy."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from slow_grouping import SlowGrouping

from detkit.baselines.grouping import Forest, describe, neighbours


def case(seed, size=(18, 25), seeds=14):
    """A random partition into cells around random points, and codes of two colours and a texture."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 1, (seeds, 2)) * size
    rows, columns = np.indices(size)
    distance = (rows[..., None] - points[:, 0]) ** 2 + (columns[..., None] - points[:, 1]) ** 2
    labels = np.unique(distance.argmin(axis=2), return_inverse=True)[1].reshape(size)
    smooth = [cv2.GaussianBlur(rng.uniform(0, 6, size), (5, 5), 2) for _ in range(3)]
    codes = [(np.floor(each).astype(np.int64), 6) for each in smooth]
    return labels, codes[:2], codes[2:]


def grown(regions, *similarities):
    forest = Forest([regions] * len(similarities), list(similarities))
    forest.grow()
    return forest


@pytest.mark.parametrize("kinds", ["CTSF", "TSF", "CT"])
@pytest.mark.parametrize("seed", range(4))
def test_merges_as_the_slow_reference_does(seed, kinds):
    labels, colours, textures = case(seed)
    forest = grown(describe(labels, colours, textures), kinds)
    assert np.array_equal(forest.boxes, SlowGrouping(labels, colours, textures, kinds).boxes())


@pytest.mark.parametrize("kinds", ["C", "T", "S", "F", "CTSF"])
def test_similarity_is_that_of_the_slow_reference(kinds):
    labels, colours, textures = case(5)
    regions, slow = describe(labels, colours, textures), SlowGrouping(labels, colours, textures, kinds)
    found = Forest([regions], [kinds]).similarity(*regions.pairs.T)
    assert regions.pairs.tolist() == [list(pair) for pair in slow.neighbours()]
    assert np.allclose(found, [slow.similarity(*pair) for pair in slow.neighbours()], atol=1e-6)


def test_ends_with_one_region_that_is_the_whole_image():
    labels, colours, textures = case(6)
    forest = grown(describe(labels, colours, textures), "CTSF", "F", "S")
    for rows in forest.slices:
        assert rows.stop - rows.start == 2 * labels.max() + 1
        assert forest.boxes[rows.stop - 1].tolist() == [0, 0, *labels.shape]
        assert forest.sizes[rows.stop - 1] == labels.size


def test_histograms_stay_histograms_and_sizes_add_up():
    labels, colours, textures = case(7)
    forest = grown(describe(labels, colours, textures), "CTSF")
    assert np.allclose(forest.colour.sum(axis=1), 1, atol=1e-5)
    assert np.allclose(forest.texture.sum(axis=1), 1, atol=1e-5)
    count = labels.max() + 1
    assert forest.sizes[:count].tolist() == np.bincount(labels.ravel()).tolist()


def test_hierarchies_do_not_disturb_each_other():
    many = [describe(*case(seed)) for seed in (8, 9)]
    together = Forest(many, ["CTSF", "TSF"])
    together.grow()
    for regions, kinds, rows in zip(many, ("CTSF", "TSF"), together.slices, strict=True):
        assert np.array_equal(together.boxes[rows], grown(regions, kinds).boxes)


def test_one_region_is_a_hierarchy_of_its_own():
    forest = grown(describe(np.zeros((3, 4), int), [], []), "SF")
    assert forest.boxes.tolist() == [[0, 0, 3, 4]]


def test_neighbours_share_an_edge_not_a_corner():
    labels = np.array([[0, 0, 1], [2, 3, 1], [2, 3, 3]])
    assert neighbours(labels, 4).tolist() == [[0, 1], [0, 2], [0, 3], [1, 3], [2, 3]]
    assert neighbours(np.array([[0, 1], [2, 3]]), 4).tolist() == [[0, 1], [0, 2], [1, 3], [2, 3]]
