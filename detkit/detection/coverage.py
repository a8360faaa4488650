"""Where the anchors of a model lie, for `detkit.data.stats`."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from detkit.data.overview.coverage import AnchorIndex
from detkit.detection.build import build
from detkit.detection.detector import Detector
from detkit.detection.faster_rcnn import FasterRCNN
from detkit.zoo.source import locate

_SIZES_KEPT = 4  # padded inputs whose anchors stay in memory


def architecture(model) -> Detector:
    """A model whose sizes and anchors can be asked for: its weights are not read.

    Args:
        model: as for `detkit.load`, but no baseline; a pipeline.config needs no checkpoint. Or a Detector.

    Raises:
        ConfigError: if there is no such model, or detkit can't build it.
    """
    if isinstance(model, Detector):
        return model
    source = locate(model)
    return build(source.config, source.classes, source.label_ids, source.name)


def anchors_of(detector: Detector) -> Callable | None:
    """(height, width) of a photo -> an AnchorIndex of the anchors that training matches, in pixels of the padded input.

    Those of a two-stage detector are its region proposal network's. None for a detector without anchors.
    """
    if not hasattr(detector, "anchors"):
        return None

    @lru_cache(maxsize=_SIZES_KEPT)
    def index(padded):
        if not isinstance(detector, FasterRCNN):
            return AnchorIndex(np.asarray(detector.anchors(padded), np.float64) * np.tile(padded, 2))
        if detector.meta.clip_anchors_to_image:
            return AnchorIndex(detector.unclipped_anchors(padded), (0, 0, *padded))
        return AnchorIndex(detector.anchors(padded)[detector.inside(padded)])

    return lambda size: index(detector.input_size or detector.resized(size))
