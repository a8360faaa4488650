"""Tiled inference: small objects found, each once, and large ones too."""

from __future__ import annotations

import numpy as np
import pytest
from square_finder import SquareFinder, scene

from detkit import boxes
from detkit.errors import ConfigError
from detkit.inference import tiling
from detkit.inference.predict import predict
from detkit.inference.predictor import Predictor

SIZE = (600, 800)
# On tiles of 128 pixels with an overlap of 0.2 these lie inside a tile, on a seam, on a crossing of seams, at a border.
SMALL = [(10, 10, 16, "red"), (50, 110, 16, "red"), (112, 104, 16, "green"), (584, 784, 16, "green")]
SMALL += [(200 + 37 * i, 150 + 61 * i, 14, "red") for i in range(10)]
LARGE = [(250, 20, 300, "green")]


def found(squares, **options):
    return Predictor(SquareFinder(), **options).detect(scene(SIZE, squares), threshold=0.1)[0]


def assert_found(detections, squares):
    """Every square once, within two pixels of a shrunk tile, and nothing else."""
    truth = np.array([[top, left, top + side, left + side] for top, left, side, _ in squares]) / (*SIZE, *SIZE)
    overlaps = boxes.iou(detections.boxes, truth.astype(np.float32))
    assert len(detections) == len(squares)
    assert sorted(overlaps.argmax(axis=1)) == list(range(len(squares))) and overlaps.max(axis=0).min() > 0.5
    assert [squares[n][3] for n in overlaps.argmax(axis=1)] == detections.labels


def test_small_objects_are_found_in_tiles_only_and_once_each():
    assert len(found(SMALL)) == 0
    assert_found(found(SMALL, tiles=128), SMALL)


def test_an_object_larger_than_a_tile_stays_one():
    assert_found(found(LARGE), LARGE)
    assert_found(found(LARGE + SMALL[:2], tiles=128), LARGE + SMALL[:2])


@pytest.mark.parametrize("place", range(60, 150, 6))
def test_an_object_is_found_once_wherever_the_seams_are(place):
    squares = [(place, place, 40, "red")]
    assert_found(found(squares, tiles=128, tile_overlap=0.1), squares)


def test_auto_is_the_size_of_the_models_input():
    finder = SquareFinder()
    Predictor(finder, tiles="auto").detect(np.zeros((64, 100, 3), np.uint8))
    assert finder.sizes == [(64, 100), (64, 64), (64, 64)]


def test_an_image_no_larger_than_a_tile_is_looked_at_once():
    finder = SquareFinder()
    images = [np.zeros((100, 60, 3), np.uint8), np.zeros((300, 60, 3), np.uint8)]
    assert [each.size for each in Predictor(finder, tiles=128).detect(images)] == [(100, 60), (300, 60)]
    assert finder.sizes == [(100, 60), (300, 60), (128, 60), (128, 60), (128, 60)]


@pytest.mark.parametrize("size, tile, overlap", [((600, 800), 128, 0.2), ((130, 128), 128, 0.0), ((50, 3000), 64, 0.5)])
def test_tiles_cover_the_image_and_overlap(size, tile, overlap):
    made = tiling.regions(size, (tile, tile), overlap)
    seen = np.zeros(size, int)
    for top, left, bottom, right in made:
        seen[top:bottom, left:right] += 1
    assert seen.min() > 0
    steps = [np.diff(np.unique(made[:, axis])).max(initial=0) for axis in (0, 1)]
    assert max(steps) <= tile * (1 - overlap) + 1


def test_tiles_are_an_option_of_predict(tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "a.png"), scene(SIZE, SMALL)[..., ::-1])
    run = {"csv": tmp_path / "a.csv", "threshold": 0.1}
    assert predict(SquareFinder(), tmp_path / "a.png", **run).detections == 0
    assert predict(SquareFinder(), tmp_path / "a.png", tiles=128, **run).detections == len(SMALL)


@pytest.mark.parametrize("value", [31, "some", 0, 1.5])
def test_sizes_that_make_no_sense(value):
    with pytest.raises(ConfigError, match="Tiles can't have this size.") as caught:
        predict(SquareFinder(), "nothing.png", tiles=value)
    assert "where: --tiles" in str(caught.value)


def test_masks_do_not_go_with_tiles():
    finder = SquareFinder()
    finder.wants = ("masks",)
    with pytest.raises(ConfigError, match="Masks can't be put together from several views."):
        Predictor(finder, tiles=128)
