"""R-CNN and Fast R-CNN: regions, their features, box regression, and whether they learn."""

from __future__ import annotations

import numpy as np
import pytest

from detkit import evaluate
from detkit.baselines import mining, rcnn
from detkit.baselines.features import grid_means, pooled_regions, warped_crops
from detkit.data.example import Example
from detkit.errors import DataError


def random_boxes(seed, n):
    low, side = np.random.default_rng(seed).uniform(0.1, 0.5, (2, n, 2))
    return np.concatenate([low, low + side], axis=1).astype(np.float32)


def test_moves_lead_back_to_the_box():
    boxes, proposals = random_boxes(0, 20), random_boxes(1, 20)
    assert np.allclose(rcnn.decode(rcnn.encode(boxes, proposals), proposals), boxes, atol=1e-5)
    assert np.allclose(rcnn.encode(proposals, proposals), 0, atol=1e-6)


def test_a_crop_is_the_box_with_its_surroundings():
    image = np.full((40, 60, 3), 50, np.uint8)
    image[10:20, 20:40] = 200
    box = np.array([[10 / 40, 20 / 60, 20 / 40, 40 / 60]], np.float32)
    (tight,), (wide,) = warped_crops(image, box, 20, 0), warped_crops(image, box, 20, 5)
    assert (tight == 200).all()
    assert (wide[6:14, 6:14] == 200).all()
    assert all((edge == 50).all() for edge in (wide[:4], wide[-4:], wide[:, :4], wide[:, -4:]))


def test_outside_of_the_image_a_crop_has_the_mean_colour():
    image = np.zeros((20, 20, 3), np.uint8)
    image[:, 10:] = 100
    (crop,) = warped_crops(image, np.array([[0, 0, 1, 1]], np.float32), 40, 10)
    assert (crop[:9] == 50).all() and (crop[:, -9:] == 50).all()
    assert (crop[11:29, 11:19] == 0).all() and (crop[11:29, 21:29] == 100).all()


def test_a_sliver_at_the_border_still_has_a_crop():
    boxes = np.array([[0, 0, 1e-6, 1], [1 - 1e-6, 0, 1, 1], [0.5, 1 - 1e-6, 0.6, 1]], np.float32)
    assert warped_crops(np.zeros((9, 9, 3), np.uint8), boxes, 16, 4).shape == (3, 16, 16, 3)


def test_grid_means_are_means():
    maps = np.random.default_rng(0).normal(size=(2, 5, 7, 3))
    found = grid_means(maps, 2).reshape(2, 2, 2, 3)
    assert np.allclose(found[:, 1, 0], maps[:, 2:, :3].mean(axis=(1, 2)), atol=1e-6)
    assert np.allclose(grid_means(maps, 1), maps.mean(axis=(1, 2)), atol=1e-6)


def test_regions_pooled_from_a_slope_have_its_values():
    """On a map that rises evenly from cell to cell, a grid cell's mean is the value at its middle."""
    rows, columns = np.mgrid[0:12, 0:20] + 0.5
    slope = np.stack([rows / 12, columns / 20], axis=-1).astype(np.float32)
    box = np.array([[0.25, 0.2, 0.75, 0.8]], np.float32)
    found = pooled_regions(slope, box, 3).reshape(3, 3, 2)
    middles = (np.arange(3) + 0.5) / 3
    assert np.allclose(found[..., 0], (0.25 + 0.5 * middles)[:, None], atol=1e-4)
    assert np.allclose(found[..., 1], 0.2 + 0.6 * middles, atol=1e-4)


def test_targets():
    example = Example(
        np.zeros((10, 10, 3), np.uint8),
        [[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], [0, 0.6, 0.4, 1]],
        [0, 1, 0],
        (10, 10),
        difficult=[False, False, True],
    )
    boxes = [[0, 0, 0.5, 0.45], [0, 0, 0.5, 0.25], [0.5, 0.5, 0.9, 0.9], [0, 0.6, 0.4, 0.9], [0.6, 0, 0.9, 0.3]]
    found, truth = mining.targets(np.array(boxes, np.float32), example, 2)
    assert found.tolist() == [[1, -1], [0, -1], [-1, 1], [0, 0], [-1, -1]]
    assert truth[:3].tolist() == example.boxes[[0, 0, 1]].tolist()


