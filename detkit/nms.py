"""Non-maximum suppression."""

from __future__ import annotations

import numpy as np

FIRST_CHUNK = 1024


def class_wise(
    boxes,
    scores,
    *,
    iou_threshold: float = 0.5,
    score_threshold: float = 0.0,
    max_per_class: int = 100,
    max_total: int = 100,
    keep=None,
):
    """Greedy NMS within every class, over all classes at once.

    A box of one class is only ever suppressed by a better box of the same class, so one walk down the list of all
    (box, class) pairs by falling score decides every class, and may stop as soon as `max_total` are kept: no loop
    over classes, and usually no look at more than the best thousand pairs.

    Args:
        boxes: float [N, 4] yxyx, any scale; or [N, C, 4], for every class its own ([N, 1, 4]: the same for all).
        scores: float [N, C].
        iou_threshold: a box is suppressed where its IoU with a better one is greater.
        score_threshold: pairs must score more than this.
        keep: bool [N] (or [N, C], [N, 1]), boxes that may be returned; the others suppress, but are not returned.

    Returns:
        (indices [K], class_ids [K]) by falling score; ties go to the lower class, then to the lower index.

    Source: `batch_multiclass_non_max_suppression` of the OD API.
    """
    boxes, scores = np.asarray(boxes, np.float32), np.asarray(scores, np.float32)
    boxes = np.broadcast_to(boxes if boxes.ndim == 3 else boxes[:, None], (*scores.shape, 4))
    keep = np.True_ if keep is None else np.asarray(keep)
    keep = np.broadcast_to(keep[:, None] if keep.ndim == 1 else keep, scores.shape)
    kept, used = _Kept(boxes, iou_threshold, max_per_class), []
    for rows, columns in _by_falling_score(scores, score_threshold):
        for position in kept.walk(rows, columns):
            row, column = rows[position], columns[position]
            if keep[row, column]:
                used.append((row, column))
                if len(used) == max_total:
                    break
        if len(used) == max_total:
            break
    pairs = np.asarray(used, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _by_falling_score(scores, threshold):
    """Chunks of (rows, columns) of scores [N, C] above the threshold, best first; each four times the last."""
    flat = scores.T.ravel()  # class-major, so that a stable sort breaks ties by class, then by index
    candidates = np.flatnonzero(flat > threshold)
    size = FIRST_CHUNK
    while len(candidates):
        values = flat[candidates]
        if len(candidates) > size:
            # Everything tied with the last one that fits belongs to the chunk, or ties would be cut at random.
            limit = np.partition(values, len(values) - size)[len(values) - size]
            inside = values >= limit
            chunk, candidates = candidates[inside], candidates[~inside]
        else:
            chunk, candidates = candidates, candidates[:0]
        chunk = chunk[np.argsort(-flat[chunk], kind="stable")]
        yield chunk % len(scores), chunk // len(scores)
        size *= 4


class _Kept:
    """The boxes kept so far, to be compared with the next chunk."""

    def __init__(self, boxes, threshold, limit):
        self.boxes, self.threshold, self.limit = boxes, threshold, limit  # boxes: [N, C, 4]
        self.counts = np.zeros(boxes.shape[1], np.int64)
        self.rows, self.columns = [], []

    def walk(self, rows, columns):
        """The positions of a chunk's pairs that survive, one by one."""
        boxes = self.boxes[rows, columns]
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        alive = self.counts[columns] < self.limit
        for row, column in zip(self.rows, self.columns, strict=True):
            self._suppress(alive, boxes, areas, columns, self.boxes[row, column], column, 0)
        position = 0
        while position < len(rows):
            step = np.argmax(alive[position:])
            if not alive[position + step]:
                return
            position += step
            column = columns[position]
            self.rows.append(rows[position])
            self.columns.append(column)
            self.counts[column] += 1
            self._suppress(alive, boxes, areas, columns, boxes[position], column, position + 1)
            if self.counts[column] == self.limit:
                alive[position + 1 :] &= columns[position + 1 :] != column
            yield position
            position += 1

    def _suppress(self, alive, boxes, areas, columns, box, column, start):
        rest = boxes[start:]
        height = np.minimum(rest[:, 2], box[2]) - np.maximum(rest[:, 0], box[0])
        width = np.minimum(rest[:, 3], box[3]) - np.maximum(rest[:, 1], box[1])
        overlap = np.maximum(height, 0) * np.maximum(width, 0)
        union = areas[start:] + (box[2] - box[0]) * (box[3] - box[1]) - overlap
        # Multiplied out, so that an empty union needs no special care.
        alive[start:] &= ~((overlap > self.threshold * union) & (columns[start:] == column))
