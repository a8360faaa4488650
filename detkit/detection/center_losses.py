"""The losses of CenterNet over all stacks of its backbone. Source: `CenterNetMetaArch.loss` of the OD API."""

from __future__ import annotations

import tensorflow as tf

from detkit.detection import center_targets as targets

STRIDE = 4
CENTER, SCALE, OFFSET = "object_center", "box/scale", "box/offset"
KEYPOINT_OVERLAP = 0.7  # the OD API takes no other one for keypoints, whatever the config says of the centres
CLIP = 1e-4


def focal(logits, heatmap, settings):
    """The focal loss of a heat map, elementwise, with less weight around the peaks.

    Args:
        logits, heatmap: [..., C]; peaks are the cells where `heatmap` is 1.
        settings: a typed `penalty_reduced_logistic_focal_loss`.
    """
    p = tf.clip_by_value(tf.sigmoid(logits), CLIP, 1.0 - CLIP)
    positive = tf.pow(1.0 - p, settings.alpha) * tf.math.log(p)
    negative = tf.pow(1.0 - heatmap, settings.beta) * tf.pow(p, settings.alpha) * tf.math.log(1.0 - p)
    return -tf.where(heatmap == 1.0, positive, negative)


def at_cells(state: dict, name: str, stack: int, cells):
    """The values of an output at some cells int32 [B, ..., 2] -> [B, ..., values].

    A record may hold them already.
    """
    known = state.get(f"{name}/{stack}/at")
    return tf.gather_nd(state[f"{name}/{stack}"], cells, batch_dims=1) if known is None else known


def center_cells(found: targets.Objects, grid: tuple[int, int]):
    """int32 [B, M, 1, 2]: the cell of each object's centre."""
    return targets.around(found.centers, 0, grid)[0]


