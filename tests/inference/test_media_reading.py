"""What is read of a source: time ranges, strides, rates, regions, and the moments of frames."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
import pytest
from clips import clip

from detkit.detections import Detections
from detkit.errors import ConfigError, MediaError
from detkit.inference.options import Reading, settings
from detkit.inference.sources import Frame, open_sources

KINDS = {
    "plain.mp4": {"g": 6, "bf": 2},
    "plain.mkv": {"g": 6, "bf": 2},
    "plain.ts": {"g": 6, "bf": 2},
    "open.mkv": {"codec": "libx265", "x265-params": "keyint=6:bframes=2:open-gop=1:log-level=none"},
    "plain.avi": {"g": 6, "bf": 2},
    "raw.h264": {"g": 6, "bf": 2},
    "varying.mp4": {"g": 6, "times": [0, 40, 50, 160, 200, 210, 290, 300, 410, 440, 520, 530, 600, 720, 730, 740]},
}


def frames(path, **reading) -> list[Frame]:
    (source,) = open_sources([path], Reading(**reading))
    return list(source.frames())


@pytest.fixture(params=KINDS)
def any_clip(request, tmp_path):
    return clip(tmp_path / request.param, frames=16, **KINDS[request.param])


def test_a_time_range_holds_the_same_frames_as_the_whole_video(any_clip):
    whole = frames(any_clip)
    assert [frame.index for frame in whole] == list(range(16))
    for start, stop in ((Fraction(1, 5), "0.5"), ("00:00:00.290", None), (0.25, "0.53")):
        part = frames(any_clip, start=start, stop=stop)
        limits = Fraction(str(start).rpartition(":")[2]), Fraction(stop or 99)
        expected = [frame for frame in whole if limits[0] <= frame.time < limits[1]]
        assert [(f.index, f.time) for f in part] == [(f.index, f.time) for f in expected]
        assert all((f.image == e.image).all() for f, e in zip(part, expected, strict=True))


def test_far_into_a_video_only_what_is_needed_is_decoded(tmp_path):
    path = clip(tmp_path / "long.mp4", frames=400, g=10)
    (source,) = open_sources([path], Reading(start=14.0, stop="0:14.2"))
    assert [frame.index for frame in source.frames()] == [350, 351, 352, 353, 354]
    assert source._decoded < 20 and source.warnings == []


def test_which_frames_a_rate_picks_depends_on_their_times_alone(any_clip):
    picked = [frame.index for frame in frames(any_clip, sample_rate="25/2")]
    later = [frame.index for frame in frames(any_clip, sample_rate=12.5, start=0.2)]
    times = [frame.time for frame in frames(any_clip)]
    slots = [int((time + Fraction(1, 1000)) * Fraction(25, 2)) for time in times]
    assert picked == [n for n in range(16) if n == 0 or slots[n] > slots[n - 1]]
    assert later == [n for n in picked if times[n] >= Fraction(1, 5)]


def test_a_rate_of_the_video_keeps_every_frame_though_times_are_rounded(tmp_path):
    path = clip(tmp_path / "thirds.mkv", frames=60, rate=30)
    assert len(frames(path, sample_rate=30)) == 60


def test_a_stride_goes_by_the_number_in_the_video(any_clip, make_images):
    assert [frame.index for frame in frames(any_clip, stride=5)] == [0, 5, 10, 15]
    later = [frame.index for frame in frames(any_clip) if frame.time >= Fraction("0.3") and frame.index % 5 == 0]
    assert [frame.index for frame in frames(any_clip, stride=5, start=0.3)] == later
    folder = make_images("frames", [f"{n}.png" for n in range(7)])
    assert [frame.path.stem for frame in frames(folder, stride=3)] == ["0", "3", "6"]


def test_the_number_of_frames_to_come_is_announced(tmp_path):
    path = clip(tmp_path / "a.mp4", frames=50)
    for reading, count in (({"start": 1}, 25), ({"stop": "0.4"}, 10), ({"sample_rate": 5}, 10), ({"stride": 5}, 10)):
        (source,) = open_sources([path], Reading(**reading))
        assert source.announced == len(list(source.frames())) == count


def test_a_time_range_without_a_frame(tmp_path):
    with pytest.raises(MediaError) as caught:
        frames(clip(tmp_path / "a.mp4"), start=100, stride=2)
    message = str(caught.value)
    assert "No frame of the video was asked for." in message and "fix: Choose another time range" in message
    assert "got: start 100, stride 2; the last frame is at 0.920 s" in message


@pytest.mark.parametrize("roi", [(16, 12, 48, 36), "0.25,0.25,0.75,0.75"])
def test_what_is_found_in_a_region_has_its_place_in_the_picture(make_video, roi):
    frame = frames(make_video("a.mp4", frames=1), roi=roi)[0]
    assert frame.view.shape == (24, 32, 3) and frame.roi == (12, 16, 36, 48)
    found = Detections([[0, 0, 1, 1]], [1], [0], ("a",), frame.view.shape[:2], keypoints=[[[0.5, 0.5]]])
    whole = frame.whole(found)
    assert whole.size == (48, 64) and np.allclose(whole.boxes, [[0.25, 0.25, 0.75, 0.75]])
    assert np.allclose(whole.keypoints, 0.5)


def test_a_region_outside_the_picture(make_video):
    with pytest.raises(ConfigError, match="The region of interest lies outside the picture."):
        frames(make_video("a.mp4", frames=1), roi="100,0,200,48")


def test_sources_from_the_standard_input(make_images, monkeypatch):
    folder = make_images("photos", ["b 1.png", "a.png"])
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{folder}/b 1.png\n\n{folder}/a.png\r\n"))
    assert [source.path.name for source in open_sources(["-"])] == ["b 1.png", "a.png"]


def test_a_video_is_known_by_its_content_where_its_name_says_nothing(tmp_path):
    path = clip(tmp_path / "a.mp4", frames=3).rename(tmp_path / "recording.dat")
    assert len(frames(path)) == 3


def test_no_frame_rate_is_no_obstacle(tmp_path):
    path = clip(tmp_path / "a.avi", frames=5)
    data = bytearray(path.read_bytes())
    for place in (data.index(b"strh") + 28, data.index(b"avih") + 8):  # scale and rate; microseconds a frame
        data[place : place + 8] = bytes(8)
    path.write_bytes(data)
    (source,) = open_sources([path])
    assert len(list(source.frames())) == 5 and source.rate > 0


@pytest.mark.parametrize(
    "options, message",
    [
        ({"start": "1:2:3:4"}, "This is no time of a video.\n  where: --start\n  got: '1:2:3:4'"),
        ({"start": "1:99"}, "This is no time of a video."),
        ({"start": "1:60:00"}, "This is no time of a video."),
        ({"stop": -1}, "expected: seconds or HH:MM:SS.mmm, 0 or more"),
        ({"start": 5, "stop": "0:04"}, "The time range is empty.\n  got: start 5 s, stop 4 s"),
        ({"roi": "1,2,3"}, "This is no region of interest.\n  where: --roi\n  got: '1,2,3'"),
        ({"roi": (5, 0, 2, 9)}, "expected: left,top,right,bottom, with left < right"),
        ({"stride": 0}, "stride can't have this value."),
        ({"stride": 2, "sample_rate": 5}, "Frames are taken by number or by time, not both."),
        ({"sample_rate": "1/0"}, "The frame rate is out of range."),
        ({"on_error": "panic"}, "expected: one of skip, stop"),
        ({"strid": 2}, "There is no such option of a prediction.\n  got: strid\n  fix: Did you mean stride?"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(ConfigError) as caught:
        settings(options)
    assert message in str(caught.value)


def test_images_have_no_times(make_images):
    with pytest.raises(ConfigError, match="Images have no times to choose by."):
        open_sources([make_images("photos", ["a.png"])], Reading(start=1))
