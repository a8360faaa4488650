"""The objects of a picture: given twice, too small, or with a mask elsewhere than the box."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from detkit import boxes as box_math
from detkit import masks
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.data.problems import Problem

NEARLY = 0.9  # IoU from which two objects of one class are taken for one
SMALL = 8  # pixels at the model's input size; such an object covers one cell of the finest feature map
_SAME = 0.01  # pixels by which the boxes of an object given twice may differ; files round to a thousandth
_AGREEING = 0.5  # IoU of a box and that of its mask
_ROWS = 512  # boxes compared at once with all others; bounds the memory


def pairs(example: Example) -> Iterator[tuple[int, int, float]]:
    """Objects that are there twice: a box, an earlier one of the same class, and their IoU; 1 if they are equal.

    Where both have masks, the IoU is that of the masks: boxes of crossed objects may be the same.
    """
    boxes, n = example.boxes, len(example)
    for start in range(0, n if n > 1 else 0, _ROWS):
        rows = np.arange(start, min(start + _ROWS, n))
        alike = (example.class_ids[rows, None] == example.class_ids) & (example.crowd[rows, None] == example.crowd)
        iou = box_math.iou(boxes[rows], boxes) * (alike & (rows[:, None] > np.arange(n)))
        for row in np.flatnonzero((iou > NEARLY).any(-1)):
            box = int(rows[row])
            candidates = np.argsort(-iou[row], kind="stable")[: np.count_nonzero(iou[row] > NEARLY)]
            first, overlap = max(((int(c), _overlap(example, box, c, iou[row, c])) for c in candidates), key=_by_iou)
            if overlap > NEARLY:
                yield box, first, overlap


def _by_iou(pair: tuple[int, float]) -> tuple[float, int]:
    return pair[1], -pair[0]


def _overlap(example: Example, a: int, b: int, iou: float) -> float:
    """The IoU of two objects with nearly the same box; below 1 unless all of them is the same."""
    sides = np.tile(example.size, 2)
    same = np.abs((example.boxes[a] - example.boxes[b]) * sides).max() <= _SAME
    a, b = (example.segmentations[i] if example.segmentations is not None else None for i in (a, b))
    if a is not None and b is not None:
        iou = 1.0 if a == b else _mask_iou(masks.decode(a, example.size), masks.decode(b, example.size))
        return iou if same else min(iou, 0.999)
    return 1.0 if same and a is b else min(float(iou), 0.999)


def _mask_iou(a: np.ndarray, b: np.ndarray) -> float:
    return np.count_nonzero(a & b) / max(np.count_nonzero(a | b), 1)


def doubles(example: Example, classes: tuple[str, ...]) -> Iterator[Problem]:
    """Objects that are there twice, exactly or nearly."""
    for box, first, iou in pairs(example):
        name = classes[example.class_ids[box]]
        yield Problem(
            "warning",
            "A box is there twice." if iou == 1 else "Two boxes of a class are nearly the same.",
            **example.place,
            box=box,
            got=f"equal to box {first}, {name}" if iou == 1 else f"{name}, an IoU of {iou:.2f} with box {first}",
            expected="each object once",
            fix="Delete one of them." if iou == 1 else "Delete one of them, unless they are two objects.",
        )


def two_classes(dataset: Dataset) -> Iterator[Problem]:
    """Boxes that two classes share."""
    found = []
    for example in dataset:
        ids, boxes = example.class_ids, np.round(example.boxes * np.tile(example.size, 2), 1)
        _, first, groups = np.unique(boxes, axis=0, return_index=True, return_inverse=True)
        first = first[groups.ravel()]
        found += [(example, int(i), int(first[i])) for i in np.flatnonzero(ids[first] != ids)]
    if found:
        example, box, first = found[0]
        names = [dataset.classes[example.class_ids[i]] for i in (first, box)]
        yield Problem(
            "info",
            f"{len(found)} boxes are there under two classes.",
            **example.place,
            box=box,
            got=f"{names[0]} and {names[1]}, as box {first}",
            expected="one class an object",
            fix="Delete the wrong one; a detector of this kind learns both as right.",
        )


def masks_elsewhere(example: Example) -> Iterator[Problem]:
    """Masks without a pixel, and those whose own box is another than the annotated one."""
    boxes = box_math.convert(example.boxes, "yxyx", "xyxy_abs", example.size)
    for n, segmentation in enumerate(example.segmentations or ()):
        if segmentation is None:
            continue
        own = box_math.convert(masks.bounding_box(segmentation, example.size), "xywh_abs", "xyxy_abs")
        at = example.place | {"box": n}
        if own[0] >= own[2]:
            fix = "Draw the outline again, or delete the segmentation."
            yield Problem("warning", "A mask covers no pixel.", **at, expected="a pixel or more", fix=fix)
            continue
        margin = np.array([-1, -1, 1, 1])  # pixels; the smallest objects must not stumble over rounding
        if box_math.iou(boxes[n : n + 1] + margin, own[None] + margin)[0, 0] < _AGREEING:
            yield Problem(
                "warning",
                "A mask lies elsewhere than its box.",
                **at,
                got=f"a mask in {own.tolist()}, xmin, ymin, xmax, ymax in pixels",
                expected=f"about {boxes[n].round(1).tolist()}, the box",
                fix="Correct the one that is wrong; without a box in the annotation, detkit takes the mask's.",
            )


def small(dataset: Dataset, input_size: int) -> Iterator[Problem]:
    """Objects of a few pixels in the model's input."""
    found, total = [], sum(map(len, dataset))
    for example in dataset:
        sides = (example.boxes[:, 2:] - example.boxes[:, :2]) * example.size  # [N, 2] pixels
        scaled = np.sqrt(sides.prod(-1)) * input_size / max(example.size)
        found += [(scaled[i], example, int(i)) for i in np.flatnonzero(scaled < SMALL)]
    if found:
        side, example, box = min(found, key=lambda entry: entry[0])
        yield Problem(
            "info",
            f"{len(found)} of {total} objects are smaller than {SMALL} pixels at the input size {input_size}.",
            **example.place,
            box=box,
            got=f"the smallest: {side:.1f} pixels",
            expected=f"{SMALL} or more to be found reliably",
            fix="Use a model with a larger input, or cut the pictures into tiles.",
        )
