"""A detector compiled for the machine: its network in the fastest runtime, and several ways to look at an image."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, islice

import numpy as np

from detkit.data.streams import ObjectFinder, opened
from detkit.detections import Detections
from detkit.errors import ConfigError
from detkit.inference.augmented import Augmentation
from detkit.inference.stages import ordered_map
from detkit.inference.tiling import Tiling

_PLAIN_BATCH = 8
_FEWEST = 8  # images for which compiling the network takes longer than it saves


class Predictor(ObjectFinder):
    """Detects as its detector does, faster; later changes of the detector's weights do not reach it.

    Args:
        detector: of `detkit.load`; one without a network to compile (a baseline, an exported model) runs as it is.
        runtime, batch_size, precision, frames: as for `detkit.inference.runtimes.compile`.
        tiles: the side in pixels of overlapping squares that larger images are also looked at in, "auto" for that of
            the model's input; None for none.
        tile_overlap: the part of a tile that the next one shows too.
        tta: further ways to look at each image (see `Augmentation`).

    Raises:
        ConfigError: for a runtime that is not installed or can't run the network, and for views that don't suit the
            detector.

    Example:
        >>> predictor = Predictor(detkit.load("hands"), tiles=640)
        >>> predictor.detect(["group.jpg"], threshold=0.5)[0].labels
    """

    def __init__(
        self, detector, runtime: str = "auto", batch_size: int | None = None, precision: str = "float32",
        tiles: int | str | None = None, tile_overlap: float = 0.2, tta=(), frames: int | None = None,
    ):  # fmt: skip
        self.detector, self.classes = detector, tuple(detector.classes)
        self.name = getattr(detector, "name", "detector")
        self.label_ids = tuple(getattr(detector, "label_ids", None) or range(1, len(self.classes) + 1))
        _check_views(detector, tiles, tta)
        self._tiling = None if tiles is None else Tiling(_side(detector, tiles), tile_overlap)
        self._augmentation = Augmentation(tuple(tta)) if tta else None
        few = frames is not None and frames <= _FEWEST and not (tiles or tta)
        plain = few and (runtime, precision) == ("auto", "float32")
        self._network = _network(detector, runtime, batch_size, precision, frames, plain)
        self.runtime, self.batch_size = self._network.runtime, self._network.batch_size

    def warm_up(self) -> None:
        """Runs the network once, so that the first image does not take longer than the others."""
        self._network.warm_up()

    def detect_stream(
        self, images: Iterable, batch_size: int | None = None, threshold: float = 0.0
    ) -> Iterator[Detections]:
        """As `ObjectFinder.detect_stream`, in the predictor's own batches and some of them ahead; closing it ends its
        threads."""
        looks: deque[_Look] = deque()
        lowest = self._augmentation.lowest(threshold) if self._augmentation else threshold
        found: list[Detections] = []
        for each in self._found(self._views(images, looks), lowest):
            found.append(each)
            if len(found) == looks[0].count:
                yield looks.popleft().merged(found, threshold)
                found = []

    def _views(self, images: Iterable, looks: deque) -> Iterator[np.ndarray]:
        """The pictures that the network sees; notes in `looks` which of them belong together."""
        for image in images:
            look = _Look(image, self._augmentation, self._tiling)
            looks.append(look)
            yield from look.views

    def _found(self, views: Iterator[np.ndarray], threshold: float) -> Iterator[Detections]:
        """What is in each picture; a single batch gets all threads, more are shared out among workers."""
        batches = iter(lambda: list(islice(views, self.batch_size)), [])
        first = list(islice(batches, 2))
        if len(first) < 2:
            yield from chain.from_iterable(self._network.detect(batch, threshold) for batch in first)
            return
        yield from chain.from_iterable(self._network.stream(chain(first, batches), threshold))


class _Look:
    """An image in all its views: first the ways to look at it, then the tiles of each."""

    def __init__(self, image, augmentation: Augmentation | None, tiling: Tiling | None):
        self._augmentation, self._tiling = augmentation, tiling
        array, self._source = opened(image)
        self._size = array.shape[:2]
        looks = augmentation.views(array) if augmentation else [array]
        tiles = [tiling.views(look) if tiling else [look] for look in looks]
        self._sizes, self._counts = [look.shape[:2] for look in looks], [len(each) for each in tiles]
        self.views, self.count = list(chain.from_iterable(tiles)), sum(self._counts)

    def merged(self, found: list[Detections], threshold: float) -> Detections:
        """The detections in the image from those in its views."""
        rest = iter(found)
        looks = [list(islice(rest, count)) for count in self._counts]
        if self._tiling:
            merged = [self._tiling.merged(*pair) for pair in zip(looks, self._sizes, strict=True)]
        else:
            merged = [look[0] for look in looks]
        whole = self._augmentation.merged(merged, self._size, threshold) if self._augmentation else merged[0]
        return replace(whole, source=self._source) if self._source else whole


class _Plain:
    """A detector as it is, in one thread: without a network to compile, or for too few images to do so."""

    runtime, workers = "plain", 1

    def __init__(self, detector, batch_size: int):
        self._detector, self.batch_size = detector, batch_size

    def warm_up(self) -> None:
        """Nothing: it is not known what a first run would cost."""

    def detect(self, images: Sequence[np.ndarray], threshold: float, workers: int = 1) -> list[Detections]:
        """As `Workers.detect`."""
        return self._detector.detect(list(images), batch_size=self.batch_size, threshold=threshold)

    def stream(self, batches: Iterable[Sequence[np.ndarray]], threshold: float) -> Iterator[list[Detections]]:
        """As `Workers.stream`."""
        return ordered_map(partial(self.detect, threshold=threshold), batches, self.workers)


def _network(detector, runtime: str, batch_size: int | None, precision: str, frames: int | None, plain: bool):
    if plain:
        return _Plain(detector, batch_size or 1)
    if hasattr(detector, "postprocess") and detector.input_size is not None:
        from detkit.inference.workers import Workers

        return Workers(detector, runtime=runtime, batch_size=batch_size, precision=precision, frames=frames)
    if runtime != "auto" or precision == "mixed":
        raise ConfigError(
            "This detector has no network that could be compiled.",
            got=f"runtime {runtime}, precision {precision}",
            fix="Leave both options away.",
        )
    return _Plain(detector, batch_size or _PLAIN_BATCH)


def _side(detector, tiles: int | str) -> int:
    if tiles != "auto":
        return int(tiles)
    size = getattr(detector, "input_size", None)
    if size is None:
        raise ConfigError("This detector's input has no size of its own.", got="tiles auto", fix="Give it in pixels.")
    return max(size)


def _check_views(detector, tiles, tta) -> None:
    """ConfigError for what can't be put together again from several views."""
    wants = getattr(detector, "wants", ())
    if "masks" in wants and (tiles or tta):
        raise ConfigError("Masks can't be put together from several views.", fix="Leave tiles and tta away.")
    if "keypoints" in wants and tta:
        raise ConfigError("Keypoints can't be averaged over several views.", fix="Leave tta away.")
