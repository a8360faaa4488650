"""Segmenters that Keras functional models describe: those of detkit itself."""

from __future__ import annotations

from detkit.networks.functional import FunctionalNetwork
from detkit.pipeline.transfer import SegmentationModel
from detkit.segmentation.layers import Architecture
from detkit.segmentation.segmenter import Segmenter


class FunctionalSegmenter(Segmenter, FunctionalNetwork):
    """A segmenter around an architecture.

    Args:
        architecture: the network.
        classes, label_ids, name: as of every network.
        options: that it was built from.
    """

    def __init__(
        self, architecture: Architecture, classes, label_ids=None, *, name="segmenter", options: SegmentationModel
    ):  # fmt: skip
        super().__init__(architecture.model, architecture.backbone, classes, label_ids, name=name, options=options)
        self.stride = architecture.stride
