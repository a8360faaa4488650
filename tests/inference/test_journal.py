"""Resuming: a run that was cut short is continued, and gives what an uninterrupted one gives."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from same_files import assert_same

from detkit.detections import Detections
from detkit.errors import ConfigError
from detkit.inference import records
from detkit.inference.journal import Journal
from detkit.inference.predict import predict
from detkit.inference.records import Entry, Record
from detkit.inference.sources import Frame, Source
from detkit.inference.video_source import VideoSource

OPTIONS = {"resume": True, "json": "out.json", "csv": "out.csv", "batch_size": 4, "lines": "0.5,0,0.5,1"}


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def contents() -> dict[str, bytes]:
    """Every file below the current directory, hidden ones too."""
    return {str(path): path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()}


def clear() -> None:
    for path in contents():
        os.unlink(path)


@pytest.fixture
def sources(make_video, make_images) -> list[Path]:
    photos = make_images("photos", ["x.png", "y.png", "z.png"])
    folder = make_images("frames", [f"{n}.png" for n in range(5)])
    return [make_video("a.mp4", frames=10), *sorted(photos.iterdir()), folder, make_video("b.mkv", frames=7)]


@pytest.mark.parametrize("fails_at", [0, 9, 15, 20])
def test_a_resumed_run_equals_an_uninterrupted_one(sources, make_detector, fails_at):
    whole = predict(make_detector(), sources, "drawn/", **OPTIONS)
    expected = contents()
    clear()
    with pytest.raises(RuntimeError, match="the detector broke"):
        predict(make_detector(fails_at), sources, "drawn/", **OPTIONS)
    assert "out.json" not in contents()
    rest = make_detector()
    resumed = predict(rest, sources, "drawn/", **OPTIONS)
    assert_same(contents(), expected)
    assert len(rest.seen) <= 25 - fails_at + 11  # a batch is found whole or again, and some are looked at ahead
    assert (resumed.frames, resumed.detections, set(resumed.outputs)) == (25, whole.detections, set(whole.outputs))


def test_finished_sources_are_neither_decoded_nor_written_again(sources, make_detector, monkeypatch):
    class Patient(make_detector):
        def detect(self, images, **options):
            written = Path("out.json.journal/written")
            patience = time.monotonic() + 20
            while len(self.seen) >= 22 and time.monotonic() < patience:
                if written.exists() and written.read_text().count("\n") == 5:
                    break
                time.sleep(0.01)
            return super().detect(images, **options)

    with pytest.raises(RuntimeError):
        predict(Patient(22), sources, "drawn/", **OPTIONS)
    kept = {name: os.stat(name).st_mtime_ns for name in contents() if name.endswith((".mp4", ".png"))}
    assert len(kept) == 1 + 3 + 5
    decoded, frames = [], VideoSource.frames
    monkeypatch.setattr(VideoSource, "frames", lambda self: decoded.append(self.path.name) or frames(self))
    predict(type("Patient", (make_detector,), {})(), sources, "drawn/", **OPTIONS)
    assert decoded == ["b.mkv"]
    assert {name: os.stat(name).st_mtime_ns for name in kept} == kept


def test_without_drawing_what_is_known_is_not_decoded(make_video, make_detector, monkeypatch):
    videos = [make_video("a.mp4"), make_video("b.mp4")]
    with pytest.raises(RuntimeError):
        predict(make_detector(20), videos, json="out.json", resume=True)
    monkeypatch.setattr(type(VideoSource(videos[0])), "rate", property(lambda self: 1 / 0))
    frames = VideoSource.frames
    monkeypatch.setattr(VideoSource, "frames", lambda self: frames(self) if self.path.name == "b.mp4" else 1 / 0)
    assert predict(make_detector(), videos, json="out.json", resume=True).frames == 24


@pytest.mark.parametrize("cut", [1, 100, 10**6])
def test_a_torn_journal_is_continued_where_it_is_whole(make_video, make_detector, cut):
    video = make_video("a.mp4")
    predict(make_detector(), video, **OPTIONS)
    expected = contents()
    clear()
    with pytest.raises(RuntimeError):
        predict(make_detector(8), video, **OPTIONS)
    piece = Path("out.json.journal/000000.detections")
    piece.write_bytes(piece.read_bytes()[:-cut])
    predict(make_detector(), video, **OPTIONS)
    assert_same(contents(), expected)


def test_after_ctrl_c_there_are_whole_files_and_a_journal_to_go_on_with(make_video, make_detector):
    video = make_video("a.mp4")
    predict(make_detector(), video, "out.mp4", resume=True, batch_size=4)
    expected = contents()
    clear()
    stopped = make_detector(8, error=KeyboardInterrupt)
    assert predict(stopped, video, "out.mp4", resume=True, batch_size=4).interrupted
    assert set(contents()) > {"out.mp4"} and contents()["out.mp4"] != expected["out.mp4"]
    rest = make_detector()
    assert predict(rest, video, "out.mp4", resume=True, batch_size=4).frames == 12 and len(rest.seen) <= 8
    assert_same(contents(), expected)


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from conftest import FakeDetector
from detkit.inference.journal import Journal
from detkit.inference.predict import predict
class Killed(FakeDetector):
    def detect(self, images, **options):
        if len(self.seen) >= 8:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().detect(images, **options)
predict(Killed(), sys.argv[2], "out.mp4", json="out.json", resume=True, batch_size=4)
"""


