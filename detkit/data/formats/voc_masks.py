"""The masks of Pascal VOC: SegmentationObject/NAME.png holds at each pixel the number of its object, from 1.

SegmentationClass/NAME.png holds the number of its class. 255 is the void between objects. Source: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/segexamples/
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from detkit.data.class_map import MOST_CLASSES, ClassMap
from detkit.data.example import Example
from detkit.data.formats import class_list, mask_files
from detkit.data.formats.assemble import Picture
from detkit.data.formats.common import Report
from detkit.errors import DataError
from detkit.io import atomic_write

_MOST = 254  # objects that an index picture can number
# What VOC's own index pictures mean, where no list of classes is beside them.
_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)


def index_pictures(roots: list[Path], kind: str = "SegmentationObject") -> dict[str, Path]:
    """{stem: index picture} of the first of these folders with a folder of that name in it."""
    folder = next((f for root in roots if (f := root / kind).is_dir()), None)
    return {file.stem: file for file in folder.glob("*.png")} if folder else {}


def add_class_maps(pictures: list[Picture], names: list[str], roots: list[Path], report: Report) -> list[str]:
    """Give pictures the class maps of SegmentationClass/; the names of the classes, with those of the class maps.

    Their values are told by labelmap.txt or another list of classes; without one they are VOC's.

    Raises:
        DataError: if the list of classes can't be used.
    """
    files = index_pictures(roots, "SegmentationClass")
    with_map = [picture for picture in pictures if picture.image_id in files]
    if not with_map:
        return names
    listed = class_list.near(roots, ("labelmap.txt", "classes.txt", "labels.txt"))
    if listed is None and not set(names) <= set(_CLASSES):
        fix = "Put labelmap.txt beside it, with a line as duck:128,0,0:: for each class, after background:0,0,0::"
        what, got = "The class maps were passed over: nothing tells what their values mean.", f"{len(with_map)} files"
        report.add("info", what, file=str(files[with_map[0].image_id].parent), got=got, fix=fix)
        return names
    listed = listed or class_list.given(("background", *_CLASSES))
    every = sorted({*names, *listed.names})
    places = [every.index(name) for name in listed.names]
    for picture in with_map:
        picture.class_map = ClassMap(files[picture.image_id], listed.meanings).renumbered(places)
    return every


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
        fix = "Add the objects that are lacking to the XML file; the others keep their masks."
        report.add("warning", what, file=str(file), image=image, got=f"object {beyond}", expected=expected, fix=fix)
    present = set(np.unique(values).tolist()) - {255}
    return [mask_files.run_lengths(values == i, (0, 0), size) if i in present else None for i in range(1, count + 1)]


def write(example: Example, folder: Path, classes: tuple[str, ...]) -> bool:
    """Write the index pictures of an example, and labelmap.txt beside them; False if it has none.

    Raises:
        DataError: for more objects or classes than they can number, or a class that can't be listed.
        ConfigError: if they can't be written.
    """
    planes = _planes(example, len(classes))
    for name, values in planes.items():
        with atomic_write(folder / name / f"{example.image.stem}.png", "wb", sync=False) as out:
            out.write(mask_files.png(values, palette().tobytes()))
    if planes:
        class_list.write(folder / "labelmap.txt", classes, palette()[: len(classes) + 1])
    return bool(planes)


def _planes(example: Example, classes: int) -> dict[str, np.ndarray]:
    """{folder: values} of the index pictures of an example, as far as it has masks or a class map."""
    masked = any(each is not None for each in example.segmentations or ())
    if (masked and len(example) > _MOST) or (classes > MOST_CLASSES and (masked or example.class_map is not None)):
        got = f"{len(example)} objects, {classes} classes"
        what, fix = "An index picture can't number so many.", "Write coco, or leave out classes or masks."
        raise DataError(what, where=example.label, got=got, expected=f"at most {_MOST}", fix=fix)
    planes = {} if example.class_map is None else {"SegmentationClass": example.semantic()}
    if masked:
        objects, kinds = np.zeros((2, *example.size), np.uint8)
        for i, mask in enumerate(example.masks()):
            objects[mask], kinds[mask] = i + 1, example.class_ids[i] + 1
        planes = {"SegmentationObject": objects, "SegmentationClass": kinds} | planes
    return planes


def palette() -> np.ndarray:
    """VOC's colours, uint8 [256, 3]: the bits of a number, spread over the high bits of red, green and blue."""
    numbers = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for step in range(3):
        for channel in range(3):
            colours[:, channel] |= (((numbers >> (3 * step + channel)) & 1) << (7 - step)).astype(np.uint8)
    return colours
