"""One detection as a target: which raw output became it, and how much of it is left in another picture.

Source: Petsiuk et al., "Black-box explanation of object detectors via saliency maps", 2021, for the similarity.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch

import numpy as np
import tensorflow as tf

from detkit import boxes
from detkit.detection import box_overlaps
from detkit.detection.center_losses import CENTER, OFFSET, SCALE, STRIDE
from detkit.detection.center_net import CenterNet
from detkit.detection.faster_rcnn import FasterRCNN
from detkit.detection.ssd import SSD
from detkit.detections import Detections
from detkit.errors import ConfigError, DataError
from detkit.explain.perturbation import BATCH
from detkit.explain.targets import Target, class_id_of
from detkit.garden import upstream
from detkit.garden.detr import OUTPUTS, Detr
from detkit.garden.retinanet import RetinaNet
from detkit.networks.functional import FunctionalNetwork

_LOWEST = 0.01  # the score of detections that similarity looks at, or a tenth of that of the one that is explained


def detection_target(
    detector, picture: np.ndarray, name: str | None = None, number: int | None = None, threshold: float = 0.3
) -> tuple[Target, Detections]:
    """A detection as a target, and all that were found.

    Args:
        detector: anything with `detect` and `classes`.
        picture: uint8 [h, w, 3].
        name: the class of the detection; number: which one, by falling score from 0, of all or of that class.
        threshold: the lowest score of a detection that counts.

    Raises:
        ConfigError: if the detector has no such class; DataError: if there is no such detection.
    """
    class_id = None if name is None else class_id_of(name, detector.classes)
    everything = detector.detect([picture], threshold=min(_LOWEST, threshold))[0]
    found = everything.above(threshold)
    rows = np.flatnonzero((found.class_ids == class_id) | (class_id is None))
    if len(rows) <= (number or 0):
        raise _nothing(everything, found, name, number, threshold)
    row = int(rows[number or 0])
    box, class_id, score = found.boxes[row], int(found.class_ids[row]), float(found.scores[row])

    def answer(pictures):
        seen = detector.detect(list(pictures), batch_size=BATCH, threshold=min(_LOWEST, score / 10))
        return similarity(seen, box, class_id)

    text = f"{detector.classes[class_id]} {score:.2f}"
    return Target(text, class_id, score, answer, logit_of(detector, picture, box, class_id, score), box), found


def similarity(found: list[Detections], box: np.ndarray, class_id: int) -> np.ndarray:
    """For each picture the best of its detections of a class: its IoU with a box times its score. float32 [N]."""
    best = []
    for each in found:
        same = each.class_ids == class_id
        overlaps = boxes.iou(box[None], each.boxes[same])[0] * each.scores[same]
        best.append(overlaps.max(initial=0.0))
    return np.array(best, np.float32)


@singledispatch
def logit_of(detector, picture, box, class_id: int, score: float) -> Callable | None:
    """The logit of a detection as a function of the raw outputs, {name: tensor [B, ...]} -> [B].

    It is that of the raw prediction whose box and score are the detection's; None for a detector whose inside can't be
    seen.

    Args:
        picture: uint8 [h, w, 3], in which it was found.
        box, class_id, score: the detection.
    """
    return None


@logit_of.register(FunctionalNetwork)
def _of_localizer(network, picture, box, class_id, score):
    return lambda outputs: class_logit(outputs["logits"], class_id)


@logit_of.register(SSD)
def _of_anchor(detector, picture, box, class_id, score):
    raw, window = _raw(detector, picture)
    found, scores = detector.scores_and_boxes(raw)
    anchor = _match(found[0].numpy() / window, scores[0, :, class_id].numpy(), box, score)
    column = class_id + int(detector.ssd.add_background_class)
    return lambda outputs: outputs["class_logits"][:, anchor, column]


@logit_of.register(RetinaNet)
def _of_garden_anchor(detector, picture, box, class_id, score):
    raw, window = _raw(detector, picture)
    weights = detector.task_config.model.detection_generator.box_coder_weights
    pixels = upstream.module("vision.ops.box_ops").decode_boxes(raw["box_encodings"], raw["anchors"][None], weights)
    found = pixels[0].numpy() / np.tile(detector.input_size, 2).astype(np.float32) / window
    column = int(detector.columns_of_classes[class_id])
    anchor = _match(found, tf.sigmoid(raw["class_logits"][0, :, column]).numpy(), box, score)
    return lambda outputs: outputs["class_logits"][:, anchor, column]


@logit_of.register(Detr)
def _of_query(detector, picture, box, class_id, score):
    raw, _ = _raw(detector, picture)
    logits, boxes_of = (raw[name] for name in OUTPUTS)
    made = upstream.module("projects.detr.modeling.detr").postprocess({"cls_outputs": logits, "box_outputs": boxes_of})
    query = _match(made["detection_boxes"][0].numpy(), made["detection_scores"][0].numpy(), box, score)
    column = int(detector.columns_of_classes[class_id])
    return lambda outputs: outputs[OUTPUTS[0]][:, query, column]


@logit_of.register(FasterRCNN)
def _of_region(detector, picture, box, class_id, score):
    """The logit of the proposal that is nearest to the detection's: proposals change with the picture."""
    raw, _ = _raw(detector, picture)
    found, scores = detector.scores_and_boxes(raw)
    shapes = np.tile(np.asarray(raw["true_shapes"])[0, :2], 2).astype(np.float32)
    found = found[0, :, min(class_id, found.shape[2] - 1)].numpy() / shapes
    region = raw["proposals"][0, _match(found, scores[0, :, class_id].numpy(), box, score)][None]

    def logit(outputs):
        overlaps = tf.map_fn(
            lambda own: box_overlaps.iou(own, tf.broadcast_to(region, own.shape)), outputs["proposals"]
        )
        nearest = tf.argmax(overlaps, axis=1)
        return tf.gather(outputs["class_logits"][..., class_id + 1], nearest, batch_dims=1)

    return logit


