"""What travels with a model file."""

from __future__ import annotations

import numpy as np
import pytest

from detkit.errors import CheckpointError
from detkit.hub.facts import Facts

CLASSES = {"task": "detection", "name": "x", "classes": ("duck", "boat"), "label_ids": (1, 2)}


@pytest.fixture
def image() -> np.ndarray:
    return np.full((20, 40, 3), (10, 20, 30), np.uint8)


def test_they_survive_being_written():
    facts = Facts(**CLASSES, size=(8, 16), fit=(8, 16), padding=(1.5, 2.0, 3.0), input="float32")
    assert Facts.read(facts.text(), "x.tflite") == facts


@pytest.mark.parametrize(
    ("text", "got"),
    [
        pytest.param(None, "no detkit.json in it", id="another's-model"),
        pytest.param("{", "JSONDecodeError", id="no-json"),
        pytest.param("[]", "AttributeError", id="no-mapping"),
        pytest.param('{"colour": 1}', "unexpected keyword", id="unknown-entry"),
    ],
)
def test_a_model_without_them_is_refused(text, got):
    with pytest.raises(CheckpointError, match=f"(?s)does not say what its classes.*x.tflite.*{got}"):
        Facts.read(text, "x.tflite")


def test_an_image_is_stretched(image):
    given, share = Facts(**CLASSES, size=(8, 8)).prepare(image)
    assert given.shape == (1, 8, 8, 3) and given.dtype == np.uint8 and (given == image[0, 0]).all()
    assert share.tolist() == [1.0, 1.0]


def test_an_image_is_fitted_and_padded(image):
    facts = Facts(**CLASSES, size=(16, 16), fit=(16, 16), padding=(0.5, 1.0, 2.0), input="float32")
    given, share = facts.prepare(image)
    assert share.tolist() == [0.5, 1.0] and given.dtype == np.float32
    assert (given[0, :8] == image[0, 0]).all() and (given[0, 8:] == (0.5, 1.0, 2.0)).all()
