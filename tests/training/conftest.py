"""Small models and photos to train on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from small_photos import photo

sys.path.append(str(Path(__file__).parents[1] / "checkpoint"))  # small_models

CLASSES = ("duck", "boat", "tree")


@pytest.fixture(scope="session")
def photos():
    """Three photos: two objects; none; one and a crowd. Three classes, one of them without examples."""
    from detkit.data.dataset import Dataset

    examples = (
        photo(0, [[0.1, 0.1, 0.7, 0.6], [0.3, 0.5, 0.9, 0.95]], [0, 1]),
        photo(1, [], []),
        photo(2, [[0.2, 0.3, 0.8, 0.7], [0.25, 0.25, 0.75, 0.75]], [1, 0], (90, 70), crowd=[False, True]),
    )
    return Dataset(examples, CLASSES, name="photos")


@pytest.fixture(scope="session")
def small_model(tmp_path_factory):
    """The directory of a small model with random weights and two classes of its own."""
    from small_models import small_detector

    from detkit.detection import load

    smaller = {"feature_extractor.type": "ssd_mobilenet_v1_fpn_keras"}
    detector = small_detector(("cat", "dog"), **smaller)
    # As in a trained model, so that losses are of the usual size.
    parts = detector.part_of()
    detector.initialize([path for path in parts if parts[path] in ("head/box_head", "head/class_head")])
    directory = tmp_path_factory.mktemp("model") / "small"
    load.save(detector, directory)
    return directory
