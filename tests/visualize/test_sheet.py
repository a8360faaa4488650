"""Contact sheets and saved pictures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from detkit.errors import ConfigError, DataError, MediaError
from detkit.visualize.sheet import contact_sheet, save


def plain(value, height=60, width=80):
    return np.full((height, width, 3), value, np.uint8)


def test_images_stand_in_rows_in_their_order():
    sheet = contact_sheet([plain(v) for v in (10, 20, 30)], columns=2, width=200)
    assert sheet.shape[1] == 200
    assert sheet[30, 50, 0] == 10
    assert sheet[30, 150, 0] == 20
    assert sheet[-30, 50, 0] == 30
    assert sheet[-30, 150, 0] == 250


def test_an_image_of_another_shape_keeps_its_proportions():
    sheet = contact_sheet([plain(10), plain(10), plain(20, height=400, width=100)], columns=3, width=600)
    rows, columns = np.nonzero(sheet[..., 0] == 20)
    assert np.ptp(rows) / np.ptp(columns) == pytest.approx(4, rel=0.05)


def test_captions_add_a_line_below_each_row():
    images = [plain(10), plain(20)]
    bare, titled = contact_sheet(images, columns=1), contact_sheet(images, columns=1, captions=["one", "two"])
    assert titled.shape[0] > bare.shape[0]
    assert (titled[-60:] < 100).any()


def test_one_image_fills_the_sheet():
    assert contact_sheet([plain(10)], columns=4, width=100).shape[:2] == (79, 100)


def test_a_caption_longer_than_its_image_is_cut():
    images = [plain(255), plain(255)]
    sheet = contact_sheet(images, columns=2, width=120, captions=["a long caption " * 5, ""])
    assert (sheet[:, 62:] > 200).all()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(images=[]), "There are no images"),
        (dict(images=[plain(1), plain(1)[..., 0]]), "no RGB image.\n  where: image 1"),
        (dict(images=[plain(1)], captions=["a", "b"]), "got: 2 captions for 1 images"),
        (dict(images=[plain(1)], columns=0), "at least one column"),
        (dict(images=[plain(1)] * 9, columns=9, width=100), "too narrow(.|\n)*9 columns in 100 pixels"),
    ],
)
def test_bad_arguments_are_errors(arguments, message):
    with pytest.raises(DataError, match=message):
        contact_sheet(**arguments)


@pytest.mark.parametrize(
    "name, kind, tolerance", [("a.png", "PNG", 0), ("a.JPG", "JPEG", 4), ("a.jpeg", "JPEG", 4)]
)
def test_save_writes_what_the_name_says(tmp_path, name, kind, tolerance):
    image = plain(0)
    image[20:40, 20:60] = (200, 30, 90)
    save(image, tmp_path / name)
    with Image.open(tmp_path / name) as read:
        assert read.format == kind
        assert np.abs(np.asarray(read).astype(int) - image)[30, 40].max() <= tolerance
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_save_refuses_other_formats(tmp_path):
    with pytest.raises(MediaError, match=r'got: the ending ".gif"\n  expected: .png, .jpg, .jpeg'):
        save(plain(0), tmp_path / "a.gif")


def test_save_to_a_place_that_is_none_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="Can't write"):
        save(plain(0), tmp_path / "file" / "a.png")
