"""Pictures and masks in two folders, images/ and masks/: the mask of a picture is a PNG of the same name.

A mask has the class of each pixel as grey value, as index of a palette or as colour. Or there is a folder for each
picture, with a mask for each object in it, as in the Data Science Bowl 2018.
Source: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/segexamples/
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from detkit.data import class_map
from detkit.data import images as pictures
from detkit.data.class_map import IGNORED, ClassMap
from detkit.data.dataset import Dataset
from detkit.data.formats import class_list, mask_files, mask_layout, object_masks, voc, voc_masks
from detkit.data.formats.assemble import Picture, dataset, files_by_stem
from detkit.data.formats.class_list import ClassList
from detkit.data.formats.common import Pictures, Report
from detkit.data.formats.placing import place
from detkit.data.problems import refuse
from detkit.errors import DataError, MediaError
from detkit.io import atomic_write, make_directory
from detkit.progress import progress
from detkit.text import some

_MOST_UNNAMED = 64  # values that are classes though nothing names them
_PALETTE = 3  # the colour type of a PNG with a palette, at byte 25


def matches(path: Path) -> str | None:
    """Why a path is not a dataset of masks; None if it is one."""
    if not path.is_dir():
        return "it is a file; a dataset of masks is a folder with images/ and masks/ in it"
    why = mask_layout.why_none(path)
    if why is None and voc.matches(path) is None:
        return "it has VOC's XML files, which tell more than its masks"
    return why


def read(path, images=None, strict: bool = True, split: str | None = None, classes=None) -> Dataset:
    """The dataset in a folder of pictures and a folder of masks; the pictures are not opened.

    The names of the classes are in classes.txt, labels.txt or labelmap.txt (of CVAT, also with the colours). Without
    them all masks are read, and the classes called after their values. 255 is ignored; but where grey masks have no
    values but 0 and 255, it is the one class.

    Args:
        path: the folder with images/ and masks/ or the like, or with train/ and val/ that have them; that of the
            masks; or a folder with a folder for each picture.
        images: the folder of the pictures, if it is another one; False if only the masks matter.
        strict: raise for what can't be used; otherwise leave it out and list it in `problems`.
        split: "train", "val" or "test", where there are folders of these names; the first one that there is by
            default, and an entry in `problems` names the others.
        classes: the names in the order of their values, or {value or colour: name}.

    Raises:
        DataError: if there are no masks, or too many values without names; if strict, with all that can't be used.
    """
    path, report = Path(path), Report(path)
    layout = mask_layout.find(path, split, report)
    listed = class_list.near(layout.roots) if classes is None else class_list.given(classes)
    if layout.objects:
        return object_masks.read(layout, path, images, listed, report, strict)
    found = _pairs(layout, images, report)
    if listed is None or (len(listed.names) == 1 and listed.meanings[IGNORED] == IGNORED):
        found, listed = _with_values(found, listed, layout, report)
    elif not listed.zero_named:
        what = "The list of classes has no background: the value 0 was taken for it, 1 for the first class."
        report.add("info", what, file=listed.source, fix="Let it begin with the background, or give classes={0: ...}.")
    read_ = [_picture(name, image, mask, listed, report) for name, image, mask in found]
    return dataset([picture for picture in read_ if picture], listed.names, path, report, strict)


def _pairs(layout: mask_layout.Layout, images, report: Report) -> list[tuple[str, Path, Path]]:
    """(name, picture, mask) of each mask that has a picture; problems for what has no partner."""
    masks = dict(mask_layout.files(layout.masks, (".png",)))
    finder = Pictures([layout.pictures], images)
    there = dict(mask_layout.files(finder.folders[0], pictures.EXTENSIONS))
    if not finder.search:
        there = {name: finder.folders[0] / f"{name}.jpg" for name in masks} | there
    finder.report_missing([name for name in masks if name not in there], len(masks), report)
    without = [name for name in there if name not in masks]
    if without and finder.search:
        severity = "info" if layout.masks.name == "SegmentationClass" else "warning"  # VOC has masks of some pictures
        what = f"{len(without)} pictures have no mask and were left out."
        report.add(severity, what, got=some(without), fix="Give a mask of zeros to those that show no object.")
    return [(name, there[name], mask) for name, mask in masks.items() if name in there]


def _picture(name: str, image: Path, mask: Path, listed: ClassList, report: Report) -> Picture | None:
    try:
        size = pictures.stored_size(mask)[0]
    except MediaError as error:
        report.add("error", error.what, file=str(mask), image=str(image), got=error.got, fix=error.fix)
        return None
    return Picture(image, size, [], name, str(mask), class_map=ClassMap(mask, listed.meanings))


def _with_values(found: list, listed: ClassList | None, layout, report: Report) -> tuple[list, ClassList]:
    """The pairs whose masks can be read, and the list of classes that their values make."""
    with ThreadPoolExecutor() as pool:
        bar = progress(pool.map(_values, [mask for *_, mask in found]), total=len(found), description="masks")
        scanned = list(zip(found, bar, strict=True))
    kept, values, grey = [], set(), True
    for pair, content in scanned:
        if isinstance(content, DataError):
            report.add_error(content, file=str(pair[2]), image=str(pair[1]))
        else:
            kept.append(pair)
            values |= content[0]
            grey &= content[1]
    return kept, _list_of(values, grey, listed, layout, report)


def _values(mask: Path) -> tuple[set[int], bool] | DataError:
    """The values of a mask, and whether they are grey values, no indices of a palette; or why it can't be read."""
    try:
        values = class_map.stored(mask)
        with open(mask, "rb") as file:
            grey = file.read(26)[25] != _PALETTE
    except DataError as error:
        return error
    return {int(value) for rows in class_map.blocks(values) for value in np.unique(rows)}, grey


