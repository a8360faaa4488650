"""Small detectors to export."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

TESTS = Path(__file__).parents[1]
sys.path += [str(TESTS / "checkpoint"), str(TESTS / "detection")]  # small_models, model_kit


@pytest.fixture(scope="session")
def small():
    """A small SSD with drawn weights; tests must leave it as it is."""
    from small_models import small_detector

    return small_detector(**{"feature_extractor.type": "ssd_mobilenet_v1_fpn_keras"})


@pytest.fixture(scope="session")
def images() -> list[np.ndarray]:
    """Noise in several sizes."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((48, 80), (90, 40), (3, 5))]
