"""What is written of videos: codecs, times, sound, pictures, crops; tables beside COCO's and CSV."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import clip, heard, shown

from detkit.data.images import decode
from detkit.detections import Detections
from detkit.errors import ConfigError
from detkit.inference import tables
from detkit.inference.predict import predict
from detkit.inference.sources import Frame

TIMES = [0, 40, 50, 160, 200, 210, 290, 300]


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def written() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


def milliseconds(path) -> list[int]:
    return [round(1000 * (time - shown(path)[0])) for time in shown(path)]


@pytest.mark.parametrize("source", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("suffix, rounding", [(".mp4", 0), (".mkv", 0), (".mov", 0), (".gif", 5)])
def test_frames_are_shown_when_they_were(detector, tmp_path, source, suffix, rounding):
    predict(detector, clip(tmp_path / source, frames=8, times=TIMES), "out" + suffix)
    assert np.abs(np.subtract(milliseconds("out" + suffix), TIMES)).max() <= rounding


def test_avi_has_a_constant_rate(detector, tmp_path):
    predict(detector, clip(tmp_path / "a.mp4", frames=8, times=TIMES), "out.avi")
    with av.open("out.avi") as container:
        assert sum(1 for _ in container.decode(video=0)) == 8


def test_chosen_frames_keep_their_times(detector, tmp_path):
    predict(detector, clip(tmp_path / "a.mkv", frames=50), "out.mp4", start=0.4, stride=10)
    assert milliseconds("out.mp4") == [0, 400, 800, 1200]


@pytest.mark.parametrize("codec", ["hevc", "vp9", "av1", "mpeg4"])
def test_codecs(detector, make_images, codec, capfd):
    predict(detector, make_images("frames", ["0.png", "1.png", "2.png"], size=(71, 91)), "out.mkv", codec=codec)
    with av.open("out.mkv") as container:
        assert container.streams.video[0].codec_context.name in (codec, {"av1": "libdav1d"}.get(codec))
        assert len(list(container.decode(video=0))) == 3
    assert capfd.readouterr().err == ""


def test_a_higher_quality_factor_makes_a_smaller_file(detector, make_video):
    path = make_video("a.mp4", noise=True)
    for quality in (15, 40):
        predict(detector, path, f"{quality}.mp4", quality=quality)
    assert Path("40.mp4").stat().st_size < 0.5 * Path("15.mp4").stat().st_size


@pytest.mark.parametrize(
    "options, message",
    [
        ({"output": "a.mov", "codec": "vp9"}, "A .mov file can't hold vp9."),
        ({"output": "a.gif", "codec": "hevc"}, "A .gif file can't hold hevc."),
        ({"output": "a.gif", "audio": True}, "A GIF can't hold sound."),
        ({"output": "a.mp4", "codec": "divx"}, "expected: one of h264, hevc, vp9, av1, mpeg4"),
        ({"output": "a.mp4", "codec": "mpeg4", "quality": 0}, "expected: 1 to 31"),
        ({"output": "a.mp4", "frames": "png"}, "expected: a directory"),
        ({"output": "a.mp4", "quality": 99}, "expected: a whole number from 0 to 63, or null"),
        ({"output": "a.mp4", "frames": "jpg"}, "The output's suffix doesn't fit a video as pictures."),
        ({"csv": "a.csv", "codec": "vp9"}, "--codec does nothing without an output to draw (--output)."),
        ({"json": "a.json", "audio": True}, "--audio does nothing without an output to draw (--output)."),
        ({"output": "a.mp4", "crop_margin": 0.5}, "--crop-margin does nothing without --crops."),
        ({"output": "a.mp4", "tile_overlap": 0.5}, "--tile-overlap does nothing without --tiles."),
    ],
)
def test_what_cannot_be_written_is_told_at_once(detector, make_video, options, message):
    with pytest.raises(ConfigError) as caught:
        predict(detector, make_video("a.mp4"), **options)
    assert message in str(caught.value) and detector.seen == [] and written() == []


def test_sound_is_copied_in_step(detector, tmp_path):
    path = clip(tmp_path / "a.mp4", frames=50, sound="aac")
    predict(detector, path, "whole.mkv", audio=True)
    assert np.allclose(heard("whole.mkv"), [begin for begin in heard(path) if 0 <= begin < 2], atol=0.001)
    predict(detector, path, "part.mp4", audio=True, start=1)
    expected = [begin - 1 for begin in heard(path) if 1 <= begin < 2]
    assert np.allclose(heard("part.mp4"), expected, atol=0.001) and len(shown("part.mp4")) == 25


def test_sound_that_the_file_cannot_hold(detector, tmp_path):
    path = clip(tmp_path / "a.mkv", frames=5, sound="wavpack")
    with pytest.raises(ConfigError, match="A .mov file can't hold this sound.\n.*\n  got: wavpack"):
        predict(detector, path, "a.mov", audio=True)
    assert written() == []


def test_a_silent_video_stays_silent(detector, make_video):
    path = make_video("a.mp4", frames=2)
    summary = predict(detector, path, "out.mp4", audio=True)
    assert len(shown("out.mp4")) == 2
    assert summary.warnings == (f"{path} has no sound to copy.",)


def test_a_video_as_pictures(detector, make_video):
    summary = predict(detector, make_video("a.mp4", frames=5), frames="png", stride=2)
    assert written() == [f"a.detected/00000{n}.png" for n in (0, 2, 4)]
    assert [str(path) for path in summary.outputs] == ["a.detected"]
    assert decode("a.detected/000002.png").shape == (48, 64, 3)


def test_crops_are_sorted_by_class(detector, make_video):
    summary = predict(detector, make_video("a.mp4", frames=2), crops="cut", crop_margin=0.5)
    assert written() == [f"cut/{name}-00000{n}-{k}.jpg" for k, name in ((1, "face/a"), (0, "hand/a")) for n in (0, 1)]
    # [0.1, 0.2, 0.5, 0.6] of 48 x 64, wider by half of 0.4 on every side: rows 0..34, columns 0..52
    assert decode("cut/hand/a-000000-0.jpg").shape == (34, 52, 3)
    assert summary.outputs == (Path("cut"),)


def test_crops_of_sources_with_one_name(detector, make_video, tmp_path):
    (tmp_path / "other").mkdir()
    other = make_video("a.mp4").rename(tmp_path / "other/a.mp4")
    with pytest.raises(ConfigError, match="Two sources' crops would have one name."):
        predict(detector, [make_video("a.mp4"), other], crops="cut")


def test_json_lines_follow_frame_by_frame(detector, make_video, make_images):
    sources = [make_video("a.mp4", frames=2, rate=Fraction(4)), make_images("photos", ["b.png"])]
    predict(detector, sources, jsonl="out.jsonl", classes=["face"])
    lines = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    face = {"class": "face", "category_id": 7, "bbox": [19.2, 14.4, 32.0, 28.8], "score": 0.4}
    rest = {"size": [48, 64], "detections": [face]}
    assert lines[1] == {"source": str(sources[0].absolute()), "frame": 1, "time": 0.25} | rest
    assert lines[2] == {"source": str(sources[1] / "b.png")} | rest


def test_parquet_is_a_table(detector, make_video, make_images):
    parquet = pytest.importorskip("pyarrow.parquet")
    path = make_video("a.mp4", frames=2, rate=Fraction(4))
    predict(detector, [path, make_images("photos", ["b.png"])], parquet="out.parquet")
    rows = parquet.read_table("out.parquet").to_pylist()
    assert len(rows) == 6 and rows[5]["frame"] is None and rows[5]["time_s"] is None
    assert rows[2] == {
        "source": str(path), "frame": 1, "time_s": 0.25, "class": "hand", "score": pytest.approx(0.9),
        "xmin_px": pytest.approx(12.8), "ymin_px": pytest.approx(4.8), "xmax_px": pytest.approx(38.4),
        "ymax_px": pytest.approx(24), "track": None,
    }  # fmt: skip


def test_parquet_without_its_library(detector, make_video, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        predict(detector, make_video("a.mp4"), parquet="out.parquet")
    assert "Parquet needs a library that is not installed." in str(caught.value)
    assert "pip install 'detkit[parquet]'" in str(caught.value)


@pytest.fixture
def followed():
    found = Detections(
        [[0.25, 0.5, 0.75, 1], [0, 0, 1, 1]], [0.9, 0.8], [0, 0], ("a",), (48, 64), track_ids=[3, -1]
    )  # fmt: skip
    return Frame(Path("v.mp4"), np.zeros((48, 64, 3), np.uint8), 4, Fraction(1)), found


def test_mot_holds_tracks_and_counts_from_one(followed):
    with tables.mot_tracks(Path("a.txt")) as write:
        write(*followed, None)
        write(*followed, None)
    assert Path("a.txt").read_text() == "5,3,32.00,12.00,32.00,24.00,0.900000,-1,-1,-1\n" * 2


def test_mot_needs_tracks(followed):
    frame, found = followed
    with pytest.raises(ConfigError, match="The MOT format holds tracks, and nothing is followed."):
        with tables.mot_tracks(Path("a.txt")) as write:
            write(frame, replace(found, track_ids=None), None)
    assert written() == []


def test_a_mot_file_for_each_source(detector, make_video):
    predict(detector, [make_video("a.mp4"), make_video("b.mp4")], mot="tracks", track=True)
    assert written() == ["tracks/a.txt", "tracks/b.txt"]
    assert "\n12,1,12.80,4.80,25.60,19.20,0.900000,-1,-1,-1\n" in Path("tracks/a.txt").read_text()


def test_the_region_of_interest_is_outlined(detector, make_images):
    photo = make_images("photos", ["a.png"]) / "a.png"
    predict(detector, photo, "out.png", roi="8,8,40,40", threshold=1.0)
    picture = decode("out.png")
    assert (picture[8, 8:40] == 64).all() and (picture[39, 8:40] == 64).all() and (picture[:7] == 0).all()
    assert detector.seen[0].shape == (32, 32, 3)


FILL = """
from pathlib import Path
import numpy as np
from detkit.detections import Detections
from detkit.errors import ConfigError
from detkit.inference import sinks, tables
from detkit.inference.sources import Frame
from detkit.inference.video_sink import video

