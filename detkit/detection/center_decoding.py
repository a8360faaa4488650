"""From CenterNet's maps to boxes and keypoints. Source: `CenterNetMetaArch.postprocess` of the OD API."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

PEAK = 1e-6  # how close to the maximum around it a cell must be to be a peak


class Centers(NamedTuple):
    """The best peaks of a batch of heat maps: scores, rows, columns and channels, each [B, k], by falling score."""

    scores: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    channels: np.ndarray


def peaks(scores, size: int):
    """The scores [B, h, w, C] that are the highest in a neighbourhood of `size`; 0 elsewhere."""
    highest = tf.nn.max_pool2d(scores, size, 1, "SAME")
    return tf.where(tf.abs(scores - highest) < PEAK, scores, 0.0)


def centers(logits, true_shapes, count: int, size: int) -> Centers:
    """The `count` best peaks over all classes.

    Args:
        logits: [B, h, w, C].
        true_shapes: [B, 3]. As in the OD API their pixels are compared with the cells of the map, so that of the
            padding only what lies that far out is left out.
        size: of the neighbourhood in which a peak is the highest.
    """
    grid = logits.shape[1:3]
    within = [np.arange(n) < np.asarray(true_shapes)[:, i, None] for i, n in enumerate(grid)]
    mask = (within[0][:, :, None] & within[1][:, None, :])[..., None].astype(np.float32)
    found = tf.reshape(peaks(tf.sigmoid(logits) * mask, size), [len(mask), -1])
    scores, flat = tf.math.top_k(found, min(count, found.shape[1]))
    cells, channels = np.divmod(flat.numpy(), logits.shape[3])
    return Centers(scores.numpy(), *np.divmod(cells, grid[1]), channels)


def gather(values, rows, columns) -> np.ndarray:
    """values [B, h, w, C] at rows and columns [B, ...] -> [B, ..., C]."""
    return tf.gather_nd(values, np.stack([rows, columns], axis=-1), batch_dims=1).numpy()


def boxes(found: Centers, sizes, offsets) -> np.ndarray:
    """[B, k, 4], yxyx in cells, clipped to the map; sizes (height, width) and offsets (y, x): [B, h, w, 2]."""
    grid = np.asarray(sizes.shape[1:3], np.float32)
    middle = np.stack([found.rows, found.columns], axis=-1) + gather(offsets, found.rows, found.columns)
    half = np.maximum(gather(sizes, found.rows, found.columns), 0.0) / 2.0
    corners = np.concatenate([middle - half, middle + half], axis=-1)
    return np.clip(corners, 0.0, np.tile(grid, 2)).astype(np.float32)


def candidates(logits, offsets, task) -> tuple:
    """The best peaks of every keypoint's heat map.

    Args:
        logits: [B, h, w, K]; offsets: [B, h, w, 2] or [B, h, w, 2 * K].
        task: the typed `keypoint_estimation_task`.

    Returns:
        points [B, K, n, 2], (y, x) in cells; scores [B, K, n].
    """
    _, height, width, keypoints = logits.shape
    found = tf.transpose(peaks(tf.sigmoid(logits), task.peak_max_pool_kernel_size), [0, 3, 1, 2])
    found = tf.reshape(found, [found.shape[0], keypoints, height * width])
    scores, flat = tf.math.top_k(found, min(task.num_candidates_per_keypoint, height * width))
    rows, columns = np.divmod(flat.numpy(), width)
    moved = gather(offsets, rows, columns)  # [B, K, n, 2 or 2 * K]
    if task.per_keypoint_offset:
        moved = moved.reshape(*rows.shape, keypoints, 2)
        moved = moved[:, np.arange(keypoints), :, np.arange(keypoints)].swapaxes(0, 1)
    return (np.stack([rows, columns], axis=-1) + moved).astype(np.float32), scores.numpy()


def refine(regressed, boxes, points, scores, task) -> tuple:
    """Snaps regressed keypoints to the nearest candidate, where that is near enough and not far outside of the box.

    Args:
        regressed: [N, K, 2], (y, x) in cells; boxes: [N, 4], yxyx in cells.
        points: [K, n, 2] and scores [K, n]: of `candidates` in this image.
        task: the typed `keypoint_estimation_task`.

    Returns:
        keypoints [N, K, 2]; scores [N, K], the config's `unmatched_keypoint_score` for those left as regressed.
    """
    valid = scores >= task.keypoint_candidate_score_threshold
    distances = np.linalg.norm(regressed[:, :, None] - points, axis=-1)  # [N, K, n]
    distances = np.where(valid, distances, np.inf)
    nearest = distances.argmin(axis=-1)
    keypoint = np.arange(len(scores))
    candidate, distance = points[keypoint, nearest], distances.min(axis=-1)
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) * (task.box_scale / 2)
    within = (np.abs(candidate - middle[:, None]) <= half[:, None]).all(axis=-1)
    near = distance <= task.candidate_search_scale * 2 * half.max(axis=-1)[:, None]
    snapped = within & near
    return (
        np.where(snapped[..., None], candidate, regressed),
        np.where(snapped, scores[keypoint, nearest], np.float32(task.unmatched_keypoint_score)),
    )
