"""Test-time augmentation: views, and the boxes of all of them averaged."""

from __future__ import annotations

import numpy as np
import pytest
from square_finder import SquareFinder, scene

from detkit.detections import Detections
from detkit.errors import ConfigError
from detkit.inference.predict import predict
from detkit.inference.predictor import Predictor

SQUARES = [(20, 30, 60, "red"), (90, 150, 40, "green")]


class Biased:
    """Finds one object half a picture wide at the left, three hundredths too far to the right."""

    classes = ("thing",)

    def detect(self, images, batch_size=8, threshold=0.0):
        box = [[0.2, 0.13, 0.8, 0.63]] if images[0][:, :5].any() else [[0.2, 0.43, 0.8, 0.93]]
        return [Detections(box, [0.8], [0], self.classes, image.shape[:2]) for image in images]


def test_a_flip_averages_what_is_seen_from_both_sides():
    image = np.zeros((100, 100, 3), np.uint8)
    image[:, :3] = 255
    (found,) = Predictor(Biased(), tta=["flip"], batch_size=1).detect(image)
    assert found.boxes == pytest.approx(np.array([[0.2, 0.10, 0.8, 0.60]]), abs=1e-6)
    assert found.scores == pytest.approx([0.8])


@pytest.mark.parametrize("views", [["flip"], ["0.5"], ["1.5"], ["flip", "0.8", "2"]])
def test_every_view_leads_back_to_the_image(views):
    image = scene((200, 240), SQUARES)
    (plain,), (found,) = (Predictor(SquareFinder(), tta=v).detect(image, threshold=0.05) for v in ([], views))
    assert found.labels[:2] == plain.labels == ["red", "green"]
    assert found.boxes[:2] == pytest.approx(plain.boxes, abs=0.03)
    assert found.size == (200, 240) and (np.diff(found.scores) <= 0).all()


def test_what_one_view_alone_sees_loses_score_but_counts():
    image = scene((200, 240), [(20, 30, 8, "red")])  # too small for all views but the enlarged one
    assert len(Predictor(SquareFinder()).detect(image)[0]) == 0
    (found,) = Predictor(SquareFinder(), tta=["2"]).detect(image, threshold=0.2)
    assert len(found) == 1 and 0.2 <= found.scores[0] < 0.3
    assert len(Predictor(SquareFinder(), tta=["2"]).detect(image, threshold=0.3)[0]) == 0


def test_tiles_and_views_go_together():
    image = scene((200, 240), [(20, 30, 8, "red")])
    (found,) = Predictor(SquareFinder(), tta=["flip"], tiles=64).detect(image, threshold=0.4)
    assert found.labels == ["red"]


@pytest.mark.parametrize("view", ["turn", "9", "0"])
def test_views_that_make_no_sense(view):
    with pytest.raises(ConfigError, match="There is no such view for test-time augmentation.") as caught:
        predict(SquareFinder(), "nothing.png", tta=[view])
    assert "where: --tta" in str(caught.value) and f"got: {view!r}" in str(caught.value)


def test_keypoints_do_not_go_with_views():
    finder = SquareFinder()
    finder.wants = ("keypoints",)
    with pytest.raises(ConfigError, match="Keypoints can't be averaged over several views."):
        Predictor(finder, tta=["flip"])
