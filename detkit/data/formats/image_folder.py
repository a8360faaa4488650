"""Pictures in folders by class: CLASS/*.jpg, or train/CLASS/*.jpg and val/CLASS/*.jpg; there are no boxes.

Source: https://docs.pytorch.org/vision/stable/generated/torchvision.datasets.ImageFolder.html
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from detkit.data import images as pictures
from detkit.data.dataset import Dataset
from detkit.data.formats import folders
from detkit.data.formats.assemble import Picture, dataset
from detkit.data.formats.common import Report
from detkit.data.formats.extract import save_pictures
from detkit.data.formats.placing import place
from detkit.data.images import EXTENSIONS
from detkit.errors import DataError, MediaError
from detkit.io import make_directory
from detkit.progress import progress

# Folders of these names are parts of other datasets, and no classes.
_PARTS = {
    *("images", "image", "imgs", "img", "jpegimages", "pictures", "photos", "frames", "data", "labels", "label"),
    *("annotations", "annotation", "masks", "mask", "segmentationclass", "segmentationobject", "imagesets", "xmls"),
    *("gts", "dets", "detections", "records", "videos", "video"),
}
_ANNOTATIONS = (".json", ".jsonl", ".xml", ".csv", ".tsv", ".record", ".records", ".tfrecord", ".tfrecords", ".yaml")
_LEFT_OVERS = ("thumbs.db", "desktop.ini")


def matches(path: Path) -> str | None:
    """Why a path is not a folder of pictures by class; None if it is one."""
    if not path.is_dir():
        return "it is a file; an image folder is a folder with a folder of pictures for each class"
    annotation = next((e.name for e in folders.entries(path) if e.name.lower().endswith(_ANNOTATIONS)), None)
    if annotation:
        return f"it holds {annotation}, an annotation file"
    splits = _splits(path)
    roots = [path / name for name in splits.values()] or [path]
    classes = {name for folder in roots for name in folders.subfolders(folder) if _has_pictures(folder / name)}
    if parts := sorted(name for name in classes if name.lower() in _PARTS):
        return f"its folder {parts[0]}/ has no name of a class"
    if len(classes) < 2:
        return f"there are pictures in {len(classes)} of its folders; each of two classes or more needs one"
    return None


def _splits(path: Path) -> dict[str, str]:
    """{split: its folder}, of folders that have folders, but no pictures: others are of a class that is called so."""
    names = folders.among(folders.subfolders(path))
    places = {split: path / name for split, name in names.items()}
    return {s: names[s] for s, place in places.items() if folders.subfolders(place) and not _has_pictures(place)}


def _has_pictures(folder: Path) -> bool:
    return any(entry.name.lower().endswith(EXTENSIONS) for entry in folders.entries(folder))


def read(path, images=None, strict: bool = True, split: str | None = None) -> Dataset:
    """The dataset in a folder that has a folder of pictures for each class; only headers of pictures are read.

    The name of its folder is the label of a picture as a whole. Classes are the names of the folders, sorted, of all
    splits together.

    Args:
        path: the folder of the classes, or of the splits.
        images: not used, since the pictures are where the classes are.
        strict: raise for what can't be used; otherwise leave it out and list it in `problems`.
        split: "train", "val" or "test", where the classes are in folders of these names; the first one that there is
            by default, and an entry in `problems` names the others.

    Raises:
        DataError: if there are no folders of pictures, or `images` is given; if strict, with all that can't be used.
    """
    path, report = Path(path), Report(path)
    if images is not None:
        what, got = "A folder of pictures by class holds its own pictures.", f"images={str(images)!r}"
        raise DataError(what, where=path, got=got, fix="Leave out the folder of the pictures.")
    if not path.is_dir():
        raise DataError("This is no folder of pictures by class.", where=path, expected="a folder")
    splits = _splits(path)
    wanted = folders.chosen(splits, split, path, report)
    everywhere = [path / name for name in splits.values()] or [path]
    classes = sorted({name for folder in everywhere for name in folders.subfolders(folder)})
    root = path / splits[wanted] if wanted else path
    labelled = [(file, name) for name in classes for file in _pictures(root / name, report)]
    if not labelled:
        got, expected = f"folders: {', '.join(classes[:20])}", "pictures in a folder for each class, as duck/1.jpg"
        fix = "Put the pictures into folders named like their classes."
        raise DataError("There are no pictures by class here.", where=root, got=got, expected=expected, fix=fix)
    found = [_picture(file, name, report) for file, name in progress(labelled, description="pictures")]
    return dataset([picture for picture in found if picture], classes, path, report, strict)


def _pictures(folder: Path, report: Report) -> list[Path]:
    """The pictures in the folder of a class, sorted; a warning for what else is in it."""
    entries = folders.entries(folder) if folder.is_dir() else []
    others = Counter()
    for entry in entries:
        if not entry.name.lower().endswith((*EXTENSIONS, *_LEFT_OVERS)):
            others["folders" if entry.is_dir() else os.path.splitext(entry.name)[1] or "without ending"] += 1
    if others:
        got = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
        what = "What is no picture in the folder of a class was passed over."
        expected, fix = ", ".join(EXTENSIONS), "Convert what are pictures, and put them into the folder itself."
        report.add("warning", what, file=str(folder), got=got, expected=expected, fix=fix)
    return [folder / entry.name for entry in entries if entry.name.lower().endswith(EXTENSIONS)]


def _picture(file: Path, name: str, report: Report) -> Picture | None:
    try:
        size = pictures.size(file)
    except MediaError as error:
        report.add_error(error, file=str(file.parent), image=str(file))
        return None
    return Picture(file, size, [], f"{name}/{file.stem}", str(file.parent), labels=[name])


def write(data: Dataset, path) -> None:
    """Write a dataset as a folder with a folder for each class, with links to the pictures of that label in it.

    Where links can't be made, the pictures are copied. Pictures without a label are left out.

    Raises:
        DataError: if no picture has a label, one has several, a class has no name for a folder, or another picture
            of that name is there.
        MediaError: if a picture inside another file can't be read.
        ConfigError: if the folder can't be written.
    """
    path = Path(path)
    _check(data, path)
    for class_id, name in enumerate(data.classes):
        own = tuple(example for example in data if example.image_labels.tolist() == [class_id])
        folder, placed = make_directory(path / name), {}
        for example in save_pictures(Dataset(own, data.classes), folder):
            target = folder / example.image.name
            if target in placed:
                got = f"{placed[target]} and {example.label}"
                what, fix = "Two pictures of a class have the same name.", "Rename one of them."
                raise DataError(what, where=target, got=got, fix=fix)
            placed[target] = example.label
            place(example, target)


def _check(data: Dataset, path: Path) -> None:
    for name in data.classes:
        strange = not name.strip() or name.startswith(".") or set(name) & set("/\\\0")
        if strange:
            fix = "Rename the class."
            raise DataError("A class can't be the name of a folder.", where=data.name, got=repr(name), fix=fix)
    several = next((example for example in data if len(example.image_labels) > 1), None)
    if several is not None:
        got = ", ".join(data.classes[i] for i in several.image_labels)
        what, fix = "A picture in a folder by class has one label only.", "Decide on one, or leave it out."
        raise DataError(what, where=several.label, got=got, expected="one label", fix=fix)
    if not any(len(example.image_labels) for example in data):
        expected, fix = "labels of whole pictures; boxes are none", "Write a format that holds boxes, such as coco."
        raise DataError("None of the pictures has a label.", where=path, got=f"{data!r}", expected=expected, fix=fix)
