"""Masks and keypoints of an object, drawn into an image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detkit.visualize.palette import colour

_DARK = (24, 24, 24)
_OPACITY = 0.4
# The lines between COCO's 17 keypoints: legs and hips, trunk and arms, face; those of its annotation files.
COCO_SKELETON = (
    (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8),
    (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
)  # fmt: skip


def fill(canvas: np.ndarray, inside: np.ndarray, corner: tuple[int, int], tint, width: int) -> None:
    """Tints a mask bool [h, w], whose first pixel is at the corner (row, column), and draws its outline inside it."""
    top, left = corner
    target = canvas[top : top + inside.shape[0], left : left + inside.shape[1]]
    core = inside
    for _ in range(width):
        core = _eroded(core)
    edge = inside & ~core
    target[core] = np.rint(target[core] * (1 - _OPACITY) + np.multiply(tint, _OPACITY))
    target[edge] = tint


def draw_class_map(image: np.ndarray, semantic: np.ndarray) -> np.ndarray:
    """A copy of the image with the class of each pixel as a tint; what is to be ignored is dark.

    Args:
        image: uint8 [H, W, 3] RGB.
        semantic: uint8 [h, w], of any size, as `Example.semantic` gives it.

    Returns:
        uint8 [H, W, 3] RGB.
    """
    tints = np.array([_DARK, *(colour(n) for n in range(254)), _DARK], np.float32)
    opacity = np.full((256, 1), _OPACITY, np.float32)
    opacity[[0, 255], 0] = 0, 2 * _OPACITY
    classes = resized(semantic, image.shape[:2])
    tinted = image * (1 - opacity)[classes] + (tints * opacity)[classes]  # [H, W, 3] * [H, W, 1]
    return np.rint(tinted).astype(np.uint8)


def resized(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A mask or class map [h, w] at another (height, width): for each pixel that of the mask under its centre."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(shape, mask.shape, strict=True)
    )
    return mask[rows[:, None], columns]


def _eroded(mask: np.ndarray) -> np.ndarray:
    """Without the pixels that have one outside among their four neighbours."""
    padded = np.pad(mask, 1)
    return mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]


def draw_keypoints(
    canvas: np.ndarray, keypoints: np.ndarray, visibility: np.ndarray, skeleton: Sequence | None, tint, width: int
) -> None:
    """Draws the keypoints of an object, and the lines between those that are there.

    Args:
        canvas: uint8 [H, W, 3], contiguous.
        keypoints: [K, 2], normalised (y, x).
        visibility: [K]: 0 for one not to be drawn, 1 for a ring, 2 for a dot.
        skeleton: pairs of keypoints; None for COCO's where there are 17.
    """
    import cv2

    here = (visibility > 0) & np.isfinite(keypoints).all(-1) & (np.abs(keypoints) < 10).all(-1)
    points = np.rint(np.where(here[:, None], keypoints, 0)[:, ::-1] * canvas.shape[1::-1] - 0.5).astype(int).tolist()
    if skeleton is None:
        skeleton = COCO_SKELETON if len(points) == 17 else ()
    lines = [(points[a], points[b]) for a, b in skeleton if here[a] and here[b]]
    for shade, thickness in ((_DARK, width + 2), (tint, width)):
        for start, end in lines:
            cv2.line(canvas, start, end, shade, thickness, cv2.LINE_AA)
    radius = width + 2
    for number in np.flatnonzero(here):
        cv2.circle(canvas, points[number], radius + 1, _DARK, -1, cv2.LINE_AA)
        cv2.circle(canvas, points[number], radius, tint, -1, cv2.LINE_AA)
        if visibility[number] == 1:
            cv2.circle(canvas, points[number], max(radius - 2, 1), _DARK, -1, cv2.LINE_AA)
