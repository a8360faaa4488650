"""Class maps: what the values of a PNG mean, and all that is no class map."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from fuzzing import bomb
from PIL import Image

from detkit.data import Example
from detkit.data.class_map import IGNORED, ClassMap
from detkit.data.encoded import EncodedImage
from detkit.errors import DataError

SIZE = (6, 8)
MEANINGS = {0: 0, 1: 1, 2: 2, 255: IGNORED}


def values(last=2) -> np.ndarray:
    """A background with two classes and pixels to ignore."""
    found = np.zeros(SIZE, np.uint8)
    found[1:3, 1:4], found[3:5, 2:7], found[0, 0] = 1, last, 255
    return found


def encoded(image, format="PNG", **options) -> bytes:
    file = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(file, format, **options)
    return file.getvalue()


def palette_png(palette) -> bytes:
    image = Image.fromarray(values())
    image.putpalette(palette)
    return encoded(image)


def grey_png(bits: int) -> bytes:
    """A PNG of grey values 0..2 of 2 or 4 bits."""
    rows = (values() % 255).astype(np.uint8)
    per_byte = 8 // bits
    packed = [(row.reshape(-1, per_byte) << np.arange(8 - bits, -1, -bits)).sum(1).astype(np.uint8) for row in rows]
    raw = b"".join(b"\0" + row.tobytes() for row in packed)
    head = struct.pack(">IIBBBBB", SIZE[1], SIZE[0], bits, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    parts = (struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.fixture
def stored(tmp_path):
    """A function that writes bytes to a file, and gives a class map of it."""

    def build(content: bytes, meanings=None) -> ClassMap:
        (tmp_path / "mask.png").write_bytes(content)
        return ClassMap(tmp_path / "mask.png", MEANINGS if meanings is None else meanings)

    return build


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (encoded(values()), "grey"),
        (encoded(values().astype(np.uint16)), "grey of 16 bits"),
        (encoded(np.repeat(values()[..., None], 3, -1)), "three equal channels"),
        (encoded(np.stack([*[values()] * 3, np.full(SIZE, 255, np.uint8)], -1)), "opaque alpha"),
        (palette_png([9, 9, 9] * 256), "palette whose colours are all the same"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values_count_and_not_colours(stored, content, reason):
    decoded = stored(content).decode(SIZE)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, values())


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_values_of_few_bits_are_not_stretched(stored, bits):
    np.testing.assert_array_equal(stored(grey_png(bits)).decode(SIZE), values() % 255)


def test_one_bit(stored):
    inside = values() == 1
    np.testing.assert_array_equal(stored(encoded(inside), {0: 0, 1: 4}).decode(SIZE), inside * 4)


def test_values_beyond_eight_bits_and_colours(stored):
    wide = values().astype(np.uint16) * 200
    meanings = {0: 0, 200: 1, 400: 2, 51_000: IGNORED}
    np.testing.assert_array_equal(stored(encoded(wide), meanings).decode(SIZE), values())
    colours = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 0, 128), 255: (224, 224, 192)}
    painted = np.array([[colours[value] for value in row] for row in values().tolist()], np.uint8)
    meanings = {colour: value for value, colour in colours.items()}
    np.testing.assert_array_equal(stored(encoded(painted), meanings).decode(SIZE), values())
    with pytest.raises(DataError, match=r"stand for no class(.|\n)*got: \(0, 0, 128\) \(10 pixels\)"):
        stored(encoded(painted), {key: v for key, v in meanings.items() if v != 2}).decode(SIZE)


def test_inside_another_file_and_of_an_example(tmp_path):
    content = encoded(values())
    (tmp_path / "all").write_bytes(b"before" + content + b"after")
    found = ClassMap(EncodedImage(tmp_path / "all", 6, len(content), "mask"), MEANINGS)
    example = Example(np.zeros((*SIZE, 3), np.uint8), [], [], SIZE, class_map=found)
    np.testing.assert_array_equal(example.semantic(), values())


def test_large_ones_are_looked_up_in_parts(stored):
    large = np.tile(values(), (400, 300))
    np.testing.assert_array_equal(stored(encoded(large)).decode(large.shape), large)


def test_other_class_ids(stored):
    found = stored(encoded(values()))
    expected = np.array([0, 3, 1])[values() % 255]
    expected[0, 0] = IGNORED
    np.testing.assert_array_equal(found.renumbered([2, 0]).decode(SIZE), expected)
    without_first = np.where(values() == 255, IGNORED, values() == 2)
    np.testing.assert_array_equal(found.renumbered([-1, 0]).decode(SIZE), without_first)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (encoded(values(7)), r"values that stand for no class(.|\n)*got: 7 \(10 pixels\)\n  expected: 0, 1, 2, 255"),
        (encoded(values().astype(np.uint16) * 257), "got: 257 .6 pixels., 514 .10 pixels., 65535 .1 pixels."),
        (encoded(values()[:4]), "another size than its picture(.|\n)*got: 4 x 8\n  expected: 6 x 8 .height x width."),
        (encoded(values(), "JPEG"), "can't tell exact values(.|\n)*got: a JPEG picture(.|\n)*borders"),
        (encoded(values(), "WEBP"), "can't tell exact values(.|\n)*got: a WEBP picture"),
        (encoded(values(), "BMP"), "can't tell exact values(.|\n)*got: a BMP picture"),
        (encoded(values(), "TIFF"), "not a picture that detkit reads(.|\n)*got: a TIFF picture"),
        (encoded(np.stack([values()] * 2 + [values(9)], -1)), "has colours, and nothing tells what they mean"),
        (encoded(np.stack([values()] * 4, -1)), "partly transparent"),
        (encoded(values())[:-30], "damaged or cut short"),
        (b"text", "not a picture that detkit reads(.|\n)*got: text"),
        (b"", "empty"),
        (bomb(50_000), "another size"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_class_map(stored, content, message):
    with pytest.raises(DataError, match=message) as error:
        stored(content).decode(SIZE)
    assert str(error.value.where).endswith("mask.png") and error.value.fix


def test_a_bomb_of_the_right_size_is_not_opened(stored):
    with pytest.raises(DataError, match="too large(.|\n)*2,500,000,000 pixels"):
        stored(bomb(50_000)).decode((50_000, 50_000))


def test_one_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        ClassMap(tmp_path / "mask.png", MEANINGS).decode(SIZE)
