"""CenterNet's decoding inside a graph, equal to `detkit.detection.center_decoding`, for one image."""

from __future__ import annotations

import tensorflow as tf

from detkit.detection.center_decoding import peaks
from detkit.detection.center_losses import CENTER, OFFSET, SCALE, STRIDE
from detkit.hub import od_outputs as names


def decode(detector, predictions, true_shapes) -> dict:
    """{output: [1, N, ...]} of the raw outputs for one image."""
    last, params = detector.extractor.stacks - 1, detector.meta.object_center_params
    maps = {name: predictions[f"{name}/{last}"][0] for name in detector.head.names}
    shape = true_shapes[0]
    scores, rows, columns, channels = _centers(maps[CENTER], shape, params)
    cells = tf.stack([rows, columns], axis=1)
    middle = tf.cast(cells, tf.float32) + tf.gather_nd(maps[OFFSET], cells)
    half = tf.maximum(tf.gather_nd(maps[SCALE], cells), 0.0) / 2.0
    limits = tf.constant([float(n) for n in (*maps[CENTER].shape[:2], *maps[CENTER].shape[:2])])
    boxes = tf.clip_by_value(tf.concat([middle - half, middle + half], axis=1), 0.0, limits)
    size = tf.cast(shape[:2], tf.float32) / STRIDE
    found = {
        names.BOXES: tf.clip_by_value(boxes / tf.tile(size, [2]), 0.0, 1.0)[None],
        names.SCORES: scores[None],
        names.CLASSES: tf.cast(channels, tf.float32)[None] + 1.0,
        names.COUNT: tf.cast(tf.math.count_nonzero(scores > 0), tf.float32)[None],
    }
    if detector.pose:
        points, of = _keypoints(detector.pose, maps, cells, boxes, channels)
        found |= {"detection_keypoints": (points / size)[None], "detection_keypoint_scores": of[None]}
    return found


def _centers(logits, shape, params) -> tuple:
    """scores, rows, columns and channels [k] of the best peaks of logits [h, w, C]."""
    height, width, classes = logits.shape
    within = (tf.range(height) < shape[0])[:, None] & (tf.range(width) < shape[1])
    masked = tf.sigmoid(logits) * tf.cast(within, tf.float32)[..., None]
    flat = tf.reshape(peaks(masked[None], params.peak_max_pool_kernel_size), [-1])
    scores, index = tf.math.top_k(flat, min(params.max_box_predictions, height * width * classes))
    cells = index // classes
    return scores, cells // width, cells % width, index % classes


def _keypoints(pose, maps: dict, cells, boxes, channels) -> tuple:
    """Keypoints [k, K, 2] in cells and scores [k, K]; zeros for objects of classes without keypoints."""
    regressed = tf.gather_nd(maps[pose.regression], cells)
    regressed = tf.reshape(regressed, [-1, len(pose.names), 2]) + tf.cast(cells, tf.float32)[:, None]
    points, scores = _candidates(maps[pose.heatmap], maps[pose.offset], pose.task)
    found, of = _refined(regressed, boxes, points, scores, pose.task)
    mine = tf.cast(channels == pose.class_id, tf.float32)
    return found * mine[:, None, None], of * mine[:, None]


def _candidates(logits, offsets, task) -> tuple:
    """points [K, n, 2] in cells and scores [K, n] of the best peaks of each keypoint's heat map [h, w, K]."""
    height, width, count = logits.shape
    found = peaks(tf.sigmoid(logits)[None], task.peak_max_pool_kernel_size)[0]
    flat = tf.reshape(tf.transpose(found, [2, 0, 1]), [count, height * width])
    scores, index = tf.math.top_k(flat, min(task.num_candidates_per_keypoint, height * width))
    cells = tf.stack([index // width, index % width], axis=-1)
    moved = tf.gather_nd(offsets, cells)  # [K, n, 2 or 2 * K]
    if task.per_keypoint_offset:
        moved = tf.reshape(moved, [count, -1, count, 2])
        moved = tf.gather(moved, tf.range(count), axis=2, batch_dims=1)
    return tf.cast(cells, tf.float32) + moved, scores


def _refined(regressed, boxes, points, scores, task) -> tuple:
    """As `center_decoding.refine`: keypoints [N, K, 2] and scores [N, K]."""
    distances = tf.norm(regressed[:, :, None] - points, axis=-1)  # [N, K, n]
    distances = tf.where(scores >= task.keypoint_candidate_score_threshold, distances, float("inf"))
    nearest = tf.transpose(tf.argmin(distances, axis=-1, output_type=tf.int32))  # [K, N]
    candidate = tf.transpose(tf.gather(points, nearest, axis=1, batch_dims=1), [1, 0, 2])
    of = tf.transpose(tf.gather(scores, nearest, axis=1, batch_dims=1))
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) * (task.box_scale / 2)
    within = tf.reduce_all(tf.abs(candidate - middle[:, None]) <= half[:, None], axis=-1)
    near = tf.reduce_min(distances, axis=-1) <= task.candidate_search_scale * 2 * tf.reduce_max(half, axis=-1)[:, None]
    snapped = within & near
    return (
        tf.where(snapped[..., None], candidate, regressed),
        tf.where(snapped, of, task.unmatched_keypoint_score),
    )
