"""Pascal VOC: a folder with one XML file a picture; boxes are xmin, ymin, xmax, ymax in pixels.

Coordinates are taken as they stand, as the OD API takes them: nothing is subtracted for counting from 1. ImageNet's
detection data have the same files, in folders by class. Masks are in index pictures in SegmentationObject/, class
maps in SegmentationClass/.
Source: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from detkit import boxes as box_math
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.data.formats import voc_masks
from detkit.data.formats.assemble import CORNERS, Picture, Thing, class_names, dataset, files_by_stem, number
from detkit.data.formats.common import Pictures, Report, picture_size
from detkit.data.formats.markup import head, parse
from detkit.data.images import EXTENSIONS
from detkit.errors import DataError
from detkit.io import atomic_write
from detkit.progress import progress

_ANNOTATION_FOLDERS = ("", "annotations", "Annotations", "annotations/xmls", "xmls", "labels")
_IMAGE_FOLDERS = ("images", "JPEGImages", "Images", "")


def matches(path: Path) -> str | None:
    """Why a path is not a VOC dataset; None if it is one."""
    if path.is_file() and path.suffix.lower() != ".xml":
        return "it is a file; a VOC dataset is a folder of XML files, or one of them"
    files = _files(path)
    if not files:
        return "there are no XML files in it, nor in a folder annotations/ or Annotations/ there"
    if not any(re.search(rb"<annotation[\s>]", head(file)) for file in files[:10]):
        return f"its XML files don't hold an <annotation> (looked at {files[0].name})"
    return None


def _files(path: Path) -> list[Path]:
    """The XML files of a dataset, sorted by name."""
    if path.is_file():
        return [path]
    places = [(name, "[!.]*.[xX][mM][lL]") for name in _ANNOTATION_FOLDERS] + [("Annotations", "*/**/*.xml")]
    found = ([f for f in (path / name).glob(pattern) if f.is_file()] for name, pattern in places)
    return sorted(next((files for files in found if files), []))


def read(path, images=None, strict: bool = True) -> Dataset:
    """The dataset in a folder of VOC XML files; no picture is opened unless its XML lacks the size.

    The folder holds the XML files, or folders `annotations/` and `images/`, or `Annotations/` and
    `JPEGImages/`. A picture is looked for by its <filename>, then by the name of the XML file, then by its
    <path>. Classes are the object names, sorted, and where there are class maps in SegmentationClass/, theirs:
    labelmap.txt beside it lists them, otherwise they are VOC's.

    Args:
        path: the folder, or one XML file.
        images: the folder of the pictures, if it is another one; False if only the annotations matter.
        strict: raise for what can't be used; otherwise leave it out and list it in `problems`.

    Raises:
        DataError: if there are no XML files; if strict, with all that can't be used.
    """
    path = Path(path)
    files = _files(path)
    if not files:
        raise DataError("This is no VOC dataset.", where=path, got=matches(path), expected="a folder of XML files")
    report = Report(path)
    folder = files[0].parent
    roots = [folder, folder.parent, folder.parent.parent][: 2 + (folder.name == "xmls")]
    finder = Pictures([root / name for root in roots for name in _IMAGE_FOLDERS], images)
    index_pictures = voc_masks.index_pictures(roots)
    pictures, missing = [], []
    for file in progress(files, description="read"):
        pictures += _picture(file, finder, index_pictures, missing, report)
    finder.report_missing(missing, len(files), report)
    classes = voc_masks.add_class_maps(pictures, class_names(pictures), roots, report)
    return dataset(pictures, classes, path, report, strict)


def _picture(file: Path, finder: Pictures, index_pictures, missing: list[str], report: Report) -> list[Picture]:
    """The content of one XML file, or nothing after a problem."""
    try:
        root = parse(file, "annotation", "VOC")
    except DataError as error:
        report.add_error(error, file=str(file))
        return []
    name = _text(root, "filename")
    image = finder.find(*_candidates(file, name, _text(root, "folder"), _text(root, "path")))
    if image is None:
        missing.append(name or file.stem)
        return []
    sides = (number(_text(root, "size/height")), number(_text(root, "size/width")))
    size = picture_size(sides, image, report, file)
    if not size:
        return []
    elements = root.findall("object")
    found = voc_masks.read(index_pictures.get(file.stem), len(elements), size, str(image), report)
    picture = Picture(image, size, [], file.stem, str(file))
    for i, element in enumerate(elements):
        _add(picture, element, i, found[i], report)
    return [picture]


def _candidates(file: Path, name: str, folder: str, path: str) -> list[str]:
    """The names that the picture of an XML file may have, the likeliest first."""
    stems = [stem for stem in (name, file.stem) if stem]
    plain = [name, *(stem + extension for stem in stems for extension in (*EXTENSIONS, ".JPEG", ".JPG"))]
    by_class = [f"{folder}/{each}" for each in plain[1:]] if folder == file.parent.name else []
    return [*plain, *by_class, path]


def _text(element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _add(picture: Picture, element, i: int, segmentation, report: Report) -> None:
    """Add an <object>, or a problem."""
    name = _text(element, "name")
    if not name:
        report.add(
            "error",
            "An object has no name.",
            file=picture.source,
            image=str(picture.image),
            box=i,
            got="no <name>",
            expected="<name>...</name>",
            fix="Name the object, or delete it.",
        )
        return
    corners = [number(_text(element, f"bndbox/{corner}")) for corner in CORNERS]
    difficult = _text(element, "difficult") in ("1", "true", "True")
    picture.things.append(Thing(name, corners, i, picture.source, difficult=difficult, segmentation=segmentation))


def write(data: Dataset, path) -> None:
    """Write a dataset as a folder of VOC XML files, one a picture, that name the pictures by absolute path.

    Crowd regions become difficult objects: VOC has no other way not to count them. Masks go to
    SegmentationObject/ and SegmentationClass/ in the folder; where two overlap, the pixels are the later one's.

    Raises:
        DataError: if a picture is an array, two pictures would share an XML file, one has over 254 masks, or a class
            with masks can't be listed.
        ConfigError: if the folder can't be written.
    """
    path = Path(path)
    files = files_by_stem(data, path, ".xml")
    for file, example in progress(files.items(), total=len(files), description="write"):
        with_masks = voc_masks.write(example, path, data.classes)
        with atomic_write(file, sync=False) as out:
            out.write(_document(example, data.classes, with_masks))


def _document(example: Example, classes: tuple[str, ...], with_masks: bool) -> str:
    height, width = example.size
    corners = box_math.convert(example.boxes, "yxyx", "xyxy_abs", example.size)
    difficult = example.difficult | example.crowd
    things = "".join(
        f"  <object>\n    <name>{escape(classes[class_id])}</name>\n    <truncated>0</truncated>\n"
        f"    <difficult>{int(hard)}</difficult>\n    <bndbox>{_bndbox(box)}</bndbox>\n  </object>\n"
        for box, class_id, hard in zip(corners, example.class_ids, difficult, strict=True)
    )
    return (
        f"<annotation>\n  <folder>{escape(example.image.parent.name)}</folder>\n"
        f"  <filename>{escape(example.image.name)}</filename>\n"
        f"  <path>{escape(str(example.image.absolute()))}</path>\n"
        f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n"
        f"  <segmented>{int(with_masks)}</segmented>\n{things}</annotation>\n"
    )


def _bndbox(box: np.ndarray) -> str:
    texts = (f"{value:.3f}".rstrip("0").rstrip(".") for value in box)
    return "".join(f"<{name}>{text}</{name}>" for name, text in zip(CORNERS, texts, strict=True))
