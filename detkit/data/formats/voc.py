"""Pascal VOC: a folder with one XML file a picture; boxes are xmin, ymin, xmax, ymax in pixels.

Coordinates are taken as they stand, as the OD API takes them: nothing is subtracted for counting from 1.
Source: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from detkit import boxes as box_math
from detkit.data.dataset import Dataset, Example
from detkit.data.formats.common import Pictures, Report, annotated_path, check_boxes, picture_size
from detkit.data.images import EXTENSIONS
from detkit.data.problems import refuse
from detkit.errors import DataError
from detkit.io import atomic_write

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_ANNOTATION_FOLDERS = ("", "annotations", "Annotations", "annotations/xmls", "xmls", "labels")
_IMAGE_FOLDERS = ("images", "JPEGImages", "Images", "")


@dataclass
class _Object:
    name: str
    corners: list[float]  # xmin, ymin, xmax, ymax
    difficult: bool
    number: int  # in the file, unusable ones counted


@dataclass
class _Annotation:
    file: Path
    image: Path
    size: tuple[int, int]
    objects: list[_Object]


def matches(path: Path) -> str | None:
    """Why a path is not a VOC dataset; None if it is one."""
    if path.is_file() and path.suffix.lower() != ".xml":
        return "it is a file; a VOC dataset is a folder of XML files, or one of them"
    files = _files(path)
    if not files:
        return "there are no XML files in it, nor in a folder annotations/ or Annotations/ there"
    if not any(re.search(rb"<annotation[\s>]", _head(file)) for file in files[:10]):
        return f"its XML files don't hold an <annotation> (looked at {files[0].name})"
    return None


def _head(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(4096)


def _files(path: Path) -> list[Path]:
    """The XML files of a dataset, sorted by name."""
    if path.is_file():
        return [path]
    folders = (path / name for name in _ANNOTATION_FOLDERS)
    found = ([f for f in folder.glob("[!.]*.[xX][mM][lL]") if f.is_file()] for folder in folders)
    return sorted(next((files for files in found if files), []))


def read(path, images=None, strict: bool = True) -> Dataset:
    """The dataset in a folder of VOC XML files; no picture is opened unless its XML lacks the size.

    The folder holds the XML files, or folders `annotations/` and `images/`, or `Annotations/` and
    `JPEGImages/`. A picture is looked for by its <filename>, then by the name of the XML file, then by its
    <path>. Classes are the object names, sorted.

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
    annotations, missing = [], []
    for file in files:
        annotations += _annotation(file, finder, missing, report)
    finder.report_missing(missing, len(files), report)
    classes = sorted({thing.name for annotation in annotations for thing in annotation.objects})
    examples = _examples(annotations, classes, report)
    if strict:
        refuse(report.problems, path)
    return Dataset(tuple(examples), tuple(classes), (), path.absolute().stem, tuple(report.problems))


def _parse(file: Path):
    """The root of an XML file; DataError if it is damaged or dangerous."""
    from defusedxml import DefusedXmlException, ElementTree

    try:
        root = ElementTree.fromstring(file.read_bytes())
    except DefusedXmlException as error:
        raise DataError(
            "This XML file declares entities and was not read.",
            got=str(error),
            expected="plain XML",
            fix="VOC files need no entities: don't trust it, or remove the declaration.",
        ) from error
    except (ElementTree.ParseError, ValueError, LookupError, OSError) as error:
        raise DataError(
            "This is not valid XML.",
            got=str(error),
            expected="a VOC annotation",
            fix="Export it again, or delete it.",
        ) from error
    if root.tag != "annotation":
        raise DataError(
            "This XML file is no VOC annotation.",
            got=f"<{root.tag}>",
            expected="<annotation>",
            fix="Move it out of the folder.",
        )
    return root


