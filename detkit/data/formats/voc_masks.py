"""The masks of Pascal VOC: SegmentationObject/NAME.png holds at each pixel the number of its object, from 1.

255 is the void between objects. Source: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/segexamples/
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from detkit.data.example import Example
from detkit.data.formats import mask_files
from detkit.data.formats.common import Report
from detkit.errors import DataError
from detkit.io import atomic_write

_MOST = 254  # objects that an index picture can number


def index_pictures(roots: list[Path]) -> dict[str, Path]:
    """{stem: index picture} of the first of these folders with a SegmentationObject/ in it."""
    folder = next((f for root in roots if (f := root / "SegmentationObject").is_dir()), None)
    return {file.stem: file for file in folder.glob("*.png")} if folder else {}


def read(file: Path | None, count: int, size: tuple[int, int], image: str, report: Report) -> list[dict | None]:
    """The RLE of each of `count` objects by an index picture; None for those without pixels, or after a problem."""
    if file is None:
        return [None] * count
    try:
        values = mask_files.pixels(file.read_bytes(), size)
        return _by_number(values, count, size, file, image, report)
    except (DataError, OSError) as error:
        got = error.got if isinstance(error, DataError) else error.strerror
        what = error.what if isinstance(error, DataError) else "A mask can't be read."
        report.add("error", what, file=str(file), image=image, got=got, fix="Export it again, or delete it.")
        return [None] * count


def _by_number(values: np.ndarray, count: int, size, file: Path, image: str, report: Report) -> list[dict | None]:
    beyond = int(values[values < 255].max(initial=0))
    if beyond > count:
        what, expected = "An index picture has more objects than its XML file.", f"at most {count}"
        report.add("warning", what, file=str(file), image=image, got=f"object {beyond}", expected=expected)
    present = set(np.unique(values).tolist()) - {255}
    return [mask_files.run_lengths(values == i, (0, 0), size) if i in present else None for i in range(1, count + 1)]


def write(example: Example, folder: Path, classes: int) -> bool:
    """Write the index pictures of an example; False if it has no masks. DataError for more than they can number."""
    if all(each is None for each in example.segmentations or (None,)):
        return False
    if max(len(example), classes) > _MOST:
        got = f"{len(example)} objects, {classes} classes"
        raise DataError("An index picture can't number so many.", where=example.label, got=got, expected=f"<= {_MOST}")
    objects = np.zeros(example.size, np.uint8)
    kinds = np.zeros(example.size, np.uint8)
    for i, mask in enumerate(example.masks()):
        objects[mask], kinds[mask] = i + 1, example.class_ids[i] + 1
    for name, values in (("SegmentationObject", objects), ("SegmentationClass", kinds)):
        with atomic_write(folder / name / f"{example.image.stem}.png", "wb") as out:
            out.write(mask_files.png(values, _palette()))
    return True


def _palette() -> bytes:
    """VOC's colours: the bits of a number, spread over the high bits of red, green and blue."""
    numbers = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for step in range(3):
        for channel in range(3):
            colours[:, channel] |= (((numbers >> (3 * step + channel)) & 1) << (7 - step)).astype(np.uint8)
    return colours.tobytes()
