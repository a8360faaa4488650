"""Laying cut-out objects and their shadows on a background.

Scenes are float32 [H, W, 3] in 0..1. Cut-outs and layers are float32 [h, w, 4], colour times opacity and opacity.
"""

from __future__ import annotations

import numpy as np

VISIBLE = 0.25  # opacity from which a pixel counts as the object's


def turned(image, height: int, angle: float, mirrored: bool = False, fine: int = 1) -> np.ndarray:
    """A cut-out in a pose, cropped to what is visible.

    Args:
        image: a Pillow RGBA image.
        height: in pixels, before it is turned.
        angle: in degrees, counter-clockwise.
        mirrored: whether left and right are swapped.
        fine: turned at so many times the size, for outlines without soft edges.

    Returns:
        float32 [h, w, 4]; [0, 0, 4] where it is too small and too thin for a visible pixel.
    """
    from PIL import Image, ImageOps

    image = (ImageOps.mirror(image) if mirrored else image).convert("RGBa")
    tall = max(height, 4) * fine
    wide = max(round(tall * image.width / image.height), fine)
    image = image.resize((wide, tall), Image.Resampling.LANCZOS)
    image = image.rotate(angle, Image.Resampling.BICUBIC, expand=True).reduce(fine)
    pixels = np.asarray(image, np.float32) / 255
    visible = pixels[..., 3] >= VISIBLE
    top, left, bottom, right = bounds(visible)
    return pixels[top:bottom, left:right]


def bounds(inside: np.ndarray) -> tuple[int, int, int, int]:
    """The smallest (top, left, bottom, right) around the true pixels of [H, W]; zeros if there are none."""
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def overlap(size: tuple[int, int], shape, corner: tuple[int, int]) -> tuple[tuple, tuple]:
    """The index into a picture of this size, and into a layer [h, w, ...] at a corner, of what they share."""
    spans = []
    for side, length, start in zip(size, shape, corner, strict=False):
        low, high = max(start, 0), min(start + length, side)
        high = max(high, low)
        spans.append((slice(low, high), slice(low - start, high - start)))
    return tuple(span[0] for span in spans), tuple(span[1] for span in spans)


def lay(scene: np.ndarray, layer: np.ndarray, corner: tuple[int, int]) -> None:
    """Lay a layer on a scene, in place; its first pixel comes to the (row, column), which may be outside."""
    there, here = overlap(scene.shape[:2], layer.shape[:2], corner)
    part = layer[here]
    scene[there] = scene[there] * (1 - part[..., 3:]) + part[..., :3]


def darken(scene: np.ndarray, shade: np.ndarray, corner: tuple[int, int], strength: float) -> None:
    """Lay a shadow [h, w] in 0..1 on a scene, in place: where it is 1, it takes `strength` of the light."""
    there, here = overlap(scene.shape[:2], shade.shape, corner)
    scene[there] = scene[there] * (1 - strength * shade[here][..., None])


def cast(opacity: np.ndarray, softness: float) -> tuple[np.ndarray, int]:
    """The soft shadow [h + 2m, w + 2m] in 0..1 of a thing of this opacity [h, w], and the margin m around it."""
    margin = int(np.ceil(2.5 * softness)) + 1
    return blurred(np.pad(opacity, margin), softness), margin


def blurred(values: np.ndarray, radius: float) -> np.ndarray:
    """Values [H, W] in 0..1 after a Gaussian blur, in steps of 1/255."""
    from PIL import Image, ImageFilter

    image = Image.fromarray((values * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(image, np.float32) / 255
