"""A detector as one graph from a uint8 image of any size to detections, with the names of the OD API's exporter.

Source: `exporter_lib_v2.DetectionFromImageModule` and the meta-architectures' `postprocess` of the OD API.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from detkit.detection.center_net import CenterNet
from detkit.detection.detector import Detector
from detkit.detection.faster_rcnn import FasterRCNN
from detkit.detection.mask_rcnn import MaskRCNN
from detkit.detection.postprocessing import SCORE_CONVERTERS
from detkit.detection.ssd import SSD
from detkit.errors import ConfigError
from detkit.export import centers, garden, suppression
from detkit.export.frozen import freeze
from detkit.garden.detector import GardenDetector
from detkit.hub import od_outputs as names

IMAGE = tf.TensorSpec([1, None, None, 3], tf.uint8, "input_tensor")


def serving(detector: Detector) -> Callable:
    """A function of IMAGE that gives {output: float32 [1, ...]}, the detector's present weights in it as constants.

    `detection_classes` counts from 1; beyond `num_detections` all is 0, and the class 1.

    Raises:
        ConfigError: for a detector of a family that has no graph of its decoding.
    """
    decode = _decoding(detector)
    frozen = freeze(detector, 1)

    def serve(input_tensor):
        inputs, true_shapes = prepare(detector, input_tensor)
        given = {"inputs": inputs, "true_shapes": true_shapes}
        outputs = frozen.function(*(given[name] for name in frozen.inputs))
        found = decode(detector, frozen.predictions(tf.nest.flatten(outputs), true_shapes), true_shapes)
        return {name: tf.cast(value, tf.float32, name=name) for name, value in found.items()}

    return serve


def _decoding(detector) -> Callable:
    kinds = (
        *((MaskRCNN, _masks), (FasterRCNN, _regions), (SSD, _anchors)),
        *((CenterNet, centers.decode), (GardenDetector, garden.decode)),
    )
    for kind, decode in kinds:
        if isinstance(detector, kind):
            return decode
    raise ConfigError(
        "This kind of model can't be exported.",
        got=type(detector).__name__,
        expected="SSD, EfficientDet, Faster R-CNN, Mask R-CNN, CenterNet, or a detector of Model Garden",
    )


def prepare(detector: Detector, image) -> tuple:
    """`Detector.preprocess` in a graph: image uint8 [1, H, W, 3] -> inputs [1, h, w, 3], true_shapes int32 [1, 3]."""
    if isinstance(detector, GardenDetector):
        return garden.prepare(detector, image)
    target, size = detector.input_size, resized(detector.resizer, tf.shape(image)[1:3])
    x = tf.raw_ops.ResizeBilinear(images=tf.cast(image, tf.float32), size=size)
    missing = tf.constant(target) - size
    padding = tf.stack([[0, 0], [0, missing[0]], [0, missing[1]], [0, 0]])
    if detector.normalizes_padding:
        x = detector.normalize(tf.pad(x, padding))
    else:
        x = tf.pad(detector.normalize(x), padding)
    return tf.ensure_shape(x, [1, *target, 3]), tf.concat([size, [3]], 0)[None]


def resized(resizer, size):
    """`Resizer.resized` in a graph: the (height, width) int32 [2] that an image of this size gets before padding."""
    if resizer.fixed is not None:
        return tf.constant(resizer.input_size)
    limits = tf.constant([resizer.aspect.min_dimension, resizer.aspect.max_dimension], tf.float32)
    target = tf.where(size[0] < size[1], limits, limits[::-1])
    size = tf.cast(size, tf.float32)
    return tf.cast(tf.round(tf.reduce_min(target / size) * size), tf.int32)


def _anchors(detector, predictions, true_shapes) -> dict:
    """Of an SSD: boxes relative to the padded input."""
    boxes, scores = detector.scores_and_boxes(predictions)
    window = tf.cast(true_shapes[0, :2], tf.float32) / tf.constant(detector.input_size, tf.float32)
    post = detector.ssd.post_processing
    table = SCORE_CONVERTERS[post.score_converter](predictions["class_logits"])
    found = _suppressed(boxes[:, :, None], scores, table, window, post.batch_non_max_suppression)
    return found | {"raw_detection_boxes": boxes, "raw_detection_scores": table}


def _regions(detector, predictions, true_shapes) -> dict:
    """Of a Faster R-CNN: boxes in pixels of the padded input."""
    boxes, scores = detector.scores_and_boxes(predictions)
    window = tf.cast(true_shapes[0, :2], tf.float32)
    post = detector.meta.second_stage_post_processing
    logits = predictions["class_logits"]
    table = SCORE_CONVERTERS[post.score_converter](logits / post.logit_scale)
    found = _suppressed(boxes, scores, table, window, post.batch_non_max_suppression)
    best = tf.minimum(tf.argmax(logits[..., 1:], axis=2, output_type=tf.int32), boxes.shape[2] - 1)
    raw = _relative(tf.gather(boxes, best, batch_dims=2), window)
    return found | {"raw_detection_boxes": raw, "raw_detection_scores": table}


def _masks(detector, predictions, true_shapes) -> dict:
    """Of a Mask R-CNN: the mask of each detection beside what a Faster R-CNN gives."""
    found = _regions(detector, predictions, true_shapes)
    # Never none at all: TensorFlow's fused convolutions give an empty batch a wrong shape.
    count = tf.maximum(tf.cast(found[names.COUNT][0], tf.int32), 1)
    window = tf.cast(true_shapes[0, :2], tf.float32) / tf.constant(detector.input_size, tf.float32)
    boxes = found[names.BOXES][0, :count] * tf.tile(window, [2])
    classes = tf.cast(found[names.CLASSES][0, :count], tf.int32) - 1
    masks = detector.draw(predictions["map"], boxes, classes)
    return found | {"detection_masks": padded(masks, found[names.SCORES].shape[1])[None]}


def _suppressed(boxes, scores, table, window, settings) -> dict:
    """The detections of one image.

    Args:
        boxes: [1, A, 1 or C, 4], unclipped; scores: [1, A, C].
        table: [1, A, columns], the scores with the background's column where there is one.
        window: [2], the size of the true image in the coordinates of the boxes.
    """
    # As the reference does: the boxes suppress as they are, and are returned clipped.
    relative = _relative(boxes[0], window)
    keep = tf.reduce_all(relative[..., 2:] > relative[..., :2], axis=-1)
    kept = suppression.class_wise(boxes[0], scores[0], settings, keep)
    own = tf.minimum(kept.class_ids, boxes.shape[2] - 1)
    columns = {
        names.BOXES: tf.gather_nd(relative, tf.stack([kept.rows, own], axis=1)),
        names.SCORES: kept.scores,
        names.CLASSES: tf.cast(kept.class_ids, tf.float32),
        "detection_multiclass_scores": tf.gather(table[0], kept.rows),
        "detection_anchor_indices": kept.rows,
    }
    return batch(columns, tf.size(kept.scores), settings.max_total_detections)


def _relative(boxes, window):
    """Boxes [..., 4] clipped to the true image of size [2], and relative to it."""
    limits = tf.tile(window, [2])
    return tf.clip_by_value(boxes, 0.0, limits) / limits


def batch(columns: dict, count, most: int) -> dict:
    """{output: [1, most, ...]} of one image's rows, `detection_classes` raised to count from 1, and their number."""
    found = {name: padded(value, most)[None] for name, value in columns.items()}
    found[names.CLASSES] += 1.0
    return found | {names.COUNT: tf.cast(count, tf.float32)[None]}


def padded(values, most: int):
    """values [N, ...] with rows of zeros after them: [most, ...]."""
    missing = most - tf.shape(values)[0]
    rest = np.zeros((values.shape.rank - 1, 2), np.int32)
    filled = tf.pad(values, tf.concat([[[0, missing]], rest], axis=0))
    return tf.ensure_shape(filled, [most, *values.shape[1:]])
