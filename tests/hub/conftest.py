"""SavedModels that tests read."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A folder with SavedModels: od/saved_model (a label map beside it), open_images and unknown."""
    import maker

    folder = tmp_path_factory.mktemp("saved_models")
    maker.main(folder)
    return folder


@pytest.fixture
def image() -> np.ndarray:
    """Uniform, with channels 51, 204 and 102: scores 0.2, 0.8 and 0.4."""
    return np.full((40, 60, 3), (51, 204, 102), np.uint8)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv("DETKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
