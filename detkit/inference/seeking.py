"""Going to the start of a time range without decoding what is before it; frames keep their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain, islice

from detkit.inference.timing import Clock

# Two keyframes may be so far apart in an index by storing time, and one still be shown late; in seconds.
_MARGIN = 5


def packets_from(container, stream, start: Fraction | None, clock: Clock) -> Iterator:
    """The packets of a stream from the last keyframe at or before a time on; the clock is told of those before it.

    Where the container's index numbers all frames (MP4, MOV), the file is read from near there; otherwise from its
    begin, which takes about a second for an hour.

    Args:
        container: open, at its begin.
        stream: of it.
        start: the time in seconds; None for everything.
        clock: of the stream.
    """
    if start is None or clock.stamp(start) is None:
        return container.demux(stream)
    return _from_keyframe(_near(container, stream, start - _MARGIN, clock), clock.stamp(start), clock)


def _near(container, stream, start: Fraction, clock: Clock) -> Iterator:
    """The packets from some keyframe before a time on."""
    index = getattr(stream, "index_entries", ())
    if start <= 0 or not stream.frames or len(index) != stream.frames:
        return container.demux(stream)
    container.seek(int(clock.stamp(start)), stream=stream)
    packets = container.demux(stream)
    first = next(packets)
    number = index.search_timestamp(first.dts) if first.is_keyframe and first.dts is not None else -1
    if number < 0 or index[number].timestamp != first.dts or first.pts > clock.stamp(start):
        container.seek(0)
        return container.demux(stream)
    discarded = sum(entry.is_discard for entry in islice(index, number))
    clock.jump(number - discarded, discarded)
    return chain([first], packets)


def _from_keyframe(packets: Iterable, wanted: Fraction, clock: Clock) -> Iterator:
    """The packets from the last keyframe up to a timestamp on; at most those between two keyframes are held."""
    packets, held = iter(packets), []
    for packet in packets:
        # Frames shown before a keyframe may follow it, so one that comes too late is not enough for its start.
        if packet.is_keyframe and packet.pts is not None and packet.pts <= wanted:
            clock.skip(held)
            held = []
        held.append(packet)
        if packet.pts is None or packet.pts >= wanted:
            break
    yield from held
    yield from packets
