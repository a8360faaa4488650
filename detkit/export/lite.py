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
    if not isinstance(detector, (SSD, CenterNet)):
        raise ConfigError(
            "TensorFlow Lite can't hold this kind of detector.",
            got=type(detector).__name__,
            expected="an SSD, an EfficientDet or a CenterNet",
            fix="Export it as a SavedModel.",
        )
    frozen = freeze(detector, 1)
    find = _anchors(detector) if isinstance(detector, SSD) else partial(_centers, detector)

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
    post = detector.ssd.post_processing
    convert, find = SCORE_CONVERTERS[post.score_converter], _detection_operation(detector)

    def found(predictions):
        scores = convert(predictions["class_logits"])[..., int(detector.ssd.add_background_class) :]
        # The operation sorts all the anchors it gets, for every class.
        best = tf.reduce_max(scores[0], axis=-1)
        rows = tf.math.top_k(best, min(BEST, best.shape[0])).indices
        encodings, scores = (tf.gather(each, rows, axis=1) for each in (predictions["box_encodings"], scores))
        outputs = find(encodings, scores, tf.gather(_centred(predictions["anchors"]), rows))
        return dict(zip(OUTPUTS, outputs, strict=True))

    return found


def _detection_operation(detector):
    """A function of encodings, scores and anchors in whose place the converter puts the operation."""
    settings = detector.ssd.post_processing.batch_non_max_suppression
    coder = detector.ssd.box_coder.faster_rcnn_box_coder
    attributes = {
        "max_detections": settings.max_total_detections,
        "max_classes_per_detection": 1,
        "detections_per_class": settings.max_detections_per_class,
        "use_regular_nms": True,  # class by class, as the OD API's own
        "nms_score_threshold": float(settings.score_threshold),
        "nms_iou_threshold": float(settings.iou_threshold),
        "y_scale": float(coder.y_scale),
        "x_scale": float(coder.x_scale),
        "h_scale": float(coder.height_scale),
        "w_scale": float(coder.width_scale),
        "num_classes": len(detector.classes),
    }
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
