"""Ray itself: workers in processes of their own, and one that is killed. Skipped where Ray is not installed."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from same_files import same

from detkit.detections import Detections
from detkit.inference.predict import predict

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]
ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'detkit[ray]'")


class Fragile:
    """Finds what the brightness of a picture says; the first process to see its tenth picture is killed.

    Args:
        marker: a file that the killed process leaves; None for nobody to be killed.
    """

    classes = ("thing",)

    def __init__(self, marker: str | None = None):
        self._marker, self._seen = marker, 0

    @property
    def reload(self):
        return partial(Fragile, self._marker)

    def detect(self, images, batch_size=8, threshold=0.0):
        self._seen += len(images)
        if self._marker and self._seen > 10 and not os.path.exists(self._marker):
            Path(self._marker).write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return [self._found(image) for image in images]

    def _found(self, image) -> Detections:
        n = int(image.mean()) // 40
        boxes = np.tile([0.1, 0.1, 0.5 + image.mean() / 1000, 0.5], (n, 1))
        return Detections(boxes, np.linspace(0.9, 0.5, n), [0] * n, self.classes, image.shape[:2])


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # The workers have to import this file.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)


def test_a_killed_worker_is_replaced_and_the_results_are_those_of_one_process(make_video, tmp_path):
    videos = [make_video("a.mp4", frames=50), make_video("b.mp4", frames=30)]
    predict(Fragile(), videos, "one/", json="one.json", batch_size=4)
    marker = tmp_path / "killed"
    options = {"engine": "ray", "workers": 2, "shard": 0.3, "batch_size": 4}
    summary = predict(Fragile(str(marker)), videos, "many/", json="many.json", **options)
    assert int(marker.read_text()) != os.getpid() and summary.frames == 80
    assert Path("one.json").read_bytes() == Path("many.json").read_bytes()
    for name in ("a.detected.mp4", "b.detected.mp4"):
        assert same(Path("one", name).read_bytes(), Path("many", name).read_bytes(), name)


def test_hands_in_workers_find_what_they_find_in_one_process(shared):
    import detkit

    video = shared / "data/video/one-by-one-person-detection.mp4"
    detector = detkit.load("hands")
    options = {"start": 24, "stop": 32, "threshold": 0.2}
    one = detkit.predict(detector, video, json="one.json", **options)
    many = detkit.predict(detector, video, json="many.json", engine="ray", workers=2, shard=3, **options)
    assert one.frames == many.frames == 80 and one.detections == many.detections > 20
    assert Path("one.json").read_bytes() == Path("many.json").read_bytes()
