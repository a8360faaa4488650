"""Synthetic pictures: what is annotated is what is seen, the same for the same seed, and bad input is explained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from detkit import data, masks
from detkit.boxes import iou
from detkit.data import synthesis
from detkit.data.synthesis import cutouts as cutting
from detkit.data.synthesis import grounds
from detkit.data.synthesis.scenes import Look, Places, compose
from detkit.errors import ConfigError, DataError, DetkitError

SIZE = (60, 80)
PLAIN = {"light": 0, "shadow": 0}


def cutout(path: Path, colour=(255, 255, 255), shape="disc", opacity=255) -> Path:
    """Write an RGBA picture of a disc or a square."""
    y, x = np.mgrid[-20:20, -20:20] + 0.5
    inside = np.hypot(y, x) < 18 if shape == "disc" else np.maximum(abs(y), abs(x)) < 16
    rgba = np.dstack([np.full((40, 40, 3), colour, np.uint8), np.where(inside, opacity, 0).astype(np.uint8)])
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgba, "RGBA").save(path, **({"lossless": True} if path.suffix == ".webp" else {}))
    return path


@pytest.fixture
def cutouts(tmp_path) -> Path:
    cutout(tmp_path / "cut/duck_01.png", (250, 200, 40))
    cutout(tmp_path / "cut/duck_02.png", (240, 160, 60))
    cutout(tmp_path / "cut/boat/a.webp", (200, 40, 40), "square")
    (tmp_path / "cut/README.txt").write_text("Not a picture.")
    return tmp_path / "cut"


def black(rng):
    return np.zeros((*SIZE, 3), np.float32)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# What is seen.


@pytest.mark.parametrize("angle", [0, 180])
def test_the_mask_of_an_object_is_what_is_seen_of_it(tmp_path, angle):
    cutout(tmp_path / "cut/disc.png", shape="square")
    found = cutting.opened(tmp_path / "cut")
    for seed in range(8):
        look = Look(SIZE, (1, 1), (0.2, 0.8), angle, 0.5, **PLAIN)
        picture = compose(np.random.default_rng(seed), found, black, look)
        seen = picture.pixels[..., 0] >= 64  # a quarter of the white object
        (rle,), (box,), (area,) = picture.segmentations, picture.boxes, picture.areas
        np.testing.assert_array_equal(masks.decode(rle, SIZE), seen)
        rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
        assert box == (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1) and area == seen.sum()


def test_objects_hide_each_other_within_the_limit(cutouts):
    found, touching = cutting.opened(cutouts), 0
    for seed in range(12):
        look = Look(SIZE, (3, 4), (0.4, 0.5), 30, 0.4, **PLAIN)
        picture = compose(np.random.default_rng(seed), found, black, look)
        decoded = np.array([masks.decode(rle, SIZE) for rle in picture.segmentations])
        assert decoded.sum(0).max() == 1  # a pixel is one object's
        assert picture.pixels[decoded.any(0)].max(-1).min() >= 40  # and there is something to be seen
        assert picture.pixels[~decoded.any(0)].max() < 70  # elsewhere no ghosts, but for the soft edges
        np.testing.assert_array_equal(decoded.sum((1, 2)), picture.areas)
        boxes = np.array(picture.boxes, float)
        touching += (iou(boxes, boxes)[~np.eye(len(boxes), dtype=bool)] > 0.01).any()
    assert touching > 3


def test_without_occlusion_all_are_whole_and_apart(cutouts):
    for seed in range(8):
        look = Look(SIZE, (4, 6), (0.3, 0.3), 0, 0, **PLAIN)
        picture = compose(np.random.default_rng(seed), cutting.opened(cutouts / "boat"), black, look)
        sides = [(bottom - top, right - left) for top, left, bottom, right in picture.boxes]
        assert len(sides) >= 2 and all(abs(height - width) <= 1 for height, width in sides)  # squares, not parts
        assert [height * width for height, width in sides] == picture.areas


rectangles = st.tuples(st.integers(-8, 20), st.integers(-8, 20), st.integers(1, 12), st.integers(1, 12))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(rectangles, max_size=8), st.sampled_from([0, 0.3, 0.7]))
def test_places_are_taken_as_counting_pixels_tells(rectangles, hidden):
    places, taken = Places((20, 24), hidden), []  # [(mask in the picture, pixels in all)]
    for top, left, height, width in rectangles:
        mine = np.zeros((60, 60), bool)  # with what lies outside of the picture
        mine[20 + top : 20 + top + height, 20 + left : 20 + left + width] = True
        objects = [*taken, (mine[20:40, 20:44], height * width)]
        owner = np.full((20, 24), -1)
        for n, (mask, _) in enumerate(objects):
            owner[mask] = n
        shares = [np.count_nonzero(owner == n) / whole for n, (_, whole) in enumerate(objects)]
        fits = shares[-1] > 0 and min(shares) >= 1 - hidden - 1e-9
        assert places.take(np.ones((height, width), bool), (top, left)) == fits
        if fits:
            taken = objects
            np.testing.assert_array_equal(places.owner, owner)


def test_shadow_and_light_change_what_is_around(cutouts):
    def scene(**look):
        white = lambda rng: np.full((*SIZE, 3), 0.8, np.float32)  # noqa: E731
        return compose(np.random.default_rng(1), cutting.opened(cutouts), white, Look(SIZE, (1, 1), **look)).pixels

    plain, shaded, lit = scene(**PLAIN), scene(light=0, shadow=1), scene(light=1, shadow=0)
    assert (shaded <= plain).all() and (shaded < plain - 20).any()
    assert lit[:8, :8].std() > plain[:8, :8].std()


# Cut-outs and backgrounds.


def test_classes_are_named_by_folder_or_file(cutouts):
    found = cutting.opened(cutouts)
    assert found.classes == ("boat", "duck") and np.bincount(found.class_ids).tolist() == [1, 2]
    drawn = [found.class_ids[found.draw(np.random.default_rng(seed))] for seed in range(200)]
    assert 70 < np.sum(drawn) < 130  # classes, not files, are equally likely


@pytest.fixture
def photo():
    """A yellow disc in a noisy blue photo, as an example with its polygon, and its exact mask."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 60, (120, 160, 3), np.uint8) + np.array([20, 60, 120], np.uint8)
    y, x = np.mgrid[:120, :160]
    inside = np.hypot(y - 59.5, x - 79.5) < 30
    pixels[inside] = np.array([220, 190, 30]) + rng.integers(0, 20, (inside.sum(), 3))
    box = [[30 / 120, 50 / 160, 90 / 120, 110 / 160]]
    rle = masks.encode(inside, (0, 0), (120, 160))
    return data.Example(pixels, box, [0], (120, 160), segmentations=[rle]), inside


