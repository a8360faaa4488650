"""The anchors of a model, as the statistics of a dataset want them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from model_configs import config

from detkit.detection.box_overlaps import iou, pairs
from detkit.detection.build import build
from detkit.detection.coverage import anchors_of, architecture
from detkit.errors import ConfigError


def random_boxes(n: int, side: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 0.8, (n, 2))
    return (np.concatenate([low, low + rng.uniform(0.01, 0.2, (n, 2))], axis=1) * side).astype(np.float32)


def best(boxes, anchors) -> np.ndarray:
    """The highest IoU with any anchor, as the target assignment measures it."""
    return iou(*pairs(boxes, anchors)).numpy().max(axis=1)


def test_those_of_a_one_stage_detector_are_in_pixels_of_its_input(hands):
    anchors, boxes = anchors_of(hands), random_boxes(40, 320)
    index = anchors((480, 640))
    assert anchors((90, 50)) is index  # both photos become 320 x 320
    assert (len(index), len(index.others)) == (12804, 0)
    expected = best(boxes / np.float32(320), hands.anchors((320, 320)))
    np.testing.assert_allclose(index.best_overlaps(boxes), expected, atol=1e-4)


def test_those_of_a_two_stage_detector_are_its_proposal_networks():
    changes = {"feature_extractor.type": "faster_rcnn_mobilenet_v2_keras"}
    changes |= {"feature_extractor.first_stage_features_stride": 8, "clip_anchors_to_image": False}
    detector = build(config("faster_rcnn_resnet50_v1_640x640", 256, **changes))
    everything, boxes = detector.anchors((256, 256)), random_boxes(40, 256)
    for clipped, chosen in ((False, detector.inside((256, 256))), (True, slice(None))):
        detector.meta = replace(detector.meta, clip_anchors_to_image=clipped)
        index = anchors_of(detector)((100, 200))
        assert len(index) == len(everything[chosen])
        np.testing.assert_allclose(index.best_overlaps(boxes), best(boxes, everything[chosen]), atol=1e-4)


def test_a_detector_without_anchors_has_none():
    assert anchors_of(SimpleNamespace(resized=lambda size: size)) is None


def test_an_architecture_needs_no_weights(hands, tmp_path):
    from detkit.pipeline import od_config

    od_config.write(hands.config, tmp_path / "pipeline.config")
    found = architecture(str(tmp_path / "pipeline.config"))
    assert found.resized((10, 20)) == (320, 320)
    assert architecture(hands) is hands
    with pytest.raises(ConfigError, match="No model has the name"):
        architecture("nobody")