def test_a_killed_process_leaves_what_is_needed_to_go_on(make_video, detector):
    video = make_video("a.mp4")
    options = {"json": "out.json", "resume": True, "batch_size": 4}
    predict(detector, video, "out.mp4", **options)
    expected = contents()
    clear()
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(video)]
    assert subprocess.run(command).returncode == -9
    assert not {"out.mp4", "out.json"} & set(contents())
    rest = type("Killed", (type(detector),), {})()
    predict(rest, video, "out.mp4", **options)
    assert_same(contents(), expected)
    assert len(rest.seen) <= 8  # of 12


def test_a_journal_of_another_run_is_refused(make_video, make_images, make_detector):
    video = make_video("a.mp4")

    def refusal(detector, source=video, **options) -> str:
        with pytest.raises(ConfigError) as caught:
            predict(detector, source, json="out.json", resume=True, **options)
        return str(caught.value)

    with pytest.raises(RuntimeError):
        predict(make_detector(8), video, json="out.json", resume=True)
    assert "it differs in threshold" in refusal(make_detector(), threshold=0.5)
    assert "got: 0.5" in refusal(make_detector(), threshold=0.5) and "delete out.json" in refusal(
        make_detector(), stride=2
    )
    other = make_detector()
    other.classes = ("hand", "head")
    assert "it differs in model" in refusal(other)
    assert "it differs in source 1" in refusal(make_detector(), make_images("frames", ["a.png"]))
    os.utime(video, (1, 1))
    assert "it differs in source 1" in refusal(make_detector())
    assert predict(make_detector(), video, json="out.json").frames == 12  # without resuming all is made anew


def test_a_stream_can_not_be_resumed(tmp_path):
    with pytest.raises(ConfigError, match="A stream can't be resumed") as caught:
        Journal(tmp_path / "journal", [Source(Path("rtsp-camera"))], {}, 4)
    assert "record it into a file first" in str(caught.value)


def test_warnings_and_broken_files_are_remembered(make_video, make_images, make_detector, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    folder = make_images("frames", ["0.png", "1.png"])
    (folder / "1.png").write_bytes(b"no image")
    sources = [broken, folder, make_video("a.mp4")]
    with pytest.raises(RuntimeError):
        predict(make_detector(5), sources, json="out.json", resume=True, batch_size=2)
    summary = predict(make_detector(), sources, json="out.json", resume=True, batch_size=2)
    assert summary.frames == 13 and summary.skipped == (broken, folder / "1.png") and len(summary.warnings) == 2


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), keypoints=st.booleans(), masks=st.booleans())
def test_records_keep_every_bit(tmp_path_factory, seed, keypoints, masks):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 4))
    shapes = {"masks": rng.random((n, 3, 3))} if masks else {}
    shapes |= {"keypoints": rng.random((n, 2, 2))} if keypoints else {}
    found = Detections(rng.random((n, 4)), rng.random(n), [0] * n, ("a",), (4, 5), "x", **shapes)
    frame = Frame(Path("ä.mp4"), None, 3, Fraction(1, 3))
    path = tmp_path_factory.mktemp("records") / "file"
    path.write_bytes(2 * records.encode(Record([Entry(7, frame, found)], {7: {"frames": 1}})))
    first, again = records.read(path)
    assert again[0] == path.stat().st_size == 2 * first[0] and first[1].ended == {7: {"frames": 1}}
    (entry,) = first[1].entries
    assert (entry.source, entry.frame) == (7, frame)
    for name, value in vars(found).items():
        assert np.array_equal(getattr(entry.detections, name), value), name
