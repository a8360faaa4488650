"""Detectors of Model Garden inside a graph: their preprocessing and their decoding, for one image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from detkit.errors import ConfigError
from detkit.garden import upstream
from detkit.garden.detr import OUTPUTS, Detr
from detkit.garden.letterbox import Letterbox, ShortSide
from detkit.garden.retinanet import RetinaNet
from detkit.garden.two_stage import FOUND, MASKS, TwoStage
from detkit.garden.yolo import GREY, Frame, Yolo, named
from detkit.hub import od_outputs as names


class _Rows(NamedTuple):
    """What Model Garden found in one image, by falling score.

    Attributes:
        boxes: [N, 4], yxyx relative to the true image; scores: [N]; columns: int [N], of the classes.
        count: how many of the N there are.
        masks: [N, h, w], or None.
    """

    boxes: tf.Tensor
    scores: tf.Tensor
    columns: tf.Tensor
    count: tf.Tensor
    masks: tf.Tensor | None = None


def prepare(detector, image) -> tuple:
    """`GardenDetector.preprocess` in a graph: image uint8 [1, H, W, 3] -> inputs, true_shapes int32 [1, 3]."""
    frame, old = tf.constant(detector.input_size), tf.shape(image)[1:3]
    size = _resized(detector.resizer, old)
    x = tf.cast(image, tf.float32)
    if isinstance(detector.resizer, Frame):
        x = tf.image.resize(x, tf.minimum(size, old), method=tf.image.ResizeMethod.AREA)
    x = tf.image.resize(x, size)
    before = (frame - size) // 2 if isinstance(detector, Yolo) else tf.zeros([2], tf.int32)
    padding = tf.concat([[[0, 0]], tf.stack([before, frame - size - before], axis=1), [[0, 0]]], axis=0)
    if isinstance(detector, Yolo):
        x = detector.normalize(tf.pad(x, padding, constant_values=GREY))
    else:
        x = tf.pad(detector.normalize(x), padding)
    return tf.ensure_shape(x, [1, *detector.input_size, 3]), tf.concat([size, [3]], axis=0)[None]


def _resized(resizer: Letterbox, size):
    """`Letterbox.resized` in a graph: int32 [2]."""
    if not resizer.keep_aspect_ratio:
        return tf.constant(resizer.size)
    image, frame = tf.cast(size, tf.float32), tf.constant(resizer.size, tf.float32)
    fitted = tf.cast(tf.round(image * tf.reduce_min(frame / image)), tf.int32)
    if isinstance(resizer, ShortSide):
        short, long = tf.reduce_min(image), tf.reduce_max(image)
        wanted, longest = float(resizer.short_side), float(max(resizer.size))
        side = tf.where(long / short * wanted > longest, tf.floor(longest * short / long), wanted)
        scaled = tf.cast(side * image / short, tf.int32)
        fails = tf.reduce_any(scaled > tf.constant(resizer.size)) | (side < 1.0)
        fitted = tf.where(fails, fitted, scaled)
    return tf.maximum(fitted, 1)


def decode(detector, predictions: dict, true_shapes) -> dict:
    """{output: [1, N, ...]} of the raw outputs for one image, as the OD API's exporter calls them.

    Raises:
        ConfigError: for a family whose decoding is no graph.
    """
    kinds = ((RetinaNet, _anchors), (Yolo, _cells), (Detr, _queries), (TwoStage, _regions))
    find = next((find for kind, find in kinds if isinstance(detector, kind)), None)
    if find is None:
        raise ConfigError("This kind of model can't be exported.", got=type(detector).__name__)
    rows = find(detector, predictions, true_shapes)
    window = tf.cast(true_shapes[0, :2], tf.float32)
    return _named(detector, rows._replace(boxes=tf.clip_by_value(rows.boxes / tf.tile(window, [2]), 0.0, 1.0)))


def _anchors(detector, predictions, true_shapes) -> _Rows:
    """As `RetinaNet.postprocess`, boxes in pixels, as in all of these."""
    codes, logits = predictions["box_encodings"], predictions["class_logits"]
    anchors = tf.constant(predictions["anchors"])[None]
    found = detector.model.detection_generator(
        {"0": codes[:, :, None]}, {"0": logits[:, :, None]}, {"0": anchors}, tf.cast(true_shapes[:, :2], tf.float32)
    )
    return _Rows(*(found[name][0] for name in FOUND))


def _cells(detector, predictions, true_shapes) -> _Rows:
    """As `Yolo.postprocess`."""
    found = detector.model.detection_generator(named(predictions, "raw"))
    boxes, *others = (found[name][0] for name in ("bbox", "confidence", "classes", "num_detections"))
    frame = tf.constant(detector.input_size)
    corner = tf.cast((frame - true_shapes[0, :2]) // 2, tf.float32)
    return _Rows(boxes * tf.tile(tf.cast(frame, tf.float32), [2]) - tf.tile(corner, [2]), *others)


def _queries(detector, predictions, true_shapes) -> _Rows:
    """As `Detr.postprocess`."""
    logits, boxes = (predictions[name] for name in OUTPUTS)
    made = upstream.module("projects.detr.modeling.detr").postprocess({"cls_outputs": logits, "box_outputs": boxes})
    scores = made["detection_scores"][0]
    order = tf.argsort(scores, direction="DESCENDING", stable=True)
    boxes, columns = (tf.gather(made[f"detection_{name}"][0], order) for name in ("boxes", "classes"))
    window = tf.tile(tf.cast(true_shapes[0, :2], tf.float32), [2])
    return _Rows(boxes * window, tf.gather(scores, order), columns, tf.size(scores))


def _regions(detector, predictions, true_shapes) -> _Rows:
    """As `TwoStage.postprocess`."""
    masks = _on_borders(predictions[MASKS][0]) if MASKS in predictions else None
    return _Rows(*(predictions[name][0] for name in FOUND), masks)


def _on_borders(masks):
    """As `detkit.garden.two_stage.on_borders`."""
    side = masks.shape[-1]
    cells = tf.pad(masks, [(0, 0), (1, 1), (1, 1)])
    place = np.linspace(0.5, side + 0.5, side, dtype=np.float32)
    low = place.astype(int)
    share = place - low
    rows = tf.gather(cells, low, axis=1) * (1 - share)[:, None] + tf.gather(cells, low + 1, axis=1) * share[:, None]
    return tf.gather(rows, low, axis=2) * (1 - share) + tf.gather(rows, low + 1, axis=2) * share


def _named(detector, rows: _Rows) -> dict:
    """The rows of known classes, which count from 1, before rows of zeros."""
    table = np.zeros(detector.description.columns, np.float32)
    table[detector.columns_of_classes] = np.arange(1, len(detector.classes) + 1)
    classes = tf.gather(table, tf.cast(rows.columns, tf.int32))
    kept = (tf.range(tf.size(rows.scores)) < tf.cast(rows.count, tf.int32)) & (classes > 0)
    order = tf.argsort(tf.cast(~kept, tf.int32), stable=True)
    there = tf.cast(tf.gather(kept, order), tf.float32)
    found = {
        names.BOXES: tf.gather(rows.boxes, order) * there[:, None],
        names.SCORES: tf.gather(rows.scores, order) * there,
        names.CLASSES: tf.maximum(tf.gather(classes, order) * there, 1.0),
    }
    if rows.masks is not None:
        found["detection_masks"] = tf.gather(rows.masks, order) * there[:, None, None]
    return {name: value[None] for name, value in found.items()} | {names.COUNT: tf.reduce_sum(there)[None]}
