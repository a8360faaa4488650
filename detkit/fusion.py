"""What else becomes of overlapping boxes: soft and matrix NMS, weighted boxes fusion, the merge of tiles.

All take listed boxes: float [N, 4] yxyx or xyxy of any scale, scores [N], class ids int [N] (None: all of one class),
and work within each class. Equal scores: the lower index is the better one. DataError for shapes that do not fit and
for what is not a number.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from detkit import boxes as box_math
from detkit import nms
from detkit.errors import DataError

_TILE = 2**16  # overlaps that are computed at a time
_TIDY = 64  # boxes that are taken before those that are gone are sorted out


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
    decay = functools.partial(_gaussian, sigma) if sigma is not None else functools.partial(_linear, iou_threshold)
    parts = [_softened(rows, boxes[rows], scores[rows], decay, score_threshold) for rows in _by_class(class_ids)]
    rows, left = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((rows, -left))
    return rows[order], left[order]


def _softened(rows, boxes, scores, decay: Callable, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Which of the rows, boxes of one class, are left, and their new scores."""
    found = []
    while len(scores):
        best = int(np.argmax(scores))
        if not scores[best] > least:
            break
        found.append((rows[best], scores[best]))
        scores = scores * decay(_iou(boxes[best], boxes))
        scores[best], boxes[best] = -np.inf, 0  # nothing overlaps it any more
        if len(found) % _TIDY == 0:
            alive = scores > least
            rows, boxes, scores = rows[alive], boxes[alive], scores[alive]
    return np.array([row for row, _ in found], np.int64), np.array([score for _, score in found], np.float32)


def _gaussian(sigma, overlaps):
    return np.exp(-(overlaps**2) / sigma)


def _linear(threshold, overlaps):
    return np.where(overlaps > threshold, 1 - overlaps, np.float32(1))


def _by_class(class_ids) -> list[np.ndarray]:
    """The rows of each class, rising; of no boxes one class without rows."""
    order = np.argsort(class_ids, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(class_ids[order])) + 1)


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
    decay = np.ones(len(scores), np.float32)
    for rows in _by_class(class_ids):
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        decay[rows] = _decay(boxes[rows], sigma)
    return scores * decay


def _decay(boxes, sigma) -> np.ndarray:
    """The decay of each box of a class, the best first."""
    most = np.zeros(len(boxes), np.float32)  # the largest IoU of each with a better one
    for _, worse, overlaps in _better(boxes):
        most[worse] = np.maximum(most[worse], overlaps.max(axis=0))
    decay = np.ones(len(boxes), np.float32)
    for rows, worse, overlaps in _better(boxes):
        own = most[rows, None]
        # The linear decay of a box that lies wholly under a better one weakens nothing.
        weakened = np.exp(-sigma * (overlaps**2 - own**2)) if sigma else (1 - overlaps) / np.maximum(1 - own, 1e-9)
        decay[worse] = np.minimum(decay[worse], np.where(overlaps > 0, weakened, 1).min(axis=0))
    return decay


def _better(boxes) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Some rows of better boxes at a time, all from there on, and the IoU of each with each, 0 unless it is better."""
    step = max(1, _TILE // max(len(boxes), 1))
    for start in range(0, len(boxes), step):
        rows, worse = slice(start, start + step), slice(start, None)
        yield rows, worse, np.triu(box_math.iou(boxes[rows], boxes[worse]), 1)


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
