"""predict: what is written where, what it holds, and what is left after a failure."""

from __future__ import annotations

import csv
import json
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from detkit.data.images import decode
from detkit.errors import ConfigError, MediaError
from detkit.inference.predict import predict


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def written() -> list[str]:
    """All files below the current directory, hidden ones too."""
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


def rows() -> list[dict]:
    return list(csv.DictReader(Path("out.csv").read_text().splitlines()))


def read_video(path):
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        return container.streams.video[0].average_rate, frames


def failure(kind, *arguments, **options) -> str:
    with pytest.raises(kind) as caught:
        predict(*arguments, **options)
    assert written() == []
    return str(caught.value)


def test_video_becomes_an_annotated_video(detector, make_video):
    summary = predict(detector, make_video("walk.mkv"))
    assert written() == ["walk.detected.mp4"] == [str(path) for path in summary.outputs]
    rate, frames = read_video("walk.detected.mp4")
    assert rate == Fraction(30000, 1001) and len(frames) == summary.frames == 12
    assert summary.detections == 24 and summary.warnings == summary.skipped == ()
    assert "12 frames, 24 detections" in str(summary) and "wrote walk.detected.mp4" in str(summary)
    corner = [frame[44:, :8].mean() for frame in frames]  # outside the boxes: frame i is 10 + 5 i
    assert np.allclose(corner, 10 + 5 * np.arange(12), atol=4)
    assert frames[0].std() > 5  # boxes are drawn


@pytest.mark.parametrize("size, even", [((47, 63), (48, 64)), ((48, 63), (48, 64)), ((47, 64), (48, 64))])
def test_odd_sizes_are_padded_to_even_ones(detector, make_images, size, even):
    predict(detector, make_images("frames", ["0.png", "1.png"], size), "out.mp4")
    _, frames = read_video("out.mp4")
    assert [frame.shape[:2] for frame in frames] == [even, even]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".avi"])
def test_frame_rate_is_kept_as_a_fraction(detector, make_video, suffix):
    predict(detector, make_video("walk.mp4", rate=Fraction(30000, 1001)), "out" + suffix)
    assert read_video("out" + suffix)[0] == Fraction(30000, 1001)


def test_gif_on_request(detector, make_images):
    folder = make_images("frames", [f"{i}.png" for i in range(12)], size=(47, 63))
    predict(detector, folder, "out.gif", threshold=1.0, rate=12.5)
    rate, frames = read_video("out.gif")
    assert rate == Fraction(25, 2) and len(frames) == 12 and frames[0].shape == (47, 63, 3)
    assert np.allclose([frame.mean() for frame in frames], 10 * np.arange(12), atol=1)


def test_gif_as_a_source(detector, make_video):
    predict(detector, make_video("walk.mp4", rate=Fraction(10)), "walk.gif")
    predict(detector, "walk.gif")
    assert len(read_video("walk.detected.mp4")[1]) == 12


def test_folder_of_frames_becomes_a_video(detector, make_images):
    folder = make_images("frames", ["out2.png", "out10.png", "out1.png"])
    predict(detector, folder, "out.mp4", rate="30000/1001", threshold=1.0)
    rate, frames = read_video("out.mp4")
    assert rate == Fraction(30000, 1001)
    assert np.allclose([frame.mean() for frame in frames], [20, 0, 10], atol=4)  # out1, out2, out10


def test_images_keep_their_format(detector, tmp_path):
    for name in ("a.jpg", "b.png", "c.webp", "d.bmp"):
        Image.new("RGB", (64, 48), "navy").save(tmp_path / name)
    predict(detector, [tmp_path / "*.???", tmp_path / "*.webp"])
    assert written() == ["a.detected.jpg", "b.detected.png", "c.detected.webp", "d.detected.bmp"]
    heads = [Path(name).read_bytes()[:4] for name in written()]
    assert heads[1:3] == [b"\x89PNG", b"RIFF"] and heads[0][:2] == b"\xff\xd8" and heads[3][:2] == b"BM"


def test_images_of_a_folder_go_into_a_folder(detector, make_images):
    summary = predict(detector, make_images("photos", ["a.png", "b.png"]))
    assert written() == ["photos.detected/a.detected.png", "photos.detected/b.detected.png"]
    assert [str(path) for path in summary.outputs] == ["photos.detected"]


def test_everything_into_one_directory(detector, make_images, make_video):
    predict(detector, [make_images("photos", ["a.png"]), make_video("walk.mp4")], "drawn/new")
    assert written() == ["drawn/new/a.detected.png", "drawn/new/walk.detected.mp4"]


def test_one_image_into_one_file(detector, make_images):
    predict(detector, make_images("photos", ["a.png"]) / "a.png", "found.jpg")
    assert decode("found.jpg").shape == (48, 64, 3)


