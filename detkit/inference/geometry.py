"""Lines and zones of a picture, for counting what passes them; made from what a user writes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detkit.errors import ConfigError


@dataclass(frozen=True)
class Shape:
    """A line (two points) or a zone (three or more).

    Attributes:
        name: what results call it.
        points: (x, y) in fractions of the picture's width and height.
    """

    name: str
    points: tuple[tuple[float, float], ...]

    def pixels(self, size: tuple[int, int]) -> np.ndarray:
        """The points float64 [P, 2], (x, y), in pixels of a picture of this (height, width)."""
        return np.array(self.points) * size[::-1]


def lines(value, path: str) -> tuple[Shape, ...]:
    """Lines from texts "x1,y1,x2,y2" or "NAME=x1,y1,x2,y2", or four numbers each; ConfigError for anything else."""
    return _shapes(value, "line", 2, "x1,y1,x2,y2, two different points")


def zones(value, path: str) -> tuple[Shape, ...]:
    """Zones from texts "x,y,x,y,x,y,..." or "NAME=x,y,...", or as many numbers; ConfigError for anything else."""
    return _shapes(value, "zone", 3, "x,y,x,y,x,y,..., three corners or more that span an area")


def inside(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Which points [N, 2] lie in the polygon with these corners [P, 2], by the even-odd rule: bool [N]."""
    start, end = corners, np.roll(corners, -1, axis=0)
    x, y = points[:, None, 0], points[:, None, 1]  # [N, 1] against [P]
    between = (start[:, 1] > y) != (end[:, 1] > y)
    rise = np.where(end[:, 1] == start[:, 1], 1, end[:, 1] - start[:, 1])
    crossing = start[:, 0] + (y - start[:, 1]) * (end[:, 0] - start[:, 0]) / rise
    return (between & (x < crossing)).sum(axis=1) % 2 == 1


def _shapes(value, kind: str, least: int, expected: str) -> tuple[Shape, ...]:
    given = [value] if isinstance(value, str | Shape) else list(value or ())
    if given and isinstance(given[0], int | float):
        given = [given]
    shapes = tuple(_shape(one, f"{kind} {n}", kind, least, expected) for n, one in enumerate(given, 1))
    names = [shape.name for shape in shapes]
    if len(set(names)) < len(names):
        raise ConfigError(f"Two {kind}s have the same name.", where=f"--{kind}", got=", ".join(names))
    return shapes


def _shape(value, name: str, kind: str, least: int, expected: str) -> Shape:
    if isinstance(value, Shape):
        return value
    try:
        given, _, text = value.rpartition("=") if isinstance(value, str) else ("", "", value)
        numbers = np.array(text.split(",") if isinstance(text, str) else text, float)
        points = numbers.reshape(-1, 2)
        if len(points) >= least and ((points >= 0) & (points <= 1)).all() and _spans(points):
            return Shape(given.strip() or name, tuple(map(tuple, points.tolist())))
    except (ValueError, TypeError):
        pass
    raise ConfigError(
        f"This is no {kind}.",
        where=f"--{kind}",
        got=repr(value),
        expected=f"{expected}, in fractions of the picture from 0 to 1",
        fix=f"Write {'0,0.5,1,0.5' if kind == 'line' else '0,0.5,1,0.5,1,1,0,1'}, or {kind.upper()}=... to name it.",
    )


def _spans(points: np.ndarray) -> bool:
    """Whether two points differ, or more enclose an area."""
    if len(points) == 2:
        return bool((points[0] != points[1]).any())
    following = np.roll(points, -1, axis=0)
    return abs((points[:, 0] * following[:, 1] - points[:, 1] * following[:, 0]).sum()) > 1e-9
