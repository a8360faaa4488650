"""Boxes, masks, keypoints and labels drawn on an image, fast enough for video."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from detkit import masks
from detkit.detections import Detections
from detkit.errors import DataError
from detkit.visualize.figure import draw_keypoints, fill, resized
from detkit.visualize.palette import colour, ink

if TYPE_CHECKING:
    from detkit.data import Example

_DARK = (24, 24, 24)


def draw(
    image: np.ndarray,
    detections: Detections,
    *,
    threshold: float = 0.0,
    labels: bool = True,
    scores: bool = True,
    thickness: int | None = None,
    keypoint_threshold: float = 0.3,
    skeleton: Sequence[tuple[int, int]] | None = None,
) -> np.ndarray:
    """A copy of the image with the detections drawn on it, the surest on top.

    Masks are filled so that the image shows through, keypoints are dots, joined by the lines of the skeleton.

    Args:
        image: uint8 [H, W, 3] RGB, of any size: the boxes are normalised.
        detections: what to draw.
        threshold: the lowest score drawn.
        labels: whether to write the class names, and the numbers of tracks.
        scores: whether to write the scores.
        thickness: line width in pixels; None suits it to the image.
        keypoint_threshold: the lowest score of a keypoint drawn.
        skeleton: pairs of keypoints to join; None joins the 17 of COCO, and no others.

    Returns:
        uint8 [H, W, 3] RGB.

    Raises:
        DataError: for an image of another type or shape, or a box that is not finite.
    """
    canvas = _canvas(image)
    found = detections.above(threshold)
    boxes = _pixels(found.boxes, canvas)
    width = thickness or _line_width(canvas)
    order = np.argsort(found.scores, kind="stable")
    for n in order if found.masks is not None else ():
        values, corner = masks.paste(found.masks[n], found.boxes[n], canvas.shape[:2])
        fill(canvas, values >= 0.5, corner, colour(int(found.class_ids[n])), width)
    for n in order:
        tint = colour(int(found.class_ids[n]))
        if found.keypoints is not None:
            shown = 2 * (found.keypoint_scores[n] >= keypoint_threshold)
            draw_keypoints(canvas, found.keypoints[n], shown, skeleton, tint, width)
        _rectangle(canvas, boxes[n], tint, width)
        words = [found.labels[n], *_track(found, n)] * labels + [f"{found.scores[n]:.2f}"] * scores
        if words:
            _label(canvas, boxes[n], " ".join(words), ink(tint), tint)
    return canvas


def draw_truth(
    image: np.ndarray,
    example: Example,
    classes: Sequence[str],
    skeleton: Sequence[tuple[int, int]] | None = None,
    *,
    labels: bool = True,
) -> np.ndarray:
    """A copy of the image with the ground truth drawn on it: dashed boxes, names on dark ground.

    Args:
        image: uint8 [H, W, 3] RGB.
        example: its annotation; crowd and difficult boxes are marked so, hidden keypoints are rings.
        classes: the class names.
        skeleton: as for `draw`.
        labels: whether to write the class names.

    Returns:
        uint8 [H, W, 3] RGB.

    Raises:
        DataError: for an image of another type or shape, or a box that is not finite.
    """
    canvas = _canvas(image)
    width = _line_width(canvas)
    for class_id, segmentation in zip(example.class_ids, example.segmentations or (), strict=False):
        if segmentation is not None:
            inside = resized(masks.decode(segmentation, example.size), canvas.shape[:2])
            fill(canvas, inside, (0, 0), colour(int(class_id)), width)
    for n, box in enumerate(_pixels(example.boxes, canvas)):
        class_id = int(example.class_ids[n])
        if example.keypoints is not None:
            visibility = example.keypoint_visibility[n]
            draw_keypoints(canvas, example.keypoints[n], visibility, skeleton, colour(class_id), width)
        _rectangle(canvas, box, colour(class_id), width, dashed=True)
        if labels:
            marks = [" (crowd)"] * bool(example.crowd[n]) + [" (difficult)"] * bool(example.difficult[n])
            _label(canvas, box, classes[class_id] + "".join(marks), ink(_DARK), _DARK)
    return canvas


def draw_marks(image: np.ndarray, boxes, texts: Sequence[str], tints: Sequence, *, dashed=()) -> np.ndarray:
    """A copy of the image with boxes of any colours and texts drawn on it, the later ones on top.

    Args:
        image: uint8 [H, W, 3] RGB.
        boxes: float [N, 4], normalised yxyx.
        texts: for each box what to write at it; nothing if it is empty.
        tints: for each box its colour, (r, g, b) of 0..255.
        dashed: which boxes are dashed, bool [N]; none by default.

    Returns:
        uint8 [H, W, 3] RGB.

    Raises:
        DataError: for an image of another type or shape, or a box that is not finite.
    """
    canvas = _canvas(image)
    width = _line_width(canvas)
    pixels = _pixels(np.asarray(boxes, np.float32).reshape(-1, 4), canvas)
    for n, (box, text, tint) in enumerate(zip(pixels, texts, tints, strict=True)):
        _rectangle(canvas, box, tint, width, dashed=len(dashed) > 0 and bool(dashed[n]))
        if text:
            _label(canvas, box, text, ink(tint), tint)
    return canvas


def _track(found: Detections, n: int) -> list[str]:
    if found.track_ids is None or found.track_ids[n] < 0:
        return []
    return [f"#{found.track_ids[n]}"]


def _canvas(image: np.ndarray) -> np.ndarray:
    check_image(image)
    return np.array(image, order="C")


def check_image(image, where: str | None = None) -> np.ndarray:
    """The image as an array; DataError unless it is uint8 [H, W, 3] with H and W above 0."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise DataError(
            "This is no RGB image.",
            where=where,
            got=f"{image.dtype} {list(image.shape)}",
            expected="uint8 [H, W, 3]",
            fix="Read images with detkit.data.images.decode.",
        )
    return image


