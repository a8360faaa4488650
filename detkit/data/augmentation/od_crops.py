"""Random parts of photos as the OD API takes them.

Source: `core/preprocessor.py` of the OD API; `tf.image.sample_distorted_bounding_box`.
"""

from __future__ import annotations

import numpy as np

from detkit.data.augmentation.od_frames import pad
from detkit.data.augmentation.od_parts import clipped, covered, reframe, resize, within
from detkit.data.sample import Sample

ATTEMPTS = 100  # to find a window that is allowed


def random_crop_image(sample: Sample, option, rng) -> Sample:
    """A random part that shows enough of at least one object."""
    if option.random_coef and rng.random() <= option.random_coef:
        return sample
    ratios, areas = (option.min_aspect_ratio, option.max_aspect_ratio), (option.min_area, option.max_area)
    window = distorted_window(sample.size, sample.boxes, option.min_object_covered, ratios, areas, rng)
    return crop(sample, window, option.overlap_thresh, option.clip_boxes)


def ssd_random_crop(sample: Sample, option, rng) -> Sample:
    """One of several crops (https://arxiv.org/abs/1512.02325)."""
    crops = option.crops
    return random_crop_image(sample, crops[rng.integers(len(crops))], rng)


def random_crop_pad_image(sample: Sample, option, rng) -> Sample:
    """A random part in a plain area, whose size is relative to that of the whole photo."""
    size = np.float32(sample.size)
    least = size * np.float32(option.min_padded_size_ratio or (1, 1))
    most = size * np.float32(option.max_padded_size_ratio or (2, 2))
    part = random_crop_image(sample, option, rng)
    return pad(part, least.astype(int), most.astype(int), option.pad_color, rng)


def ssd_random_crop_pad(sample: Sample, option, rng) -> Sample:
    """One of several crops in a plain area."""
    crops = option.crops
    return random_crop_pad_image(sample, crops[rng.integers(len(crops))], rng)


def random_crop_to_aspect_ratio(sample: Sample, option, rng) -> Sample:
    """The largest part of an aspect ratio, anywhere."""
    height, width = np.float32(sample.size)
    ratio = np.float32(option.aspect_ratio)
    size = np.array([height, np.rint(height * ratio)] if width / height >= ratio else [np.rint(width / ratio), width])
    size = np.maximum(size.astype(int), 1)
    corner = [int(rng.integers(0, spare + 1)) for spare in np.subtract(sample.size, size)]
    return crop(sample, (*corner, *size.tolist()), option.overlap_thresh, option.clip_boxes)


def crop(sample: Sample, window, overlap: float, clip: bool) -> Sample:
    """The part of a sample in a window.

    Args:
        sample: the photo and its objects.
        window: (top, left, height, width) in pixels.
        overlap: the least share of its box in the window with which an object stays; one without any never does.
        clip: whether boxes are cut at the borders of the window, and keypoints beyond it have no weight any more.
    """
    top, left, height, width = window
    corners = np.array([top, left, top + height, left + width], np.float32)
    frame = corners / np.float32([*sample.size, *sample.size])
    here = within(sample.boxes, frame) & (covered(sample.boxes, frame) >= np.float32(overlap))
    part = reframe(sample.only(here), (top, left), (height, width))
    return clipped(part) if clip else part


def distorted_window(size, boxes, least_covered: float, ratios, areas, rng) -> tuple[int, int, int, int]:
    """A random window of a photo, or all of it if none is found that shows enough of an object.

    Args:
        size: (height, width) of the photo.
        boxes: float32 [N, 4], normalised yxyx; without any, the photo is the object.
        least_covered: the share of at least one box that has to be in the window.
        ratios: the least and the largest width over height of the window.
        areas: the least and the largest area of the window, as shares of the photo's.
        rng: decides everything.

    Returns:
        (top, left, height, width) in pixels.
    """
    (height, width), (narrowest, widest) = size, np.float32(ratios)
    objects = (np.clip(boxes, 0, 1) * np.float32([height, width] * 2)).astype(int)
    objects = objects if len(objects) else np.array([[0, 0, height, width]])
    objects = objects[(objects[:, 2:] > objects[:, :2]).all(1)]  # one without a pixel can't be shown
    for _ in range(ATTEMPTS):
        ratio = narrowest + np.float32(rng.random()) * (widest - narrowest)
        window = _window(height, width, ratio, areas, rng)
        if window is not None and _shows(window, objects, least_covered):
            return window
    return 0, 0, height, width


