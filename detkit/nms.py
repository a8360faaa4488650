"""Greedy non-maximum suppression. The variants that change scores or boxes are in `detkit.fusion`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from detkit.errors import DataError

FIRST_CHUNK = 1024  # pairs that are looked at before all others: usually enough
_BLOCK = 128  # pairs that are decided at a time
_TILE = 2**17  # overlaps that are computed at a time: they stay in the processor's cache


def greedy(boxes, scores, class_ids=None, *, iou_threshold: float = 0.5, score_threshold=None, max_total=None):
    """Greedy NMS of listed boxes: a box goes where it overlaps a better one of its class by more than the threshold.

    Args:
        boxes: float [N, 4], yxyx or xyxy, any scale.
        scores: float [N].
        class_ids: int [N]; None: all boxes are of one class (class-agnostic).
        iou_threshold: a box is suppressed where its IoU with a better one is greater.
        score_threshold: scores must be greater; None: any will do.
        max_total: the most boxes that are kept; None: all.

    Returns:
        The indices of the kept boxes, int64 [K], by falling score; of equal scores the lower index is the better one.

    Raises:
        DataError: for shapes that do not fit, and for what is not a number.
    """
    boxes, scores, class_ids = checked(boxes, scores, class_ids)
    order = np.argsort(-scores, kind="stable")
    if score_threshold is not None:
        order = order[: np.count_nonzero(scores > score_threshold)]
    most = len(scores) if max_total is None else max_total
    kept = _Kept(iou_threshold, len(scores), int(class_ids.max(initial=0)) + 1)
    return order[_first(kept.walk(boxes[order], class_ids[order]), most)]


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

    Raises:
        DataError: for shapes that do not fit, and for what is not a number.

    Source: `batch_multiclass_non_max_suppression` of the OD API.
    """
    boxes, scores = _checked_matrix(boxes, scores)
    keep = np.True_ if keep is None else np.asarray(keep)
    keep = np.broadcast_to(keep[:, None] if keep.ndim == 1 else keep, scores.shape)
    kept, found, missing = _Kept(iou_threshold, max_per_class, scores.shape[1]), [], max_total
    for rows, columns in _by_falling_score(scores, score_threshold):
        wanted = keep[rows, columns]
        used = _first(kept.walk(boxes[rows, columns], columns), missing, wanted)
        found.append(np.stack([rows[used], columns[used]]))
        missing -= len(used)
        if not missing:
            break
    pairs = np.concatenate([np.zeros((2, 0), np.int64), *found], axis=1)
    return pairs[0], pairs[1]


def class_wise_batch(boxes, scores, **options) -> list[tuple[np.ndarray, np.ndarray]]:
    """`class_wise` of each image of a batch: boxes [B, N, 4] or [B, N, C, 4], scores [B, N, C]."""
    if len(boxes) != len(scores):
        got = f"boxes of {len(boxes)} images, scores of {len(scores)}"
        raise DataError("Boxes and scores differ in the number of images.", got=got)
    return [class_wise(*image, **options) for image in zip(boxes, scores, strict=True)]


