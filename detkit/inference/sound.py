"""Copying a video's sound into the drawn video, as it is, in step with the pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av

from detkit.errors import ConfigError
from detkit.inference.video_source import open_file


class Sound:
    """The audio packets of a video file, on their way into another one.

    Args:
        source: the open container they are read from.
        target: the open container they are written into.
        path: the target's, for messages.
    """

    def __init__(self, source, target, path: Path):
        self._source, self._target = source, target
        self._streams = {s.index: _added(target, s, path) for s in source.streams.audio}
        video = source.streams.video[0]
        self._origin = Fraction(video.start_time or 0) * video.time_base
        self._packets, self._held, self._first = None, None, None

    def until(self, time: Fraction) -> None:
        """Writes what is heard before this time of the source, from the first call's time on."""
        if self._packets is None:
            self._first = time
            self._packets = self._from(time)
        while (packet := self._held or next(self._packets, None)) is not None:
            self._held = packet
            if self._time(packet) >= time:
                return
            self._write(packet)
            self._held = None

    def _from(self, time: Fraction) -> Iterator[av.Packet]:
        self._source.seek(int((time + self._origin) * av.time_base))
        for packet in self._source.demux(self._source.streams.audio):
            if packet.pts is not None and self._time(packet) >= time:
                yield packet

    def _time(self, packet: av.Packet) -> Fraction:
        return packet.pts * Fraction(packet.time_base) - self._origin

    def _write(self, packet: av.Packet) -> None:
        shift = round((self._first + self._origin) / packet.time_base)
        packet.pts -= shift
        packet.dts = packet.pts if packet.dts is None else packet.dts - shift
        packet.stream = self._streams[packet.stream.index]
        self._target.mux(packet)


def is_silent(path: Path) -> bool:
    """Whether a video file has no sound."""
    with open_file(path) as (container, _):
        return not container.streams.audio


@contextmanager
def sound_of(source: Path | None, target, path: Path) -> Iterator[Sound | None]:
    """The sound of a file, to be copied into an open container; None without a file, or if it is silent.

    Raises:
        ConfigError: if the container can't hold it.
    """
    if source is None:
        yield None
        return
    with open_file(source) as (container, _):
        yield Sound(container, target, path) if container.streams.audio else None


def _added(target, stream, path: Path):
    codec = stream.codec_context.name
    if codec not in target.supported_codecs:
        raise ConfigError(
            f"A {path.suffix} file can't hold this sound.",
            where=path,
            got=codec,
            fix="Write an .mkv file, which holds any sound, or leave the sound away.",
        )
    return target.add_stream_from_template(stream)
