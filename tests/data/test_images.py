"""Pictures of every kind become uint8 RGB; everything else is refused with advice."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from detkit.data import images
from detkit.errors import MediaError


def encoded(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def gradient(height=12, width=20) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([y * 20, x * 12, 0 * x + 90], -1).astype(np.uint8)


@pytest.mark.parametrize(
    ("format", "options", "tolerance"),
    [("PNG", {}, 0), ("BMP", {}, 0), ("WEBP", {"lossless": True}, 0), ("JPEG", {"quality": 98}, 30)],
)
def test_the_allowed_formats(format, options, tolerance):
    data = encoded(Image.fromarray(gradient()), format, **options)
    pixels = images.decode(data)
    assert pixels.dtype == np.uint8 and pixels.shape == (12, 20, 3)
    assert np.abs(pixels.astype(int) - gradient()).max() <= tolerance
    assert images.size(data) == (12, 20)


def test_content_counts_and_not_the_name(tmp_path):
    path = tmp_path / "photo.txt"
    path.write_bytes(encoded(Image.fromarray(gradient()), "PNG"))
    np.testing.assert_array_equal(images.decode(path), gradient())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(gradient()), "PNG", exif=exif)
    expected = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    np.testing.assert_array_equal(images.decode(data), expected)
    assert images.size(data) == expected.shape[:2]
    assert images.stored_size(data) == ((12, 20), orientation)


def test_exif_data_behind_the_pixels_of_a_png():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = b"eXIf" + content
    chunk = struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    plain = encoded(Image.fromarray(gradient()), "PNG")
    data = plain[:-12] + chunk + plain[-12:]  # before the last chunk
    assert images.stored_size(data) == ((12, 20), 6) and images.size(data) == images.decode(data).shape[:2] == (20, 12)


def test_the_size_is_told_without_decoding(monkeypatch):
    data, decoded = encoded(Image.new("L", (20, 12)), "PNG"), []
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", decoded.append)
    assert images.size(data) == (12, 20) and not decoded


def test_an_unknown_orientation_changes_nothing():
    exif = Image.Exif()
    exif[0x0112] = 99
    assert images.size(encoded(Image.fromarray(gradient()), "PNG", exif=exif)) == (12, 20)


def test_grey_becomes_three_equal_channels():
    grey = gradient()[..., 1]
    pixels = images.decode(encoded(Image.fromarray(grey), "PNG"))
    np.testing.assert_array_equal(pixels, np.repeat(grey[..., None], 3, -1))


def test_sixteen_bits_are_scaled_and_not_clipped():
    deep = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16) + 128
    pixels = images.decode(encoded(Image.fromarray(deep), "PNG"))
    np.testing.assert_array_equal(pixels[..., 0].ravel(), np.arange(256))


def test_one_bit_becomes_black_and_white():
    bits = Image.fromarray(gradient()[..., 1] > 100)
    assert set(np.unique(images.decode(encoded(bits, "PNG")))) == {0, 255}


def test_cmyk_keeps_its_colours():
    red = Image.new("RGB", (16, 16), (200, 30, 40)).convert("CMYK")
    pixel = images.decode(encoded(red, "JPEG", quality=98))[8, 8].astype(int)
    assert np.abs(pixel - [200, 30, 40]).max() <= 6


def test_palettes_are_looked_up():
    palette = Image.new("RGB", (8, 8), (10, 200, 30)).convert("P", palette=Image.Palette.ADAPTIVE)
    np.testing.assert_array_equal(images.decode(encoded(palette, "PNG"))[0, 0], [10, 200, 30])


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_lies_on_white(mode):
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 4, 8))
    pixels = images.decode(encoded(image.convert(mode), "PNG"))
    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert pixels[0, 7].tolist() == [255, 255, 255]


def test_a_truncated_jpeg_is_refused(tmp_path):
    whole = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)), "JPEG")
    path = tmp_path / "cut.jpg"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MediaError) as error:
        images.decode(path)
    assert str(error.value).startswith(f"This picture is damaged or cut short.\n  where: {path}\n  got: ")
    assert "truncated" in error.value.got
    assert "fix: Copy or download the file again, or leave it out." in str(error.value)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "BMP", "JPEG"])
def test_a_file_cut_anywhere_is_refused_or_decoded(format):
    data = encoded(Image.fromarray(gradient()), format)
    for length in range(12, len(data), 7):
        try:
            assert images.decode(data[:length]).shape == (12, 20, 3)
        except MediaError as error:
            assert "cut short" in error.what or "not a picture" in error.what


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"hello, I am a text", "text, starting 'hello, I am a text'"),
        (encoded(Image.new("P", (4, 4)), "GIF"), "a GIF picture"),
        (encoded(Image.new("L", (4, 4)), "TIFF"), "a TIFF picture"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC/AVIF picture or a video (type 'heic')"),
        (b"%PDF-1.7\n%\xff", "a PDF document"),
        (b"\x00\x01\x02\x80\x90", "unknown content, starting with the bytes 00 01 02 80 90"),
    ],
)
def test_other_content_is_named(tmp_path, content, got):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    for read in (images.decode, images.size):
        with pytest.raises(MediaError) as error:
            read(path)
        assert error.value.what == "This is not a picture that detkit reads."
        assert error.value.got == got
        assert error.value.expected == "a JPEG, PNG, WebP or BMP picture"


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_a_huge_picture_is_refused_before_decoding(tmp_path):
    path = tmp_path / "huge.png"
    path.write_bytes(png_header(30_000, 30_000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(MediaError) as error:
            images.decode(path)
        assert images.size(path) == (30_000, 30_000)
    assert str(error.value) == (
        f"This picture is too large.\n  where: {path}\n  got: 30000 x 30000 = 900,000,000 pixels\n"
        "  expected: at most 100,000,000\n  fix: Scale it down; for a file that you trust, raise max_pixels."
    )


def test_the_pixel_cap_can_be_moved():
    data = encoded(Image.fromarray(gradient()), "PNG")
    assert images.decode(data, max_pixels=240).shape == (12, 20, 3)
    with pytest.raises(MediaError, match="20 x 12 = 240 pixels"):
        images.decode(data, max_pixels=239)


def test_missing_empty_and_directory(tmp_path):
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(MediaError, match="empty.*\n.*\n  got: 0 bytes\n  expected: a JPEG"):
        images.decode(tmp_path / "empty.jpg")
    with pytest.raises(MediaError, match="got: a directory\n  expected: a file"):
        images.decode(tmp_path)
    with pytest.raises(MediaError, match="got: no such file\n"):
        images.size(tmp_path / "absent.jpg")