def _list_of(values: set[int], grey: bool, listed: ClassList | None, layout, report: Report) -> ClassList:
    """The list of classes that values make; with an entry in the report for what is a guess."""
    name = "Name the classes in classes.txt, a line for each value from 0: background, duck, ..."
    if grey and IGNORED in values and values <= {0, IGNORED}:
        only = listed.names[0] if listed else "object"
        what = "The masks have no values but 0 and 255: 255 was taken for the class, not for pixels to ignore."
        report.add("info", what, got=f"class {only!r}", fix=None if listed else name)
        return class_list.given({0: "background", IGNORED: only})
    if listed:
        return listed
    own = sorted(values - {0, IGNORED})
    if not 0 < len(own) <= _MOST_UNNAMED:
        refuse(report.problems, layout.masks)
        got = f"{len(own)} values other than 0 and 255"
        raise DataError("Nothing tells what the values of these masks mean.", where=layout.masks, got=got, fix=name)
    what = "Nothing names the classes of these masks: they are called after their values."
    report.add("info", what, got=", ".join(map(str, own)), fix=name)
    return class_list.given({value: f"class {value}" for value in own})


def write(data: Dataset, path) -> None:
    """Write a dataset as a folder with images/, masks/ and classes.txt; images/ holds links to the pictures.

    A mask is a PNG with VOC's palette: 0 is the background, then come the classes, and 255 is ignored. Where links
    can't be made, the pictures are copied.

    Raises:
        DataError: if a picture has boxes without masks, a class can't be listed, there are more than 254 classes, two
            pictures have the same name, or another of that name is there.
        ConfigError: if the folder can't be written.
    """
    path = Path(path)
    class_list.check_writable(data.classes, data.name)
    files = files_by_stem(data, path / "masks", ".png")
    for file, example in progress(files.items(), total=len(files), description="masks"):
        values = example.semantic()
        place(example, path / "images" / example.image.name)
        with atomic_write(file, "wb", sync=False) as out:
            out.write(mask_files.png(values, voc_masks.palette().tobytes()))
    make_directory(path / "images")
    class_list.write(path / "classes.txt", data.classes)
