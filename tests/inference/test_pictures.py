"""Classifiers and segmenters over sources: what is written, what is refused."""

from __future__ import annotations

import csv
import json
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from detkit import api
from detkit.classification.results import Classified
from detkit.errors import ConfigError
from detkit.inference.sources import Frame
from detkit.inference.video_sink import video
from detkit.segmentation.results import Segmented
from detkit.visualize.palette import colour, index_palette

CLASSES = ("left", "right")


class Halves:
    """Says that the left half is the first class, and the lower right quarter the second."""

    task, classes = "segmentation", CLASSES

    def stream(self, images, batch_size):
        for image in images:
            height, width = image.shape[:2]
            class_map = np.ones((height, width), np.uint8)
            class_map[:, width // 2 :] = 0
            class_map[height // 2 :, width // 2 :] = 2
            yield Segmented(class_map, None, CLASSES, (height, width))


class Sure:
    """Says "right" of everything."""

    task, classes = "classification", CLASSES

    def stream(self, images, batch_size):
        for image in images:
            yield Classified(np.array([0.25, 0.75], np.float32), CLASSES, image.shape[:2])


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.jpg"):
        Image.new("RGB", (40, 20), (90, 90, 90)).save(tmp_path / name)
    return tmp_path


def test_a_segmenter_writes_index_pictures_and_overlays(folder):
    summary = api.predict(Halves(), [folder / "a.png", folder / "b.jpg"], folder / "out", labels=False)
    assert (summary.frames, summary.skipped, summary.warnings) == (2, (), ())
    names = {path.name for path in (folder / "out").iterdir()}
    assert names == {"a.mask.png", "a.overlay.png", "b.mask.png", "b.overlay.jpg"} == {p.name for p in summary.outputs}
    mask = Image.open(folder / "out/a.mask.png")
    assert mask.mode == "P"
    assert mask.getpalette()[3:6] == list(colour(0))
    values = np.asarray(mask)
    assert values.shape == (20, 40)
    assert [values[0, 0], values[0, 30], values[15, 30]] == [1, 0, 2]
    overlay = np.asarray(Image.open(folder / "out/a.overlay.png"))
    assert overlay[0, 30].tolist() == [90, 90, 90]
    assert overlay[0, 0].tolist() != [90, 90, 90]


def test_tables_alone_draw_nothing(folder):
    api.predict(Halves(), folder / "a.png", json=folder / "a.json", csv=folder / "a.csv", jsonl=folder / "a.jsonl")
    assert not list(folder.glob("*mask*"))
    entry = {"file_name": "a.png", "height": 20, "width": 40, "shares": {"left": 0.5, "right": 0.25}}
    assert json.loads((folder / "a.json").read_text()) == [entry]
    assert json.loads((folder / "a.jsonl").read_text()) == entry
    rows = list(csv.DictReader((folder / "a.csv").read_text().splitlines()))
    assert [(row["class"], float(row["share"]), row["frame"]) for row in rows] == [
        ("left", 0.5, ""),
        ("right", 0.25, ""),
    ]


@pytest.mark.parametrize("option", ["json", "csv", "jsonl"])
def test_no_table_replaces_a_source(folder, option):
    with pytest.raises(ConfigError, match="The output would replace a source."):
        api.predict(Halves(), folder / "a.png", **{option: folder / "a.png"})
    with pytest.raises(ConfigError, match="The output is a directory."):
        api.predict(Halves(), folder / "a.png", **{option: folder})


def test_a_classifier_draws_its_classes_and_tells_all_scores(folder):
    summary = api.predict(Sure(), folder / "a.png", folder / "out", json=folder / "out/all.json")
    assert {path.name for path in summary.outputs} == {"a.classified.png", "all.json"}
    drawn = np.asarray(Image.open(folder / "out/a.classified.png"))
    assert (drawn[:5, :5] != 90).any()
    (entry,) = json.loads((folder / "out/all.json").read_text())
    assert entry == {
        "file_name": "a.png", "label": "right", "score": 0.75, "scores": {"left": 0.25, "right": 0.75},
    }  # fmt: skip


def test_a_video_becomes_a_video_and_a_folder_of_maps(tmp_path):
    with video(tmp_path / "walk.mp4", Fraction(5)) as write:
        for index in range(3):
            picture = np.full((32, 48, 3), 60 * index, np.uint8)
            write(Frame(tmp_path / "walk.mp4", picture, index, Fraction(index, 5)), None, picture)
    summary = api.predict(Halves(), tmp_path / "walk.mp4", tmp_path / "out")
    assert {path.name for path in summary.outputs} == {"walk.overlay.mp4", "walk.mask"}
    assert sorted(path.name for path in (tmp_path / "out/walk.mask").iterdir()) == [f"00000{n}.png" for n in range(3)]


def test_outside_the_region_of_interest_is_background(folder):
    api.predict(Halves(), folder / "a.png", folder / "out", roi="0,10,40,20")
    values = np.asarray(Image.open(folder / "out/a.mask.png"))
    assert not values[:10].any()
    assert values[10:].any()


def test_after_ctrl_c_the_outputs_hold_what_was_done(folder):
    class Slow(Sure):
        def stream(self, images, batch_size):
            yield next(super().stream(images, batch_size))
            raise KeyboardInterrupt

    summary = api.predict(Slow(), [folder / "a.png", folder / "b.jpg"], json=folder / "out.json")
    assert (summary.frames, summary.interrupted) == (1, True) and "interrupted" in str(summary)
    assert len(json.loads((folder / "out.json").read_text())) == 1


def test_a_file_that_cannot_be_decoded_is_skipped_and_named(folder):
    (folder / "c.png").write_bytes(b"nothing")
    summary = api.predict(Halves(), folder, folder / "out")
    assert summary.frames == 2
    assert [path.name for path in summary.skipped] == ["c.png"]


@pytest.mark.parametrize(
    "option", [{"track": True}, {"threshold": 0.9}, {"crops": "x"}, {"tiles": 640}, {"resume": True}]
)
def test_what_only_detectors_have_is_refused(folder, option):
    with pytest.raises(
        ConfigError, match=r"Only detectors have this option(.|\n)*segmentation(.|\n)*--" + [*option][0]
    ):
        api.predict(Halves(), folder / "a.png", folder / "out", **option)


def test_maps_of_two_sources_with_one_name_are_refused(folder):
    Image.new("RGB", (8, 8)).save(folder / "a.jpg")
    with pytest.raises(ConfigError, match=r"Two outputs would be written to one file(.|\n)*a.mask.png"):
        api.predict(Halves(), [folder / "a.png", folder / "a.jpg"], folder / "out")


def test_the_palette_has_black_background_and_white_for_what_is_ignored():
    palette = index_palette()
    assert len(palette) == 768
    assert (palette[:3], palette[-3:]) == (b"\0\0\0", b"\xff\xff\xff")
