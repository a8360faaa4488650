"""Outlines that reach beyond their picture, cut at its edges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def beyond(polygons: Sequence[Sequence[float]], size: tuple[int, int]) -> float:
    """How many pixels polygons [x, y, x, y, ...] reach beyond a picture of a (height, width)."""
    points = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in polygons])
    return float(np.maximum(-points, points - size[::-1]).max())


def cut(polygons: Sequence[Sequence[float]], size: tuple[int, int]) -> list[list[float]]:
    """The parts of polygons inside a picture of a (height, width); none for those that are outside.

    Source: Sutherland and Hodgman, Reentrant polygon clipping (1974).
    """
    inside = []
    for polygon in polygons:
        points = np.reshape(np.asarray(polygon, np.float64), (-1, 2))
        for axis, side in enumerate(size[::-1]):
            points = _kept(points, axis, 0.0, 1)
            points = _kept(points, axis, float(side), -1)
        if len(points) >= 3:
            inside.append(points.ravel().tolist())
    return inside


def _kept(points: np.ndarray, axis: int, edge: float, sign: int) -> np.ndarray:
    """The points [N, 2] of a polygon on one side of an edge, with those where it crosses it."""
    kept = []
    for start, end in zip(points, np.roll(points, -1, 0), strict=True):
        a, b = (sign * (point[axis] - edge) for point in (start, end))
        if a >= 0:
            kept.append(start)
        if a * b < 0:
            crossing = start + (end - start) * (a / (a - b))
            crossing[axis] = edge
            kept.append(crossing)
    return np.array(kept).reshape(-1, 2)
