"""The entries of COCO results: boxes, masks and keypoints."""

from __future__ import annotations

import json

import numpy as np
import pytest

from detkit import masks
from detkit.detections import Detections
from detkit.inference.sinks import coco_entries

BOXES = [[0.25, 0.25, 0.75, 0.5], [0, 0, 1, 1]]


def entries(**fields):
    found = Detections(BOXES, [0.9, 0.4], [1, 0], ("hand", "face"), (48, 64), **fields)
    return json.loads(json.dumps(list(coco_entries(found, (3, 7), 11))))


def test_boxes_alone_are_as_ever():
    assert entries()[0] == {"image_id": 11, "category_id": 7, "bbox": [16, 12, 16, 24], "score": 0.9}


def test_masks_are_compressed_run_lengths_of_the_image():
    stretched = np.zeros((2, 2, 2))
    stretched[0] = 1
    first, second = entries(masks=stretched)
    assert isinstance(first["segmentation"]["counts"], str) and first["segmentation"]["size"] == [48, 64]
    masks.check(first["segmentation"], (48, 64))
    decoded = masks.decode(first["segmentation"], (48, 64))
    assert decoded.sum() == 24 * 16 and decoded[12:36, 16:32].all()
    assert not masks.decode(second["segmentation"], (48, 64)).any()


def test_keypoints_are_in_pixels_with_their_scores():
    points = np.array([[[0.5, 0.25], [1, 1]], [[0, 0], [0.125, 0.125]]])
    first, second = entries(keypoints=points, keypoint_scores=[[0.75, 0.5], [0.25, 0]])
    assert first["keypoints"] == pytest.approx([16, 24, 0.75, 64, 48, 0.5])
    assert second["keypoints"] == pytest.approx([0, 0, 0.25, 8, 6, 0])
    assert "segmentation" not in first


@pytest.mark.parametrize("fields", [dict(masks=np.zeros((0, 3, 3))), dict(keypoints=np.zeros((0, 17, 2)))])
def test_nothing_found_has_no_entries(fields):
    found = Detections(np.zeros((0, 4)), [], [], ("hand",), (48, 64), **fields)
    assert list(coco_entries(found, (1,), 1)) == []
