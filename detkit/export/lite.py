"""A detector as one graph for TensorFlow Lite: from an image of the model's size to boxes, classes, scores, a count.

Source: `export_tflite_graph_lib_tf2` of the OD API, and the operation TFLite_Detection_PostProcess of TensorFlow Lite.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import tensorflow as tf

from detkit.detection.center_net import CenterNet
from detkit.detection.postprocessing import SCORE_CONVERTERS
from detkit.detection.ssd import SSD
from detkit.errors import ConfigError
from detkit.export import centers
from detkit.export.frozen import freeze
from detkit.garden.retinanet import RetinaNet
from detkit.hub import od_outputs as names

BEST = 1024  # anchors among which the detections are looked for
OUTPUTS = ("boxes", "classes", "scores", "count")


def lite(detector) -> Callable:
    """A function of an image [1, h, w, 3] of 0..255, of whatever type, that gives OUTPUTS; weights are constants in it.

    Classes count from 0, boxes are relative to the padded image and may reach beyond it. Where the detector finds
    keypoints they are outputs too.

    Raises:
        ConfigError: for families whose decoding TensorFlow Lite has no operations for.
    """
    makers = ((SSD, _anchors), (CenterNet, lambda each: partial(_centers, each)), (RetinaNet, _garden_anchors))
    make = next((make for kind, make in makers if isinstance(detector, kind)), None)
    if make is None:
        raise ConfigError(
            "TensorFlow Lite can't hold this kind of detector.",
            got=type(detector).__name__,
            expected="an SSD, an EfficientDet, a CenterNet or a RetinaNet",
            fix="Export it as a SavedModel.",
        )
    frozen, find = freeze(detector, 1), make(detector)

    def function(image):
        x = detector.normalize(tf.cast(image, tf.float32))
        return find(frozen.predictions(tf.nest.flatten(frozen.function(x)), None))

    return function


def _centers(detector, predictions) -> dict:
    """Of a CenterNet, as in a SavedModel."""
    whole = tf.constant([[*detector.input_size, 3]])
    found = centers.decode(detector, predictions, whole)
    named = {name.removeprefix("detection_"): value for name, value in found.items()}
    return named | {"classes": named["classes"] - 1.0, "count": named.pop(names.COUNT)}


def _anchors(detector) -> Callable:
    """Of an SSD: a function of the raw outputs."""
    post, coder = detector.ssd.post_processing, detector.ssd.box_coder.faster_rcnn_box_coder
    settings, convert = post.batch_non_max_suppression, SCORE_CONVERTERS[post.score_converter]
    find = _detection_operation(
        most=settings.max_total_detections,
        most_of_class=settings.max_detections_per_class,
        score=settings.score_threshold,
        iou=settings.iou_threshold,
        scales=(coder.y_scale, coder.x_scale, coder.height_scale, coder.width_scale),
        classes=len(detector.classes),
    )

    def found(predictions):
        scores = convert(predictions["class_logits"])[..., int(detector.ssd.add_background_class) :]
        return _best(find, scores, predictions["box_encodings"], predictions["anchors"])

    return found


def _garden_anchors(detector) -> Callable:
    """Of Model Garden's RetinaNet: a function of the raw outputs; boxes suppress before they are clipped."""
    settings = detector.task_config.model.detection_generator
    find = _detection_operation(
        most=settings.max_num_detections,
        most_of_class=settings.max_num_detections,
        score=settings.pre_nms_score_threshold,
        iou=settings.nms_iou_threshold,
        scales=settings.box_coder_weights or (1.0, 1.0, 1.0, 1.0),
        classes=len(detector.classes),
    )

    def found(predictions):
        scores = tf.sigmoid(tf.gather(predictions["class_logits"], detector.columns_of_classes, axis=-1))
        anchors = predictions["anchors"] / np.tile(detector.input_size, 2).astype(np.float32)
        return _best(find, scores, predictions["box_encodings"], anchors)

    return found


def _best(find: Callable, scores, encodings, anchors) -> dict:
    """OUTPUTS among the best of the anchors: the operation sorts all that it gets, for every class.

    Args:
        find: of `_detection_operation`.
        scores: [1, A, C]; encodings: [1, A, 4]; anchors: [A, 4], relative yxyx.
    """
    best = tf.reduce_max(scores[0], axis=-1)
    rows = tf.math.top_k(best, min(BEST, best.shape[0])).indices
    encodings, scores = (tf.gather(each, rows, axis=1) for each in (encodings, scores))
    return dict(zip(OUTPUTS, find(encodings, scores, tf.gather(_centred(anchors), rows)), strict=True))


def _detection_operation(most: int, most_of_class: int, score: float, iou: float, scales, classes: int):
    """A function of encodings, scores and anchors in whose place the converter puts the operation."""
    attributes = {
        "max_detections": most,
        "max_classes_per_detection": 1,
        "detections_per_class": most_of_class,
        "use_regular_nms": True,  # class by class, as the OD API's own
        "nms_score_threshold": float(score),
        "nms_iou_threshold": float(iou),
    }
    attributes |= {f"{side}_scale": float(scale) for side, scale in zip("yxhw", scales, strict=True)}
    attributes["num_classes"] = classes
    listed = " ".join(f'attr {{ key: "{key}" value {{ {_typed(value)} }} }}' for key, value in attributes.items())

    @tf.function(experimental_implements=f'name: "TFLite_Detection_PostProcess" {listed}', autograph=False)
    def find(encodings, scores, anchors):
        return tuple(tf.constant(0.0, name=name) for name in OUTPUTS)

    return find


def _typed(value) -> str:
    if isinstance(value, bool):
        return f"b: {str(value).lower()}"
    return f"i: {value}" if isinstance(value, int) else f"f: {value!r}"


def _centred(anchors) -> np.ndarray:
    """Anchors yxyx as [ycentre, xcentre, height, width]."""
    anchors = np.asarray(anchors)
    extent = anchors[:, 2:] - anchors[:, :2]
    return np.concatenate([anchors[:, :2] + extent / 2, extent], axis=1)