def of(example, **changes):
    parts = dict(crowd=example.crowd, segmentations=example.segmentations) | changes
    boxes = parts.pop("boxes", example.boxes)
    return data.Dataset([data.Example(example.image, boxes, [0], example.size, **parts)], ["sun"])


@pytest.mark.parametrize("by", ["mask", "box"])
def test_an_object_is_cut_out_of_a_photo(photo, by):
    example, inside = photo
    cut = cutting.opened(of(example) if by == "mask" else of(example, segmentations=None))
    rgba = np.asarray(cut.image(0))
    visible = rgba[..., 3] >= 64
    assert abs(visible.shape[0] - 60) <= 3 and abs(visible.shape[1] - 60) <= 3
    assert abs(visible.sum() / inside.sum() - 1) < 0.1
    assert rgba[visible][:, 0].min() > 200  # yellow, and nothing of the blue around it


def test_a_box_without_an_outline_gets_soft_edges():
    pixels = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    example = data.Example(pixels, [[0.25, 0.25, 0.75, 0.5]], [0], (120, 160))
    rgba = np.asarray(cutting.opened(of(example)).image(0))
    assert rgba.shape[:2] == (60, 40) and rgba[30, 20, 3] == 255 and rgba[0, 0, 3] == 0
    assert len(np.unique(rgba[..., 3])) > 20


@pytest.mark.parametrize(
    "changes",
    [{"crowd": [True]}, {"boxes": [[0, 0.2, 0.5, 0.5]]}, {"boxes": [[0.2, 0.2, 0.25, 0.25]]}],
)
def test_what_is_no_whole_object_is_not_cut_out(photo, changes):
    with pytest.raises(DataError, match="no object to cut out(.|\n)*1 of 1 objects"):
        cutting.opened(of(photo[0], segmentations=None, **changes))
    both = data.Dataset([*of(photo[0]), *of(photo[0], segmentations=None, **changes)], ["sun"])
    found = cutting.opened(both)
    assert len(found.class_ids) == 1 and found.problems[0].got == "1 of 2 objects"


