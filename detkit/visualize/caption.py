"""Lines of text in the corner of an image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detkit.visualize.draw import blend, check_image, font_size, text_mask
from detkit.visualize.palette import ink


def draw_caption(image: np.ndarray, lines: Sequence[tuple[str, tuple[int, int, int]]]) -> np.ndarray:
    """A copy of the image with lines of text at its top left, as many as there is room for.

    Args:
        image: uint8 [H, W, 3] RGB.
        lines: (text, the colour of its ground) of each.

    Returns:
        uint8 [H, W, 3] RGB.

    Raises:
        DataError: for an image of another type or shape.
    """
    check_image(image)
    canvas, top = np.array(image, order="C"), 0
    for text, ground in lines:
        mask = text_mask(text, font_size(canvas.shape))[:, : canvas.shape[1]]  # [h, w]
        if top + len(mask) > len(canvas):
            break
        blend(canvas[top : top + len(mask), : mask.shape[1]], mask, ink(ground), ground)
        top += len(mask)
    return canvas