def checked(boxes, scores, class_ids=None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Listed boxes float32 [N, 4], scores float32 [N] and class ids int [N], zeros if None; or DataError."""
    boxes, scores = np.asarray(boxes, np.float32), np.asarray(scores, np.float32)
    boxes = boxes.reshape(0, 4) if boxes.size == 0 else boxes
    class_ids = np.zeros(len(boxes), np.int64) if class_ids is None else np.asarray(class_ids)
    n = scores.size
    if boxes.shape != (n, 4) or scores.shape != (n,) or class_ids.shape != (n,):
        got = f"boxes {boxes.shape}, scores {scores.shape}, class_ids {class_ids.shape}"
        raise DataError("Boxes and scores do not fit together.", got=got, expected="[N, 4], [N] and [N]")
    if n and (class_ids.dtype.kind not in "iu" or class_ids.min() < 0):
        got = f"{class_ids.dtype}, from {class_ids.min()}"
        raise DataError("The class ids are not whole numbers from 0.", got=got)
    _check_numbers(boxes, scores)
    return boxes, scores, class_ids


def _checked_matrix(boxes, scores) -> tuple[np.ndarray, np.ndarray]:
    boxes, scores = np.asarray(boxes, np.float32), np.asarray(scores, np.float32)
    each = boxes if boxes.ndim == 3 else boxes[:, None] if boxes.ndim == 2 else boxes[..., None, None]
    fits = scores.ndim == 2 and each.ndim == 3 and each.shape[1] in (1, scores.shape[1])
    if not fits or each.shape[::2] != (len(scores), 4):
        got, expected = f"boxes {boxes.shape}, scores {scores.shape}", "[N, 4] or [N, C, 4], and [N, C]"
        raise DataError("Boxes and scores do not fit together.", got=got, expected=expected)
    _check_numbers(each, scores)
    return np.broadcast_to(each, (*scores.shape, 4)), scores


def _check_numbers(boxes: np.ndarray, scores: np.ndarray) -> None:
    # The extremes are NaN if anything is, and come without an array of booleans.
    for name, values, allowed in (("box", boxes, np.isfinite), ("score", scores, lambda x: not np.isnan(x))):
        if values.size and not (allowed(values.min()) and allowed(values.max())):
            fix = "The detector may have diverged in training: look at its losses, lower the learning rate."
            raise DataError(f"A {name} is not a number.", got=f"{values.min()} to {values.max()}", fix=fix)


def _first(positions: Iterator[int], most: int, wanted=None) -> np.ndarray:
    """The first of the positions, of those that are wanted: int64 [K]."""
    found = []
    for position in positions if most > 0 else ():
        if wanted is None or wanted[position]:
            found.append(position)
            if len(found) == most:
                break
    return np.array(found, np.int64)


def _by_falling_score(scores, threshold) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Chunks of (rows, columns) of scores [N, C] above the threshold, best first; each about four times the last."""
    size, upper = FIRST_CHUNK, np.inf
    if scores.size and len(scores) > size:
        # So many rows have a score of at least `lower`: the best pairs are above it, and few others.
        best = scores.max(axis=1)
        lower = np.partition(best, len(best) - size)[len(best) - size]
        if lower > threshold:
            rows, columns = np.nonzero(scores >= lower)
            order = np.lexsort((rows, columns, -scores[rows, columns]))
            yield rows[order], columns[order]
            size, upper = 4 * len(rows), lower
    flat = scores.T.ravel()  # class-major, so that a stable sort breaks ties by class, then by index
    candidates = np.flatnonzero((flat > threshold) & (flat < upper))
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
    """The boxes kept so far, to be compared with the next ones. Memory grows with their number alone."""

    def __init__(self, iou_threshold: float, max_per_class: int, classes: int):
        self.threshold, self.limit = np.float32(iou_threshold), max_per_class
        self.boxes, self.columns = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
        self.counts = np.zeros(classes, np.int64)

    def walk(self, boxes: np.ndarray, columns: np.ndarray) -> Iterator[int]:
        """The positions of those that survive, one by one: boxes [N, 4] and their classes [N], the best first."""
        for start in range(0, len(boxes), _BLOCK):
            block = slice(start, start + _BLOCK)
            for position in self._walk_block(boxes[block], columns[block]):
                yield start + position

    def _walk_block(self, boxes, columns) -> Iterator[int]:
        alive = (self.counts[columns] < self.limit) & ~self._overlapped(boxes, columns)
        here = np.flatnonzero(alive)
        over, chosen = self._overlaps(boxes[here], columns[here], boxes[here], columns[here]), []
        alive = np.ones(len(here), bool)
        classes = columns[here].tolist()
        for i, column in enumerate(classes):
            if alive[i] and self.counts[column] < self.limit:
                alive &= ~over[i]
                chosen.append(here[i])
                self.counts[column] += 1
                yield int(here[i])
        self.boxes = np.concatenate([self.boxes, boxes[chosen]])
        self.columns = np.concatenate([self.columns, columns[chosen]])

    def _overlapped(self, boxes, columns) -> np.ndarray:
        """Which of the boxes overlap one that was kept: bool [N]."""
        step, found = _TILE // _BLOCK, np.zeros(len(boxes), bool)
        for start in range(0, len(self.boxes), step):
            tile = slice(start, start + step)
            found |= self._overlaps(self.boxes[tile], self.columns[tile], boxes, columns).any(axis=0)
        return found

    def _overlaps(self, a, a_columns, b, b_columns) -> np.ndarray:
        """Whether boxes [N, 4] and [M, 4] are of one class, and overlap by more than the threshold: bool [N, M]."""
        ymin, xmin, ymax, xmax = (a[:, i, None] for i in range(4))
        height = np.minimum(ymax, b[:, 2]) - np.maximum(ymin, b[:, 0])
        width = np.minimum(xmax, b[:, 3]) - np.maximum(xmin, b[:, 1])
        overlap = np.maximum(height, 0) * np.maximum(width, 0)
        union = (ymax - ymin) * (xmax - xmin) + (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) - overlap
        with np.errstate(invalid="ignore"):  # two boxes without area: 0 / 0 is not greater either
            # Multiplied out, some overlaps that equal the threshold would be rounded to one side of it.
            return (overlap / union > self.threshold) & (a_columns[:, None] == b_columns)
