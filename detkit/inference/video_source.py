"""Reading video files through FFmpeg."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from detkit.errors import MediaError
from detkit.inference.options import Reading
from detkit.inference.seeking import packets_from
from detkit.inference.sources import Frame, Source
from detkit.inference.timing import Clock, Moment, Picker

# A file is never a reason to open another file or an address: playlists and their like are refused.
CONTAINERS = (
    "mov,matroska,webm,avi,gif,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf,h264,hevc,m4v,mjpeg,ivf,nut,rm,dv,yuv4mpegpipe,"
    "wtv,apng,obu,vc1"
)
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}
# Of these, timestamps say nothing: AVI has none for frames that are not shown in the order they are stored in.
_WITHOUT_TIMES = {"avi", "h264", "hevc", "m4v", "mpegvideo", "mjpeg", "obu", "vc1"}
# With these every packet holds a frame that is shown, or one of its two fields.
WHOLE = {"h264", "hevc", "mpeg2video", "mpeg1video", "mjpeg", "av1", "libdav1d"}
_MOST_TIMES = 5  # in a message


@dataclass(frozen=True)
class VideoInfo:
    """What a video says about itself.

    Attributes:
        rate: frames per second.
        tick: the unit of its timestamps in seconds; None if it has none to trust.
        frames: how many frames it has; None if it doesn't say.
        announcement: how it said so, in words.
        end: the time at which its last frame surely ends; None where the number of frames is certain.
    """

    rate: Fraction
    tick: Fraction | None
    frames: int | None
    announcement: str
    end: Fraction | None = None


class VideoSource(Source):
    """The frames of a video file's first video stream: RGB, rotated as the file's metadata asks."""

    timed = has_file = True

    def __init__(self, path: Path, reading: Reading | None = None):
        super().__init__(path, reading)
        self._info: VideoInfo | None = None
        self._last: Moment | None = None
        self._decoded, self._discarded, self._lost = 0, 0, []
        self._cut = self._left = False  # whether the container broke off, and whether reading ended before it did
        self._longest = Fraction(0)  # seconds between two frames

    @property
    def info(self) -> VideoInfo:
        """What the video says about itself; MediaError if it can't be opened."""
        if self._info is None:
            with self._opened() as (container, stream):
                self._info = video_info(container, stream)
        return self._info

    @property
    def rate(self) -> Fraction:
        return self.info.rate

    @property
    def tick(self) -> Fraction:
        """The unit of the frames' times, in seconds."""
        return self.info.tick or 1 / self.info.rate

    @property
    def announced(self) -> int | None:
        reading, info = self.reading, self.info
        if info.frames is None:
            return None
        length = info.frames / info.rate
        stop = length if reading.stop is None else min(reading.stop, length)
        seconds = max(stop - (reading.start or 0), Fraction(0))
        return round(seconds * min(info.rate / reading.stride, reading.sample_rate or info.rate))

    def frames(self) -> Iterator[Frame]:
        count = 0
        for frame in self._read():
            count += 1
            yield frame
        if not count:
            raise self._nothing()
        self._compare()

    def _opened(self):
        """A context manager of the open container and its video stream."""
        return open_file(self.path)

    def _read(self) -> Iterator[Frame]:
        with self._opened() as (container, stream):
            info = self._info = video_info(container, stream)
            clock = Clock(info.tick, info.rate, stream.start_time)
            whole = stream.codec_context.name in WHOLE
            yield from self._wanted(self._decode(container, stream, clock), clock, whole)

    def _wanted(self, decoded: Iterator[av.VideoFrame], clock: Clock, whole: bool) -> Iterator[Frame]:
        picker, convert = Picker(self.reading, self.tick), Converter()
        for picture in decoded:
            moment = clock.read(picture.pts, whole and not picture.interlaced_frame)
            if picker.is_over(moment.time) or self._breaks_at(moment, picture):
                self._left = True
                return
            if picture.is_corrupt:  # what FFmpeg patched together from half a frame is no picture of anything
                continue
            self._decoded, self._last, self._discarded = self._decoded + 1, moment, clock.discarded
            self._longest = max(self._longest, moment.time - (moment.before or 0))
            if picker.wants(moment):
                image = convert(picture)
                yield Frame(self.path, image, moment.index, moment.time, self._roi(image))

    def _breaks_at(self, moment: Moment, picture: av.VideoFrame) -> bool:
        """Notes the frames that are lost; whether reading shall stop for them."""
        lost = moment.lost + [moment.time] * picture.is_corrupt
        lost = [time for time in lost if time >= (self.reading.start or 0)]
        self._lost += lost
        if not lost or self.reading.on_error == "skip":
            return False
        self.skipped.append(self.path)
        return True

    def _decode(self, container, stream, clock: Clock) -> Iterator[av.VideoFrame]:
        for packet in self._packets(container, stream, clock):
            clock.announce(packet)
            try:
                decoded = packet.decode()
            except av.error.FFmpegError:
                clock.fail()
                continue
            yield from decoded
        if self._cut:  # what the decoder still holds
            with suppress(av.error.FFmpegError):
                yield from stream.codec_context.decode(None)

    def _packets(self, container, stream, clock: Clock) -> Iterator[av.Packet]:
        try:
            yield from packets_from(container, stream, self.reading.start, clock)
        except av.error.FFmpegError:  # the container is broken from here on
            self._cut = True

    def _nothing(self) -> MediaError:
        if self._last is None and not self._left:
            return MediaError(
                "No frame of the video can be decoded.",
                where=self.path,
                got=f"{self.info.announcement}, 0 decoded",
                fix="Check that the file plays; copy or record it again.",
            )
        end = "more" if self._left else f"{float(self._last.time):.3f} s"
        return MediaError(
            "No frame of the video was asked for.",
            where=self.path,
            got=f"{self.reading.described}; the last frame is at {end}",
            fix="Choose another time range, a smaller stride or a higher rate.",
        )

    def _compare(self) -> None:
        """Warns if frames are missing."""
        early = self._ends_early()
        if not (early or self._lost):
            return
        damage = "damaged" + (f" at {listed(self._lost)}" if self._lost else " or ends early" * early)
        damage += " and ends early" if self._lost and early else ""
        left = " Reading stopped there." if self.skipped else ""
        self.warnings.append(f"{self.path} is {damage}: {self.info.announcement}, {self._decoded} decoded.{left}")

    def _ends_early(self) -> bool:
        info, last = self.info, self._last
        if self._left or info.frames is None or last is None:
            return self._cut
        missing = last.index + 1 + self._discarded < info.frames
        # The last frame may be shown for as long as any other one, and a bit.
        reached = last.time + Fraction(3, 2) * max(self._longest, 1 / info.rate)
        return self._cut or (missing and (info.end is None or reached < info.end))


