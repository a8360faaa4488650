"""Batches as `tf.data`: photos are decoded, augmented, resized by the model's rule, padded and made ahead of time.

The detectors' own training takes `detkit.data.batches`: the same batches, but they can begin at any step, as a resumed
run does, and cost less where the photos of a small set stay in memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from detkit.data import batches as drawing
from detkit.data.batches import Views
from detkit.data.dataset import Dataset
from detkit.data.sample import View
from detkit.data.tensor_tasks import Task, task_of
from detkit.data.view_cache import ViewCache
from detkit.errors import ConfigError, DetkitError
from detkit.pipeline.augment import augment as augmentation_of


def batches(
    dataset: Dataset, task: str = "detection", *, size, batch_size: int, augment=None, seed: int = 0,
    shuffle: bool = True, repeat: int | None = 1, drop_remainder: bool = False, pad_to=None, wants=(),
    cache: str | Path | None = None, workers: int | None = None, prefetch: int = 2,
):  # fmt: skip
    """Batches of a dataset, the same for the same seed whatever the number of workers.

    Memory is bounded: a batch for each one made ahead, a photo for each worker, and `batches.PIXELS_KEPT`.

    Args:
        dataset: the photos.
        task: what is to be learnt, and the truth that comes with the images uint8 [B, h, w, 3]:
            "detection": {"boxes": float32 [B, M, 4], normalised yxyx relative to the image without its padding,
            "class_ids": int32 [B, M], "weights": float32 [B, M], 0 for padding and what is not to count, "seed": int32
            [B], "true_shapes": int32 [B, 3], of the images without padding}, and what the model `wants`, as in
            `detkit.data.batches.groundtruth`;
            "localization", the largest object: {"box": [B, 4], "class_id": int32 [B], "weight": [B]};
            "classification", one class a picture: int32 [B];
            "multilabel", any number of classes C: float32 [B, C] of 0 and 1;
            "segmentation": uint8 [B, h, w], as of `Example.semantic`, 255 for padding.
        size: (height, width) of the images; or a function of that of a photo, as `detector.resized`.
        batch_size: B.
        augment: as `train.augment` of a pipeline: None, True, or a mapping of options.
        seed: decides order and views.
        shuffle: a new order in each round; otherwise the dataset's.
        repeat: rounds of all photos, None for no end; views differ from round to round, but are the same whenever the
            batches are gone through from the beginning.
        drop_remainder: leave out a last batch that is not full.
        pad_to: (height, width) of all batches, as `detector.input_size`; None for the largest image of each.
        wants: what a detector learns beside boxes, as `detector.wants`.
        cache: "memory" or a folder for images that are ready; only without augmentation.
        workers: how many views are made at once; as many as there are processors by default.
        prefetch: batches made ahead.

    Returns:
        A `tf.data.Dataset`. What is wrong with a photo is raised as detkit's own error when its batch is asked for;
        where other code goes through the batches, as Keras' `fit` does, inside `own_errors(dataset)`.

    Raises:
        ConfigError: for settings that don't go together.
        DataError: if there is nothing to learn from.

    Example:
        >>> for images, truth in batches(data, size=detector.resized, pad_to=detector.input_size, batch_size=8): ...
    """
    import tensorflow as tf

    task, settings = task_of(task, dataset, wants), augmentation_of(augment, "augment")
    task.check_augmentation(settings)
    size_of = size if callable(size) else lambda _: tuple(size)
    maker = _Maker(Views(dataset, size_of, settings, seed, task.wants), size_of, task, pad_to, cache)
    pairs = _pairs(len(dataset), repeat, seed if shuffle else None)
    elements = pairs.map(maker.element, num_parallel_calls=workers or os.cpu_count(), deterministic=True)
    padded = elements.padded_batch(batch_size, *maker.padding(), drop_remainder=drop_remainder)
    options = tf.data.Options()
    options.autotune.enabled = False  # it would take memory as it sees fit
    if repeat is not None:
        whole, rest = divmod(repeat * len(dataset), batch_size)
        padded = padded.apply(tf.data.experimental.assert_cardinality(whole + bool(rest and not drop_remainder)))
    return _with_own_errors(padded.prefetch(prefetch).with_options(options), maker.failures)


def _pairs(count: int, repeat: int | None, seed: int | None):
    """(photo, round) int64 [2], in the order of `batches.draw`, or of the dataset without a seed."""
    import tensorflow as tf

    def order(number) -> np.ndarray:
        if seed is not None:
            return np.array(drawing.draw(count, count, int(number), seed), np.int64)
        return np.stack([np.arange(count), np.full(count, number)], -1)

    def one_round(number):
        pairs = tf.ensure_shape(tf.numpy_function(order, [number], tf.int64), [count, 2])
        return tf.data.Dataset.from_tensor_slices(pairs)

    rounds = tf.data.Dataset.counter() if repeat is None else tf.data.Dataset.range(repeat)
    return rounds.flat_map(one_round)


class _Maker:
    """Makes the elements of a pipeline.

    Attributes:
        failures: {text: error} of what went wrong.
    """

    def __init__(self, views: Views, size_of: Callable, task: Task, pad_to, cache):
        if cache is not None and views.augmentation is not None:
            raise ConfigError(
                "Augmented images can't be cached: every round would show the same ones.",
                where="cache",
                got=f"{str(cache)!r} with augment",
                fix="Leave out the cache, or the augmentation.",
            )
        self._views, self._size_of, self._task, self._pad_to = views, size_of, task, pad_to
        self._ready = self._resized if cache is None else ViewCache(self._resized, views, size_of, cache)
        self.failures: dict[str, DetkitError] = {}

    def element(self, pair):
        """(image, truth) of a pair."""
        import tensorflow as tf

        columns = self._task.columns
        values = tf.numpy_function(self._values, [pair], [column.dtype for column in columns])
        values = [tf.ensure_shape(value, column.shape) for value, column in zip(values, columns, strict=True)]
        return values[0], self._task.structured(values[1:])

    def padding(self) -> tuple:
        """The padded shapes and the padding values of the elements."""
        shapes = [column.shape for column in self._task.columns]
        fills = [np.array(column.fill, column.dtype) for column in self._task.columns]
        if self._pad_to is not None:
            shapes = [(*self._pad_to, *shape[2:]) if shape[:2] == (None, None) else shape for shape in shapes]
        return (shapes[0], self._task.structured(shapes[1:])), (fills[0], self._task.structured(fills[1:]))

    def _values(self, pair) -> tuple:
        index, number = map(int, pair)
        try:
            view = self._view(index, number)
            self._check_fits(index, view)
            return self._task.values(view)
        except DetkitError as error:
            self.failures[str(error)] = error
            raise error.with_traceback(None) from None  # TensorFlow makes the traceback a part of its message

    def _view(self, index: int, number: int) -> View:
        if self._views.augmentation is None:
            return self._ready(index)._replace(seed=self._views.seed_of(index, number))
        return self._resized(index, number)

    def _resized(self, index: int, number: int = 0) -> View:
        view = self._views.view(index, number)
        if view.size == tuple(self._size_of(self._views.dataset[index].size)):
            return view
        return _to_size(view, tuple(self._size_of(view.size)))  # of a photo, or of what the OD API's options made of it

    def _check_fits(self, index: int, view: View) -> None:
        if self._pad_to is not None and (np.array(view.size) > self._pad_to).any():
            raise ConfigError(
                "An image is larger than what it shall be padded to.",
                where=self._views.dataset[index].label,
                got=f"{view.size[0]} x {view.size[1]} (height x width)",
                expected=f"at most {self._pad_to[0]} x {self._pad_to[1]}",
                fix="Give a larger pad_to, or None.",
            )


def _to_size(view: View, size: tuple[int, int]) -> View:
    """A view at the size of the model's input, sampled as the OD API does: no antialiasing, no half-pixel centres."""
    (height, width), (rows, columns) = size, view.size
    matrix = np.array([[columns / width, 0, 0], [0, rows / height, 0]])

    def sampled(image: np.ndarray, how: int) -> np.ndarray:
        flags, border = how | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE
        return cv2.warpAffine(image, matrix, (width, height), flags=flags, borderMode=border)

    semantic = None if view.semantic is None else sampled(view.semantic, cv2.INTER_NEAREST)
    # OpenCV is faster with four channels than with three.
    image = cv2.cvtColor(sampled(cv2.cvtColor(view.image, cv2.COLOR_RGB2RGBA), cv2.INTER_LINEAR), cv2.COLOR_RGBA2RGB)
    return view._replace(image=image, semantic=semantic)


def _with_own_errors(dataset, failures: dict):
    """A `tf.data.Dataset` whose iterators raise detkit's errors."""

    def iterate(self):
        iterator = kind.__iter__(self)
        iterator.__class__ = type("OwnErrorsIterator", (type(iterator),), {"__next__": following})
        return iterator

    def following(self):
        with own_errors(dataset):
            return super(type(self), self).__next__()

    kind = type(dataset)
    dataset.__class__ = type("OwnErrorsDataset", (kind,), {"__iter__": iterate})
    dataset.failures = failures
    return dataset


@contextmanager
def own_errors(dataset):
    """Turns TensorFlow's errors about the photos of `batches` into detkit's own.

    Example:
        >>> with own_errors(train):
        ...     model.fit(train)
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        own = next((each for text, each in dataset.failures.items() if text in error.message), None)
        if own is None:
            raise
    else:
        return
    raise own.with_traceback(None)
