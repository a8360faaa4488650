"""Reading cameras and addresses: streams that may drop, and come back."""

from __future__ import annotations

import re
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from urllib.parse import urlsplit

import av

from detkit.errors import MediaError
from detkit.inference.options import Reading
from detkit.inference.sources import Frame
from detkit.inference.timing import Clock
from detkit.inference.video_source import CONTAINERS, WHOLE, VideoSource, listed, video_info, video_stream

SILENCE = 10.0  # seconds without data after which a stream counts as dropped
PAUSES = (0.5, 10.0)  # seconds before the first new attempt, doubled each time, and at most
# What an address may lead to: never a local file.
_PROTOCOLS = "http,https,tls,tcp,udp,rtp,rtsp,rtsps,srtp,rtmp,rtmps,srt,crypto,hls,httpproxy"
_OPTIONS = {
    "protocol_whitelist": _PROTOCOLS,
    "format_whitelist": f"{CONTAINERS},rtsp,sdp,rtp,hls,dash,mpjpeg,aac,mp3,webvtt",
    "rtsp_transport": "tcp",
    # FFmpeg asks for the rest of a file where the server can give it.
    "reconnect": "1",
    "reconnect_delay_max": "2",
    "reconnect_max_retries": "1",
    # Otherwise it looks for the last time in MPEG-TS, and does not find back.
    "skip_estimate_duration_from_pts": "1",
}
_CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}"), "win32": ("dshow", "video={}")}
# What comes by these goes on until somebody ends it; by others an end without an error is the end.
_LIVE = ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "rtp", "tcp")


class StreamSource(VideoSource):
    """The frames of a camera or an address.

    When it drops it is opened again, at most `reading.reconnect` times in a row. If it begins then as it began before,
    it is a recording, and goes on where it stopped; otherwise it is live, and its times go on without a gap.

    Args:
        address: "camera:0", "/dev/video0" or an URL; a password in it stays out of messages and file names.
        reading: which frames are read, and which part of them.
    """

    has_file = False

    def __init__(self, address: str, reading: Reading | None = None):
        self._address, self.name = address, re.sub(r"(?<=://)[^/@]*@", "", address)
        super().__init__(Path(_file_name(self.name)), reading)
        self._camera = "://" not in address
        self._endless = self._camera or urlsplit(address).scheme.lower() in _LIVE
        self._beginning: tuple | None = None

    @property
    def announced(self) -> int | None:
        """None before the stream has been opened: a camera can be opened only once."""
        return None if self._info is None else super().announced

    def _opened(self):
        return _open(self._address, self.name, self._camera)

    def _read(self) -> Iterator[Frame]:
        attempts, drops = 0, []
        while True:
            reached, problem = self._last, None
            try:
                yield from self._connection()
            except MediaError as error:
                if reached is None:
                    raise
                problem = error
            beyond = self._last is not None and (reached is None or self._last.index > reached.index)
            self._last = self._last if beyond else reached
            if self._left or not (problem or self._endless or self._ends_early()):
                break
            if beyond:
                attempts = 0
                drops.append(self._last.time + 1 / self.rate)
            if attempts >= self.reading.reconnect:
                self._give_up(problem, attempts)
                return
            time.sleep(min(PAUSES[0] * 2**attempts, PAUSES[1]))
            attempts += 1
        if drops:
            self.warnings.append(f"{self.name} dropped at {listed(drops)} and was opened again.")

    def _connection(self) -> Iterator[Frame]:
        """The frames until the stream ends or drops; of a recording opened again only those not read before."""
        self._cut, reached = False, self._last
        with self._opened() as (container, stream):
            self._info = self._info or video_info(container, stream)
            clock = Clock(self._info.tick, self.rate, stream.start_time)
            decoded = self._decode(container, stream, clock)
            first = next(decoded, None)
            if first is None:
                return
            beginning = (first.pts, zlib.crc32(first.planes[0]))
            self._beginning = self._beginning or beginning
            if reached is not None and beginning != self._beginning:
                clock.go_on_after(reached)
            whole = stream.codec_context.name in WHOLE
            for frame in self._wanted(chain([first], decoded), clock, whole):
                if reached is None or frame.index > reached.index:
                    yield frame

    def _give_up(self, problem: MediaError | None, attempts: int) -> None:
        if self._last is None:  # an error tells of it
            return
        reason = f": {problem.got}" if problem else ""
        where = f"{self.name} dropped at {float(self._last.time + 1 / self.rate):.3f} s"
        self.warnings.append(f"{where} and did not come back in {attempts} attempts{reason}.")

    def _compare(self) -> None:
        """Warns of lost frames; where the stream dropped has been told already."""
        if self._lost:
            self.warnings.append(f"{self.name} is damaged at {listed(self._lost)}.")


def _file_name(name: str) -> str:
    """A file name that stands for an address."""
    return re.sub(r"[^\w.-]+", "-", name.partition("://")[2] or name).strip("-.")


@contextmanager
def _open(address: str, name: str, camera: bool):
    try:
        container = _open_camera(address) if camera else av.open(address, options=_OPTIONS, timeout=SILENCE)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        what = "The camera can't be opened." if camera else "The address can't be opened."
        fix = "Check its number and that no other program uses it." if camera else "Check that it answers, and how."
        silent = isinstance(error, av.error.ExitError)
        got = f"no data for {SILENCE:g} s" if silent else getattr(error, "strerror", None) or str(error)
        raise MediaError(what, where=name, got=got, fix=fix) from error
    with container:
        yield container, video_stream(container, name)


def _open_camera(address: str):
    form, device = _CAMERAS.get(sys.platform, _CAMERAS["linux"])
    number = address.partition(":")[2]
    return av.open(device.format(number) if number else address, format=form, timeout=SILENCE)