def test_batches_fill_up_across_sources_and_order_is_kept(detector, make_images, make_video):
    folder = make_images("photos", ["0.png", "1.png", "2.png"])
    sources = [folder / "0.png", folder / "1.png", make_video("walk.mp4")]
    predict(detector, sources, csv="out.csv", batch_size=5)
    assert detector.batches == [5, 5, 4]
    assert [row["frame"] for row in rows() if row["class"] == "hand"] == ["", "", *map(str, range(12))]


def test_csv_names_its_units(detector, make_video):
    path = make_video("walk.mp4", frames=2, rate=Fraction(4))
    predict(detector, path, csv="out.csv")
    assert Path("out.csv").read_text().splitlines() == [
        "source,frame,time_s,class,score,xmin_px,ymin_px,xmax_px,ymax_px",
        f"{path},0,0.000000,hand,0.900000,12.80,4.80,38.40,24.00",
        f"{path},0,0.000000,face,0.400000,19.20,14.40,51.20,43.20",
        f"{path},1,0.250000,hand,0.900000,12.80,4.80,38.40,24.00",
        f"{path},1,0.250000,face,0.400000,19.20,14.40,51.20,43.20",
    ]


def test_json_is_a_coco_results_list_with_label_ids(detector, make_images, make_video):
    sources = [make_images("photos", ["a.png"]), make_video("walk.mp4", frames=1)]
    predict(detector, sources, json="out.json")
    face = {"category_id": 7, "bbox": [19.2, 14.4, 32.0, 28.8], "score": 0.4}
    entries = json.loads(Path("out.json").read_text())
    assert len(entries) == 4
    assert entries[1] == {"image_id": 1, "file_name": "a.png"} | face
    assert entries[3] == {"image_id": 2, "file_name": "walk.mp4", "frame": 0, "time": 0.0} | face


def test_numbers_alone_draw_nothing_unless_an_output_is_named(detector, make_video):
    predict(detector, make_video("walk.mp4"), json="out.json", csv="out.csv")
    assert written() == ["out.csv", "out.json"]
    predict(detector, make_video("walk.mp4"), "out.mp4", json="out.json")
    assert "out.mp4" in written()


def test_nothing_found_is_an_empty_list(detector, make_video):
    assert predict(detector, make_video("walk.mp4"), json="out.json", threshold=1.0).detections == 0
    assert json.loads(Path("out.json").read_text()) == []


@pytest.mark.parametrize(
    "options, names",
    [
        ({"threshold": 0.5}, {"hand"}),
        ({"classes": ["face"]}, {"face"}),
        ({"classes": ["face"], "threshold": 0.5}, set()),
        ({"threshold": 0.0}, {"hand", "face"}),
    ],
)
def test_threshold_and_classes_select(detector, make_video, options, names):
    predict(detector, make_video("walk.mp4"), csv="out.csv", **options)
    assert {row["class"] for row in rows()} == names


def test_labels_can_be_left_out(detector, make_images):
    photo = make_images("photos", ["a.png"], size=(200, 300)) / "a.png"
    predict(detector, photo, "with.png")
    predict(detector, photo, "without.png", labels=False)
    painted = {n: decode(n).any(-1).sum() for n in ("with.png", "without.png")}
    assert painted["with.png"] > painted["without.png"] > 0


def test_broken_source_among_others_is_skipped_and_reported(detector, make_video, tmp_path):
    (tmp_path / "fake.mp4").write_text("hello")
    summary = predict(detector, [tmp_path / "fake.mp4", make_video("walk.mp4")])
    assert summary.skipped == (tmp_path / "fake.mp4",)
    assert "fake.mp4: The file is not a video that can be read." in summary.warnings[0]
    assert written() == ["walk.detected.mp4"]


