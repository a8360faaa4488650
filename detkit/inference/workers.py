"""A compiled network with what comes before and after it, for several threads at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np

from detkit.detections import Detections
from detkit.inference import runtimes
from detkit.inference.preprocessing import Preprocessor, one_thread
from detkit.inference.stages import ordered_map


class Workers:
    """Images -> detections through a compiled network.

    Args:
        detector, options: as for `runtimes.compile`.

    Attributes:
        runtime: its name.
        batch_size: images of a call, at most.
        workers: calls at a time that do the most.
    """

    def __init__(self, detector, **options):
        self._detector, self._compiled = detector, runtimes.compile(detector, **options)
        self.runtime, self.batch_size = self._compiled.runtime, self._compiled.frozen.batch_size
        self.workers = self._compiled.workers
        self._idle: dict[int, list] = defaultdict(list)  # {threads: [(preprocessor, run), ...]}

    def warm_up(self) -> None:
        """Opens what a stream needs, and runs it once: the first run of a network is slow."""
        threads = self._threads(self.workers)
        opened = [self._open(threads) for _ in range(self.workers)]
        for preprocessor, run in opened:
            run(*preprocessor([np.zeros((*self._compiled.frozen.size, 3), np.uint8)]))
        self._idle[threads].extend(opened)

    def detect(self, images: Sequence[np.ndarray], threshold: float, workers: int = 1) -> list[Detections]:
        """What is in images, at most `batch_size`; while `workers` calls share the processor."""
        with self._borrowed(self._threads(workers)) as (preprocessor, run):
            inputs, true_shapes = preprocessor(images)
            outputs = [values[: len(images)] for values in run(inputs, true_shapes)]
            predictions = self._compiled.frozen.predictions(outputs, true_shapes[: len(images)])
            found = self._detector.postprocess(predictions, threshold=threshold)
        classes = self._detector.classes
        return [Detections(*f[:3], classes, i.shape[:2], "", *f[3:]) for f, i in zip(found, images, strict=True)]

    def stream(self, batches: Iterable[Sequence[np.ndarray]], threshold: float) -> Iterator[list[Detections]]:
        """`detect` of many batches, several at a time; in their order."""
        with one_thread():
            run = partial(self.detect, threshold=threshold, workers=self.workers)
            yield from ordered_map(run, batches, self.workers)

    @contextmanager
    def _borrowed(self, threads: int) -> Iterator[tuple]:
        """A preprocessor and a run that no other thread has."""
        idle = self._idle[threads]
        mine = idle.pop() if idle else self._open(threads)  # a list's methods are atomic
        try:
            yield mine
        finally:
            idle.append(mine)

    def _open(self, threads: int) -> tuple:
        return Preprocessor(self._detector, self.batch_size), self._compiled.open(threads)

    def _threads(self, workers: int) -> int:
        return max(1, runtimes.CORES // workers)
