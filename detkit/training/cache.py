"""The frozen-prefix cache: what lies before the first tuned layer runs once per view, not once per step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from detkit.data import batches
from detkit.errors import ConfigError
from detkit.progress import progress

CHUNK = 4 * 320 * 320  # pixels of the views that go through the frozen part together


@dataclass
class Cache:
    """Records of every view, in memory.

    Attributes:
        records: tensors [views, ...]: the first view of every photo, then the second, ...
        photos: how many there are; per_photo: views of each.
        nbytes: memory that the records take.
    """

    records: dict
    photos: int
    per_photo: int
    nbytes: int

    def rows(self, batch: list[tuple[int, int]]) -> np.ndarray:
        """The rows of a batch of (photo, times seen before): views take turns."""
        return np.array([seen % self.per_photo * self.photos + photo for photo, seen in batch], np.int32)


class Prefix:
    """The frozen stages of a detector, compiled once."""

    def __init__(self, detector, seam: int):
        if detector.input_size is None:
            raise ConfigError(
                "Training needs a model input of fixed size.",
                where="image_resizer",
                got="keep_aspect_ratio_resizer without padding",
                expected="fixed_shape_resizer, or pad_to_max_dimension: true",
                fix="Change the image_resizer in pipeline.config; the weights stay valid.",
            )
        self.detector, self.seam = detector, seam
        self._run = tf.function(self._record, autograph=False, reduce_retracing=True)

    @property
    def chunk(self) -> int:
        """How many views go through together: small ones need company to keep the processor busy."""
        height, width = self.detector.input_size
        return min(max(CHUNK // (height * width), 4), 32)

    def _record(self, inputs, true_shapes, truth):
        state = self.detector.training_state(inputs, true_shapes, truth)
        return self.detector.record(self.detector.run(state, 0, self.seam), self.seam)

    def records(self, views: list) -> dict:
        """The record of some views: tensors [B, ...]."""
        run = self._run if self.seam else self._record
        return run(*self.detector.batch(views))


def plan(settings, seam: int, photos: int) -> int:
    """How many views of each photo to cache; 0 for no cache.

    Raises:
        ConfigError: if the cache is demanded, but nothing is frozen.
    """
    if settings.cache == "on" and seam == 0:
        raise ConfigError(
            "There is nothing to cache: the first layer is tuned.",
            where="train.cache",
            got="on",
            fix="Tune less (train.tune=heads), or set train.cache=auto.",
        )
    if settings.cache == "off" or seam == 0:
        return 0
    views = settings.views if settings.augment else 1
    pays = photos * views < settings.steps * settings.batch_size
    return views if pays or settings.cache == "on" else 0


def fill(
    prefix: Prefix, views: batches.Views, per_photo: int, limit_mb: int, demanded: bool, show=None
) -> Cache | None:
    """Computes the records of all views; fewer views of each photo where memory asks for it.

    Returns:
        The cache, or None if not even one view of each photo fits into `limit_mb` and it isn't demanded.

    Raises:
        ConfigError: if it is demanded and does not fit.
    """
    photos = [(photo, 0) for photo in range(len(views))]
    chunk = prefix.chunk
    done = min(chunk, len(photos))
    first = prefix.records([views.view(*number) for number in photos[:done]])
    one = _nbytes(first) / done
    fitting = int(limit_mb * 2**20 / (one * len(views)))
    if fitting == 0:
        if demanded:
            raise ConfigError(
                "The frozen-prefix cache does not fit into memory.",
                where="train.cache_mb",
                got=f"{one * len(views) / 2**20:.0f} MiB for one view of each of {len(views)} photos",
                expected=f"at most {limit_mb} MiB",
                fix="Raise train.cache_mb, or set train.cache=off.",
            )
        return None
    per_photo = min(per_photo, fitting)
    numbers = photos + [(photo, number) for number in range(1, per_photo) for photo in range(len(views))]
    pieces = {name: [value.numpy()] for name, value in first.items()}
    with progress(total=len(numbers), description="cache", show=show) as bar:
        bar.update(done)
        for start in range(done, len(numbers), chunk):
            some = [views.view(*number) for number in numbers[start : start + chunk]]
            for name, value in prefix.records(some).items():
                pieces[name].append(value.numpy())
            bar.update(len(some))
    records = {name: tf.constant(_join(pieces.pop(name))) for name in list(pieces)}
    return Cache(records, len(views), per_photo, _nbytes(records))


def _nbytes(records: dict) -> int:
    return sum(int(tf.size(value)) * value.dtype.size for value in records.values())


def _join(pieces: list[np.ndarray]) -> np.ndarray:
    """Concatenated along the first axis; the second (objects of a view) is padded to the longest."""
    if pieces[0].ndim > 1 and len({piece.shape[1] for piece in pieces}) > 1:
        longest = max(piece.shape[1] for piece in pieces)
        rest = [(0, 0)] * (pieces[0].ndim - 2)
        pieces = [np.pad(piece, [(0, 0), (0, longest - piece.shape[1]), *rest]) for piece in pieces]
    return np.concatenate(pieces)
