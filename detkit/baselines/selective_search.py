"""Selective search: boxes around the regions that a photo falls into, at every scale.

Source: Uijlings et al., "Selective search for object recognition", IJCV 2013. The segmentation that it starts from is
that of Felzenszwalb and Huttenlocher, "Efficient graph-based image segmentation", IJCV 2004, by scikit-image.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from detkit.baselines import grouping
from detkit.errors import ConfigError
from detkit.visualize.draw import check_image

_SIGMA = 0.8  # of the smoothing before the segmentation
_COLOUR_BINS = 25
_TEXTURE_BINS = 20  # of a direction and its opposite, ten each
_DIRECTIONS = 4


@dataclass(frozen=True)
class Mode:
    """What is varied to get hierarchies that differ: each combination gives one.

    Attributes:
        spaces: colour spaces, of HSV, Lab, rgI, H and I.
        thresholds: of the segmentation; the higher, the fewer and larger the regions to begin with.
        similarities: letters of what is added up: colour, texture, size, fill.
    """

    spaces: tuple[str, ...]
    thresholds: tuple[int, ...]
    similarities: tuple[str, ...]


MODES = {
    "single": Mode(("HSV",), (100,), ("CTSF",)),
    "fast": Mode(("HSV", "Lab"), (50, 100), ("CTSF", "TSF")),
    "quality": Mode(("HSV", "Lab", "rgI", "H", "I"), (50, 100, 150, 300), ("CTSF", "TSF", "F", "S")),
}


def propose(image: np.ndarray, mode: str = "fast", seed: int = 0, side: int = 384) -> np.ndarray:
    """Boxes where something may be, the likeliest first.

    Args:
        image: uint8 [H, W, 3] RGB.
        mode: "single", "fast" or "quality", a key of MODES: more hierarchies find more objects and take longer.
        seed: of the order, which is by chance, but large regions tend to come first.
        side: larger images are first scaled down to this many pixels along their longer side.

    Returns:
        float32 [N, 4], normalised yxyx, no two alike.

    Raises:
        ConfigError: for an unknown mode.
        DataError: for an image of another type or shape.

    Example:
        >>> boxes = propose(detkit.data.images.decode("photo.jpg"))[:500]
    """
    if mode not in MODES:
        raise ConfigError("There is no such mode of selective search.", got=repr(mode), expected=", ".join(MODES))
    check_image(image)
    small = _scaled_down(image, side)
    hierarchies = [boxes for space in MODES[mode].spaces for boxes in _hierarchies(in_space(small, space), MODES[mode])]
    boxes = _ranked(hierarchies, np.random.default_rng(seed))
    return (boxes / np.tile(small.shape[:2], 2)).astype(np.float32)


def _scaled_down(image: np.ndarray, side: int) -> np.ndarray:
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    width, height = (max(1, round(scale * length)) for length in image.shape[1::-1])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def in_space(image: np.ndarray, space: str) -> np.ndarray:
    """An image uint8 [H, W, 3] RGB in a colour space of the paper, uint8 [H, W, 1 or 3]."""
    if space == "Lab":
        return cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    if space in ("HSV", "H"):
        return cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)[..., : len(space)]
    intensity = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    if space == "I":
        return intensity
    total = np.maximum(image.sum(axis=2, dtype=np.float32, keepdims=True), 1)
    return np.concatenate([(255 * image[..., :2] / total).astype(np.uint8), intensity], axis=2)


def _hierarchies(image: np.ndarray, mode: Mode) -> list[np.ndarray]:
    """The boxes [2N - 1, 4] of each hierarchy in one colour space, from the first regions to the whole image."""
    colours, textures = _colour_codes(image), _texture_codes(image)
    regions = [grouping.describe(segment(image, k), colours, textures) for k in mode.thresholds]
    combinations = [(each, kinds) for each in regions for kinds in mode.similarities]
    forest = grouping.Forest(*map(list, zip(*combinations, strict=True)))
    forest.grow()
    return [forest.boxes[rows] for rows in forest.slices]


def segment(image: np.ndarray, threshold: int) -> np.ndarray:
    """Labels int [H, W], 0..N-1, of an image uint8 [H, W, C]; no region is smaller than `threshold` pixels."""
    from skimage.segmentation import felzenszwalb

    if image.size == image.shape[2]:  # scikit-image needs an edge
        return np.zeros(image.shape[:2], np.int64)
    return felzenszwalb(image, scale=threshold, sigma=_SIGMA, min_size=threshold, channel_axis=2)


def _colour_codes(image: np.ndarray) -> list:
    """(the bin of each pixel int [H, W], number of bins) for each channel."""
    return [((channel.astype(np.int64) * _COLOUR_BINS) >> 8, _COLOUR_BINS) for channel in np.moveaxis(image, 2, 0)]


def _texture_codes(image: np.ndarray) -> list:
    """The same for the derivative in each direction and channel; a bin's sign tells the direction from its opposite."""
    x = np.arange(-4, 5)
    bell = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    along_x = cv2.sepFilter2D(image, cv2.CV_32F, -x * bell, bell).reshape(image.shape)
    along_y = cv2.sepFilter2D(image, cv2.CV_32F, bell, -x * bell).reshape(image.shape)
    codes = []
    for angle in np.arange(_DIRECTIONS) * np.pi / _DIRECTIONS:
        slopes = np.cos(angle) * along_x + np.sin(angle) * along_y
        for slope in np.moveaxis(slopes, 2, 0):
            peak = max(float(np.abs(slope).max()), 1.0)
            code = ((slope + peak) * (_TEXTURE_BINS / (2 * peak))).astype(np.int64)
            codes.append((np.minimum(code, _TEXTURE_BINS - 1), _TEXTURE_BINS))
    return codes


def _ranked(hierarchies: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """All boxes in one order: by their place from the top of their hierarchy, times chance; each box once."""
    boxes = np.concatenate(hierarchies)
    place = np.concatenate([np.arange(len(each), 0, -1) for each in hierarchies])
    boxes = boxes[np.argsort(place * rng.random(len(place)), kind="stable")]
    _, first = np.unique(boxes, axis=0, return_index=True)
    return boxes[np.sort(first)]
