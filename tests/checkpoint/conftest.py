"""A model small enough to be made, saved and read again by every test."""

from __future__ import annotations

import pytest
from small_models import CLASSES, small_detector


@pytest.fixture(scope="session")
def original():
    """A small detector with random weights; tests must leave it as it is."""
    return small_detector()


@pytest.fixture(scope="session")
def directory(original, tmp_path_factory):
    """The model directory that it was saved to; tests must leave it as it is."""
    from detkit.detection import load

    folder = tmp_path_factory.mktemp("models") / "small"
    load.save(original, folder)
    return folder


@pytest.fixture
def fresh():
    """A detector of the same kind with other weights."""
    return small_detector(CLASSES, seed=9)
