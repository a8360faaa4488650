"""From a dataset to batches: which photo comes when, which view of it, and what is true of it."""

from __future__ import annotations

import queue
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from detkit import masks as mask_math
from detkit.data.augmentation import od_augmentation
from detkit.data.augmentation.moving import unvaried
from detkit.data.augmentation.recipe import augmented
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.data.sample import CutMask, Sample, View
from detkit.errors import DataError
from detkit.pipeline.augment import Augment

PIXELS_KEPT = 256 * 2**20  # bytes of decoded photos that stay in memory


class Views:
    """Views of a dataset's photos; the same number always gives the same view.

    `view(index, number)` is random access, and several threads may call it at once: other kinds of batches are built
    on it. A view has the size that the model reads where there is augmentation; without, and where all of it is the OD
    API's, it has that of its photo. For classification ask for "labels" and take `View.image` and `View.labels`; for
    segmentation ask for "semantic".

    Args:
        dataset: the photos.
        size_of: (height, width) of a photo -> that of the view (the model's own resize).
        augmentation: a `detkit.pipeline.settings.Augment`, or None for the photos as they are.
        seed: with the photo's index and the view's number, decides the view.
        wants: what views shall have beside boxes, of "masks", "keypoints", "semantic" and "labels". An object without
            a mask counts neither for nor against where masks are wanted. Where class maps or labels are learnt, a
            dataset may have no boxes. A picture that has no labels of its own has the classes of its boxes.

    Raises:
        DataError: if there is nothing to learn from.
    """

    def __init__(self, dataset: Dataset, size_of: Callable, augmentation=None, seed: int = 0, wants=()):
        _check_wants(dataset, wants)
        self.dataset, self.augmentation, self.seed, self.wants = dataset, augmentation, seed, tuple(wants)
        self._size_of, self._photos = size_of, _Photos(dataset, self._uses_masks(), "semantic" in self.wants)
        self._turns = augmentation is not None and augmentation.rotate > 0
        self._swaps = mirrored_order(dataset.keypoint_names) or slice(None)
        # Its options make the photo, and the model's own resize the input.
        self._as_in_od_api = bool(augmentation and augmentation.od_api) and augmentation == Augment(
            od_api=augmentation.od_api
        )

    def __len__(self) -> int:
        return len(self.dataset)

    def view(self, index: int, number: int = 0) -> View:
        """View `number` of photo `index`."""
        columns = {"masks": ("masks",), "keypoints": ("keypoints", "keypoint_weights")}
        unwanted = {column: None for name in columns if name not in self.wants for column in columns[name]}
        return self._view(index, number)._replace(seed=self.seed_of(index, number), **unwanted)

    def seed_of(self, index: int, number: int) -> int:
        """The seed that comes with a view."""
        return _seed(self.seed, index, number)

    def _view(self, index: int, number: int) -> View:
        if self.augmentation is None:
            return unvaried(self._sample(index))
        rng = np.random.default_rng([self.seed, index, number])
        steps = self.augmentation.od_steps

        def load(photo: int) -> Sample:
            sample = self._sample(photo)
            return od_augmentation.apply(sample, steps, rng) if steps else sample

        if self._as_in_od_api:
            return unvaried(load(index))
        size = tuple(self._size_of(self.dataset[index].size))
        return augmented(load, index, len(self), self.augmentation, size, rng, self._swaps)

    def _uses_masks(self) -> bool:
        """Whether masks decide what views look like, also where they are not learnt."""
        options = self.augmentation
        shapes = options is not None and (options.rotate or options.cutout or options.copy_paste)
        return "masks" in self.wants or (bool(shapes) and self.dataset.has_masks)

    def _sample(self, index: int) -> Sample:
        """A photo with all that is wanted of it."""
        example, photo = self.dataset[index], self._photos[index]
        counts = example.counts
        if "masks" in self.wants:
            counts &= np.array([mask is not None for mask in photo.masks], bool)
        weights = counts.astype(np.float32)
        sample = Sample(photo.pixels, example.boxes, example.class_ids, weights, photo.masks, semantic=photo.semantic)
        if "keypoints" in self.wants or self._turns:  # the boxes of what is turned hold them
            sample = sample._replace(**_keypoints(example, self.dataset.keypoint_count))
        return sample._replace(labels=labels_of(example)) if "labels" in self.wants else sample


class _Photo(NamedTuple):
    """A decoded photo, and if they are used the masks of its objects and the class of each pixel."""

    pixels: np.ndarray
    masks: tuple[CutMask | None, ...] | None
    semantic: np.ndarray | None

    @property
    def nbytes(self) -> int:
        masks = sum(mask.inside.nbytes for mask in self.masks or () if mask is not None)
        return self.pixels.nbytes + masks + (0 if self.semantic is None else self.semantic.nbytes)


