"""The pre-flight check of a dataset: every problem in one pass."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from detkit import boxes as box_math
from detkit import masks
from detkit.data import formats, images
from detkit.data.dataset import Dataset
from detkit.data.example import Example, size_problem
from detkit.data.problems import Problem, format_problems
from detkit.errors import DataError, MediaError

__all__ = ["Problem", "check", "format_problems"]

INPUT_SIZE = 320  # pixels; the longer side of the smallest common model input
SMALL = 8  # pixels at that input; such an object covers one cell of the finest feature map
_AGREEING = 0.5  # IoU of a box and that of its mask
_LISTED = 5  # names spelled out in a summary


def check(dataset, format: str | None = None, images=None) -> list[Problem]:
    """Everything that is wrong or worth knowing about a dataset, in one pass over its pictures.

    Besides what reading finds: pictures that don't open or have another size than annotated (EXIF rotation
    included), one picture under two names, boxes given twice, masks that are empty or elsewhere than their box, very
    small objects, classes without boxes, pictures without boxes, no boxes at all.

    Args:
        dataset: a Dataset, or the path of one.
        format, images: as for `detkit.data.read`, for a path.

    Returns:
        The problems, in the order they were found; empty if all is well. None is raised.
    """
    if not isinstance(dataset, Dataset):
        try:
            module = formats.named(format) if format else formats.recognised(Path(dataset))
            dataset = module.read(dataset, images=images, strict=False)
        except DataError as error:
            where = None if error.where is None else str(error.where)
            got = None if error.got is None else str(error.got)
            return [Problem("error", error.what, file=where, got=got, expected=error.expected, fix=error.fix)]
    problems, seen = list(dataset.problems), {}
    for example in dataset:
        problems += _picture_problems(example, seen)
        problems += _double_boxes(example, dataset.classes)
        problems += _mask_problems(example)
    return problems + list(_summaries(dataset))


def _picture_problems(example: Example, seen: dict[bytes, Example]) -> Iterator[Problem]:
    """Whether the picture opens, has the annotated size, and was not there before."""
    if isinstance(example.image, np.ndarray):
        return
    at = dict(file=example.source or None, image=str(example.image))
    try:
        images.decode(example.image)
    except MediaError as error:
        yield Problem("error", error.what, **at, got=str(error.got), expected=str(error.expected), fix=error.fix)
        return
    wrong_size = size_problem(example)
    if wrong_size:
        yield wrong_size
    content = example.image.read_bytes() if isinstance(example.image, Path) else example.image.read()
    digest = hashlib.sha256(content).digest()
    first = seen.setdefault(digest, example)
    if first is not example:
        same = np.array_equal(first.boxes, example.boxes)
        yield Problem(
            "warning",
            "The same picture is there twice.",
            **at,
            got=f"equal to {first.label}, with {'the same' if same else 'other'} boxes",
            expected="each picture once",
            fix="Keep one of them; in training and test at once it makes results look better.",
        )


def _double_boxes(example: Example, classes: tuple[str, ...]) -> Iterator[Problem]:
    rows = np.concatenate([example.boxes, example.class_ids[:, None]], -1)
    _, first, groups = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    for box in np.flatnonzero(first[groups.ravel()] != np.arange(len(rows))):
        yield Problem(
            "warning",
            "A box is there twice.",
            file=example.source or None,
            image=example.label,
            box=int(box),
            got=f"equal to box {first[groups.ravel()[box]]}, {classes[example.class_ids[box]]}",
            expected="each object once",
            fix="Delete one of them.",
        )


def _mask_problems(example: Example) -> Iterator[Problem]:
    """Masks without a pixel, and those whose own box is another than the annotated one."""
    boxes = box_math.convert(example.boxes, "yxyx", "xyxy_abs", example.size)
    for n, segmentation in enumerate(example.segmentations or ()):
        if segmentation is None:
            continue
        own = box_math.convert(masks.bounding_box(segmentation, example.size), "xywh_abs", "xyxy_abs")
        at = dict(file=example.source or None, image=example.label, box=n)
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


def _summaries(dataset: Dataset) -> Iterator[Problem]:
    """What concerns the dataset as a whole."""
    counts = np.bincount(
        np.concatenate([example.class_ids for example in dataset] or [[]]).astype(int),
        minlength=len(dataset.classes),
    )
    if not counts.sum():
        yield Problem(
            "error",
            "The dataset has no boxes at all.",
            file=dataset.name,
            got=f"{len(dataset)} pictures",
            expected="at least one box",
            fix="Annotate the objects, or give another file.",
        )
        return
    unused = [name for name, count in zip(dataset.classes, counts, strict=True) if not count]
    if unused:
        yield Problem(
            "warning",
            f"{len(unused)} of {len(counts)} classes have no boxes.",
            file=dataset.name,
            got=_some(unused),
            fix="Remove them, or add pictures that show them.",
        )
    empty = [example.label for example in dataset if not len(example)]
    if empty:
        yield Problem(
            "info",
            f"{len(empty)} of {len(dataset)} pictures have no boxes.",
            file=dataset.name,
            got=_some(empty),
            fix="Nothing, if they show none of the objects.",
        )
    yield from _small_objects(dataset, int(counts.sum()))


def _small_objects(dataset: Dataset, total: int) -> Iterator[Problem]:
    found = []
    for example in dataset:
        sides = (example.boxes[:, 2:] - example.boxes[:, :2]) * example.size  # [N, 2] pixels
        scaled = np.sqrt(sides.prod(-1)) * INPUT_SIZE / max(example.size)
        found += [(scaled[i], example, int(i)) for i in np.flatnonzero(scaled < SMALL)]
    if found:
        side, example, box = min(found, key=lambda entry: entry[0])
        yield Problem(
            "info",
            f"{len(found)} of {total} objects are smaller than {SMALL} pixels at the input size {INPUT_SIZE}.",
            file=example.source or None,
            image=example.label,
            box=box,
            got=f"the smallest: {side:.1f} pixels",
            expected=f"{SMALL} or more to be found reliably",
            fix="Use a model with a larger input, or cut the pictures into tiles.",
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
