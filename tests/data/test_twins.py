"""Equal and nearly equal pictures are found, and no others."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from detkit.data import Dataset, Example, images, read, twins
from detkit.data.encoded import EncodedImage
from detkit.errors import MediaError


@cache
def scene(seed: int, size=(240, 320)) -> Image.Image:
    """A picture with shades, shapes and textures, as a photo has them."""
    rng = np.random.default_rng(seed)
    layers = [rng.normal(0, 60 / side**0.4, (side, side, 3)) for side in (3, 6, 12, 24, 48)]
    grown = [Image.fromarray((128 + layer).clip(0, 255).astype(np.uint8)).resize(size[::-1], 3) for layer in layers]
    total = sum(np.asarray(each, np.float32) - 128 for each in grown)
    return Image.fromarray((128 + total).clip(0, 255).astype(np.uint8))


def dataset(*pictures) -> Dataset:
    """A dataset of pictures: paths, pictures inside files, arrays, or Pillow images, which become arrays."""
    examples = []
    for each in pictures:
        image = np.array(each.convert("RGB")) if isinstance(each, Image.Image) else each
        size = image.shape[:2] if isinstance(image, np.ndarray) else (240, 320)
        examples.append(Example(image, [], [], size))
    return Dataset(tuple(examples), ())


def jpeg(picture: Image.Image, quality=85) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file)


def cut(picture: Image.Image, left=0.0, top=0.0, right=0.0, bottom=0.0) -> Image.Image:
    w, h = picture.size
    return picture.crop((round(w * left), round(h * top), round(w * (1 - right)), round(h * (1 - bottom))))


def written_on(picture: Image.Image) -> Image.Image:
    picture = picture.copy()
    picture.paste((90, 90, 90), (10, 222, 70, 232))
    return picture


CHANGES = {
    "saved as JPEG": lambda p: jpeg(p, 40),
    "saved badly": lambda p: jpeg(p, 10),
    "half as large": lambda p: p.resize((160, 120), Image.Resampling.LANCZOS),
    "twice as large": lambda p: p.resize((640, 480), Image.Resampling.BICUBIC),
    "another shape": lambda p: p.resize((200, 200), Image.Resampling.BICUBIC),
    "brighter": lambda p: ImageEnhance.Brightness(p).enhance(1.3),
    "darker": lambda p: ImageEnhance.Brightness(p).enhance(0.5),
    "pale": lambda p: ImageEnhance.Contrast(p).enhance(0.6),
    "blurred": lambda p: p.filter(ImageFilter.GaussianBlur(2)),
    "mirrored": ImageOps.mirror,
    "cut": lambda p: cut(p, 0.04, 0.03, 0.02, 0.05),
    "cut at one side": lambda p: cut(p, left=0.08),
    "mirrored and cut": lambda p: cut(ImageOps.mirror(p), 0.03, 0.03, 0.03, 0.03),
    "all at once": lambda p: jpeg(
        ImageEnhance.Brightness(cut(p, 0.02, 0.01, 0, 0.02).resize((170, 130))).enhance(1.2), 50
    ),
    "written on": written_on,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changed_copies_are_found(change):
    originals = [scene(seed) for seed in range(4)]
    found = twins.find(dataset(*originals, *map(change, originals)))
    assert [pair[:3] for pair in found.pairs] == [(i, i + 4, "near") for i in range(4)]
    assert all(0 <= difference < 0.12 for *_, difference in found.pairs)
    assert found.groups.tolist() == [*range(4)] * 2


def test_thumbnails_are_upright_and_the_means_of_the_pixels(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    scene(0, (960, 1280)).save(tmp_path / "a.jpg", exif=exif, quality=95)
    scene(1).convert("L").save(tmp_path / "b.png")
    clear = scene(2).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    clear.save(tmp_path / "c.webp", lossless=True)
    for path in sorted(tmp_path.iterdir()):
        pixels = images.decode(path)
        expected = pixels.reshape(20, len(pixels) // 20, 20, -1, 3).mean((1, 3))
        for source in (path, path.read_bytes(), pixels):
            np.testing.assert_allclose(images.thumbnail(source, 20), expected, atol=4)


def other_square(seed: int) -> Image.Image:
    """A scene with the lower right quarter of another one."""
    picture = scene(0).copy()
    picture.paste(scene(seed).crop((160, 120, 320, 240)), (160, 120))
    return picture


def square(seed: int) -> Image.Image:
    picture = Image.new("RGB", (100, 100), "grey")
    x, y = 20 * (seed % 3), 26 * (seed // 3)  # further apart than what cutting and mirroring explain
    picture.paste((200, 30, 30), (x, y, x + 20, y + 20))
    return picture


UNLIKE = {
    "other scenes": scene,
    "noise": lambda n: Image.fromarray(np.random.default_rng(n).integers(0, 255, (60, 80, 3), np.uint8)),
    "one thing at other places": square,
    "one colour each": lambda n: Image.new("RGB", (80, 60), (10 * n, 20, 30)),
    "turned": lambda n: scene(0).rotate(90 * (n % 4), expand=True) if n < 4 else scene(n),
    "another quarter": other_square,
}


@pytest.mark.parametrize("make", UNLIKE.values(), ids=UNLIKE)
def test_no_others_are_found(make):
    found = twins.find(dataset(*(make(n) for n in range(12))))
    assert found.pairs == [] and found.groups.tolist() == [*range(12)]


def test_equal_files_and_equal_pixels_are_exact(tmp_path):
    picture = jpeg(scene(0), 95)
    paths = [tmp_path / name for name in ("a.jpg", "b.jpg", "c.png", "d.bmp")]
    picture.save(paths[0], quality=90)
    paths[1].write_bytes(paths[0].read_bytes())
    pixels = images.decode(paths[0])
    for path in paths[2:]:
        Image.fromarray(pixels).save(path)
    within = EncodedImage(paths[0], 0, paths[0].stat().st_size, "e.jpg")
    data = dataset(*paths, pixels, within, scene(1))
    found = twins.find(data)
    assert [pair for pair in found.pairs if pair[0] == 0] == [(0, n, "exact", 0.0) for n in (1, 2, 5)]
    assert all(kind == "exact" for _, _, kind, _ in found.pairs)
    assert found.groups.tolist() == [0, 0, 0, 0, 0, 0, 1]
    exact = twins.find(data, near=False).pairs
    assert exact == [(0, 1, "exact", 0.0), (0, 5, "exact", 0.0), (2, 3, "exact", 0.0), (2, 4, "exact", 0.0)]
    assert twins.find(dataset(scene(0), jpeg(scene(0))), near=False).groups.tolist() == [0, 1]


def test_pictures_of_one_colour_are_alike_only_if_equal():
    blank = Image.new("RGB", (80, 60), "white")
    found = twins.find(dataset(blank, blank, jpeg(Image.new("RGB", (90, 60), "white"))))
    assert found.pairs == [(0, 1, "exact", 0.0)]


def test_broken_pictures_are_alone_and_told(tmp_path):
    good, short = tmp_path / "good.png", tmp_path / "short.png"
    scene(0).save(good)
    short.write_bytes(good.read_bytes()[:5000])
    data = dataset(good, tmp_path / "missing.png", short, short, good)
    found = twins.find(data)
    assert found.pairs == [(0, 4, "exact", 0.0)] and found.groups.tolist() == [0, 1, 2, 3, 0]
    assert [*found.unreadable] == [1, 2, 3]
    assert all(isinstance(error, MediaError) for error in found.unreadable.values())
    assert str(short) in str(found.unreadable[2].where)


@pytest.mark.parametrize("near", [True, False])
def test_of_nothing_and_of_one(near):
    assert twins.find(dataset(), near=near).pairs == [] and twins.find(dataset(), near=near).groups.shape == (0,)
    assert twins.find(dataset(scene(0)), near=near).groups.tolist() == [0]


def test_a_video_is_one_group_and_its_pairs_are_limited():
    start, end = np.asarray(scene(0), np.float32), np.asarray(scene(1), np.float32)
    frames = [Image.fromarray((start + (end - start) * n / 120).astype(np.uint8)) for n in range(60)]
    found = twins.find(dataset(*frames, scene(2)))
    assert found.groups.tolist() == [0] * 60 + [1]
    assert 59 <= len(found.pairs) <= 60 * 17


def test_blocks_change_nothing(monkeypatch):
    data = dataset(
        *(scene(n % 9) if n < 18 else jpeg(scene(n)) for n in range(25)), *(jpeg(scene(n), 60) for n in range(9))
    )
    found = twins.find(data)
    monkeypatch.setattr(twins, "_ROWS", 4)
    monkeypatch.setattr(twins, "_COLUMNS", 7)
    monkeypatch.setattr(twins, "_PAIRS", 3)
    again = twins.find(data)
    assert [pair[:3] for pair in again.pairs] == [pair[:3] for pair in found.pairs] and len(found.pairs) == 18
    np.testing.assert_allclose([p[3] for p in again.pairs], [p[3] for p in found.pairs], atol=2e-4)


def test_the_twins_of_real_photos(shared):
    data = read(shared / "data/raccoon")
    names = [example.image.stem.partition("-")[2] for example in data]
    found = twins.find(data)
    exact = {frozenset((names[i], names[j])) for i, j, kind, _ in found.pairs if kind == "exact"}
    assert exact == {frozenset(pair) for pair in (("11", "116"), ("52", "74"), ("65", "98"), ("83", "120"))}
    near = {frozenset((names[i], names[j])) for i, j, kind, _ in found.pairs if kind == "near"}
    assert near == {frozenset(pair) for pair in (("21", "45"), ("50", "52"), ("51", "85"))}
    assert len(np.unique(found.groups)) == 193