def test_the_best_candidate_of_an_object_is_of_its_class_even_if_none_is_good():
    example = Example(np.zeros((10, 10, 3), np.uint8), [[0, 0, 0.5, 0.5]], [0], (10, 10))
    found, _ = mining.targets(np.array([[0, 0, 0.5, 0.2], [0, 0, 0.5, 0.25]], np.float32), example, 1)
    assert found.tolist() == [[0], [1]]
    found, _ = mining.targets(np.array([[0, 0, 0.5, 0.1]], np.float32), example, 1)
    assert found.tolist() == [[-1]]


def test_views_are_an_example_and_its_mirror_image(squares):
    plain, flipped = list(mining.views(squares[:1]))
    assert (plain.index, plain.mirrored, flipped.index, flipped.mirrored) == (0, False, 0, True)
    assert np.array_equal(flipped.example.image[:, ::-1], plain.example.image)
    assert np.allclose(mining.mirrored(flipped.example.boxes), plain.example.boxes, atol=1e-6)


@pytest.mark.parametrize("fast", [False, True])
def test_a_trained_one_finds_the_squares_of_other_photos(backbone, squares, other_squares, monkeypatch, fast):
    monkeypatch.setattr(rcnn, "Backbone", lambda model, block: backbone)
    settings = rcnn.RCNNSettings(fast=fast, mode="single", grid=3, crop=40, context=8, side=256)
    runs = [rcnn.train("m", squares, settings=settings) for _ in range(2)]
    assert runs[0].name == ("Fast R-CNN" if fast else "R-CNN") and runs[0].classes == ("square",)
    assert np.array_equal(runs[0].linear.weights, runs[1].linear.weights)
    metrics = evaluate(runs[0], other_squares)
    assert metrics["AP50"] > 0.8
    streamed = list(runs[1].detect_stream(example.image for example in other_squares))
    listed = runs[0].detect([example.image for example in other_squares])
    assert all(np.array_equal(a.boxes, b.boxes) for a, b in zip(streamed, listed, strict=True))


def test_regression_moves_boxes_towards_objects(backbone, squares, other_squares, monkeypatch):
    from detkit import boxes as box_math

    monkeypatch.setattr(rcnn, "Backbone", lambda model, block: backbone)
    trained = rcnn.train("m", squares, settings=rcnn.RCNNSettings(mode="single", grid=3, crop=40))
    example = other_squares[0]
    truth = example.boxes[:1]
    side = truth[0, 2] - truth[0, 0]
    shifted = np.clip(truth + side * np.array([0.15, 0.1, 0.15, 0.1], np.float32), 0, 1)
    described = rcnn._described(example.image, shifted, backbone, trained.settings)
    moves = trained.regression.margins(trained.scaling(described.describe(np.array([0]))))
    assert box_math.iou(rcnn.decode(moves, shifted), truth) >= box_math.iou(shifted, truth)


def test_a_class_that_no_photo_shows_is_named(backbone, squares, monkeypatch):
    monkeypatch.setattr(rcnn, "Backbone", lambda model, block: backbone)
    wider = squares[:1].with_classes(("square", "circle"))
    with pytest.raises(DataError, match="no example to learn from.*\n.*class circle"):
        rcnn.train("m", wider, settings=rcnn.RCNNSettings(mode="single", grid=3, crop=40))


def test_detect_takes_a_threshold_and_paths(backbone, squares, monkeypatch, tmp_path):
    from PIL import Image

    monkeypatch.setattr(rcnn, "Backbone", lambda model, block: backbone)
    trained = rcnn.train("m", squares, settings=rcnn.RCNNSettings(mode="single", grid=3, crop=40))
    path = tmp_path / "photo.png"
    Image.fromarray(squares[0].image).save(path)
    everything, sure = trained.detect(path)[0], trained.detect(str(path), threshold=0.5)[0]
    assert everything.source == str(path) and everything.size == (96, 128)
    assert len(sure) == (everything.scores >= 0.5).sum() < len(everything)