def test_backgrounds_are_parts_of_the_photos(cutouts, tmp_path):
    (tmp_path / "photos").mkdir()
    ramp = np.linspace(0, 255, 200, dtype=np.uint8)
    Image.fromarray(np.dstack([np.tile(ramp, (90, 1)), np.full((90, 200), 90), np.zeros((90, 200))]).astype(np.uint8)
                    ).save(tmp_path / "photos/ramp.png")  # fmt: skip
    ground = grounds.opened(tmp_path / "photos", SIZE)
    drawn = [ground.draw(np.random.default_rng(seed)) for seed in range(20)]
    slopes = [np.diff(scene[0, :, 0]).mean() for scene in drawn]
    assert min(slopes) < 0 < max(slopes)  # mirrored or not
    assert all(scene.shape == (*SIZE, 3) and np.ptp(scene[:, 5, 0]) < 0.02 for scene in drawn)
    assert np.ptp([scene.mean() for scene in drawn]) > 0.02  # not always the same part


# Writing.


def make(cutouts, output, count=4, **options):
    given = {"size": np.array(SIZE), "scale": (0.3, 0.6), "seed": np.int64(5)} | options
    return synthesis.synthesize(cutouts, output, count, **given)


def test_what_is_returned_is_what_is_written(cutouts, tmp_path):
    made = make(cutouts, tmp_path / "out")
    read = data.read(tmp_path / "out/annotations.json")
    assert len(made) == len(read) == 4 and made.classes == read.classes == ("boat", "duck")
    for one, other in zip(made, read, strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-4)
        np.testing.assert_array_equal(one.masks(), other.masks())
        np.testing.assert_array_equal(one.area, one.masks().sum((1, 2)))
        assert one.pixels().shape == (*SIZE, 3)
    problems = data.check(tmp_path / "out/annotations.json")
    assert [problem for problem in problems if problem.severity == "error"] == []
    assert data.synthesize is synthesis.synthesize and (tmp_path / "out/sheet.png").is_file()


def test_a_seed_gives_the_same_bytes_wherever_it_was_interrupted(cutouts, tmp_path, monkeypatch):
    make(cutouts, tmp_path / "whole")

    def stopping(rng, *rest):
        if rng.bit_generator.seed_seq.entropy == [5, 2]:
            raise KeyboardInterrupt
        return compose(rng, *rest)

    monkeypatch.setattr(synthesis, "compose", stopping)
    with pytest.raises(KeyboardInterrupt):
        make(cutouts, tmp_path / "part")
    assert not (tmp_path / "part/annotations.json").exists()
    monkeypatch.undo()
    journal = tmp_path / "part/.synthesis.jsonl"
    assert len(journal.read_text().splitlines()) == 3  # the settings and two pictures
    journal.write_text(journal.read_text() + '{"number": 2, "fi')  # cut off in mid-line
    make(cutouts, tmp_path / "part")
    assert contents(tmp_path / "part") == contents(tmp_path / "whole")


def test_a_greater_number_adds_pictures_and_draws_no_other_again(cutouts, tmp_path, monkeypatch):
    make(cutouts, tmp_path / "whole")
    make(cutouts, tmp_path / "grown", count=2)
    (tmp_path / "grown/images/000001.jpg").unlink()
    drawn = []
    monkeypatch.setattr(synthesis, "compose", lambda rng, *rest: drawn.append(0) or compose(rng, *rest))
    make(cutouts, tmp_path / "grown")
    assert len(drawn) == 3
    images = {name: content for name, content in contents(tmp_path / "grown").items() if not name.startswith(".")}
    assert images == {name: content for name, content in contents(tmp_path / "whole").items() if name in images}
    assert contents(tmp_path / "whole")["images/000000.jpg"] != images["images/000001.jpg"]


def test_what_was_made_otherwise_is_not_mixed(cutouts, tmp_path):
    make(cutouts, tmp_path / "out", count=2)
    with pytest.raises(ConfigError, match=r"another way(.|\n)*seed \[6\](.|\n)*seed \[5\]"):
        make(cutouts, tmp_path / "out", count=1, seed=6)
    make(cutouts, tmp_path / "out", count=1, seed=6, overwrite=True)
    assert [path.name for path in (tmp_path / "out/images").iterdir()] == ["000000.jpg"]
    with pytest.raises(ConfigError, match="There are other files in this folder"):
        make(cutouts, cutouts, count=1)


