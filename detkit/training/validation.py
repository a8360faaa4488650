"""Validation during training: the frozen part of a network sees each validation picture once."""

from __future__ import annotations

from collections.abc import Iterator

import tensorflow as tf

from detkit.data.dataset import Dataset
from detkit.evaluation.measure import SHOWN, measure, numbers
from detkit.networks.pictures import PictureNetwork

CHUNK = 16  # pictures that go through the network together


class Validation:
    """Measures a network as it is.

    Args:
        network: in training.
        dataset: the validation set.
        seam: the first stage that training changes.
        limit_mb: memory for what the frozen part makes of the pictures; where they need more, they run anew each time.
    """

    def __init__(self, network, dataset: Dataset, seam: int, limit_mb: int):
        self.network, self.dataset, self.seam, self._limit = network, dataset, seam, limit_mb * 2**20
        self._kept: list | None = None
        self._cached = isinstance(network, PictureNetwork) and seam > 0
        self._finish = tf.function(lambda record: network.finish(record, seam), autograph=False, reduce_retracing=True)

    def __call__(self) -> dict[str, float]:
        """The numbers that are shown, the one that chooses the best weights first."""
        measured = numbers(self.network.task, measure(self.network, self.dataset, self._results()))
        return {name: measured[name] for name in SHOWN[self.network.task]}

    def _results(self) -> Iterator:
        if self._cached and self._kept is None:
            self._kept = self._records()
            self._cached = self._kept is not None
        if not self._cached:
            return results(self.network, self.dataset)
        return self._finished()

    def _finished(self) -> Iterator:
        for start, record in self._kept:
            outputs = {name: value.numpy() for name, value in self._finish(record).items()}
            some = [self.dataset[i] for i in range(start, min(start + CHUNK, len(self.dataset)))]
            yield from self.network.results(outputs, [each.size for each in some], [""] * len(some))

    def _records(self) -> list | None:
        """[(number of the first picture, record)], or None where that takes too much memory."""
        network, seam, kept = self.network, self.seam, []
        run = tf.function(lambda x: network.run(network.training_state(x, None, {}), 0, seam), autograph=False)
        for start in range(0, len(self.dataset), CHUNK):
            some = [self.dataset[i] for i in range(start, min(start + CHUNK, len(self.dataset)))]
            record = run(network.preprocess([each.pixels() for each in some])[0])
            size = sum(int(tf.size(value)) * value.dtype.size for value in record.values())
            if size / len(some) * len(self.dataset) > self._limit:
                return None
            kept.append((start, record))
        return kept


def results(network, dataset: Dataset) -> Iterator:
    """What a network says of each picture of a dataset."""
    stream = network.detect_stream if network.task == "detection" else network.stream
    return stream(example.pixels() for example in dataset)