@logit_of.register(CenterNet)
def _of_cell(detector, picture, box, class_id, score):
    raw, _ = _raw(detector, picture)
    heat, sizes, offsets = (
        raw[f"{name}/{detector.extractor.stacks - 1}"][0].numpy() for name in (CENTER, SCALE, OFFSET)
    )
    cells = np.stack(np.indices(heat.shape[:2]), axis=-1)  # [h, w, 2]
    half = np.maximum(sizes, 0.0) / 2.0
    found = np.concatenate([cells + offsets - half, cells + offsets + half], axis=-1).reshape(-1, 4)
    window = np.tile(np.asarray(raw["true_shapes"])[0, :2] / STRIDE, 2).astype(np.float32)
    scores = tf.sigmoid(heat[..., class_id]).numpy().ravel()
    row, column = np.unravel_index(_match(found / window, scores, box, score), heat.shape[:2])
    name = f"{CENTER}/{detector.extractor.stacks - 1}"
    return lambda outputs: outputs[name][:, row, column, class_id]


def class_logit(logits, class_id: int):
    """The logit of a class, [B], of logits [B, C], or [B, 1] where the second of two classes is told by one logit."""
    if logits.shape[-1] == 1:
        return logits[..., 0] if class_id else -logits[..., 0]
    return logits[..., class_id]


def _raw(detector, picture) -> tuple:
    """The raw outputs for a picture, and the window [4] that it fills of the padded input."""
    inputs, shapes = detector.preprocess([picture])
    window = np.asarray(shapes)[0, :2] / np.array(inputs.shape[1:3])
    return detector.predict_graph(inputs, shapes), np.tile(window, 2).astype(np.float32)


def _match(found: np.ndarray, scores: np.ndarray, box: np.ndarray, score: float) -> int:
    """Which raw box [A, 4] with its score [A] became the detection."""
    overlaps = boxes.iou(box[None], boxes.clip(found))[0]
    return int(np.argmax(overlaps - np.abs(scores - score)))


def _nothing(everything: Detections, found: Detections, name, number, threshold) -> DataError | ConfigError:
    of = "" if name is None else f' of class "{name}"'
    seen = [f"{label} {score:.2f}" for label, score in zip(found.labels, found.scores, strict=True)]
    if number is not None and len(found):
        return ConfigError(
            f"There is no detection {number}{of} in this picture.",
            got=f"{number}",
            expected=", ".join(f"{i}: {text}" for i, text in enumerate(seen[:10])),
            fix="Numbers count from 0, by falling score, among those of the class if one is named.",
        )
    best = everything if name is None else everything.of_classes([name])
    below = f"; the best has a score of {best.scores[0]:.2f}" if len(best) else ""
    return DataError(
        f"There is no detection{of} in this picture to explain.",
        got=f"none with a score of {threshold:g} or more{below}",
        fix="Lower the threshold, or take another picture." if below else "Take another picture.",
    )
