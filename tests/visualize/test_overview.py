"""The picture of a dataset's statistics."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.data.overview.stats import stats
from detkit.errors import MediaError
from detkit.visualize.overview import overview

SIZE = (1012, 1705)
NAMES = ("鴨", "$x_1$ & {y", "a name that is much longer than there is room for in the plot", "{}")


def dataset(classes: int, images: int = 6, boxes: int = 5) -> Dataset:
    rng, examples = np.random.default_rng(classes), []
    for _ in range(images):
        low = rng.uniform(0, 0.7, (boxes, 2))
        corners = np.concatenate([low, low + rng.uniform(0.01, 0.3, (boxes, 2))], axis=1)
        examples.append(Example("x.jpg", corners, rng.integers(0, max(1, classes), boxes), (300, 400)))
    names = [*NAMES, *map(str, range(classes))][:classes]
    return Dataset(tuple(examples), tuple(names), name="$pond_1$ " * 20)


def anchors(size):
    return np.array([[0.0, 0.0, 90.0, 90.0], [50.0, 50.0, 150.0, 200.0]])


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize(
    "found",
    [
        stats(dataset(0, images=0)),
        stats(dataset(3, images=2, boxes=0), anchors=anchors),
        stats(Dataset((Example("x.jpg", [], [], (9, 9), image_labels=[0]),), ("duck",))),
        stats(dataset(80), lambda size: (320, 320), anchors),
    ],
    ids=["nothing", "no boxes", "labels only", "80 classes"],
)
def test_any_dataset_can_be_drawn(tmp_path, found):
    overview(found, tmp_path / "stats.png")
    assert pixels(tmp_path / "stats.png").shape == (*SIZE, 3)
    assert [file.name for file in tmp_path.iterdir()] == ["stats.png"]


def test_the_same_numbers_make_the_same_file_and_anchors_the_last_plot(tmp_path):
    for name, given in (("a.png", None), ("b.png", anchors), ("c.png", anchors)):
        overview(stats(dataset(2), anchors=given), tmp_path / name)
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()
    black = [(pixels(tmp_path / name)[SIZE[0] // 2 :, 1200:] == 26).all(axis=-1).sum() for name in ("a.png", "b.png")]
    assert black[0] < 50 < black[1]  # the curve of all objects


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(MediaError, match=r'as PNG.\n  where: .*\n  got: the ending ".jpg"\n  expected: .png'):
        overview(stats(dataset(1)), tmp_path / "stats.jpg")
