"""A detector that needs no model, and small videos made on the spot."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from detkit.detections import Detections


class FakeDetector:
    """Finds a hand and, less surely, a face at the same places in every image."""

    classes = ("hand", "face")
    label_ids = (1, 7)

    def __init__(self, fails_at: int | None = None, error: type[BaseException] = RuntimeError):
        self.seen, self.batches, self._fails_at, self._error = [], [], fails_at, error

    def detect(self, images, batch_size=8, threshold=0.0):
        self.batches.append(len(images))
        for image in images:
            if len(self.seen) == self._fails_at:
                raise self._error("the detector broke")
            self.seen.append(image)
        boxes = [[0.1, 0.2, 0.5, 0.6], [0.3, 0.3, 0.9, 0.8]]
        return [Detections(boxes, [0.9, 0.4], [0, 1], self.classes, image.shape[:2]) for image in images]


def grey(value: int, size=(48, 64)) -> np.ndarray:
    return np.full((*size, 3), value, np.uint8)


@pytest.fixture
def detector() -> FakeDetector:
    return FakeDetector()


@pytest.fixture
def make_detector():
    return FakeDetector


@pytest.fixture
def make_video(tmp_path):
    """Writes a video whose frame i is grey with the value 10 + 5 i, plus noise if asked for."""

    def make(name: str, frames=12, rate=Fraction(30000, 1001), size=(48, 64), noise=False, faststart=True):
        path = tmp_path / name
        draws = np.random.default_rng(0)
        options = {"movflags": "faststart"} if faststart and name.endswith("mp4") else {}
        with av.open(str(path), "w", options=options) as container:
            stream = container.add_stream("libx264", rate=rate)
            stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
            for i in range(frames):
                image = grey(10 + 5 * i % 240, size)
                image = draws.integers(0, 256, image.shape, np.uint8) if noise else image
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode(None))
        return path

    return make


@pytest.fixture
def make_images(tmp_path):
    """Writes grey PNG pictures, picture i with the value 10 i, into a folder."""

    def make(folder: str, names, size=(48, 64)):
        directory = tmp_path / folder
        directory.mkdir()
        for i, name in enumerate(names):
            Image.fromarray(grey(10 * i, size)).save(directory / name)
        return directory

    return make