def _text(element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _number(element, path: str) -> float:
    """The number in an element; NaN where there is none."""
    try:
        return float(_text(element, path))
    except ValueError:
        return float("nan")


def _annotation(file: Path, finder: Pictures, missing: list[str], report: Report) -> list[_Annotation]:
    """The content of one XML file, or nothing after a problem."""
    try:
        root = _parse(file)
    except DataError as error:
        report.add("error", error.what, file=str(file), got=error.got, expected=error.expected, fix=error.fix)
        return []
    name = _text(root, "filename")
    stems = [stem for stem in (name, file.stem) if stem]
    candidates = [
        name,
        *(stem + extension for stem in stems for extension in EXTENSIONS),
        _text(root, "path"),
    ]
    image = finder.find(*candidates)
    if image is None:
        missing.append(name or file.stem)
        return []
    size = picture_size((_number(root, "size/height"), _number(root, "size/width")), image, report, file)
    return [_Annotation(file, image, size, _objects(root, file, image, report))] if size else []


def _objects(root, file: Path, image: Path, report: Report) -> list[_Object]:
    objects = []
    for number, element in enumerate(root.findall("object")):
        name = _text(element, "name")
        if not name:
            report.add(
                "error",
                "An object has no name.",
                file=str(file),
                image=str(image),
                box=number,
                got="no <name>",
                expected="<name>...</name>",
                fix="Name the object, or delete it.",
            )
            continue
        corners = [_number(element, f"bndbox/{corner}") for corner in _CORNERS]
        objects.append(_Object(name, corners, _text(element, "difficult") in ("1", "true", "True"), number))
    return objects


def _examples(annotations: list[_Annotation], classes: list[str], report: Report) -> list[Example]:
    rows = [(annotation, thing) for annotation in annotations for thing in annotation.objects]
    corners = np.array([thing.corners for _, thing in rows], np.float64).reshape(-1, 4)
    sizes = np.array([annotation.size for annotation, _ in rows], np.int64).reshape(-1, 2)

    def describe(i: int) -> dict:
        annotation, thing = rows[i]
        got = ", ".join(f"{name} {value:g}" for name, value in zip(_CORNERS, thing.corners, strict=True))
        return dict(file=str(annotation.file), image=str(annotation.image), box=thing.number, got=got)

    boxes, kept = check_boxes(corners, sizes, report, describe)
    ids = {name: i for i, name in enumerate(classes)}
    examples, start = [], 0
    for annotation in annotations:
        stop = start + len(annotation.objects)
        chosen = start + np.flatnonzero(kept[start:stop])
        things = [rows[i][1] for i in chosen]
        examples.append(
            Example(
                annotation.image,
                boxes[chosen],
                [ids[thing.name] for thing in things],
                annotation.size,
                difficult=[thing.difficult for thing in things],
                image_id=annotation.file.stem,
                source=str(annotation.file),
            )
        )
        start = stop
    return examples


def write(dataset: Dataset, path) -> None:
    """Write a dataset as a folder of VOC XML files, one a picture, that name the pictures by absolute path.

    Crowd regions become difficult objects: VOC has no other way not to count them.

    Raises:
        DataError: if a picture is an array, or two pictures would share an XML file.
        ConfigError: if the folder can't be written.
    """
    path, written = Path(path), {}
    for example in dataset:
        annotated_path(example, path)
        file = path / f"{example.image.stem}.xml"
        if file in written:
            raise DataError(
                "Two pictures of one name would share an XML file.",
                where=file,
                got=f"{written[file]} and {example.image}",
                fix="Rename one of them.",
            )
        written[file] = example.image
        with atomic_write(file) as out:
            out.write(_document(example, dataset.classes))


def _document(example: Example, classes: tuple[str, ...]) -> str:
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
        f"  <segmented>0</segmented>\n{things}</annotation>\n"
    )


def _bndbox(box: np.ndarray) -> str:
    texts = (f"{value:.3f}".rstrip("0").rstrip(".") for value in box)
    return "".join(f"<{name}>{text}</{name}>" for name, text in zip(_CORNERS, texts, strict=True))
