"""The anchors of Model Garden's RetinaNets and R-CNNs."""

from __future__ import annotations

import numpy as np

from detkit.garden import upstream


def multilevel_anchors(options, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """{level: [h, w, 4 * anchors of a cell]}, yxyx in pixels.

    Args:
        options: Model Garden's of the model.
        size: (height, width) of the padded input.
    """
    anchors = upstream.module("vision.ops.anchor").Anchor(
        min_level=options.min_level,
        max_level=options.max_level,
        num_scales=options.anchor.num_scales,
        aspect_ratios=options.anchor.aspect_ratios,
        anchor_size=options.anchor.anchor_size,
        image_size=size,
    )
    return {level: np.asarray(boxes) for level, boxes in anchors.multilevel_boxes.items()}