def _window(height, width, ratio, areas, rng) -> tuple[int, int, int, int] | None:
    """A random window of an aspect ratio, None if rounding leaves none of the right area."""

    def columns(rows):
        return int(np.rint(np.float32(rows) * ratio))

    least, most = (np.float32(area) * np.float32(width) * np.float32(height) for area in areas)
    low, high = (int(np.rint(np.sqrt(area / ratio))) for area in (least, most))
    if columns(high) > width:
        high = int((width + 0.5 - 1e-7) / float(ratio))
    high = min(high, height)
    rows = int(rng.integers(min(low, high), high + 1))
    rows += rows * columns(rows) < least
    rows -= rows * columns(rows) > most
    if not least <= rows * columns(rows) <= most or not 0 < columns(rows) <= width or not 0 < rows <= height:
        return None
    # As in TensorFlow, a window that is smaller than the photo never reaches its last row and column.
    top = int(rng.integers(0, height - rows)) if rows < height else 0
    left = int(rng.integers(0, width - columns(rows))) if columns(rows) < width else 0
    return top, left, rows, columns(rows)


def _shows(window, objects, least_covered: float) -> bool:
    """Whether a window shows enough of at least one box, int [N, 4] in pixels."""
    top, left, rows, columns = window
    sides = np.minimum(objects[:, 2:], (top + rows, left + columns)) - np.maximum(objects[:, :2], (top, left))
    seen = sides.clip(0).prod(1).astype(np.float32) / (objects[:, 2:] - objects[:, :2]).prod(1).astype(np.float32)
    return bool((seen >= np.float32(least_covered)).any())


def random_square_crop_by_scale(sample: Sample, option, rng) -> Sample:
    """A square around a random point, of one of several sizes, black beyond the photo."""
    # In float32 as in TensorFlow: the side of 160 x 1.1 is 175 pixels, not 176.
    least, most = np.float32(option.scale_min), np.float32(option.scale_max)
    step = (most - least) / np.float32(max(1, option.num_scales - 1))
    side = int((least + np.float32(rng.integers(option.num_scales)) * step) * np.float32(max(sample.size)))
    borders = [crop_border(option.max_border, n) for n in sample.size]
    centre = [int(rng.integers(border, n - border + 1)) for border, n in zip(borders, sample.size, strict=True)]
    return square(sample, max(1, side), centre)


def square(sample: Sample, side: int, centre) -> Sample:
    """The square of a side, in pixels, around a pixel (row, column), black beyond the photo."""
    corner = np.subtract(centre, side // 2)
    # The OD API leaves out the last row and column of the photo, and of the square if its side is odd.
    last = np.minimum(corner + 2 * (side // 2), np.subtract(sample.size, 1))
    return _inside(reframe(sample, corner.tolist(), (side, side), content=(0, 0, *last.tolist())))


def crop_border(border: int, size: int) -> int:
    """How far from the border of a photo a centre has to be: `border`, halved until it is less than half the side."""
    halvings = np.ceil(np.log(np.float32(2 * border) / np.float32(size)) / np.log(np.float32(2)))
    return border // int(np.clip(np.float32(2) ** halvings, 1, border))


def random_scale_crop_and_pad_to_square(sample: Sample, option, rng) -> Sample:
    """A photo of a random size, of which a square is cut, or filled up below and to the right in black."""
    longest = np.float32(max(sample.size))
    side = np.float32(rng.uniform(option.scale_min, option.scale_max)) * np.float32(option.output_size)
    size = [max(1, int(side * (np.float32(n) / longest))) for n in sample.size]
    offset = [int(np.float32(max(0, n - option.output_size)) * np.float32(rng.random())) for n in size]
    return scale_crop_and_pad(sample, size, offset, option.output_size)


def scale_crop_and_pad(sample: Sample, size, offset, side: int) -> Sample:
    """The square of a side, from the pixel `offset` on, of a sample scaled to a size (height, width)."""
    shown = [min(side, n - start) for n, start in zip(size, offset, strict=True)]
    return _inside(reframe(resize(sample, size, (*offset, *shown)), (0, 0), (side, side)))


def _inside(sample: Sample) -> Sample:
    """Without the objects that are out of the photo, and without what of the others is."""
    return clipped(sample.only(within(sample.boxes, np.float32([0, 0, 1, 1]))))