def _pixels(boxes: np.ndarray, canvas: np.ndarray) -> np.ndarray:
    """[N, 4] normalised [ymin, xmin, ymax, xmax] to whole pixels inside the canvas."""
    if not np.isfinite(boxes).all():
        bad = int(np.argmin(np.isfinite(boxes).all(axis=1)))
        raise DataError("A box is not finite.", where=f"box {bad}", got=boxes[bad].tolist())
    height, width = canvas.shape[:2]
    corners = np.clip(boxes, 0, 1) * [height, width, height, width]  # [N, 4] * [4]
    return np.round(corners).astype(int)


def _line_width(canvas: np.ndarray) -> int:
    return max(1, round(min(canvas.shape[:2]) / 220))


def font_size(shape: tuple[int, ...]) -> int:
    """The letter height in pixels that suits an image of this shape."""
    return max(11, round(min(shape[:2]) / 30))


def _rectangle(canvas: np.ndarray, box, tint, width: int, dashed: bool = False) -> None:
    """A frame inside the box, with thin dark edges that keep it visible on its own colour."""
    ymin, xmin, ymax, xmax = box
    edge = min(max(1, width // 3), (min(ymax - ymin, xmax - xmin) - 1) // 2)
    dash = 6 * width if dashed else 0
    _frame(canvas[ymin:ymax, xmin:xmax], _DARK, width + 2 * edge, dash)
    _frame(canvas[ymin + edge : ymax - edge, xmin + edge : xmax - edge], tint, width, dash)


def _frame(inside: np.ndarray, shade, width: int, dash: int) -> None:
    for side in (inside[:width], inside[-width:], inside[:, :width], inside[:, -width:]):
        side[_dashes(side.shape, dash)] = shade


def _dashes(shape, dash: int):
    """A slice of everything, or a mask of dashes along the longer side."""
    if not dash:
        return slice(None)
    along = np.arange(max(shape[:2])) // dash % 2 == 0
    return np.broadcast_to(along if shape[1] >= shape[0] else along[:, None], shape[:2])


def _label(canvas: np.ndarray, box, text: str, letters, ground) -> None:
    """Writes the text above the box, or at its top inside where there is no room; never off the image."""
    mask = text_mask(text, font_size(canvas.shape))[: canvas.shape[0], : canvas.shape[1]]  # [h, w]
    height, width = mask.shape
    ymin, xmin = box[:2]
    top = ymin - height if ymin >= height else min(ymin, canvas.shape[0] - height)
    left = min(xmin, canvas.shape[1] - width)
    blend(canvas[top : top + height, left : left + width], mask, letters, ground)


def blend(target: np.ndarray, mask: np.ndarray, letters, ground) -> None:
    """Paints a text mask [h, w] (0..1) into a view of the image [h, w, 3], letters on ground."""
    target[:] = mask[..., None] * letters + (1 - mask[..., None]) * ground  # [h, w, 1] * [3]


@lru_cache(maxsize=1024)
def text_mask(text: str, size: int) -> np.ndarray:
    """The text as float32 [h, w], 0..1, with a small margin; the height depends on the size alone."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size)
    ascent, descent = font.getmetrics()
    margin = max(2, size // 5)
    shape = (round(font.getlength(text)) + 2 * margin, ascent + descent + margin)
    picture = Image.new("L", shape)
    ImageDraw.Draw(picture).text((margin, margin // 2), text, fill=255, font=font)
    return np.asarray(picture, np.float32) / 255
