"""Presets of synthetic data: digits on a canvas, shapes, boats."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from detkit import data
from detkit.boxes import area, convert
from detkit.data.synthesis import boats, presets
from detkit.errors import ConfigError, DataError


@pytest.fixture
def mnist(tmp_path):
    """A file as that of MNIST, whose pictures are of one brightness each."""
    values = {"train": np.arange(100, 120), "test": np.arange(200, 210)}
    images = {f"x_{part}": np.tile(v.astype(np.uint8)[:, None, None], (1, 28, 28)) for part, v in values.items()}
    labels = {f"y_{part}": (v % 10).astype(np.uint8) for part, v in values.items()}
    np.savez(tmp_path / "mnist.npz", **images, **labels)
    return tmp_path / "mnist.npz"


def test_digits_are_28_by_28_somewhere_on_a_black_canvas(tmp_path):
    train, test = presets.digits(tmp_path, 30, 10, seed=3)
    assert train.classes == tuple("0123456789") and (len(train), len(test)) == (30, 10)
    corners = []
    for example in [*train, *test]:
        (box,) = convert(example.boxes, "yxyx", "yxyx_abs", (75, 75)).round().astype(int)
        top, left, bottom, right = box
        pixels = example.pixels().astype(int)
        assert (bottom - top, right - left) == (28, 28) and example.size == (75, 75)
        assert example.image_labels.tolist() == example.class_ids.tolist()
        assert pixels[top:bottom, left:right].max() > 200
        pixels[top:bottom, left:right] = 0
        assert pixels.max() == 0
        corners.append((top, left))
    assert len(set(corners)) > 30
    assert len({example.pixels().tobytes() for example in [*train, *test]}) == 40
    (again,) = presets.digits(tmp_path / "again", 2, 0, seed=3)
    np.testing.assert_array_equal(again[1].pixels(), train[1].pixels())


def test_tight_boxes_have_masks(tmp_path):
    (train,) = presets.digits(tmp_path, 4, 0, size=(40, 60), box="tight")
    for example in train:
        (mask,), seen = example.masks(), example.pixels()[..., 0] >= 64
        np.testing.assert_array_equal(mask, seen)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        expected = [rows[0] / 40, columns[0] / 60, (rows[-1] + 1) / 40, (columns[-1] + 1) / 60]
        np.testing.assert_allclose(example.boxes[0], expected, atol=1e-6)


def test_each_original_of_mnist_comes_once_before_one_comes_again(tmp_path, mnist):
    train, test = presets.digits(tmp_path / "out", 40, 10, originals=mnist)
    shown = [int(example.pixels().max()) for example in train]
    assert sorted(shown[:20]) == sorted(shown[20:]) == list(range(100, 120)) and shown[:20] != shown[20:]
    assert [example.class_ids[0] for example in train] == [value % 10 for value in shown]
    assert sorted(int(example.pixels().max()) for example in test) == list(range(200, 210))


def test_what_is_no_mnist_is_explained(tmp_path, mnist):
    np.savez(tmp_path / "other.npz", x_train=np.zeros((3, 28, 28)), y_train=np.arange(3))
    (tmp_path / "text.npz").write_text("no archive")
    cases = [
        ("other.npz", "x_train float64(.|\n)*expected: x_train uint8"),
        ("text.npz", "no file of digits"),
        ("no.npz", "no such file"),
    ]
    for name, message in cases:
        with pytest.raises(DataError, match=message):
            presets.digits(tmp_path / "out", 1, 0, originals=tmp_path / name)
    with pytest.raises(ConfigError, match="A digit does not fit"):
        presets.digits(tmp_path / "out", 1, 0, originals=mnist, size=(27, 75))
    with pytest.raises(ConfigError, match="cell or tight"):
        presets.digits(tmp_path / "out", 1, 0, originals=mnist, box="loose")


def test_shapes_have_masks_of_their_shape(tmp_path):
    options = dict(size=(120, 160), objects=(1, 1), scale=(0.5, 0.5), angle=0, occlusion=0, shadow=0)
    train, test = presets.shapes(tmp_path, 12, 1, **options)
    filled = {"square": 1.0, "circle": np.pi / 4, "triangle": 0.5}
    for example in train:
        share = example.area[0] / (area(example.boxes)[0] * 120 * 160)
        assert share == pytest.approx(filled[train.classes[example.class_ids[0]]], abs=0.06)
    assert len({int(example.class_ids[0]) for example in train}) == 3 and len(test) == 1


def test_boats_are_those_of_the_demo(tmp_path):
    train, test = presets.boats(tmp_path / "boats", 2, 1, seed=4, size=(60, 80))
    same, _ = boats.few_shot_set(tmp_path / "same", 4, 2, 1, (60, 80))
    np.testing.assert_array_equal(train[1].pixels(), same[1].pixels())
    assert data.read(tmp_path / "boats/train.json").classes == ("toy_boat",) and len(test) == 1
    with Image.open(tmp_path / "boats/sheet.png") as sheet:
        assert sheet.width > 100
    with pytest.raises(ConfigError, match="count, test"):
        presets.boats(tmp_path / "boats", 2, 0)


def test_an_option_that_a_preset_has_not_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="digits has no such option.\n  got: angle\n  expected: count, test, seed"):
        presets.make("digits", tmp_path, angle=3)
    with pytest.raises(ConfigError, match="cut-outs has no such option.\n  got: test\n(.|\n)*size, objects, scale"):
        presets.make("cutouts", tmp_path, test=3)
