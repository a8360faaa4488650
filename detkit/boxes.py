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


def _sides(boxes: np.ndarray) -> np.ndarray:
    return np.maximum(boxes[..., 2:] - boxes[..., :2], 0)


def _common(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Areas of the intersections of boxes [..., 4] that broadcast."""
    first = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    second = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1])
    return np.maximum(first, 0) * np.maximum(second, 0)


def _union(a: np.ndarray, b: np.ndarray, common: np.ndarray) -> np.ndarray:
    return _sides(a).prod(-1) + _sides(b).prod(-1) - common


def _ratio(value: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """value / whole, 0 where the whole is nothing."""
    return np.divide(value, whole, out=np.zeros(np.shape(value)), where=whole > 0)


def _iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    common = _common(a, b)
    return _ratio(common, _union(a, b, common))


def _ioa(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    common = _common(a, b)
    return _ratio(common, np.broadcast_to(_sides(a).prod(-1), common.shape))


def _hull(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The sides [..., 2] of the smallest boxes around both."""
    return np.maximum(a[..., 2:], b[..., 2:]) - np.minimum(a[..., :2], b[..., :2])


def _giou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    common, hull = _common(a, b), _hull(a, b).prod(-1)
    union = _union(a, b, common)
    return _ratio(common, union) - _ratio(hull - union, hull)


def _diou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    apart = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    return _iou(a, b) - _ratio((apart**2).sum(-1), (_hull(a, b) ** 2).sum(-1))


def _ciou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    shape = [np.arctan2(sides[..., 1], sides[..., 0]) for sides in (_sides(a), _sides(b))]
    difference = 4 / np.pi**2 * (shape[0] - shape[1]) ** 2
    return _diou(a, b) - _ratio(difference**2, 1 - _iou(a, b) + difference)


def _compared(measure, a, b, paired: bool) -> np.ndarray:
    """A measure of boxes that broadcast, of each with each, or of those in the same row."""
    a, b = _matrix(a, "first boxes"), _matrix(b, "second boxes")
    if not paired:
        return measure(a[:, None], b[None]).astype(np.float32)
    if len(a) != len(b):
        raise DataError("Paired boxes differ in number.", got=f"{len(a)} and {len(b)}", expected="as many of both")
    return measure(a, b).astype(np.float32)


def intersection(a, b, *, paired: bool = False) -> np.ndarray:
    """Areas float32 [N, M] that boxes [N, 4] and [M, 4] (yxyx or xyxy) have in common; [N] of pairs of rows."""
    return _compared(_common, a, b, paired)


def iou(a, b, *, paired: bool = False) -> np.ndarray:
    """Intersection over union of boxes (both yxyx or both xyxy): 0 where both boxes have no area.

    Args:
        a: [N, 4].
        b: [M, 4].
        paired: whether row is compared with row, instead of each with each; then M is N.

    Returns:
        float32 [N, M], or [N] if paired; computed in float64.

    Raises:
        DataError: for other shapes.

    Example:
        >>> iou([[0, 0, 1, 1]], [[0, 0, 1, 1], [0, 0.5, 1, 1]]).tolist()
        [[1.0, 0.5]]
    """
    return _compared(_iou, a, b, paired)


def ioa(a, b, *, paired: bool = False) -> np.ndarray:
    """The share of the area of the first box that lies in the second; else as `iou`."""
    return _compared(_ioa, a, b, paired)


def giou(a, b, *, paired: bool = False) -> np.ndarray:
    """IoU less the share of the box around both that neither covers, -1..1; else as `iou`.

    Source: Rezatofighi et al., Generalized IoU, 2019.
    """
    return _compared(_giou, a, b, paired)


def diou(a, b, *, paired: bool = False) -> np.ndarray:
    """IoU less the squared distance of the centres over the squared diagonal of the box around both, -1..1.

    Else as `iou`. Source: Zheng et al., Distance-IoU loss, 2020.
    """
    return _compared(_diou, a, b, paired)


def ciou(a, b, *, paired: bool = False) -> np.ndarray:
    """`diou` less a penalty for another aspect ratio; else as `iou`. Source: Zheng et al., Distance-IoU loss, 2020."""
    return _compared(_ciou, a, b, paired)


def clip(boxes, window=(0.0, 0.0, 1.0, 1.0)) -> np.ndarray:
    """Boxes float32 [N, 4] cut to a window given in their own order (yxyx or xyxy)."""
    low, high = np.tile(window[:2], 2), np.tile(window[2:], 2)
    return np.clip(_matrix(boxes, "boxes"), low, high).astype(np.float32)


def valid(boxes) -> np.ndarray:
    """Which normalised boxes [N, 4] (yxyx) are finite, inside 0..1 and of positive area: bool [N]."""
    boxes = _matrix(boxes, "boxes")
    inside = np.all((boxes >= 0) & (boxes <= 1), -1)  # false for NaN
    return inside & np.all(boxes[:, 2:] > boxes[:, :2], -1)