def test_truncated_video_is_finished_with_a_warning(detector, make_video):
    path = make_video("cut.mp4", frames=52, noise=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    summary = predict(detector, path)
    assert "52 frames announced" in summary.warnings[0]
    assert len(read_video("cut.detected.mp4")[1]) == summary.frames > 0


def test_only_broken_sources(detector, tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_text("hello")
    message = failure(MediaError, detector, [tmp_path / "a.mp4", tmp_path / "b.mp4"], json="out.json")
    assert "The file is not a video that can be read." in message and "b.mp4" in message


def test_failure_in_the_middle_leaves_no_half_file(make_detector, make_video):
    detector = make_detector(fails_at=8)
    path = make_video("walk.mp4", frames=40)
    failure(RuntimeError, detector, path, "out.mp4", json="out.json", csv="out.csv", batch_size=2)
    assert len(detector.seen) == 8


def test_ctrl_c_leaves_whole_files_of_what_was_done(make_detector, make_video):
    detector = make_detector(fails_at=8, error=KeyboardInterrupt)
    summary = predict(detector, make_video("walk.mp4", frames=40), "out.mp4", json="out.json", batch_size=2)
    assert summary.interrupted and "interrupted" in str(summary) and summary.frames == 8
    assert len(read_video("out.mp4")[1]) == 8
    assert [entry["frame"] for entry in json.loads(Path("out.json").read_text())][::2] == list(range(8))
    assert written() == ["out.json", "out.mp4"]


def test_failure_keeps_the_output_of_an_earlier_run(make_detector, make_video):
    path = make_video("walk.mp4")
    predict(make_detector(), path, "out.mp4")
    before = Path("out.mp4").read_bytes()
    with pytest.raises(RuntimeError):
        predict(make_detector(fails_at=4), path, "out.mp4", batch_size=2)
    assert Path("out.mp4").read_bytes() == before and written() == ["out.mp4"]


def test_pictures_of_two_sizes_fit_in_no_video(detector, make_images):
    folder = make_images("frames", ["0.png", "1.png"])
    Image.new("RGB", (30, 20)).save(folder / "2.png")
    message = failure(MediaError, detector, folder, "out.mp4")
    assert "The pictures of one video must have one size." in message
    assert "got: 30 x 20" in message and "expected: 64 x 48" in message


def test_unwritable_output_is_told_before_anything_is_decoded(detector, make_video, tmp_path):
    (tmp_path / "file").write_text("")
    for options in ({"output": tmp_path / "file/out.mp4"}, {"csv": tmp_path / "file/out.csv"}):
        message = failure(ConfigError, detector, make_video("walk.mp4"), **options)
        assert "Can't write here." in message and f"where: {tmp_path / 'file'}" in message
    assert detector.seen == []


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a directory that nobody can write to")
def test_directory_without_permission(detector, make_video):
    message = failure(ConfigError, detector, make_video("walk.mp4"), "/proc/self/")
    assert "The output directory can't be written to." in message and "where: /proc/self" in message


@pytest.mark.parametrize(
    "options, message",
    [
        ({"threshold": 30}, "The score threshold is out of range.\n  got: 30\n  expected: 0 to 1"),
        ({"threshold": float("nan")}, "The score threshold is out of range."),
        ({"batch_size": 0}, "The batch size is out of range."),
        ({"classes": ["hnad"]}, "got: 'hnad'\n  expected: hand, face\n  fix: Did you mean 'hand'?"),
        ({"rate": "fast"}, "The frame rate is out of range.\n  got: 'fast'"),
        ({"rate": 0}, "The frame rate is out of range."),
        ({"rate": "1/1000000000"}, "The frame rate is out of range."),
        ({"rate": float("inf")}, "The frame rate is out of range."),
        ({"output": "out.webm"}, "The output's suffix doesn't fit a video."),
        ({"output": "out.jpg"}, "expected: .mp4 .mkv .mov .avi .gif, or a directory"),
    ],
)
def test_options_that_make_no_sense(detector, make_video, options, message):
    assert message in failure(ConfigError, detector, make_video("walk.mp4"), **options)


def test_several_sources_fit_in_no_file(detector, make_video):
    sources = [make_video("a.mp4"), make_video("b.mp4")]
    assert "Several sources can't go into one file." in failure(ConfigError, detector, sources, "out.mp4")


def test_two_sources_of_one_name(detector, make_video):
    sources = [make_video("a.mp4"), make_video("a.mkv")]
    assert "Two outputs would be written to one file." in failure(ConfigError, detector, sources)


def test_a_source_is_never_replaced(detector, make_video):
    path = make_video("a.mp4")
    assert "The output would replace a source." in failure(ConfigError, detector, path, path)


@pytest.mark.parametrize("option", ["json", "csv", "jsonl", "counts"])
def test_no_table_replaces_a_source(detector, make_video, option):
    path, line = make_video("a.mp4"), {"lines": "0,0,1,1"} if option == "counts" else {}
    before = path.read_bytes()
    assert "The output would replace a source." in failure(ConfigError, detector, path, **{option: path}, **line)
    assert path.read_bytes() == before


@pytest.mark.parametrize("option", ["json", "parquet", "counts"])
def test_a_directory_is_no_table(detector, make_video, option, tmp_path):
    line = {"lines": "0,0,1,1"} if option == "counts" else {}
    message = failure(ConfigError, detector, make_video("a.mp4"), **{option: tmp_path}, **line)
    assert "The output is a directory." in message and detector.seen == []


def test_counts_are_a_file_of_their_own(detector, make_video):
    files = {"json": "out.json", "counts": "out.json", "lines": "0,0,1,1"}
    assert "Two outputs would be written to one file." in failure(ConfigError, detector, make_video("a.mp4"), **files)


def test_a_progress_bar_on_request(detector, make_video, capsys):
    predict(detector, make_video("walk.mp4"), show_progress=True)
    assert "12/12" in capsys.readouterr().err
