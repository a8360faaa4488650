"""From a dataset to batches: which photo comes when, which view of it, and what is true of it."""

from __future__ import annotations

import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from detkit.data.augment import augment
from detkit.data.dataset import Dataset
from detkit.errors import DataError

PIXELS_KEPT = 256 * 2**20  # bytes of decoded photos that stay in memory


class View(NamedTuple):
    """A photo as the model gets it: uint8 [h, w, 3], boxes [N, 4] normalised yxyx, class ids [N], weights [N]."""

    image: np.ndarray
    boxes: np.ndarray
    class_ids: np.ndarray
    weights: np.ndarray


class Views:
    """Views of a dataset's photos; the same number always gives the same view.

    Args:
        dataset: the photos.
        size_of: (height, width) of a photo -> that of the view (the model's own resize).
        augmentation: a `detkit.pipeline.settings.Augment`, or None for the photos as they are.
        seed: with the photo's index and the view's number, decides the view.

    Raises:
        DataError: if there is nothing to learn from.
    """

    def __init__(self, dataset: Dataset, size_of: Callable, augmentation=None, seed: int = 0):
        if not any(len(example) for example in dataset):
            raise DataError(
                "There is no box in the training data.",
                where=dataset.name,
                got=f"{len(dataset)} images without objects",
                fix="Label at least one object; `detkit check` shows what was read.",
            )
        self.dataset, self.augmentation, self.seed = dataset, augmentation, seed
        self._size_of, self._pixels, self._bytes = size_of, OrderedDict(), 0

    def __len__(self) -> int:
        return len(self.dataset)

    def view(self, index: int, number: int = 0) -> View:
        """View `number` of photo `index`."""
        example, pixels = self.dataset[index], self._decode(index)
        if self.augmentation is None:
            weights = np.where(example.crowd | example.difficult, 0.0, 1.0).astype(np.float32)
            return View(pixels, example.boxes, example.class_ids, weights)
        rng = np.random.default_rng([self.seed, index, number])
        size = self._size_of(pixels.shape[:2])
        if rng.random() >= self.augmentation.mosaic:
            return self._vary(index, size, rng)
        return self._mosaic(index, size, rng)

    def _vary(self, index: int, size, rng) -> View:
        """A random view of a photo at the given size; objects that are out of it are left out."""
        example, pixels = self.dataset[index], self._decode(index)
        image, boxes, visible = augment(pixels, example.boxes, self.augmentation, size, rng)
        weights = np.where(example.crowd | example.difficult, 0.0, visible).astype(np.float32)
        here = visible >= 0
        return View(image, boxes[here], example.class_ids[here], weights[here])

    def _mosaic(self, index: int, size, rng) -> View:
        """Four views, the first of photo `index`, side by side around a random point (Bochkovskiy et al., 2020)."""
        row, column = (int(n * rng.uniform(0.35, 0.65)) for n in size)
        corners = [(0, 0), (0, column), (row, 0), (row, column)]
        tiles = [(row, column), (row, size[1] - column), (size[0] - row, column), (size[0] - row, size[1] - column)]
        photos = [index, *rng.integers(0, len(self), 3)]
        order = rng.permutation(4)
        image = np.empty((*size, 3), np.uint8)
        parts = []
        for photo, place in zip(photos, order, strict=True):
            (top, left), tile = corners[place], tiles[place]
            view = self._vary(int(photo), tile, rng)
            image[top : top + tile[0], left : left + tile[1]] = view.image
            # Tile coordinates -> those of the whole view.
            boxes = (view.boxes * np.tile(tile, 2) + np.tile((top, left), 2)) / np.tile(size, 2)
            parts.append((boxes.astype(np.float32), view.class_ids, view.weights))
        return View(image, *(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def _decode(self, index: int) -> np.ndarray:
        if index in self._pixels:
            self._pixels.move_to_end(index)
            return self._pixels[index]
        pixels = self.dataset[index].pixels()
        self._pixels[index], self._bytes = pixels, self._bytes + pixels.nbytes
        while self._bytes > PIXELS_KEPT and len(self._pixels) > 1:
            self._bytes -= self._pixels.popitem(last=False)[1].nbytes
        return pixels


def groundtruth(views: Iterable[View]) -> dict:
    """The views' objects as padded arrays: "boxes" [B, M, 4], "class_ids" int32 [B, M], "weights" [B, M]."""
    views = list(views)
    most = max(1, *(len(view.boxes) for view in views))
    shape = (len(views), most)
    truth = {
        "boxes": np.zeros((*shape, 4), np.float32),
        "class_ids": np.zeros(shape, np.int32),
        "weights": np.zeros(shape, np.float32),
    }
    for row, view in enumerate(views):
        for name in truth:
            truth[name][row, : len(view.boxes)] = getattr(view, name)
    return truth


def draw(count: int, batch_size: int, step: int, seed: int) -> list[tuple[int, int]]:
    """The batch of a step: [(photo, how often it was seen before), ...].

    Photos come in shuffled rounds, each of all of them; a function of the step alone, so that a run can go on anywhere.
    """
    positions = range(step * batch_size, (step + 1) * batch_size)
    rounds = {p // count: None for p in positions}
    for number in rounds:
        rounds[number] = np.random.default_rng([seed, number]).permutation(count)
    return [(int(rounds[p // count][p % count]), p // count) for p in positions]


def prefetch(make: Callable, items: Iterable, depth: int = 3) -> Iterator:
    """make(item) for each item, in order, made ahead of time by a thread."""
    ready: queue.Queue = queue.Queue(depth)
    stopped = threading.Event()

    def work():
        try:
            for item in items:
                _put(ready, (make(item), None), stopped)
                if stopped.is_set():
                    return
            _put(ready, (None, StopIteration()), stopped)
        except BaseException as error:  # handed to the consumer
            _put(ready, (None, error), stopped)

    threading.Thread(target=work, daemon=True).start()
    try:
        while True:
            value, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield value
    finally:
        stopped.set()


def _put(ready: queue.Queue, entry, stopped: threading.Event) -> None:
    while not stopped.is_set():
        try:
            return ready.put(entry, timeout=0.1)
        except queue.Full:
            continue
