"""Damaged videos: what is lost is told with its time, what is left keeps its numbers."""

from __future__ import annotations

import pytest
from clips import clip, scratched

from detkit.inference.options import Reading
from detkit.inference.predict import predict
from detkit.inference.sources import open_sources


@pytest.fixture(params=[("a.mp4", 0), ("a.mkv", 2)], ids=["without B-frames", "with B-frames"])
def damaged(request, tmp_path):
    name, between = request.param
    return scratched(clip(tmp_path / name, frames=40, g=10, bf=between, noise=True, size=(96, 128)), 14, 15)


def test_frames_lost_in_the_middle_are_left_out_and_named(damaged):
    (source,) = open_sources([damaged])
    assert [frame.index for frame in source.frames()] == [n for n in range(40) if n not in (14, 15)]
    (warning,) = source.warnings
    assert "is damaged at 0.560 s, 0.600 s: 40 frames announced" in warning and warning.endswith("38 decoded.")
    assert source.skipped == []


def test_reading_stops_there_on_request(damaged):
    (source,) = open_sources([damaged], Reading(on_error="stop"))
    assert [frame.index for frame in source.frames()] == list(range(14))
    assert "Reading stopped there." in source.warnings[0] and source.skipped == [damaged]


def test_damage_before_the_time_range_is_of_no_interest(damaged):
    (source,) = open_sources([damaged], Reading(start=0.64, on_error="stop"))
    assert [frame.index for frame in source.frames()] == list(range(16, 40)) and source.warnings == []


def test_a_folder_stops_at_a_broken_image_on_request(make_images):
    folder = make_images("photos", ["a.png", "b.png", "c.png"])
    (folder / "b.png").write_text("text")
    (source,) = open_sources([folder], Reading(on_error="stop"))
    assert [frame.path.name for frame in source.frames()] == ["a.png"] and source.skipped == [folder / "b.png"]


def test_three_broken_files_of_twenty(detector, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = [clip(tmp_path / f"{n:02}.mp4", frames=2) for n in range(20)]
    files[3].write_bytes(b"")
    files[7].write_text("hello")
    files[11].write_bytes(files[11].read_bytes()[:200])
    summary = predict(detector, files, json="out.json", csv="out.csv")
    assert summary.frames == 34 and summary.skipped == (files[3], files[7], files[11])
    assert [f"Skipped {files[n]}" in warning for n, warning in zip((3, 7, 11), summary.warnings, strict=True)] == [
        True
    ] * 3
