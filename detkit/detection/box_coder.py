"""The Faster R-CNN box coder: boxes relative to anchors. Source: Ren et al., 2015; `faster_rcnn_box_coder`."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

EPSILON = 1e-8


def encode(boxes, anchors, scales):
    """Box encodings of boxes relative to anchors.

    Args:
        boxes, anchors: [..., 4], normalised yxyx.
        scales: (y, x, height, width) factors of the codes.

    Returns:
        [..., 4]: ty, tx, th, tw.
    """
    centre, extent = _centre_extent(boxes)
    anchor_centre, anchor_extent = _centre_extent(anchors)
    extent, anchor_extent = extent + EPSILON, anchor_extent + EPSILON
    codes = tf.concat([(centre - anchor_centre) / anchor_extent, tf.math.log(extent / anchor_extent)], axis=-1)
    return codes * tf.constant(scales, tf.float32)


def decode(codes, anchors, scales):
    """The boxes [..., 4] (normalised yxyx, unclipped) of box encodings [..., 4]; the inverse of `encode`.

    Arrays give an array, tensors a tensor.
    """
    exp, join = (np.exp, np.concatenate) if isinstance(codes, np.ndarray) else (tf.exp, tf.concat)
    codes = codes / np.asarray(scales, np.float32)
    anchor_centre, anchor_extent = _centre_extent(anchors)
    centre = codes[..., :2] * anchor_extent + anchor_centre
    half = exp(codes[..., 2:]) * anchor_extent / 2
    return join([centre - half, centre + half], axis=-1)


def _centre_extent(boxes):
    extent = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + extent / 2, extent
