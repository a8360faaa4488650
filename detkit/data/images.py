"""Reading pictures: allow-listed formats, a pixel cap before decoding, uint8 RGB the right way up."""

from __future__ import annotations

import io
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from detkit.data.encoded import EncodedImage
from detkit.errors import MediaError
from detkit.io import unreadable

MAX_PIXELS = 100_000_000
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_ALLOWED = "a JPEG, PNG, WebP or BMP picture"
_RECOGNISED = {
    b"GIF8": "a GIF picture",
    b"II*\0": "a TIFF picture",
    b"MM\0*": "a TIFF picture",
    b"%PDF": "a PDF document",
    b"PK\3\4": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"\0\0\0\x0cjP": "a JPEG 2000 picture",
    b"8BPS": "a Photoshop picture",
}
_ORIENTATION_TAG = 0x0112
_MOST_CHUNKS = 100_000  # of a PNG, looked through for EXIF data


def _plugin(head: bytes):
    """The Pillow class for an allowed format, or None.

    The classes are called directly: `Image.open` would guess among dozens of formats and warn about large
    pictures, where the cap here raises.
    """
    from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

    if head.startswith(b"\xff\xd8\xff"):
        return JpegImagePlugin.JpegImageFile
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImagePlugin.PngImageFile
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WebPImagePlugin.WebPImageFile
    if head.startswith(b"BM"):
        return BmpImagePlugin.BmpImageFile
    return None


def _content(head: bytes) -> str:
    """What a file that isn't allowed seems to hold, in words."""
    for magic, name in _RECOGNISED.items():
        if head.startswith(magic):
            return name
    if head[4:8] == b"ftyp":
        brand = head[8:12].decode("ascii", "replace").strip()
        return f"a HEIC/AVIF picture or a video (type {brand!r})"
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        return f"text, starting {head[:24].decode('ascii')!r}"
    return f"unknown content, starting with the bytes {head[:8].hex(' ')}"


