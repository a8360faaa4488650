"""Stages of a pipeline in threads of their own, joined by bounded queues: order kept, errors passed on."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

_END = object()
_POLL = 0.05  # seconds between two looks at whether the other side is still there


class Cancelled(Exception):
    """Raised inside a consuming thread when the pipeline stops early."""


class Producer:
    """Iterates a generator in a thread, at most `size` items ahead.

    An exception of the generator is raised where the items are consumed. Leaving the context stops the
    thread and closes the generator.

    Example:
        >>> with Producer(source.frames(), size=16) as frames:
        ...     for frame in frames:
        ...         pass
    """

    def __init__(self, items: Iterator, size: int):
        self._items, self._queue = items, queue.Queue(size)
        self._stopped, self._error = threading.Event(), None
        self._thread = threading.Thread(target=self._run, name="detkit-producer", daemon=True)

    def __enter__(self) -> Iterator:
        self._thread.start()
        return self._consume()

    def __exit__(self, *exception) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with closing(self._items) as items:
                for item in items:
                    if not _put(self._queue, item, self._stopped):
                        return
        except BaseException as error:
            self._error = error
        _put(self._queue, _END, self._stopped)

    def _consume(self) -> Iterator:
        while (item := self._queue.get()) is not _END:
            yield item
        if self._error is not None:
            raise self._error


class Consumer:
    """Runs `function(items)` in a thread on an iterator over what `put` gets, at most `size` items behind.

    Leaving the context waits until the function has returned and raises its exception. Leaving it by an
    exception raises `Cancelled` inside the function's loop, so that its own contexts undo their work.
    """

    def __init__(self, function: Callable[[Iterable], None], size: int):
        self._function, self._queue = function, queue.Queue(size)
        self._finished, self._cancelled, self._error = threading.Event(), threading.Event(), None
        self._thread = threading.Thread(target=self._run, name="detkit-consumer", daemon=True)

    def __enter__(self) -> Consumer:
        self._thread.start()
        return self

    def put(self, item) -> None:
        """Hands an item on; waits while the queue is full, raises if the function has failed."""
        if not _put(self._queue, item, self._finished):
            self._thread.join()
            raise self._error or RuntimeError("The consuming function returned before its input ended.")

    def __exit__(self, kind, *exception) -> None:
        if kind is None:
            _put(self._queue, _END, self._finished)
        else:
            self._cancelled.set()
        try:
            self._thread.join()
        except BaseException:  # Ctrl-C while the last items are written
            self._cancelled.set()
            self._thread.join()
            raise
        if kind is None and self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._function(self._received())
        except Cancelled:
            pass
        except BaseException as error:
            self._error = error
        finally:
            self._finished.set()

    def _received(self) -> Iterator:
        while True:
            if self._cancelled.is_set():
                raise Cancelled
            try:
                item = self._queue.get(timeout=_POLL)
            except queue.Empty:
                continue
            if item is _END:
                return
            yield item


def ordered_map(function: Callable, items: Iterable, workers: int) -> Iterator:
    """`map` in threads: results in the order of the items, which are taken at most one ahead of the workers.

    An exception of the function is raised in the place of its result. Closing the iterator waits for what is running.
    """
    pool, running = ThreadPoolExecutor(workers, thread_name_prefix="detkit-worker"), deque()
    try:
        for item in items:
            running.append(pool.submit(function, item))
            # What is ready is handed on before the next item, which a live source may make wait for.
            while running and (len(running) > workers or running[0].done()):
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _put(target: queue.Queue, item, stopped: threading.Event) -> bool:
    """Puts an item unless the other side has stopped; whether it was put."""
    while not stopped.is_set():
        try:
            target.put(item, timeout=_POLL)
            return True
        except queue.Full:
            continue
    return False