draws = np.random.default_rng(0)
found = Detections([[0, 0, 1, 1]] * 20, [0.5] * 20, [0] * 20, ("a",), (96, 128))
for target, sink in (
    ("a.mp4", lambda path: video(path, 25)), ("a.json", lambda path: sinks.coco_results(path, [1])),
    ("a.jsonl", lambda path: tables.json_lines(path, [1])), ("0.png", lambda path: sinks.pictures(lambda frame: path)),
):
    path = Path(target)
    try:
        with sink(path) as write:
            for n in range(200):
                path = Path(f"{n}.png") if target == "0.png" else path
                picture = draws.integers(0, 256, (96, 128, 3), np.uint8)
                write(Frame(Path("v.mp4"), picture, n, 0), found, picture)
    except ConfigError as error:
        print(target, error)
    for left in Path().iterdir():
        left.unlink()
"""


def test_a_full_disk():
    """On a small file system of its own, where the machine lets one make that."""
    mounted = 'mkdir full && mount -t tmpfs -o size=64k none full && cd full && exec "$@"'
    try:
        command = ["unshare", "--mount", "sh", "-c", mounted, "sh", sys.executable, "-c", FILL]
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if "permitted" in done.stderr or "denied" in done.stderr:
        pytest.skip("no file system may be mounted here")
    assert done.stdout.count("Can't write here.") == done.stdout.count("The disk is full") == 4, done.stderr