@contextmanager
def _opened(source):
    """A Pillow image of which only the header has been read, and the source's name for messages."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        name, file = f"<{len(source)} bytes>", io.BytesIO(source)
    elif isinstance(source, EncodedImage):
        name, file = source, io.BytesIO(source.read())
    else:
        name = Path(source)
        try:
            file = open(name, "rb")
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise MediaError("Can't open this picture.", **unreadable(name, error)) from error
    with file:
        yield _header(file, name), name


def _header(file, name):
    head = file.read(32)
    if not head:
        raise MediaError(
            "This picture is empty.",
            where=name,
            got="0 bytes",
            expected=_ALLOWED,
            fix="Copy or download the file again.",
        )
    plugin = _plugin(head)
    if plugin is None:
        raise MediaError(
            "This is not a picture that detkit reads.",
            where=name,
            got=_content(head),
            expected=_ALLOWED,
            fix="Convert it, whatever its file name says, or leave it out.",
        )
    file.seek(0)
    with _decoding(name):
        return plugin(file)


@contextmanager
def _decoding(name):
    """While a picture is read; a damaged one can raise anything in Pillow."""
    try:
        yield
    except Exception as error:
        raise MediaError(
            "This picture is damaged or cut short.",
            where=name,
            got=str(error) or repr(error),
            expected=_ALLOWED + ", complete",
            fix="Copy or download the file again, or leave it out.",
        ) from error


def _orientation(image) -> int:
    """The EXIF orientation 1..8; 1 where there is none that can be read."""
    from PIL import Image

    try:
        # Not the PNG plugin's own `getexif`, which decodes the picture to find what stands behind its pixels.
        value = Image.Image.getexif(image).get(_ORIENTATION_TAG, 1)
    except Exception:  # damaged EXIF data must not cost the picture
        return 1
    return value if value in range(1, 9) else 1


def _upright(array: np.ndarray, orientation: int) -> np.ndarray:
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    if orientation in (2, 3, 7, 6):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)


def _rgb(image) -> np.ndarray:
    """Pixels [H, W, 3] of a loaded image of any mode."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip it at 255
        grey = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, -1)
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def decode(source, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The pixels of a picture, the right way up.

    JPEG, PNG, WebP and BMP are told by their content, not by name. The EXIF orientation is applied; grey,
    palette and CMYK pictures become RGB, 16-bit ones keep their upper 8 bits, transparent ones lie on white.

    Args:
        source: a path, the bytes of a file, or a picture inside another file.
        max_pixels: larger pictures are refused before they are decoded.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        MediaError: for other formats, too many pixels, and missing, empty, damaged or truncated files.
    """
    with _opened(source) as (image, name):
        _check_pixels(image, name, max_pixels)
        with _decoding(name):
            image.load()
            pixels = _rgb(image)
        return _upright(pixels, _orientation(image))


def decode_rgba(source) -> np.ndarray:
    """The pixels of a picture and their opacity, uint8 [H, W, 4]; otherwise as `decode`."""
    with _opened(source) as (image, name):
        _check_pixels(image, name, MAX_PIXELS)
        with _decoding(name):
            image.load()
            pixels = np.array(image.convert("RGBA"))
        return _upright(pixels, _orientation(image))


def thumbnail(source, side: int) -> np.ndarray:
    """A picture shrunk to a square, whatever its shape; much faster than `decode` for a large JPEG.

    Args:
        source: as for `decode`, or uint8 [H, W, 3] RGB.
        side: of the square, in pixels; each is the mean of those it stands for.

    Returns:
        uint8 [side, side, 3], RGB.

    Raises:
        MediaError: as for `decode`.
    """
    from PIL import Image

    if isinstance(source, np.ndarray):
        return np.asarray(Image.fromarray(source).resize((side, side), Image.Resampling.BOX))
    with _opened(source) as (image, name):
        _check_pixels(image, name, MAX_PIXELS)
        with _decoding(name):
            image.draft(None, (2 * side, 2 * side))
            pixels = Image.fromarray(_rgb(image)).resize((side, side), Image.Resampling.BOX)
        return _upright(np.asarray(pixels), _orientation(image))


def _check_pixels(image, name, most: int) -> None:
    width, height = image.size
    if width * height > most:
        raise MediaError(
            "This picture is too large.",
            where=name,
            got=f"{width} x {height} = {width * height:,} pixels",
            expected=f"at most {most:,}",
            fix="Scale it down; for a file that you trust, raise max_pixels.",
        )


def size(source) -> tuple[int, int]:
    """(height, width) of a picture after EXIF orientation, from its header; MediaError as for `decode`."""
    (height, width), orientation = stored_size(source)
    return (width, height) if orientation >= 5 else (height, width)


def stored_size(source) -> tuple[tuple[int, int], int]:
    """(height, width) as the pixels are stored, and the EXIF orientation 1..8 (5..8 swap the sides)."""
    with _opened(source) as (image, _):
        if image.format == "PNG" and "exif" not in image.info:
            image.info |= _late_exif(image.fp)
        return (image.size[1], image.size[0]), _orientation(image)


def _late_exif(file) -> dict[str, bytes]:
    """The EXIF data of a PNG as Pillow names them, looked for from chunk to chunk, if there are any."""
    file.seek(8)
    for _ in range(_MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            break
        length = int.from_bytes(head[:4], "big")
        if head[4:] == b"eXIf":
            return {"exif": file.read(length)}
        file.seek(length + 4, 1)
    return {}


def stored_values(source) -> np.ndarray:
    """The values of a PNG as they are stored: no palette is applied, nothing is turned, scaled or mixed.

    Returns:
        uint8 [H, W], grey values or indices of a palette; uint16 [H, W], grey values of 16 bits; or colours uint8
        [H, W, C] with C of 2 (grey, alpha), 3 or 4 (with alpha).

    Raises:
        MediaError: as for `decode`; for JPEG, WebP and BMP; for colours of 16 bits.
    """
    with _opened(source) as (image, name):
        _check_pixels(image, name, MAX_PIXELS)
        packing = image.tile[0][3] if image.format == "PNG" and image.tile else ""
        if image.format != "PNG" or "B;16" in packing or "A;16" in packing:
            got = f"a {image.format} picture" if image.format != "PNG" else "colours of 16 bits"
            fix = "Export it again as PNG: JPEG and its like blur the borders, where other values come out."
            raise MediaError("This picture can't tell exact values.", where=name, got=got, expected="a PNG", fix=fix)
        with _decoding(name):
            values = np.asarray(image)
    # Pillow stretches grey values of two and four bits over 0..255.
    stretched = {"L;2": 85, "L;4": 17}.get(packing)
    values = values // np.uint8(stretched) if stretched else values
    return values.astype(np.uint16 if packing == "I;16B" else np.uint8, copy=False)
