"""Detectors that several tests share."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def hands():
    """The bundled detector; tests must leave it as it is."""
    from detkit.detection.load import load

    return load("hands")
