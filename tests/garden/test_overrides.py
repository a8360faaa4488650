"""Overrides in Model Garden's YAML, as far as they can be judged without it; and how images reach the model's size."""

from __future__ import annotations

import numpy as np
import pytest

import detkit
from detkit.errors import ConfigError
from detkit.garden import build
from detkit.garden.letterbox import Letterbox, normalize


def test_overrides_are_read_with_their_places(tmp_path):
    path = tmp_path / "overrides.yaml"
    path.write_text("task:\n  model: {num_classes: 3}\n  losses: {focal_loss_gamma: 2}\n")
    values = build.read_overrides(path)
    assert dict(build.leaves(values)) == {"task.model.num_classes": 3, "task.losses.focal_loss_gamma": 2}
    assert build.read_overrides(None) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [("- a\n- b\n", "The overrides are no mapping"), ("task: {model: 1\n", "overrides.yaml")],
)
def test_what_is_no_mapping_is_refused(tmp_path, text, message):
    path = tmp_path / "overrides.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        build.read_overrides(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="The overrides can't be read") as error:
        build.read_overrides(tmp_path / "none.yaml")
    assert "none.yaml" in str(error.value)


def test_what_only_the_trainer_reads_is_listed():
    values = {
        "trainer": {"train_steps": 10},
        "task": {
            "model": {"num_classes": 2},
            "train_data": {"input_path": "x", "parser": {"match_threshold": 0.6}},
        },
    }
    assert build.unread(values) == ["trainer.train_steps", "task.train_data.input_path"]


def test_config_is_for_model_garden_only():
    with pytest.raises(ConfigError, match="Overrides are for the models of Model Garden"):
        detkit.load("hands", config="overrides.yaml")


def test_an_unknown_experiment_is_refused_before_anything_is_loaded():
    with pytest.raises(ConfigError, match="Model Garden has no experiment for detkit"):
        detkit.load("garden:retinanet_of_nobody")


@pytest.mark.parametrize(
    ("size", "keep", "expected"),
    [
        ((480, 640), True, (240, 320)),
        ((640, 480), True, (320, 240)),
        ((100, 33), True, (320, 106)),  # 105.6
        ((100, 33), False, (320, 320)),
        ((1, 1000), True, (1, 320)),  # 0.32
        ((1, 2000), True, (1, 320)),
    ],
)
def test_an_image_fits_into_the_frame(size, keep, expected):
    frame = Letterbox((320, 320), stride=128, keep_aspect_ratio=keep)
    assert frame.input_size == (384, 384)
    assert frame.resized(size) == expected
    assert frame(np.zeros((*size, 3), np.uint8)).shape == (*expected, 3)


def test_pixels_are_normalised_by_imagenets_mean_and_deviation():
    pixels = np.array([[0.0, 0.0, 0.0], [123.675, 116.28, 103.53], [255.0, 255.0, 255.0]], np.float32)
    found = normalize(pixels).numpy()
    np.testing.assert_allclose(found[0], [-2.1179, -2.0357, -1.8044], atol=1e-4)
    np.testing.assert_allclose(found[1], [0.0, 0.0, 0.0], atol=1e-5)
    np.testing.assert_allclose(found[2], [2.2489, 2.4286, 2.64], atol=1e-4)
