"""Counting: what crosses a line, which way; what is in a zone, and has been."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moving_objects import SIZE, detections, walk

from detkit.errors import ConfigError
from detkit.inference import geometry
from detkit.inference.counting import Tally
from detkit.inference.options import Tracking
from detkit.inference.predict import predict
from detkit.inference.sources import Frame, Source
from detkit.inference.writer import Result
from detkit.visualize.counts import draw_counts

IMAGE = np.zeros((*SIZE, 3), np.uint8)
MIDDLE = "0.5,0,0.5,1"  # downwards: its right is the picture's left


def counted(paths, lines=(), zones=(), class_ids=None, at="centre") -> list[dict]:
    """The counts of each frame, for paths [frames, 4], one of each track."""
    tally, source = Tally(Tracking(lines=lines, zones=zones, count_at=at)), Source(Path("walk.mp4"))

    def results():
        for places in zip(*paths, strict=True):
            found = detections(places, class_ids=class_ids)
            yield Result(source, Frame(source.path, IMAGE), replace(found, track_ids=1 + np.arange(len(found))))

    return [result.frame.counts for result in tally.count(results())]


def crossings(paths, line=MIDDLE, **options) -> tuple:
    line = counted(paths, [line], **options)[-1]["lines"][0]
    return line["in"], line["out"]


def test_a_crossing_is_counted_once_by_direction_and_class():
    right, left = walk((100, 200), (300, 0), 60), walk((600, 300), (-300, 0), 60)
    assert crossings([right, left], class_ids=[0, 1]) == ({"car": 1}, {"person": 1})
    assert crossings([left, right], "0.5,1,0.5,0") == ({"person": 1}, {"person": 1})
    back = np.concatenate([right, right[::-1], right])
    assert crossings([back]) == ({"person": 1}, {"person": 2})


def test_trembling_on_the_line_is_no_crossing():
    path = walk((320, 200), (0, 0), 100)
    path[:, 0] += 3 * np.sin(np.arange(100))
    assert crossings([path]) == ({}, {})
    arriving = np.concatenate([walk((200, 200), (120, 0), 31), path, walk((320, 200), (120, 0), 31)])
    assert crossings([arriving]) == ({}, {"person": 1})


def test_passing_beside_the_end_of_a_line_is_no_crossing():
    assert crossings([walk((100, 400), (300, 0), 60)], "0.5,0,0.5,0.6") == ({}, {})
    assert crossings([walk((100, 250), (300, 0), 60)], "0.5,0,0.5,0.6") == ({}, {"person": 1})
    assert crossings([walk((100, 240), (300, 0), 60)], "0.5,0,0.5,0.6", at="bottom") == ({}, {"person": 1})
    assert crossings([walk((100, 270), (300, 0), 60)], "0.5,0,0.5,0.6", at="bottom") == ({}, {})


def test_a_zone_knows_who_is_in_it_and_who_has_been():
    paths = [walk((50, 240), (300, 0), 60), walk((320, 240), (0, 0), 60)]
    zones = [frame["zones"][0] for frame in counted(paths, zones=["door=0.4,0.2,0.6,0.2,0.6,0.8,0.4,0.8"])]
    assert {zone["name"] for zone in zones} == {"door"}
    assert [sum(zones[n]["present"].values()) for n in (0, 27, 59)] == [1, 2, 1]
    assert [zones[n]["entered"] for n in (0, 27, 59)] == [{"person": 1}, {"person": 2}, {"person": 2}]


def test_what_is_not_followed_is_not_counted():
    tally, source = Tally(Tracking(zones="0,0,1,0,1,1,0,1")), Source(Path("a.mp4"))
    found = replace(detections([[50, 50, 9, 9], [90, 90, 9, 9]]), track_ids=[-1, 4])
    (result,) = tally.count([Result(source, Frame(source.path, IMAGE), found)])
    assert result.frame.counts["zones"][0]["present"] == {"person": 1}


def test_the_counts_of_each_source_are_written(tmp_path):
    tally = Tally(Tracking(lines=MIDDLE, counts=tmp_path / "counts.json"))
    sources = [Source(Path(name)) for name in ("a.mp4", "b.mp4")]
    none = replace(detections([]), track_ids=[])
    list(tally.count(Result(source, Frame(source.path, IMAGE), none) for source in 2 * sources))
    assert tally.write() == [tmp_path / "counts.json"]
    line = {"name": "line 1", "points": [[0.5, 0.0], [0.5, 1.0]], "in": {}, "out": {}}
    expected = [{"source": name, "lines": [line], "zones": []} for name in ("a.mp4", "b.mp4")]
    assert json.loads((tmp_path / "counts.json").read_text()) == {"sources": expected}


@settings(deadline=None)
@given(st.integers(0, 10**6))
def test_inside_agrees_with_opencv(seed):
    import cv2

    rng = np.random.default_rng(seed)
    corners, points = rng.integers(0, 50, (rng.integers(3, 8), 2)), rng.integers(0, 50, (20, 2))
    told = [cv2.pointPolygonTest(corners.astype(np.float32), tuple(map(float, point)), False) for point in points]
    got = geometry.inside(points.astype(float), corners.astype(float))
    assert [g for g, t in zip(got.tolist(), told, strict=True) if t] == [t > 0 for t in told if t]  # 0: on its edge


def test_drawing_leaves_the_image_alone_and_shows_lines_and_zones():
    (counts,) = counted([walk((320, 240), (0, 0), 1)], [MIDDLE], ["0.1,0.1,0.3,0.1,0.3,0.4"])
    drawn = draw_counts(IMAGE, counts)
    assert not IMAGE.any() and drawn[400, 318:323].max() == 255
    assert (drawn[48, 64:192] == (240, 228, 66)).all(-1).mean() > 0.8


@pytest.mark.parametrize("name, value, text", [
    ("lines", "0,0.5,1", "This is no line"), ("lines", "0,0.5,0,0.5", "two different points"),
    ("lines", "0,10,20,20", "fractions of the picture"), ("lines", [(0, 0, 1, "x")], "This is no line"),
    ("zones", "0,0,1,1", "three corners or more"), ("zones", "0,0,1,1,0.5,0.5", "span an area"),
    ("zones", ["a=0,0,1,1,0,1", "a=0,0,1,0,1,1"], "Two zones have the same name"),
    ("zones", "nan,0,1,1,0,1", "This is no zone"),
])  # fmt: skip
def test_lines_and_zones_that_make_no_sense_are_refused(name, value, text):
    with pytest.raises(ConfigError, match=text):
        Tracking(**{name: value})


def test_counts_without_a_line_or_a_zone_are_refused():
    with pytest.raises(ConfigError, match="nothing to count"):
        Tracking(counts="counts.json")


@pytest.mark.parametrize(
    "value", ["0,0.5,1,0.5", (0, 0.5, 1, 0.5), [(0, 0.5, 1, 0.5)], ["line 1=0,0.5,1,0.5"]], ids=str
)
def test_a_line_can_be_given_as_text_or_numbers(value):
    tracking = Tracking(lines=value)
    assert tracking.lines == (geometry.Shape("line 1", ((0, 0.5), (1, 0.5))),) and tracking.follows


def test_counts_are_drawn_and_written_by_a_run(detector, make_video, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"lines": "up=0,0.5,1,0.5", "zones": "0.1,0,0.6,0,0.6,0.8,0.1,0.8", "threshold": 0.5}
    files = {"counts": "counts.json", "jsonl": "frames.jsonl"}
    summary = predict(detector, make_video("a.mp4"), "drawn.mp4", **options, **files)
    assert {str(path) for path in summary.outputs} == {"drawn.mp4", "counts.json", "frames.jsonl"}
    frames = [json.loads(line) for line in Path("frames.jsonl").read_text().splitlines()]
    assert [frame["counts"]["zones"][0]["entered"] for frame in frames] == [{}, *11 * [{"hand": 1}]]
    assert [frame["detections"][0]["track_id"] for frame in frames] == [-1, *11 * [1]]
    (last,) = json.loads(Path("counts.json").read_text())["sources"]
    assert last["lines"][0]["name"] == "up" and last["zones"][0]["present"] == {"hand": 1}
    predict(detector, make_video("a.mp4"), "plain.mp4", threshold=0.5)
    assert Path("plain.mp4").read_bytes() != Path("drawn.mp4").read_bytes()
