"""When frames are shown: their numbers and times from a video's timestamps, and which of them are wanted."""

from __future__ import annotations

import heapq
import math
from fractions import Fraction
from typing import NamedTuple

from detkit.inference.options import Reading

_ROUNDING = Fraction(1, 1000)  # the coarsest rounding of times by a container (Matroska, FLV)


class Moment(NamedTuple):
    """When a frame is shown.

    Attributes:
        index: its number in the video, from 0.
        time: seconds since the video's start.
        before: the time of the frame before it; None for the first one.
        lost: the times of the frames that should have come since that one.
    """

    index: int
    time: Fraction
    before: Fraction | None
    lost: list[Fraction]


class Clock:
    """Tells the moments of decoded frames from the timestamps of the packets they came in.

    Args:
        tick: the unit of the timestamps in seconds; None if there are none to trust.
        rate: frames per second, for frames without a timestamp.
        origin: the timestamp at which the video starts; None for that of its first frame.

    Attributes:
        discarded: packets whose frames the video itself says are not to be shown.
    """

    def __init__(self, tick: Fraction | None, rate: Fraction, origin: int | None = None):
        self._tick, self._rate, self._origin = tick, rate, origin
        self._index, self._time, self._begin = -1, None, Fraction(0)
        self._waiting: list[int] = []  # a heap of the timestamps of packets whose frames have not come out
        self._failed, self._counts_gaps, self.discarded = 0, False, 0

    def go_on_after(self, moment: Moment) -> None:
        """Lets the first frame follow another stream's frame, whatever their timestamps."""
        self._index, self._time, self._origin = moment.index, moment.time, None
        self._begin = moment.time + 1 / self._rate

    def announce(self, packet) -> None:
        """Notes a packet that is given to the decoder."""
        if packet.is_discard:
            self.discarded += 1
        elif self._tick is not None and packet.pts is not None:
            heapq.heappush(self._waiting, packet.pts)

    def fail(self) -> None:
        """Notes that the decoder refused a packet: a gap in the timestamps now means lost frames."""
        self._failed += 1
        self._counts_gaps = True

    def skip(self, packets: list) -> None:
        """Notes packets that are not given to the decoder, all of them shown before the next frame."""
        shown = [packet.pts for packet in packets if not packet.is_discard]
        if packets:
            self.jump(len(shown), len(packets) - len(shown))
            self._time = self._seconds(max(shown)) if shown else self._time

    def jump(self, shown: int, discarded: int) -> None:
        """Notes how many packets are left out, by whether their frames are to be shown."""
        self._index += shown
        self.discarded += discarded
        # The decoder drops frames that need a keyframe it has not seen.
        self._counts_gaps = True

    def stamp(self, time: Fraction) -> Fraction | None:
        """The timestamp of a time; None if there are no timestamps."""
        return None if None in (self._tick, self._origin) else time / self._tick + self._origin

    def read(self, pts: int | None, whole: bool = False) -> Moment:
        """The moment of the next frame that the decoder gives out.

        Args:
            pts: its timestamp.
            whole: whether there is one packet for each frame, so that a gap in the timestamps means lost frames.
        """
        before = self._time
        if pts is None or self._tick is None:
            first = self._begin if before is None else before + 1 / self._rate
            lost = [first + n / self._rate for n in range(self._failed)]
            self._time = first + len(lost) / self._rate
        else:
            self._origin = pts if self._origin is None else self._origin
            lost = [self._seconds(stamp) for stamp in self._passed(pts)]
            self._time = self._seconds(pts)
        # Where nothing failed, a gap may be how the video was made, such as two packets for a frame's two fields.
        lost = lost if whole or self._counts_gaps else []
        self._index += 1 + len(lost)
        moment = Moment(self._index, self._time, before, lost if whole or self._failed else [])
        self._failed, self._counts_gaps = 0, False
        return moment

    def _passed(self, pts: int) -> list[int]:
        """The timestamps before this one of which no frame has come."""
        passed = []
        while self._waiting and self._waiting[0] <= pts:
            passed.append(heapq.heappop(self._waiting))
        return [stamp for stamp in passed if stamp < pts]

    def _seconds(self, pts: int) -> Fraction:
        return self._begin + (pts - self._origin) * self._tick


class Picker:
    """Chooses frames by their moments; which ones doesn't depend on where reading starts.

    Args:
        reading: what is asked for.
        tick: the unit of the video's timestamps in seconds.
    """

    def __init__(self, reading: Reading, tick: Fraction):
        self._reading, self._tolerance = reading, min(tick, _ROUNDING)

    def is_over(self, time: Fraction) -> bool:
        """Whether neither a frame at this time nor any after it is wanted."""
        return self._reading.stop is not None and time >= self._reading.stop

    def wants(self, moment: Moment) -> bool:
        """Whether this frame is wanted; of each 1 / sample_rate seconds the first one is."""
        reading = self._reading
        if moment.index % reading.stride or (reading.start is not None and moment.time < reading.start):
            return False
        if reading.sample_rate is None or moment.before is None:
            return True
        return self._slot(moment.before) < self._slot(moment.time)

    def _slot(self, time: Fraction) -> int:
        return math.floor((time + self._tolerance) * self._reading.sample_rate)
