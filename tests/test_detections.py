"""Detections with masks and keypoints."""

from __future__ import annotations

import numpy as np
import pytest

from detkit import masks
from detkit.detections import Detections
from detkit.errors import DataError

SIZE = (48, 64)


def found(n=3, seed=0, **fields):
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.random((n, 2, 2)) * 1.2 - 0.1, axis=1).reshape(n, 4)
    return Detections(corners, np.linspace(0.9, 0.1, n), [0] * n, ("duck",), SIZE, **fields)


def with_masks(n=3, side=15):
    return found(n, masks=np.random.default_rng(1).random((n, side, side)))


def test_selecting_keeps_masks_and_keypoints_with_their_boxes():
    detections = found(masks=np.arange(3)[:, None, None] * np.ones((3, 2, 2)), keypoints=np.zeros((3, 5, 2)))
    kept = detections.above(0.5)
    assert len(kept) == 2 and kept.masks[:, 0, 0].tolist() == [0, 1] and kept.keypoints.shape == (2, 5, 2)
    assert kept.keypoint_scores.tolist() == [[1.0] * 5] * 2


@pytest.mark.parametrize("fields", [
    dict(masks=np.zeros((2, 4, 4))), dict(masks=np.zeros((3, 4))), dict(keypoints=np.zeros((3, 4))),
    dict(keypoint_scores=np.zeros((3, 4, 2))),
], ids=str)  # fmt: skip
def test_other_shapes_are_refused(fields):
    with pytest.raises(DataError, match=f"The {next(iter(fields))} of a Detections do not fit its boxes"):
        found(**fields)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_run_lengths_are_those_of_the_pasted_masks(threshold):
    detections = with_masks(8)
    pasted = detections.pasted(threshold)
    assert pasted.shape == (8, *SIZE) and pasted.dtype == bool and pasted.any()
    for mask, rle in zip(pasted, detections.rles(threshold), strict=True):
        assert isinstance(rle["counts"], str)
        assert np.array_equal(masks.decode(rle, SIZE), mask)


def test_a_pasted_mask_lies_in_its_box_and_shrinks_with_the_threshold():
    detections = Detections([[0.25, 0.25, 0.75, 0.5]], [0.9], [0], ("duck",), SIZE, masks=[[[0.9, 0.1], [0.9, 0.1]]])
    low, middle, high = (detections.pasted(threshold)[0] for threshold in (0.05, 0.5, 0.95))
    assert low.sum() == 24 * 16 and low[12:36, 16:32].all()
    assert middle.sum() == 24 * 8 and middle[12:36, 16:24].all()
    assert not high.any()


def test_detections_without_masks_can_not_be_pasted():
    for make in (found().pasted, found().rles):
        with pytest.raises(DataError, match="These detections have no masks.(.|\n)*mask_rcnn"):
            make()
    assert found(0).pasted().shape == (0, *SIZE) and found(0).rles() == []


def test_track_ids_stay_with_their_detections():
    detections = found(track_ids=[7, -1, 3])
    assert detections.above(0.4).track_ids.tolist() == [7, -1] and detections[::-1].track_ids.tolist() == [3, -1, 7]
    assert found().above(0.4).track_ids is None
    with pytest.raises(DataError, match="The track_ids of a Detections do not fit its boxes"):
        found(track_ids=[1, 2])
