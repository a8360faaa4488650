"""What else becomes of overlapping boxes: soft and matrix NMS, weighted boxes fusion, the merge of tiles.

All take listed boxes: float [N, 4] yxyx or xyxy of any scale, scores [N], class ids int [N] (None: all of one class),
and work within each class. Equal scores: the lower index is the better one. DataError for shapes that do not fit and
for what is not a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from detkit import boxes as box_math
from detkit import nms
from detkit.errors import DataError

_TILE = 2**16  # overlaps that are computed at a time


def soft_nms(
    boxes, scores, class_ids=None, *, sigma: float | None = 0.5, iou_threshold: float = 0.3, score_threshold=0.001
) -> tuple[np.ndarray, np.ndarray]:
    """Soft NMS: a box loses score for each better one that it overlaps, instead of going.

    Args:
        boxes, scores, class_ids: as above.
        sigma: Gaussian decay, by exp(-IoU^2 / sigma) for every overlap; None: linear decay, by 1 - IoU for an IoU
            above `iou_threshold`.
        score_threshold: boxes whose score sinks to it or below are left out.

    Returns:
        The indices of the boxes that are left, int64 [K], and their new scores, float32 [K], falling.

    Source: Bodla et al., Soft-NMS, 2017. TensorFlow's `soft_nms_sigma` is half of this sigma.
    """
    boxes, scores, class_ids = nms.checked(boxes, scores, class_ids)
    if sigma is not None and not sigma > 0:
        raise DataError("The sigma of soft NMS is not positive.", got=sigma, fix="Use 0.5, or None for linear decay.")
    left, current, found = np.arange(len(scores)), scores.copy(), []
    while True:
        alive = current > score_threshold
        left, current = left[alive], current[alive]
        if not len(left):
            break
        best = int(np.argmax(current))
        found.append((left[best], current[best]))
        overlaps = _iou(boxes[left[best]], boxes[left])
        decay = np.exp(-(overlaps**2) / sigma) if sigma is not None else _linear(overlaps, iou_threshold)
        current = np.where(class_ids[left] == class_ids[left[best]], current * decay, current)
        current[best] = -np.inf
    return np.array([row for row, _ in found], np.int64), np.array([score for _, score in found], np.float32)


def _linear(overlaps, threshold):
    return np.where(overlaps > threshold, 1 - overlaps, np.float32(1))


def matrix_nms(boxes, scores, class_ids=None, *, sigma: float | None = 2.0) -> np.ndarray:
    """The scores, float32 [N], that matrix NMS gives: soft NMS without its one-by-one order.

    A box's decay is that of the better box which overlaps it most, weakened by how much that one is overlapped itself.
    Memory grows with N, time with its square.

    Args:
        boxes, scores, class_ids: as above.
        sigma: Gaussian decay, by exp(-sigma * IoU^2); None: linear, by 1 - IoU.

    Source: Wang et al., SOLOv2, 2020.
    """
    boxes, scores, class_ids = nms.checked(boxes, scores, class_ids)
    order = np.argsort(-scores, kind="stable")
    ordered, classes = boxes[order], class_ids[order]
    most = np.zeros(len(order), np.float32)  # the largest IoU of each with a better one
    for _, overlaps in _better(ordered, classes):
        most = np.maximum(most, overlaps.max(axis=0, initial=0))
    decay = np.ones(len(order), np.float32)
    for rows, overlaps in _better(ordered, classes):
        own = most[rows, None]
        # The linear decay of a box that lies wholly under a better one weakens nothing.
        weakened = np.exp(-sigma * (overlaps**2 - own**2)) if sigma else (1 - overlaps) / np.maximum(1 - own, 1e-9)
        decay = np.minimum(decay, np.where(overlaps > 0, weakened, 1).min(axis=0, initial=1))
    result = np.empty_like(scores)
    result[order] = scores[order] * decay
    return result


def _better(boxes, classes) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For some better boxes at a time: their rows [R], and their IoU with all worse ones of their class, else 0."""
    step = max(1, _TILE // max(len(boxes), 1))
    for start in range(0, len(boxes), step):
        rows = np.arange(start, min(start + step, len(boxes)))
        overlaps = box_math.iou(boxes[rows], boxes)  # [R, N]
        counted = (classes[rows, None] == classes) & (rows[:, None] < np.arange(len(boxes)))
        yield rows, np.where(counted, overlaps, np.float32(0))


def weighted_boxes_fusion(
    boxes: Sequence, scores: Sequence, class_ids: Sequence | None = None, *, weights=None, iou_threshold: float = 0.55
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One set of boxes from those of several models: boxes that mean the same object are averaged.

    Args:
        boxes, scores, class_ids: for each of M models, its boxes [N_m, 4], scores and class ids.
        weights: how much each model counts, [M]; the same by default.
        iou_threshold: a box joins the fused box with which its IoU is highest, if it is greater than this.

    Returns:
        Fused boxes float32 [K, 4], averages weighted by score; scores float32 [K], falling: the mean score times the
        share of the models' weights that found the object; class ids int [K].

    Source: Solovyev et al., Weighted boxes fusion, 2021.
    """
    models = len(boxes)
    weights = np.ones(models) if weights is None else np.asarray(weights, np.float64)
    class_ids = [None] * models if class_ids is None else class_ids
    if not len(scores) == len(class_ids) == len(weights) == models or (models and not (weights > 0).all()):
        got = f"boxes of {models}, scores of {len(scores)}, class ids of {len(class_ids)}, weights {weights.tolist()}"
        raise DataError("Each model needs boxes, scores, and a weight above 0.", got=got)
    each = [nms.checked(*parts) for parts in zip(boxes, scores, class_ids, strict=True)]
    if not each:
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
    all_boxes, _, all_ids = (np.concatenate(column) for column in zip(*each, strict=True))
    all_scores = np.concatenate([part[1] * weight for part, weight in zip(each, weights, strict=True)])
    owners = np.repeat(np.arange(models), [len(part[1]) for part in each])
    clusters = _clusters(all_boxes, all_scores, all_ids, iou_threshold)
    fused = np.array([_average(all_boxes[rows], all_scores[rows]) for rows in clusters], np.float32).reshape(-1, 4)
    found = [weights[np.unique(owners[rows])].sum() / weights.sum() for rows in clusters]
    means = [all_scores[rows].sum() / weights[owners[rows]].sum() for rows in clusters]
    score = np.array(means, np.float32) * np.array(found, np.float32)
    order = np.argsort(-score, kind="stable")
    return fused[order], score[order], np.array([all_ids[rows[0]] for rows in clusters], np.int64)[order]


def _average(boxes, scores):
    return np.average(boxes, axis=0, weights=np.maximum(scores, 1e-9))


def _clusters(boxes, scores, class_ids, iou_threshold: float) -> list[np.ndarray]:
    """Rows of boxes that belong together: by falling score, each joins the fused box with the highest IoU."""
    fused, classes, members = np.zeros((0, 4), np.float32), np.zeros(0, np.int64), []
    for row in np.argsort(-scores, kind="stable"):
        overlaps = np.where(classes == class_ids[row], _iou(boxes[row], fused), -1)
        if overlaps.max(initial=-1) > iou_threshold:
            chosen = int(np.argmax(overlaps))
            members[chosen].append(row)
            rows = members[chosen]
            fused[chosen] = _average(boxes[rows], scores[rows])
        else:
            fused, classes = np.concatenate([fused, boxes[row, None]]), np.append(classes, class_ids[row])
            members.append([row])
    return [np.array(rows) for rows in members]


def merge_tiles(
    boxes, scores, class_ids=None, cut=None, *, iou_threshold: float = 0.5, cut_threshold: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """One box for each object of an image that was looked at in overlapping tiles.

    A box that ends at the border of its tile shows a part of its object. Such a part joins a better or worse box of its
    class if enough of the smaller one lies in the other, and the two become the box around both; whole boxes suppress
    each other as in greedy NMS.

    Args:
        boxes, scores, class_ids: as above, in the coordinates of the whole image.
        cut: bool [N], whether a box ends at a border of its tile that is not one of the image; none by default.
        iou_threshold: of two whole boxes.
        cut_threshold: the share of the smaller box, where one of the two is cut.

    Returns:
        The indices of the boxes that stand for the others, int64 [K], by falling score; and the boxes float32 [K, 4].
    """
    boxes, scores, class_ids = nms.checked(boxes, scores, class_ids)
    cut = np.zeros(len(boxes), bool) if cut is None else np.asarray(cut, bool)
    if cut.shape != scores.shape:
        raise DataError("`cut` does not fit the boxes.", got=cut.shape, expected=scores.shape)
    boxes, free, found = boxes.copy(), np.ones(len(boxes), bool), []
    for row in np.argsort(-scores, kind="stable"):
        if not free[row]:
            continue
        free[row] = False
        partial = cut[row]
        while True:  # a box that has grown may reach further parts
            rest = np.flatnonzero(free & (class_ids == class_ids[row]))
            parts = rest[(_share(boxes[row], boxes[rest]) > cut_threshold) & (cut[rest] | partial)]
            if not len(parts):
                break
            free[parts] = False
            both = boxes[np.append(parts, row)]
            boxes[row] = np.concatenate([both[:, :2].min(axis=0), both[:, 2:].max(axis=0)])
        rest = np.flatnonzero(free & (class_ids == class_ids[row]))
        free[rest[_iou(boxes[row], boxes[rest]) > iou_threshold]] = False
        found.append(row)
    rows = np.array(found, np.int64)
    return rows, boxes[rows]


def _iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    return box_math.iou(box[None], others)[0]


def _share(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The share of the smaller of two boxes that lies in the other, of one box [4] and others [N, 4]."""
    return np.maximum(box_math.ioa(box[None], others)[0], box_math.ioa(others, box[None])[:, 0])
