"""Boxes as arrays [N, 4]: orders, areas and overlaps. Inside detkit the order is "yxyx", normalised."""

from __future__ import annotations

import numpy as np

from detkit.errors import DataError

_ORDERS = ("yxyx", "xyxy", "xywh", "cxcywh")
ORDERS = _ORDERS + tuple(f"{order}_abs" for order in _ORDERS)


def _array(boxes, name: str = "boxes") -> np.ndarray:
    try:
        array = np.asarray(boxes, np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"The {name} are not an array of numbers.", got=str(error), expected="[N, 4]") from error
    if array.size == 0 and array.ndim == 1:
        return np.zeros((0, 4))
    if array.ndim == 0 or array.shape[-1] != 4:
        raise DataError(f"The {name} have the wrong shape.", got=list(array.shape), expected="[N, 4]")
    return array


def _matrix(boxes, name: str) -> np.ndarray:
    array = _array(boxes, name)
    if array.ndim != 2:
        raise DataError(f"The {name} have the wrong shape.", got=list(array.shape), expected="[N, 4]")
    return array


def _to_xyxy(boxes: np.ndarray, order: str) -> np.ndarray:
    first, last = boxes[..., :2], boxes[..., 2:]
    if order == "yxyx":
        return boxes[..., [1, 0, 3, 2]]
    if order == "xywh":
        return np.concatenate([first, first + last], -1)
    if order == "cxcywh":
        return np.concatenate([first - last / 2, first + last / 2], -1)
    return boxes


def _from_xyxy(boxes: np.ndarray, order: str) -> np.ndarray:
    first, last = boxes[..., :2], boxes[..., 2:]
    if order == "yxyx":
        return boxes[..., [1, 0, 3, 2]]
    if order == "xywh":
        return np.concatenate([first, last - first], -1)
    if order == "cxcywh":
        return np.concatenate([(first + last) / 2, last - first], -1)
    return boxes


def _scale(size) -> np.ndarray:
    if size is None or len(size) != 2 or min(size) <= 0:
        raise DataError(
            "Converting between pixels and normalised boxes needs the image's size.",
            got=size,
            expected="size=(height, width), both positive",
        )
    height, width = size
    return np.array([width, height, width, height], np.float64)


def convert(boxes, source: str, target: str, size=None) -> np.ndarray:
    """Boxes of one order in another.

    Args:
        boxes: [..., 4] numbers.
        source: their order: "yxyx" ([ymin, xmin, ymax, xmax]), "xyxy", "xywh" ([xmin, ymin, width, height])
            or "cxcywh" ([xcentre, ycentre, width, height]), normalised; with "_abs" after it, in pixels.
        target: the order wanted.
        size: (height, width) of the image; needed when one order is in pixels and the other isn't.

    Returns:
        float32, of the same shape; computed in float64.

    Raises:
        DataError: for an unknown order, a wrong shape, or a missing size.

    Example:
        >>> convert([[10, 20, 30, 40]], "xywh_abs", "yxyx", size=(100, 200)).tolist()
        [[0.20000000298023224, 0.05000000074505806, 0.6000000238418579, 0.20000000298023224]]
    """
    for order in (source, target):
        if order not in ORDERS:
            raise DataError("There is no such box order.", got=repr(order), expected=", ".join(ORDERS))
    xyxy = _to_xyxy(_array(boxes), source.removesuffix("_abs"))
    if source.endswith("_abs") and not target.endswith("_abs"):
        xyxy = xyxy / _scale(size)
    elif target.endswith("_abs") and not source.endswith("_abs"):
        xyxy = xyxy * _scale(size)
    with np.errstate(over="ignore"):  # what float32 can't hold becomes infinite, and `valid` tells
        return _from_xyxy(xyxy, target.removesuffix("_abs")).astype(np.float32)


def area(boxes) -> np.ndarray:
    """Areas float32 [N] of boxes [N, 4] in order yxyx or xyxy; those of swapped boxes are 0."""
    boxes = _matrix(boxes, "boxes")
    return np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), -1).astype(np.float32)


def _intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    low = np.maximum(a[:, None, :2], b[None, :, :2])  # [N, M, 2]
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.prod(np.maximum(high - low, 0), -1)  # [N, M]


def intersection(a, b) -> np.ndarray:
    """Areas float32 [N, M] that boxes [N, 4] and [M, 4] (yxyx or xyxy) have in common."""
    return _intersection(_matrix(a, "first boxes"), _matrix(b, "second boxes")).astype(np.float32)


def iou(a, b) -> np.ndarray:
    """Intersection over union, float32 [N, M], of boxes [N, 4] and [M, 4] (both yxyx or both xyxy).

    0 where both boxes have no area. Raises DataError for other shapes.

    Example:
        >>> iou([[0, 0, 1, 1]], [[0, 0, 1, 1], [0, 0.5, 1, 1]]).tolist()
        [[1.0, 0.5]]
    """
    a, b = _matrix(a, "first boxes"), _matrix(b, "second boxes")
    common = _intersection(a, b)
    areas_a, areas_b = (np.prod(np.maximum(x[:, 2:] - x[:, :2], 0), -1) for x in (a, b))
    union = areas_a[:, None] + areas_b[None, :] - common  # [N, M]
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0).astype(np.float32)


def clip(boxes, window=(0.0, 0.0, 1.0, 1.0)) -> np.ndarray:
    """Boxes float32 [N, 4] cut to a window given in their own order (yxyx or xyxy)."""
    low, high = np.tile(window[:2], 2), np.tile(window[2:], 2)
    return np.clip(_matrix(boxes, "boxes"), low, high).astype(np.float32)


def valid(boxes) -> np.ndarray:
    """Which normalised boxes [N, 4] (yxyx) are finite, inside 0..1 and of positive area: bool [N]."""
    boxes = _matrix(boxes, "boxes")
    inside = np.all((boxes >= 0) & (boxes <= 1), -1)  # false for NaN
    return inside & np.all(boxes[:, 2:] > boxes[:, :2], -1)
