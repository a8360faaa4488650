"""Cameras and addresses: streams from a server in this process, which may drop."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from clips import clip

from detkit.errors import ConfigError, MediaError
from detkit.inference import stream_source
from detkit.inference.options import Reading, Writing
from detkit.inference.outputs import plan
from detkit.inference.sources import open_sources


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        served, number = self.server, self.server.requests
        served.requests += 1
        if number >= served.answers:
            return self.send_error(503)
        self.send_response(200)
        self.send_header("Content-Length", str(len(served.data)))
        self.end_headers()
        self.wfile.write(served.data if number in served.whole else served.data[: len(served.data) * 6 // 10])

    def log_message(self, *arguments):
        pass


@contextmanager
def server(data: bytes, whole=(0,), answers=99):
    """Serves a file; drops the connection after 60% of it except in the requests of the numbers `whole`."""
    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.data, served.whole, served.answers, served.requests = data, whole, answers, 0
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://user:secret@127.0.0.1:{served.server_port}/clip.mkv"
    finally:
        served.shutdown()
        served.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch):
    monkeypatch.setattr(stream_source, "PAUSES", (0.01, 0.02))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> bytes:
    return clip(tmp_path_factory.mktemp("served") / "clip.mkv", frames=40, noise=True, size=(96, 128)).read_bytes()


def read(address, **reading):
    (source,) = open_sources([address], Reading(**reading))
    return source, [frame.index for frame in source.frames()]


def test_a_video_at_an_address(data):
    with server(data) as address:
        source, indices = read(address)
    assert indices == list(range(40)) and source.warnings == []
    assert source.path.name.startswith("127.0.0.1-") and source.path.name.endswith("-clip.mkv")


def test_a_recording_that_drops_goes_on_where_it_stopped(data):
    with server(data, whole=(1,)) as address:
        source, indices = read(address)
    assert indices == list(range(40))
    (warning,) = source.warnings
    assert "dropped at" in warning and "was opened again" in warning and "secret" not in warning


def test_a_stream_that_stays_away_ends_with_what_there_is(data):
    with server(data, whole=(), answers=1) as address:
        source, indices = read(address, reconnect=2)
    assert indices == list(range(len(indices))) and 15 < len(indices) < 35
    assert "did not come back in 2 attempts" in source.warnings[0] and "secret" not in source.warnings[0]


def test_an_address_that_does_not_answer():
    with server(b"", answers=0) as address, pytest.raises(MediaError) as caught:
        read(address)
    assert "The address can't be opened." in str(caught.value) and "secret" not in str(caught.value)


def test_a_camera_goes_on_after_a_drop_until_the_time_is_over(monkeypatch):
    pictures = "mandelbrot=size=64x48:rate=10:end_pts=5"
    monkeypatch.setattr(stream_source, "_CAMERAS", {"linux": ("lavfi", f"{pictures},trim=end_frame={{}}")})
    monkeypatch.setattr("sys.platform", "linux")
    (source,) = open_sources(["camera:6"], Reading(stop=0.5))
    assert source.announced is None and source.path.name == "camera-6"
    assert [float(frame.time) for frame in source.frames()] == [0, 0.1, 0.2, 0.3, 0.4]
    assert source.rate == Fraction(10)


def test_an_address_that_says_nothing(monkeypatch):
    monkeypatch.setattr(stream_source, "SILENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(MediaError) as caught:
        read(f"http://127.0.0.1:{silent.getsockname()[1]}/live.ts")
    assert "got: no data for 0.2 s" in str(caught.value)


def test_a_camera_that_is_not_there():
    with pytest.raises(MediaError, match="The camera can't be opened."):
        read("/dev/video93")


SENDER = """
import sys, time
import av, numpy as np
for _ in range(100):
    try:
        with av.open(sys.argv[1], "w", format="rtsp", options={"rtsp_transport": "tcp"}) as container:
            stream = container.add_stream("libx264", rate=25, options={"tune": "zerolatency"})
            stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
            for value in range(30):
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 5 * value, np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        break
    except (av.error.FFmpegError, OSError):
        time.sleep(0.1)
"""


def test_rtsp(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"rtsp://127.0.0.1:{free.getsockname()[1]}/live"
    # FFmpeg can't serve RTSP, but a reader that listens is fed by its writer.
    monkeypatch.setitem(stream_source._OPTIONS, "rtsp_flags", "listen")
    monkeypatch.setitem(stream_source._OPTIONS, "listen_timeout", "10")
    with subprocess.Popen([sys.executable, "-c", SENDER, address]):
        source, indices = read(address, reconnect=0)
    assert indices == list(range(len(indices))) and len(indices) > 10
    assert "dropped at" in source.warnings[0]


def test_the_sound_of_a_stream_is_not_copied(data, tmp_path):
    with server(data) as address, pytest.raises(ConfigError, match="There is no sound to copy."):
        plan(open_sources([address]), tmp_path / "out.mp4", Writing(audio=True), [1])
