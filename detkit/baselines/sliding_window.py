"""Sliding windows: a classifier looks at every place of an image, at every size.

Sources: Viola and Jones, CVPR 2001, for the windows; Sermanet et al., "OverFeat", ICLR 2014, for sharing what they have
in common.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from detkit.baselines import mining
from detkit.baselines.common import Baseline
from detkit.baselines.features import Backbone, resized
from detkit.baselines.linear import Linear, Scaling, probabilities
from detkit.errors import ConfigError

_BATCH = 256


@dataclass(frozen=True)
class Pyramid:
    """The sizes and shapes of windows.

    Attributes:
        shares: the square root of a window's area, as a share of the image's shorter side.
        aspects: width divided by height, in the image.
    """

    shares: tuple[float, ...] = (0.85, 0.6, 0.42, 0.3, 0.21)
    aspects: tuple[float, ...] = (1.0, 0.6, 1.6)

    def __post_init__(self):
        for name in ("shares", "aspects"):
            values = tuple(float(value) for value in getattr(self, name))
            object.__setattr__(self, name, values)
            if not values or not min(values) > 0:
                raise ConfigError("A pyramid needs positive numbers.", where=name, got=values)

    def levels(self, size: tuple[int, int], window: int, stride: int) -> list[tuple[int, int]]:
        """(height, width) to which an image of a size is resized, so that each window there is a square of `window`.

        Whole strides fit between the first and the last window. Windows larger than the image are left out; if all
        are, the image itself is the only one.
        """
        levels = {}
        for share in self.shares:
            for aspect in self.aspects:
                side = share * min(size)
                cut = np.array([side / aspect**0.5, side * aspect**0.5])  # the window in the image
                steps = (np.array(size) / cut - 1) * window / stride
                if steps.min() >= 0:
                    levels[tuple(int(n) for n in window + stride * np.round(steps))] = None
        return list(levels) or [(window, window)]


class SlidingWindow(Baseline):
    """A classifier slid over an image pyramid.

    Args:
        classify: uint8 crops [N, window, window, 3] -> scores [N, C], 0..1. To share computation it has a method
            `slide` as well: an image uint8 [H, W, 3] of whole strides -> scores [rows, columns, C].
        classes: the names of the columns.
        window: the side of a crop in pixels; stride: pixels from one window to the next.
        pyramid: their sizes in the image.
        shared: whether to call `slide` once for a level instead of `classify` for every crop.

    Raises:
        ConfigError: for a window or stride below 1, or shared computation with a classifier that can't do it.
    """

    def __init__(self, classify: Callable, classes, window: int, stride: int, *, pyramid: Pyramid | None = None,
                 shared: bool = False, label_ids=None, name: str = "sliding window"):  # fmt: skip
        super().__init__(classes, label_ids, name)
        if min(window, stride) < 1:
            raise ConfigError("A window and its stride have at least one pixel.", got=f"{window}, {stride}")
        if shared and not hasattr(classify, "slide"):
            raise ConfigError(
                "This classifier can't share computation between windows.",
                got=type(classify).__name__,
                expected="a classifier with a method `slide`",
                fix="Give shared=False, or train one with detkit.baselines.sliding_window.train.",
            )
        self.classify, self.window, self.stride = classify, window, stride
        self.pyramid, self.shared = pyramid or Pyramid(), shared

    def scored(self, image):
        """As `Baseline.scored`."""
        boxes, scores = [], []
        for level in self.pyramid.levels(image.shape[:2], self.window, self.stride):
            scene = resized(image, level)
            found = self.classify.slide(scene) if self.shared else self._one_by_one(scene)
            boxes.append(window_boxes(level, self.window, self.stride))
            scores.append(np.asarray(found, np.float32).reshape(-1, len(self.classes)))
        return np.concatenate(boxes), np.concatenate(scores)

    def _one_by_one(self, scene: np.ndarray) -> np.ndarray:
        shape = (self.window, self.window)
        cut = np.lib.stride_tricks.sliding_window_view(scene, shape, axis=(0, 1))[:: self.stride, :: self.stride]
        rows, columns = cut.shape[:2]
        crops = np.moveaxis(cut, 2, -1)  # a view [rows, columns, window, window, 3]
        places = [divmod(n, columns) for n in range(rows * columns)]
        batches = (places[start : start + _BATCH] for start in range(0, len(places), _BATCH))
        return np.concatenate([self.classify(np.stack([crops[place] for place in batch])) for batch in batches])


def window_boxes(level: tuple[int, int], window: int, stride: int) -> np.ndarray:
    """float32 [rows * columns, 4], normalised yxyx: the windows of an image of this (height, width), row by row."""
    tops, lefts = (np.arange(0, side - window + 1, stride) for side in level)
    top, left = (each.ravel() for each in np.meshgrid(tops, lefts, indexing="ij"))
    pixels = np.stack([top, left, top + window, left + window], axis=1)
    return (pixels / np.tile(level, 2)).astype(np.float32)


class WindowClassifier:
    """A linear classifier over the cells of a backbone's map that lie under a window.

    Args:
        backbone: has `maps`, `stride` and `channels`; cells: of the map along a side of the window.
        scaling, linear: over features [cells * cells * channels].

    Attributes:
        window: the side of the window in pixels.
    """

    def __init__(self, backbone, cells: int, scaling: Scaling, linear: Linear):
        self.backbone, self.cells, self.scaling, self.linear = backbone, cells, scaling, linear
        self.window = cells * backbone.stride
        # The scaling goes into the weights, and the weights over the cells of a window are a convolution kernel.
        weights = linear.weights / scaling.deviation[:, None]
        self._bias = linear.bias - scaling.mean @ weights
        self._kernel = weights.reshape(cells, cells, -1, weights.shape[1])

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        """Scores [N, C] of crops uint8 [N, window, window, 3]."""
        return self._scores(self.backbone.maps(crops))[:, 0, 0]

    def slide(self, image: np.ndarray) -> np.ndarray:
        """Scores [rows, columns, C] of the windows of an image uint8 [H, W, 3], a cell apart."""
        return self._scores(self.backbone.maps(image[None]))[0]

    def _scores(self, maps):
        return probabilities(tf.nn.conv2d(maps, self._kernel, 1, "VALID").numpy() + self._bias)


@dataclass(frozen=True)
class WindowSettings:
    """How a sliding window is trained.

    Attributes:
        block: of the backbone, the last that runs.
        cells: of its map along a side of the window.
        penalty: of the classifier's weights.
    """

    block: str | None = "block_12"
    cells: int = 7
    penalty: float = 1e-2


def train(model, dataset, *, settings: WindowSettings | None = None, pyramid: Pyramid | None = None,
          shared: bool = True, seed: int = 0) -> SlidingWindow:  # fmt: skip
    """A sliding window for the classes of a dataset, on a pretrained backbone.

    Args:
        model: a Detector whose backbone is used, or what `detkit.load` takes.
        dataset: the ground truth.
        shared: whether features come from whole levels or from crops, in training and afterwards.
        seed: of the choice of counter-examples.

    Raises:
        ConfigError: if the backbone has no such block.
        DataError: if a class has nothing to learn from.
    """
    settings = settings or WindowSettings()
    pyramid, backbone = pyramid or Pyramid(), Backbone(model, settings.block)

    def candidates(view):
        windows = Windows(view.example.pixels(), backbone, settings.cells, pyramid, shared)
        return mining.Candidates(windows.boxes, windows.describe)

    scaling, linear, _ = mining.learn(dataset, candidates, penalty=settings.penalty, seed=seed)
    classifier = WindowClassifier(backbone, settings.cells, scaling, linear)
    return SlidingWindow(classifier, dataset.classes, classifier.window, backbone.stride, pyramid=pyramid,
                         shared=shared, label_ids=dataset.label_ids)  # fmt: skip


class Windows:
    """The windows of one image, and their features.

    Args:
        image: uint8 [H, W, 3].
        backbone, cells: as in WindowClassifier.
        pyramid: the windows' sizes and shapes.
        shared: whether features come from the maps of whole levels or from crops.

    Attributes:
        boxes: float32 [N, 4], normalised yxyx, level by level.
    """

    def __init__(self, image: np.ndarray, backbone, cells: int, pyramid: Pyramid, shared: bool):
        self.backbone, self.cells, self.shared = backbone, cells, shared
        window, stride = cells * backbone.stride, backbone.stride
        levels = pyramid.levels(image.shape[:2], window, stride)
        boxes = [window_boxes(level, window, stride) for level in levels]
        self.boxes, self._ends = np.concatenate(boxes), np.cumsum([0, *map(len, boxes)])
        scenes = [resized(image, level) for level in levels]
        # What windows are cut from, their side there, and how far they are apart.
        self._sources = [backbone.maps(scene[None])[0] for scene in scenes] if shared else scenes
        self._side, self._step = (cells, 1) if shared else (window, stride)

    def describe(self, rows: np.ndarray) -> np.ndarray:
        """The features float32 [n, cells * cells * channels] of the windows in these rows of `boxes`."""
        found = np.empty((len(rows), self.cells**2 * self.backbone.channels), np.float32)
        for source, start, stop in zip(self._sources, self._ends, self._ends[1:], strict=False):
            here = np.flatnonzero((rows >= start) & (rows < stop))
            if len(here):
                found[here] = self._of_level(source, rows[here] - start)
        return found

    def _of_level(self, source: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        places = np.lib.stride_tricks.sliding_window_view(source, (self._side, self._side), axis=(0, 1))
        places = places[:: self._step, :: self._step]  # [rows, columns, depth, side, side]
        cut = np.moveaxis(places[np.divmod(numbers, places.shape[1])], 1, -1)  # [n, side, side, depth]
        features = cut if self.shared else self.backbone.maps(np.ascontiguousarray(cut))
        return features.reshape(len(numbers), -1)
