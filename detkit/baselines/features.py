"""A detector's backbone as a source of features."""

from __future__ import annotations

import cv2
import numpy as np
import tensorflow as tf

from detkit.detection.detector import Detector
from detkit.detection.load import load
from detkit.errors import ConfigError

_PREFIX = "backbone/"
_BATCH = 64


class Backbone:
    """The backbone of a pretrained detector, up to one of its blocks.

    Args:
        model: a Detector, or what `detkit.load` takes.
        block: the name of the last block that runs; None is the backbone's last.

    Attributes:
        stride: pixels between two cells of the map; channels: of the map.

    Raises:
        ConfigError: if the backbone has no such block.
    """

    def __init__(self, model, block: str | None = None):
        self.detector = model if isinstance(model, Detector) else load(model)
        names = [stage.name for stage in self.detector.stages if stage.name.startswith(_PREFIX)]
        self.block = block or names[-1].removeprefix(_PREFIX)
        if _PREFIX + self.block not in names:
            known = ", ".join(name.removeprefix(_PREFIX) for name in names)
            raise ConfigError("The backbone has no such block.", where=self.detector.name, got=block, expected=known)
        self._stop = names.index(_PREFIX + self.block) + 1
        signature = [tf.TensorSpec([None, None, None, 3], tf.uint8)]
        self._graph = tf.function(self._run, input_signature=signature, autograph=False)
        _, rows, _, self.channels = self.maps(np.zeros((1, 256, 256, 3), np.uint8)).shape
        self.stride = 256 // rows

    def _run(self, images):
        state = self.detector.run({"x": self.detector.normalize(tf.cast(images, tf.float32))}, stop=self._stop)
        # The last block leaves its map under the name by which the neck reads it.
        return state["x"] if "x" in state else list(state.values())[-1]

    def maps(self, images: np.ndarray) -> np.ndarray:
        """float32 [B, rows, columns, channels] of images uint8 [B, H, W, 3]."""
        batches = [self._graph(images[start : start + _BATCH]).numpy() for start in range(0, len(images), _BATCH)]
        return np.concatenate(batches) if len(batches) != 1 else batches[0]


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image uint8 [H, W, 3] at another (height, width), averaged where it shrinks."""
    smaller = size[0] * size[1] < image.shape[0] * image.shape[1]
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def warped_crops(image: np.ndarray, boxes: np.ndarray, size: int, context: int) -> np.ndarray:
    """The boxes cut out and warped to squares, with some of their surroundings.

    Args:
        image: uint8 [H, W, 3].
        boxes: [N, 4], normalised yxyx.
        size: of the squares in pixels.
        context: pixels of the square, on every side, that lie around the box. What is outside of the image has the
            mean colour.

    Returns:
        uint8 [N, size, size, 3].

    Source: Girshick et al., "R-CNN", CVPR 2014, appendix A.
    """
    height, width = image.shape[:2]
    low, high = boxes[:, :2] * [height, width], boxes[:, 2:] * [height, width]
    margin = (high - low) * (context / (size - 2 * context))
    corners = np.round(np.concatenate([low - margin, high + margin], axis=1)).astype(int)
    corners[:, 2:] = np.maximum(corners[:, 2:], corners[:, :2] + 1)
    pad = max(0, -corners[:, :2].min(), *(corners[:, 2:] - [height, width]).max(axis=0)) if len(boxes) else 0
    mean = cv2.mean(image)[:3]
    padded = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=mean)
    crops = np.empty((len(boxes), size, size, 3), np.uint8)
    for crop, (top, left, bottom, right) in zip(crops, corners + pad, strict=True):
        crop[:] = resized(padded[top:bottom, left:right], (size, size))
    return crops


def grid_means(maps: np.ndarray, grid: int) -> np.ndarray:
    """The means of a grid x grid division of each map: [N, rows, columns, D] -> [N, grid * grid * D]."""
    edges = [np.arange(grid) * side // grid for side in maps.shape[1:3]]
    sums = np.add.reduceat(np.add.reduceat(maps, edges[0], axis=1), edges[1], axis=2)
    counts = np.multiply.outer(*(np.diff([*e, side]) for e, side in zip(edges, maps.shape[1:3], strict=True)))
    return (sums / counts[:, :, None]).reshape(len(maps), -1).astype(np.float32)


def pooled_regions(feature_map: np.ndarray, boxes: np.ndarray, grid: int) -> np.ndarray:
    """Region-of-interest pooling: [rows, columns, D] and boxes [N, 4] (normalised yxyx) -> [N, grid * grid * D].

    Each cell of the grid is the mean of four points, interpolated between the map's cells.

    Source: Girshick, "Fast R-CNN", ICCV 2015, with the sampling of `tf.image.crop_and_resize` in the place of maxima.
    """
    rows, columns = feature_map.shape[:2]
    # crop_and_resize puts its first and last points onto the box's border and 0 and 1 onto the middles of the outermost
    # cells; here they belong into the middles of the grid's halves, and 0 and 1 onto the map's border.
    inset = (boxes[:, 2:] - boxes[:, :2]) / (4 * grid)
    low, high = boxes[:, :2] + inset, boxes[:, 2:] - inset
    sides = np.array([rows, columns])
    points = [(corner * sides - 0.5) / np.maximum(sides - 1, 1) for corner in (low, high)]
    inside = np.clip(np.concatenate(points, axis=1), 0, 1).astype(np.float32)
    which = np.zeros(len(boxes), np.int32)
    samples = tf.image.crop_and_resize(feature_map[None], inside, which, [2 * grid, 2 * grid])
    return tf.reshape(tf.nn.avg_pool2d(samples, 2, 2, "VALID"), [len(boxes), -1]).numpy()
