"""From a dataset to batches: which photo comes when, which view of it, and what is true of it."""

from __future__ import annotations

import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from detkit import masks as mask_math
from detkit.data.augment import UNCHANGED, Geometry, augment, mirrored_order
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.errors import DataError

PIXELS_KEPT = 256 * 2**20  # bytes of decoded photos that stay in memory
MASK_SIDE = 112  # cells of a mask, over its box


class View(NamedTuple):
    """A photo as the model gets it.

    Attributes:
        image: uint8 [h, w, 3].
        boxes: float32 [N, 4], normalised yxyx.
        class_ids: int32 [N].
        weights: float32 [N], 0 for an object that counts neither for nor against.
        seed: differs from view to view; 0..2**31 - 1.
        masks: uint8 [N, S, S] of 0..255, each stretched over its own box, or None; empty for an object without.
        keypoints: float32 [N, K, 2], normalised (y, x), or None.
        keypoint_weights: float32 [N, K], 0 for what is not labelled or not in the view, or None.
    """

    image: np.ndarray
    boxes: np.ndarray
    class_ids: np.ndarray
    weights: np.ndarray
    seed: int = 0
    masks: np.ndarray | None = None
    keypoints: np.ndarray | None = None
    keypoint_weights: np.ndarray | None = None


class Views:
    """Views of a dataset's photos; the same number always gives the same view.

    Args:
        dataset: the photos.
        size_of: (height, width) of a photo -> that of the view (the model's own resize).
        augmentation: a `detkit.pipeline.settings.Augment`, or None for the photos as they are.
        seed: with the photo's index and the view's number, decides the view.
        wants: what views shall have beside boxes, of "masks" and "keypoints". An object without a mask counts neither
            for nor against where masks are wanted.

    Raises:
        DataError: if there is nothing to learn from.
    """

    def __init__(self, dataset: Dataset, size_of: Callable, augmentation=None, seed: int = 0, wants=()):
        if not any(len(example) for example in dataset):
            raise DataError(
                "There is no box in the training data.",
                where=dataset.name,
                got=f"{len(dataset)} images without objects",
                fix="Label at least one object; `detkit check` shows what was read.",
            )
        _check_wants(dataset, wants)
        self.dataset, self.augmentation, self.seed, self.wants = dataset, augmentation, seed, tuple(wants)
        self._size_of, self._photos, self._bytes = size_of, OrderedDict(), 0
        self._mirrored = mirrored_order(dataset.keypoint_names) or slice(None)

    def __len__(self) -> int:
        return len(self.dataset)

    def view(self, index: int, number: int = 0) -> View:
        """View `number` of photo `index`."""
        return self._view(index, number)._replace(seed=_seed(self.seed, index, number))

    def _view(self, index: int, number: int) -> View:
        if self.augmentation is None:
            return self._objects(index, self._decode(index), UNCHANGED)
        rng = np.random.default_rng([self.seed, index, number])
        size = self._size_of(self._decode(index).shape[:2])
        if rng.random() >= self.augmentation.mosaic:
            return self._vary(index, size, rng)
        return self._mosaic(index, size, rng)

    def _vary(self, index: int, size, rng) -> View:
        """A random view of a photo at the given size."""
        image, geometry = augment(self._decode(index), self.dataset[index].boxes, self.augmentation, size, rng)
        return self._objects(index, image, geometry)

    def _objects(self, index: int, image: np.ndarray, geometry: Geometry) -> View:
        """A view with the objects of a photo where the geometry moves them; those that are out of it are left out."""
        example = self.dataset[index]
        boxes, weights = (example.boxes, 1.0) if geometry is UNCHANGED else geometry.boxes(example.boxes)
        weights = np.where(example.crowd | example.difficult, np.minimum(weights, 0.0), weights).astype(np.float32)
        here = np.flatnonzero(weights >= 0)
        view = View(image, boxes[here], example.class_ids[here], weights[here])
        if "masks" in self.wants:
            view = self._with_masks(view, index, here, geometry)
        if "keypoints" in self.wants:
            view = self._with_keypoints(view, example, here, geometry)
        return view

    def _with_masks(self, view: View, index: int, here: np.ndarray, geometry: Geometry) -> View:
        cut, shape = self._load(index).masks, self.dataset[index].size
        original = geometry.original(view.boxes) * np.tile(shape, 2)
        stretched = np.zeros((len(here), MASK_SIDE, MASK_SIDE), np.uint8)
        for row, number in enumerate(here):
            if cut[number] is not None:
                mask, corner = cut[number]
                stretched[row] = mask_math.stretch(mask, original[row] - np.tile(corner, 2), MASK_SIDE)
        known = [cut[number] is not None for number in here]
        if geometry.mirrored:
            stretched = stretched[:, :, ::-1]
        return view._replace(masks=stretched, weights=view.weights * np.array(known, np.float32))

    def _with_keypoints(self, view: View, example: Example, here: np.ndarray, geometry: Geometry) -> View:
        if example.keypoints is None:
            keypoints = np.zeros((len(here), self.dataset.keypoint_count, 2), np.float32)
            return view._replace(keypoints=keypoints, keypoint_weights=keypoints[..., 0])
        keypoints, inside = geometry.keypoints(example.keypoints[here])
        weights = ((example.keypoint_visibility[here] > 0) & inside).astype(np.float32)
        if geometry.mirrored:
            keypoints, weights = keypoints[:, self._mirrored], weights[:, self._mirrored]
        return view._replace(keypoints=keypoints, keypoint_weights=weights)

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
            parts.append(_placed(view, (top, left), tile, size))
        names = [name for name in View._fields[1:] if name != "seed" and getattr(parts[0], name) is not None]
        return View(image, **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def _decode(self, index: int) -> np.ndarray:
        return self._load(index).pixels

    def _load(self, index: int) -> _Photo:
        if index in self._photos:
            self._photos.move_to_end(index)
            return self._photos[index]
        example = self.dataset[index]
        photo = _Photo(example.pixels(), _cut_masks(example) if "masks" in self.wants else None)
        self._photos[index], self._bytes = photo, self._bytes + photo.nbytes
        while self._bytes > PIXELS_KEPT and len(self._photos) > 1:
            self._bytes -= self._photos.popitem(last=False)[1].nbytes
        return photo


class _Photo(NamedTuple):
    """A decoded photo, and if they are wanted the masks of its objects: (bool [h, w], its first row and column)."""

    pixels: np.ndarray
    masks: list | None

    @property
    def nbytes(self) -> int:
        return self.pixels.nbytes + sum(each[0].nbytes for each in self.masks or () if each is not None)


def _cut_masks(example: Example) -> list:
    """The mask of each object, cut to the whole pixels around its box, with its first row and column; or None."""
    pixels = example.boxes * np.tile(example.size, 2)
    cut = []
    for box, segmentation in zip(pixels, example.segmentations or [None] * len(pixels), strict=True):
        top, left, bottom, right = *np.floor(box[:2]).astype(int), *np.ceil(box[2:]).astype(int)
        mask = None if segmentation is None else mask_math.decode(segmentation, example.size)
        cut.append(None if mask is None else (mask[top:bottom, left:right].copy(), (top, left)))
    return cut


def _placed(view: View, corner, tile, size) -> View:
    """A view of the size of a tile, in the coordinates of the view of which the tile is a part."""
    boxes = (view.boxes * np.tile(tile, 2) + np.tile(corner, 2)) / np.tile(size, 2)
    view = view._replace(boxes=boxes.astype(np.float32))
    if view.keypoints is None:
        return view
    return view._replace(keypoints=((view.keypoints * tile + corner) / size).astype(np.float32))


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0] >> 1)


