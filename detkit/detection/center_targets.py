"""What CenterNet's maps should show, on the grid of its output.

Coordinates here are (y, x) in cells of that grid: cell 0 reaches from 0 to 1. Sources: Zhou et al., "Objects as
points", 2019; `core/target_assigner.py` of the OD API.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class Objects(NamedTuple):
    """The objects of a batch on the output grid.

    Attributes:
        corners: [B, M, 4], yxyx in cells.
        centers: [B, M, 2], (y, x) in cells; sizes: [B, M, 2], (height, width) in cells.
        class_ids: int [B, M]; weights: [B, M], 0 for padding and for regions to ignore.
    """

    corners: tf.Tensor
    centers: tf.Tensor
    sizes: tf.Tensor
    class_ids: tf.Tensor
    weights: tf.Tensor


def objects(truth: dict, grid: tuple[int, int]) -> Objects:
    """The "boxes", "class_ids" and "weights" of a ground truth whose boxes are relative to the padded input."""
    corners = truth["boxes"] * tf.constant((*grid, *grid), tf.float32)
    sizes = corners[..., 2:] - corners[..., :2]
    return Objects(corners, corners[..., :2] + sizes / 2.0, sizes, truth["class_ids"], truth["weights"])


def spread(sizes, overlap: float):
    """The standard deviation of the Gaussian of an object.

    A third of how far the corners may move before the IoU falls below `overlap`, with the roots as CenterNet has them
    (CornerNet divides them by the leading coefficient).

    Args:
        sizes: [..., 2], (height, width) in cells.
    """
    total, area = sizes[..., 0] + sizes[..., 1], sizes[..., 0] * sizes[..., 1]
    radius = tf.reduce_min(
        [
            _root(1.0, -total, area * ((1.0 - overlap) / (1.0 + overlap))),
            _root(4.0, -2.0 * total, (1.0 - overlap) * area),
            _root(4.0 * overlap, 2.0 * overlap * total, (overlap - 1.0) * area),
        ],
        axis=0,
    )
    return (2.0 * tf.maximum(tf.floor(radius), 0.0) + 1.0) / 6.0


def _root(a: float, b, c):
    return (-b + tf.sqrt(b * b - 4.0 * a * c)) / 2.0


def gaussians(points, spreads, grid: tuple[int, int]):
    """A Gaussian around the cell of each point, 1 in that cell.

    Args:
        points: [..., 2], (y, x) in cells; spreads: [...], standard deviations in cells.
        grid: (height, width).

    Returns:
        [..., height, width].
    """
    corner, scale = tf.floor(points), 2.0 * tf.square(spreads)
    along_y, along_x = (
        tf.exp(-tf.square(tf.range(n, dtype=tf.float32) - corner[..., i, None]) / scale[..., None])
        for i, n in enumerate(grid)
    )
    return along_y[..., :, None] * along_x[..., None, :]


def center_heatmap(found: Objects, classes: int, overlap: float, grid: tuple[int, int]):
    """[B, height, width, classes]: for each class the highest of its objects' Gaussians, times their weights."""
    values = gaussians(found.centers, spread(found.sizes, overlap), grid) * found.weights[..., None, None]
    batch = tf.shape(values)[0]
    row = tf.range(batch)[:, None] * classes + tf.cast(found.class_ids, tf.int32)  # [B, M]
    cells = grid[0] * grid[1]
    flat = tf.tensor_scatter_nd_max(
        tf.zeros([batch * classes, cells]), tf.reshape(row, [-1, 1]), tf.reshape(values, [-1, cells])
    )
    return tf.transpose(tf.reshape(flat, [batch, classes, *grid]), [0, 2, 3, 1])


def keypoint_heatmap(points, spreads, weights, grid: tuple[int, int]):
    """[B, height, width, K]: for each keypoint the highest Gaussian of all objects, times its weight.

    Args:
        points: [B, M, K, 2], (y, x) in cells; spreads, weights: [B, M, K].
    """
    values = gaussians(points, spreads, grid) * weights[..., None, None]  # [B, M, K, height, width]
    highest = tf.maximum(tf.reduce_max(values, axis=1), 0.0)  # the maximum over no objects is minus infinity
    return tf.transpose(highest, [0, 2, 3, 1])


def inside(corners, grid: tuple[int, int]):
    """Whether the corner of each cell lies in a box: corners [B, M, 4] in cells -> bool [B, M, height, width]."""
    ys, xs = (tf.range(n, dtype=tf.float32) for n in grid)
    within_y = (ys >= corners[..., 0, None]) & (ys < corners[..., 2, None])
    within_x = (xs >= corners[..., 1, None]) & (xs < corners[..., 3, None])
    return within_y[..., :, None] & within_x[..., None, :]


def outside_of_ignored(found: Objects, grid: tuple[int, int]):
    """[B, height, width, 1]: 0 in boxes of weight 0, else 1."""
    ignored = inside(found.corners, grid) & (found.weights == 0)[..., None, None]
    return 1.0 - tf.cast(tf.reduce_any(ignored, axis=1), tf.float32)[..., None]


def outside_of_unlabelled(found: Objects, weights, grid: tuple[int, int]):
    """[B, height, width, K]: 0 in the boxes of objects whose keypoint has weight 0 (weights: [B, M, K]), else 1."""
    unlabelled = tf.cast(weights < 1e-3, tf.float32)
    count = tf.einsum("bmhw,bmk->bhwk", tf.cast(inside(found.corners, grid), tf.float32), unlabelled)
    return tf.cast(count == 0, tf.float32)


def within_image(true_shapes, grid: tuple[int, int], stride: int):
    """[B, height, width, 1]: 1 in cells that show some of the image, 0 in its padding."""
    sizes = tf.math.ceil(tf.cast(true_shapes[:, :2], tf.float32) / stride)
    ys, xs = (tf.range(n, dtype=tf.float32) < sizes[:, i, None] for i, n in enumerate(grid))
    return tf.cast(ys[:, :, None] & xs[:, None, :], tf.float32)[..., None]


def around(points, radius: int, grid: tuple[int, int]) -> tuple:
    """The cells within a radius of the points' own cells.

    Args:
        points: [..., 2], (y, x) in cells.

    Returns:
        cells int32 [..., n, 2]; valid float [..., n], 0 for a cell outside of the grid, which is given as (0, 0).
    """
    reach = range(-radius, radius + 1)
    steps = [(y, x) for y in reach for x in reach if y * y + x * x <= radius * radius]
    cells = tf.cast(tf.floor(points), tf.int32)[..., None, :] + tf.constant(steps, tf.int32)
    valid = tf.reduce_all((cells >= 0) & (cells < tf.constant(grid, tf.int32)), axis=-1)
    return tf.where(valid[..., None], cells, 0), tf.cast(valid, tf.float32)
