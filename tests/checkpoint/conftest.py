"""A model small enough to be made, saved and read again by every test."""

from __future__ import annotations

import pytest
from small_models import randomize, small_detector


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


@pytest.fixture(scope="session")
def _other():
    return small_detector()


@pytest.fixture
def fresh(_other):
    """A detector of the same kind with other weights, to be changed."""
    return randomize(_other, seed=9)
