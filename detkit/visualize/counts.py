"""Lines, zones and what was counted there, drawn on an image."""

from __future__ import annotations

import numpy as np

from detkit.visualize.draw import blend, check_image, font_size, text_mask
from detkit.visualize.palette import ink

_LINE, _ZONE, _DARK = (255, 255, 255), (240, 228, 66), (24, 24, 24)


def draw_counts(image: np.ndarray, counts: dict) -> np.ndarray:
    """A copy of the image with the lines, each with an arrow towards "in", the zones and their counts drawn on it.

    Args:
        image: uint8 [H, W, 3] RGB.
        counts: of a frame, as `detkit.inference.counting` makes them.

    Returns:
        uint8 [H, W, 3] RGB.

    Raises:
        DataError: for an image of another type or shape.
    """
    import cv2

    check_image(image)
    canvas = np.array(image, order="C")
    width = max(1, round(min(canvas.shape[:2]) / 220))
    for zone in counts["zones"]:
        corners = _pixels(zone, canvas)
        for shade, thickness in ((_DARK, width + 2), (_ZONE, width)):
            cv2.polylines(canvas, [np.rint(corners).astype(np.int32)], True, shade, thickness, cv2.LINE_AA)
        now, ever = (sum(zone[name].values()) for name in ("present", "entered"))
        _text(canvas, corners.mean(axis=0), f"{zone['name']}: {now} now, {ever} in all", _ZONE)
    for line in counts["lines"]:
        start, end = _pixels(line, canvas)
        middle, along = (start + end) / 2, (end - start) / max(np.linalg.norm(end - start), 1)
        tip = middle + font_size(canvas.shape) * np.array([-along[1], along[0]])
        for shade, thickness in ((_DARK, width + 2), (_LINE, width)):
            cv2.line(canvas, _whole(start), _whole(end), shade, thickness, cv2.LINE_AA)
            cv2.arrowedLine(canvas, _whole(middle), _whole(tip), shade, thickness, cv2.LINE_AA, tipLength=0.4)
        totals = ", ".join(f"{sum(line[way].values())} {way}" for way in ("in", "out"))
        _text(canvas, start + 0.25 * (end - start), f"{line['name']}: {totals}", _LINE)
    return canvas


def _pixels(shape: dict, canvas: np.ndarray) -> np.ndarray:
    return np.array(shape["points"], float) * canvas.shape[1::-1]


def _whole(point: np.ndarray) -> tuple[int, int]:
    x, y = np.rint(point).astype(int).tolist()
    return x, y


def _text(canvas: np.ndarray, centre: np.ndarray, text: str, ground) -> None:
    """Writes a text around a point, moved to where all of it is in the picture."""
    mask = text_mask(text, font_size(canvas.shape))[: canvas.shape[0], : canvas.shape[1]]  # [h, w]
    room = np.subtract(canvas.shape[:2], mask.shape)
    top, left = np.clip(np.rint(centre[::-1] - np.divide(mask.shape, 2)).astype(int), 0, room)
    blend(canvas[top : top + mask.shape[0], left : left + mask.shape[1]], mask, ink(ground), ground)
