"""Threaded stages: order, bounded queues, errors from either side, cancellation."""

from __future__ import annotations

import threading

import pytest

from detkit.inference.stages import Consumer, Producer, ordered_map


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("detkit-")]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert threads() == []


def test_producer_keeps_the_order():
    with Producer((i for i in range(100)), size=3) as items:
        assert list(items) == list(range(100))


def test_producer_runs_at_most_its_size_ahead():
    made = []
    with Producer((made.append(i) or i for i in range(50)), size=3) as items:
        for i in items:
            assert len(made) <= i + 1 + 3 + 1  # consumed, in the queue, in the producer's hand


def test_producer_passes_an_error_on_after_the_items_before_it():
    def items():
        yield 1
        raise ValueError("broken source")

    got = []
    with pytest.raises(ValueError, match="broken source"), Producer(items(), size=3) as stream:
        for item in stream:
            got.append(item)
    assert got == [1]


def test_leaving_a_producer_early_closes_its_generator():
    closed = []

    def endless():
        try:
            while True:
                yield 0
        finally:
            closed.append(threading.current_thread().name)

    with Producer(endless(), size=2) as items:
        next(items)
    assert closed == ["detkit-producer"]


def test_consumer_gets_everything_in_order_before_it_is_left():
    got = []
    with Consumer(got.extend, size=2) as consumer:
        for i in range(100):
            consumer.put(i)
    assert got == list(range(100))


def test_consumer_error_reaches_the_one_who_puts():
    def broken(items):
        next(items)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Consumer(broken, size=2) as consumer:
        while True:
            consumer.put(0)


def test_consumer_error_at_the_end_is_raised_on_leaving():
    def broken(items):
        list(items)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Consumer(broken, size=2) as consumer:
        consumer.put(0)


def test_consumer_is_cancelled_when_the_body_fails():
    ended = []

    def consume(items):
        try:
            list(items)
            ended.append("complete")
        finally:
            ended.append("undone")

    with pytest.raises(KeyboardInterrupt), Consumer(consume, size=2) as consumer:
        consumer.put(0)
        raise KeyboardInterrupt
    assert ended == ["undone"]


def test_ordered_map_keeps_the_order_and_works_at_the_same_time():
    meeting = threading.Barrier(2, timeout=10)

    def late(i):
        meeting.wait()  # breaks unless another call runs at the same time
        return i

    assert list(ordered_map(late, range(8), workers=2)) == list(range(8))


def test_ordered_map_takes_items_only_as_they_are_needed():
    taken = []
    results = ordered_map(lambda i: i, (taken.append(i) or i for i in range(100)), workers=2)
    for i in range(5):
        assert next(results) == i and len(taken) <= i + 1 + 3
    results.close()
    assert len(taken) < 10


def test_ordered_map_raises_in_the_place_of_the_result():
    results, got = ordered_map(lambda i: 1 // (3 - i), range(6), workers=2), []
    with pytest.raises(ZeroDivisionError):
        for result in results:
            got.append(result)
    assert got == [0, 0, 1]