class Converter:
    """Turns decoded frames into upright RGB, uint8 [H, W, 3], in FFmpeg's own memory where its rows have no gaps."""

    def __init__(self):
        self._reformatter = VideoReformatter()  # kept, since making one costs more than using it

    def __call__(self, picture: av.VideoFrame) -> np.ndarray:
        rgb = self._reformatter.reformat(picture, format="rgb24")
        plane, shape = rgb.planes[0], (rgb.height, rgb.width, 3)
        image = np.ndarray(shape, np.uint8, plane, strides=(plane.line_size, 3, 1))
        # FFmpeg's angle is counterclockwise, like NumPy's.
        return np.ascontiguousarray(np.rot90(image, round(picture.rotation / 90)))


def is_video(path: Path) -> bool:
    """Whether the file holds a video that can be opened, whatever its name."""
    try:
        with open_file(path):
            return True
    except MediaError:
        return False


@contextmanager
def open_file(path: Path):
    """The open container of a video file and its first video stream; MediaError if it can't be read."""
    try:
        # An absolute path can't be taken for a protocol, as `a:b.mp4` would be.
        container = av.open(str(path.resolve()), options=_OPTIONS)
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(
            "The file is not a video that can be read.",
            where=path,
            got=f"{path.stat().st_size} bytes; {error.strerror}",
            expected="a whole video, in a format that FFmpeg reads",
            fix="Check that the file plays and is complete; copy or record it again.",
        ) from error
    with container:
        yield container, video_stream(container, path)


def video_stream(container, where):
    """The first video stream of a container, ready to be decoded in threads; MediaError if there is none."""
    if not container.streams.video:
        kinds = ", ".join(stream.type for stream in container.streams) or "none"
        raise MediaError("The file has no video stream.", where=where, got=f"streams: {kinds}")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    return stream


def video_info(container, stream) -> VideoInfo:
    rate = _rate(stream)
    timed = _WITHOUT_TIMES.isdisjoint(container.format.name.split(","))
    tick = Fraction(stream.time_base) if timed and stream.time_base else None
    if stream.frames:
        return VideoInfo(rate, tick, stream.frames, f"{stream.frames} frames announced")
    seconds, slack = _duration(container, stream)
    if seconds is None:
        return VideoInfo(rate, tick, None, "no number of frames announced")
    frames = round(seconds * rate)
    announcement = f"{frames} frames announced ({float(seconds):.3f} s at {rate} per second)"
    return VideoInfo(rate, tick, frames, announcement, seconds - slack)


def _rate(stream) -> Fraction:
    average, guessed = stream.average_rate, stream.guessed_rate
    # From rounded times the average comes out as 989/33 where 30000/1001 is meant.
    if average and guessed and abs(guessed / average - 1) < Fraction(1, 1000):
        return Fraction(guessed)
    return Fraction(average or guessed or stream.base_rate or 25)


def _duration(container, stream) -> tuple[Fraction | None, Fraction]:
    """How long the video stream is in seconds, and by how much that may be too long."""
    if stream.duration is not None:
        return stream.duration * stream.time_base, Fraction(0)
    if "DURATION" in stream.metadata:  # Matroska: 00:00:01.733000000
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return Fraction(hours) * 3600 + Fraction(minutes) * 60 + Fraction(seconds), Fraction(0)
    # That of the container includes its sound, which may go on after the pictures.
    return None if container.duration is None else Fraction(container.duration, av.time_base), Fraction(1)


def listed(times: list[Fraction]) -> str:
    """Times in words, the first few of them."""
    more = f" and {len(times) - _MOST_TIMES} more" if len(times) > _MOST_TIMES else ""
    return ", ".join(f"{float(time):.3f} s" for time in times[:_MOST_TIMES]) + more