@pytest.mark.parametrize("format", ["csv", "cvat", "labelme", "masks", "openimages", "tfrecord", "voc", "yolo"])
def test_other_formats(cutouts, tmp_path, format):
    made = make(cutouts, tmp_path / "out", count=2, objects=(1, 2), format=format)
    names = {"csv": "annotations.csv", "cvat": "annotations.xml", "openimages": "annotations.csv"}
    path = tmp_path / "out" / (names | {"tfrecord": "annotations.record"}).get(format, "")
    read = data.read(path, format)
    assert [len(example) for example in read] == [0 if format == "masks" else len(example) for example in made]
    assert bool(made.problems) == (format in ("csv", "openimages", "yolo", "masks"))  # which hold less
    assert read[0].pixels().shape == (*SIZE, 3)


# Bad input.


def opaque(folder):
    Image.new("RGB", (40, 40)).save(folder / "a.jpg")


def invisible(folder):
    cutout(folder / "a.png", opacity=3)


def text(folder):
    (folder / "a.png").write_text("not a picture")


def two(folder):
    opaque(folder)
    cutout(folder / "b.png", opacity=0)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: None, "This folder holds no pictures(.|\n)*got: an empty folder"),
        (lambda folder: (folder / "notes.txt").touch(), "This folder holds no pictures(.|\n)*got: notes.txt"),
        (opaque, r"has no transparency(.|\n)*a\.jpg(.|\n)*give the annotation file"),
        (invisible, r"nothing is visible(.|\n)*a\.png(.|\n)*3 of 255"),
        (text, "not a picture that detkit reads(.|\n)*starting 'not a picture'"),
        (two, r"2 files that can't be used(.|\n)*a\.jpg(.|\n)*b\.png"),
        (lambda folder: folder.rmdir(), "no such file"),
    ],
)
def test_bad_cutouts_are_explained(tmp_path, spoil, message):
    (tmp_path / "cut").mkdir()
    spoil(tmp_path / "cut")
    with pytest.raises(DetkitError, match=message):
        make(tmp_path / "cut", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bad_backgrounds_are_explained(cutouts, tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        make(cutouts, tmp_path / "out", backgrounds=tmp_path / "photos")
    Image.new("RGB", (20, 20)).save(tmp_path / "photos/small.png")
    with pytest.raises(DataError, match="too small(.|\n)*20 x 20(.|\n)*at least 20 x 27"):
        make(cutouts, tmp_path / "out", backgrounds=tmp_path / "photos")
    with pytest.raises(DataError, match="no such folder"):
        make(cutouts, tmp_path / "out", backgrounds=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "where: count\n  got: 0\n  expected: 1 or more"),
        ({"seed": -1}, "where: seed"),
        ({"size": (8, 8)}, "where: size"),
        ({"size": 300}, "where: size\n  got: 300\n  expected: two whole numbers"),
        ({"size": (48.5, 64)}, "where: size"),
        ({"angle": "much"}, "where: angle\n  got: 'much'"),
        ({"objects": (3, 2)}, "where: objects"),
        ({"scale": (0, 0.5)}, "where: scale"),
        ({"occlusion": 1}, "where: occlusion"),
        ({"light": 1.5}, "where: light"),
        ({"format": "image_folder"}, "where: format"),
        ({"encoding": "gif"}, "where: encoding"),
        ({"output": "file/out"}, "Part of this path is a file"),
    ],
)
def test_bad_arguments_are_explained(cutouts, tmp_path, options, message):
    (tmp_path / "file").touch()
    given = {"count": 1, **options}
    with pytest.raises(ConfigError, match=message):
        make(cutouts, tmp_path / given.pop("output", "out"), **given)
    assert not (tmp_path / "out/images").exists()


def test_a_journal_that_is_none_counts_as_other_files(cutouts, tmp_path):
    make(cutouts, tmp_path / "out", count=1)
    (tmp_path / "out/.synthesis.jsonl").write_text("")
    with pytest.raises(ConfigError, match="There are other files"):
        make(cutouts, tmp_path / "out", count=1)
    make(cutouts, tmp_path / "out", count=1, overwrite=True)
    assert json.loads((tmp_path / "out/.synthesis.jsonl").read_text().splitlines()[0])["seed"] == [5]