class _Photos:
    """The decoded photos of a dataset, of which those used last stay in memory; any thread may ask."""

    def __init__(self, dataset: Dataset, masks: bool, semantic: bool):
        self._dataset, self._masks, self._semantic = dataset, masks, semantic
        self._kept: OrderedDict[int, _Photo] = OrderedDict()
        self._bytes, self._lock = 0, threading.Lock()

    def __getitem__(self, index: int) -> _Photo:
        with self._lock:
            if index in self._kept:
                self._kept.move_to_end(index)
                return self._kept[index]
        photo = self._decode(self._dataset[index])  # two threads may do that at once, to the same end
        with self._lock:
            if index not in self._kept:
                self._kept[index], self._bytes = photo, self._bytes + photo.nbytes
            while self._bytes > PIXELS_KEPT and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return photo

    def _decode(self, example: Example) -> _Photo:
        masks = _cut_masks(example) if self._masks else None
        return _Photo(example.pixels(), masks, example.semantic() if self._semantic else None)


def _cut_masks(example: Example) -> tuple[CutMask | None, ...]:
    """The mask of each object, cut to the whole pixels around its box, or None."""
    pixels = example.boxes * np.tile(example.size, 2)
    cut = []
    for box, segmentation in zip(pixels, example.segmentations or [None] * len(pixels), strict=True):
        top, left, bottom, right = *np.floor(box[:2]).astype(int), *np.ceil(box[2:]).astype(int)
        mask = None if segmentation is None else mask_math.decode(segmentation, example.size)
        cut.append(None if mask is None else CutMask(mask[top:bottom, left:right].copy(), top, left))
    return tuple(cut)


def _keypoints(example: Example, count: int) -> dict[str, np.ndarray]:
    if example.keypoints is None:
        nothing = np.zeros((len(example), count, 2), np.float32)
        return {"keypoints": nothing, "keypoint_weights": nothing[..., 0]}
    inside = ((example.keypoints >= 0) & (example.keypoints <= 1)).all(-1)
    weights = ((example.keypoint_visibility > 0) & inside).astype(np.float32)
    return {"keypoints": example.keypoints, "keypoint_weights": weights}


def labels_of(example: Example) -> np.ndarray:
    """The classes of a picture as a whole, int32 [L], rising; those of its boxes where it has none of its own."""
    return example.image_labels if len(example.image_labels) else np.unique(example.class_ids)


def mirrored_order(names: tuple[str, ...]) -> list[int]:
    """Which keypoint each one is called in a mirrored view: left and right in the names change places."""
    other = {"left": "right", "right": "left"}

    def exchange(match: re.Match) -> str:
        word = match.group()
        changed = other[word.lower()]
        return changed.upper() if word.isupper() else changed.title() if word.istitle() else changed

    twins = [re.sub("left|right", exchange, name, flags=re.IGNORECASE) for name in names]
    return [names.index(twin) if twin in names else i for i, twin in enumerate(twins)]


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0] >> 1)


def _check_wants(dataset: Dataset, wants) -> None:
    missing = [name for name in wants if not _LEARNT[name][0](dataset)]
    if missing:
        _, kind, expected, fix = _LEARNT[missing[0]]
        got = f"{len(dataset)} images with boxes only"
        what = f"This model learns {kind}, and the training data has none."
        raise DataError(what, where=dataset.name, got=got, expected=expected, fix=fix)
    if not {"labels", "semantic"} & set(wants) and not any(len(example) for example in dataset):
        raise DataError(
            "There is no box in the training data.",
            where=dataset.name,
            got=f"{len(dataset)} images without objects",
            fix="Label at least one object; `detkit check` shows what was read.",
        )


_OTHER = "or fine-tune a model that finds boxes only (`detkit zoo list`)."
_LEARNT = {
    "masks": (
        lambda dataset: dataset.has_masks,
        "masks", "COCO annotations with a segmentation", f"Annotate the masks, {_OTHER}",
    ),
    "keypoints": (
        lambda dataset: dataset.has_keypoints,
        "keypoints", "COCO annotations with keypoints", f"Annotate the keypoints, {_OTHER}",
    ),
    "semantic": (
        lambda dataset: dataset.has_masks or any(example.class_map is not None for example in dataset),
        "the class of each pixel", "class maps, or objects with masks", "Annotate outlines, or class maps.",
    ),
    "labels": (
        lambda dataset: any(len(labels_of(example)) for example in dataset),
        "classes of pictures", "labels of pictures, or boxes", "Put the pictures into a folder for each class.",
    ),
}  # fmt: skip


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
