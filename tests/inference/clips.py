"""Small videos of every kind, made on the spot."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

MILLISECOND = Fraction(1, 1000)


def clip(path: Path, frames=24, codec="libx264", rate=25, times=(), size=(48, 64), sound=None, noise=False, **options):
    """Writes a video whose frame i is grey with the value 10 + 5 i, plus noise if asked for.

    Args:
        path: the file.
        times: of the frames in milliseconds; at `rate` without them.
        sound: the codec of a tone as long as the video.
        options: of the encoder.
    """
    draws = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options={key: str(value) for key, value in options.items()})
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = MILLISECOND if times else Fraction(1, rate)
        tone = sound and container.add_stream(sound, rate=44100, layout="mono")
        for i in range(frames):
            image = np.full((*size, 3), 10 + 5 * i % 240, np.uint8)
            image = draws.integers(0, 256, image.shape, np.uint8) if noise else image
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = (times[i] if times else i), stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for start in range(0, 44100 * frames // rate, 1024) if sound else ():
            wave = np.sin(np.arange(start, start + 1024) / 20).astype(np.float32)[None]
            heard = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            heard.rate, heard.pts = 44100, start
            container.mux(tone.encode(heard))
        if sound:
            container.mux(tone.encode(None))
    return path


def shown(path) -> list[Fraction]:
    """When the frames of a video are shown, in seconds."""
    with av.open(str(path)) as container:
        return [frame.pts * Fraction(frame.time_base) for frame in container.decode(video=0)]


def heard(path) -> list[float]:
    """When the audio packets of a video begin, in seconds."""
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.audio)
        return [float(packet.pts * packet.time_base) for packet in packets if packet.pts is not None]


def scratched(path: Path, first: int, last: int, shift: int = 40) -> Path:
    """A copy of an MP4 or MKV file in which the pictures stored from number `first` to `last` are destroyed."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        data = bytearray(path.read_bytes())
        for packet in packets[first : last + 1]:
            data[packet.pos + 4 : packet.pos + packet.size] = bytes(b ^ 0xA5 for b in bytes(packet)[4:])
    copy = path.with_stem(path.stem + "_scratched")
    copy.write_bytes(data)
    return copy