def _check_wants(dataset: Dataset, wants) -> None:
    for name, there in (("masks", dataset.has_masks), ("keypoints", dataset.has_keypoints)):
        if name in wants and not there:
            raise DataError(
                f"This model learns {name}, and the training data has none.",
                where=dataset.name,
                got=f"{len(dataset)} images with boxes only",
                expected="COCO annotations with " + ("a segmentation" if name == "masks" else "keypoints"),
                fix=f"Annotate the {name}, or fine-tune a model that finds boxes only (`detkit zoo list`).",
            )


def groundtruth(views: Iterable[View]) -> dict:
    """The views' objects as arrays, padded with zeros to the most objects M of a view.

    Returns:
        "boxes" [B, M, 4], "class_ids" int32 [B, M], "weights" [B, M], "seed" int32 [B]; and where the views have them
        "masks" uint8 [B, M, S, S], "keypoints" [B, M, K, 2] and "keypoint_weights" [B, M, K].
    """
    views = list(views)
    most = max(1, *(len(view.boxes) for view in views))
    truth = {"seed": np.array([view.seed for view in views], np.int32)}
    for name in ("boxes", "class_ids", "weights", "masks", "keypoints", "keypoint_weights"):
        columns = [getattr(view, name) for view in views]
        if columns[0] is None:
            continue
        truth[name] = np.zeros((len(views), most, *columns[0].shape[1:]), columns[0].dtype)
        for row, column in enumerate(columns):
            truth[name][row, : len(column)] = column
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