class CenterLosses:
    """The losses of a batch.

    Args:
        meta: the typed `center_net` message.
        stacks: of the backbone.
        truth: as `truth_of` gives it: boxes relative to the padded input, and "true_shapes".
        grid: (height, width) of the output.
        classes: their number.
    """

    def __init__(self, meta, stacks: int, truth: dict, grid: tuple[int, int], classes: int):
        self.meta, self.stacks, self.truth, self.grid, self.classes = meta, range(stacks), truth, grid, classes
        self.found = targets.objects(truth, grid)
        self.visible = targets.within_image(truth["true_shapes"], grid, STRIDE)
        count = tf.maximum(tf.math.count_nonzero(self.found.weights, dtype=tf.float32), 1.0)
        self.normalizer = count * stacks

    def of_boxes(self, state: dict) -> dict:
        """{"center_loss", "scale_loss", "offset_loss"}; inside boxes of weight 0 only the peaks of others count."""
        center, task = self.meta.object_center_params, self.meta.object_detection_task
        sizes, cells = self.found.sizes, center_cells(self.found, self.grid)
        offsets = self.found.centers - tf.floor(self.found.centers)
        weights = task.task_loss_weight
        return {
            "center_loss": center.object_center_loss_weight * self._center(state),
            "scale_loss": weights * task.scale_loss_weight * self._distance(state, SCALE, cells, sizes),
            "offset_loss": weights * task.offset_loss_weight * self._distance(state, OFFSET, cells, offsets),
        }

    def _center(self, state):
        params = self.meta.object_center_params
        heatmap = targets.center_heatmap(self.found, self.classes, params.min_box_overlap_iou, self.grid)
        kept = tf.where(heatmap == 1.0, 1.0, targets.outside_of_ignored(self.found, self.grid))
        settings = params.classification_loss.penalty_reduced_logistic_focal_loss
        losses = [focal(state[f"{CENTER}/{stack}"], heatmap, settings) for stack in self.stacks]
        return tf.reduce_sum(tf.add_n(losses) * (kept * self.visible)) / self.normalizer

    def _distance(self, state, name, cells, wanted):
        """The L1 distance between an output at the centres' cells and what is wanted there, [B, M, 2]."""
        distances = [tf.abs(at_cells(state, name, stack, cells)[:, :, 0] - wanted) for stack in self.stacks]
        return tf.reduce_sum(tf.add_n(distances) * self.found.weights[..., None]) / self.normalizer

    def of_keypoints(self, state: dict, pose) -> dict:
        """{"keypoint_heatmap_loss", "keypoint_offset_loss", "keypoint_regression_loss"}.

        Args:
            pose: a `detkit.detection.pose.Pose`.
        """
        task = pose.task
        points, weights = self._keypoints(pose)
        losses = {
            "keypoint_heatmap_loss": task.keypoint_heatmap_loss_weight * self._heatmap(state, pose, points, weights),
            "keypoint_offset_loss": task.keypoint_offset_loss_weight * self._offset(state, pose, points, weights),
            "keypoint_regression_loss": task.keypoint_regression_loss_weight
            * self._regression(state, pose, points, weights),
        }
        return {name: task.task_loss_weight * loss for name, loss in losses.items()}

    def _keypoints(self, pose) -> tuple:
        """(points [B, M, K, 2] in cells, weights [B, M, K], 0 for all but the keypoints of the pose's class)."""
        batch, count, keypoints = *tf.unstack(tf.shape(self.found.weights)), len(pose.names)
        if "keypoints" not in self.truth:
            return tf.zeros([batch, count, keypoints, 2]), tf.zeros([batch, count, keypoints])
        of_class = tf.cast(self.found.class_ids == pose.class_id, tf.float32)
        weights = self.truth["keypoint_weights"] * (of_class * self.found.weights)[..., None]
        points = self.truth["keypoints"] * tf.constant(self.grid, tf.float32)
        return tf.where(weights[..., None] > 0, points, 0.0), weights

    def _heatmap(self, state, pose, points, weights):
        spreads = tf.constant(pose.spreads) * targets.spread(self.found.sizes, KEYPOINT_OVERLAP)[..., None]
        heatmap = targets.keypoint_heatmap(points, spreads, weights, self.grid)
        counted = self.visible * targets.outside_of_unlabelled(self.found, weights, self.grid)
        settings = pose.task.loss.classification_loss.penalty_reduced_logistic_focal_loss
        losses = [focal(state[f"{pose.heatmap}/{stack}"], heatmap, settings) for stack in self.stacks]
        normalizer = len(self.stacks) * tf.maximum(tf.reduce_sum(weights), 1.0)
        return tf.reduce_sum(tf.add_n(losses) * counted) / normalizer

    def _offset(self, state, pose, points, weights):
        """From the cells around each keypoint to the keypoint."""
        cells, valid = targets.around(points, pose.task.offset_peak_radius, self.grid)  # [B, M, K, n, 2], [B, M, K, n]
        wanted = points[..., None, :] - tf.cast(cells, tf.float32)
        if pose.task.per_keypoint_offset:
            number = tf.range(len(pose.names))[:, None, None] * tf.ones_like(cells[..., :1])
            cells = tf.concat([cells, number], axis=-1)
        predicted = [self._by_keypoint(state[f"{pose.offset}/{stack}"], pose) for stack in self.stacks]
        predicted = [tf.gather_nd(each, cells, batch_dims=1) for each in predicted]
        return self._mean_distance(predicted, wanted, valid * weights[..., None])

    def _by_keypoint(self, offsets, pose):
        if not pose.task.per_keypoint_offset:
            return offsets
        return tf.reshape(offsets, [-1, *self.grid, len(pose.names), 2])

    def _regression(self, state, pose, points, weights):
        """From the cells around each object's centre to its keypoints."""
        cells, valid = regression_cells(self.found, pose, self.grid)  # [B, M, n, 2], [B, M, n]
        shape = [*tf.unstack(tf.shape(cells)[:3]), len(pose.names), 2]
        predicted = [tf.reshape(at_cells(state, pose.regression, s, cells), shape) for s in self.stacks]
        wanted = points[:, :, None] - tf.cast(cells, tf.float32)[..., None, :]  # [B, M, n, K, 2]
        return self._mean_distance(predicted, wanted, valid[..., None] * weights[:, :, None])

    def _mean_distance(self, predicted: list, wanted, weights):
        """The weighted mean L1 distance [..., 2] -> scalar over the stacks and all that has a weight [...]."""
        distances = tf.add_n([tf.reduce_sum(tf.abs(each - wanted), axis=-1) for each in predicted])
        normalizer = len(predicted) * tf.maximum(tf.reduce_sum(weights), 1.0)
        return tf.reduce_sum(distances * weights) / normalizer


def regression_cells(found: targets.Objects, pose, grid: tuple[int, int]) -> tuple:
    """The cells around each object's centre that regress keypoints, as `center_targets.around` gives them."""
    return targets.around(found.centers, pose.task.offset_peak_radius, grid)
