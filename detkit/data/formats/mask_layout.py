"""Where the pictures and the masks of a dataset lie: images/ and masks/, or a folder of both for each picture."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from detkit.data.formats import folders
from detkit.data.formats.common import Report
from detkit.data.images import EXTENSIONS
from detkit.errors import DataError

_PICTURES = ("images", "JPEGImages", "image", "imgs", "img")
_MASKS = ("masks", "SegmentationClass", "SegmentationClassPNG", "mask", "labels", "annotations")
_OTHER_MASKS = (".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".npy")


@dataclass
class Layout:
    """A dataset of masks on disk.

    Attributes:
        root: the folder that was given, or that of the split.
        pictures: the folder of the pictures.
        masks: the folder of the masks, one a picture and of its name.
        objects: the folders with images/ and masks/ of a picture each, whose masks are of one object each.
        roots: the folders in which a list of classes may lie.
    """

    root: Path
    pictures: Path | None = None
    masks: Path | None = None
    objects: tuple[Path, ...] = ()
    roots: tuple[Path, ...] = ()


def find(path: Path, split: str | None, report: Report) -> Layout:
    """The dataset in a folder, of one of its splits where there are several.

    Raises:
        DataError: if there is none, or no such split.
    """
    if not path.is_dir():
        raise DataError("This is no dataset of masks.", where=path, got="no such folder", expected="a folder")
    whole = _at(path)
    parent = whole.masks if whole and whole.masks else path
    there = {name: layout for name in folders.subfolders(parent) if (layout := _split(path, whole, name))}
    names = folders.among(there)
    wanted = folders.chosen(names, split, path, report)
    found = there[names[wanted]] if wanted else whole
    if found is None:
        raise DataError("This is no dataset of masks.", where=path, got=why_none(path), expected="images/ and masks/")
    found.roots = tuple(dict.fromkeys([found.root, *(f for f in (found.masks, path, path.parent) if f)]))
    return found


def _at(root: Path) -> Layout | None:
    """The dataset whose folders of pictures and masks, or of objects, are in this folder."""
    if root.name in _MASKS and holds_png(root):
        pictures = _first(root.parent, _PICTURES)
        return Layout(root.parent, pictures, root) if pictures else None
    pictures, masks = _first(root, _PICTURES), _first(root, _MASKS, holds_png)
    if pictures and masks:
        return Layout(root, pictures, masks)
    names = folders.subfolders(root)
    own = [root / name for name in names if (root / name / "images").is_dir() and (root / name / "masks").is_dir()]
    return Layout(root, objects=tuple(own)) if own and not any(map(folders.canonical, names)) else None


def _split(path: Path, whole: Layout | None, name: str) -> Layout | None:
    """The dataset of a split: in a folder with its name, or in such folders in those of pictures and masks."""
    if folders.canonical(name) is None:
        return None
    if whole is None:
        return _at(path / name)
    if whole.masks is None or not (whole.pictures / name).is_dir():
        return None
    return Layout(whole.root, whole.pictures / name, whole.masks / name)


def _first(root: Path, names, accepts=Path.is_dir) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir() and accepts(root / name)), None)


def holds_png(folder: Path) -> bool:
    """Whether there are PNG files in a folder, or in a folder there."""
    return next(files(folder, (".png",)), None) is not None


def files(folder: Path, extensions: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    """(name without extension, relative to a folder; path) of the files in it and in the folders there, sorted."""
    for place, inside, names in os.walk(folder):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(extensions) and not name.startswith("."):
                file = Path(place, name)
                yield file.relative_to(folder).with_suffix("").as_posix(), file


def why_none(path: Path) -> str | None:
    """Why a folder holds no dataset of masks, in words; None if it holds one."""
    layouts = [_at(path), *(_split(path, None, name) for name in folders.subfolders(path))]
    found = next((layout for layout in layouts if layout), None)
    if found is None:
        return _what_is_missing(path)
    if found.objects or {stem for stem, _ in files(found.masks, (".png",))} & {
        stem for stem, _ in files(found.pictures, EXTENSIONS)
    }:
        return None
    return f"no PNG file in {found.masks.name}/ has the name of a picture in {found.pictures.name}/"


def _what_is_missing(path: Path) -> str:
    masks = _first(path, _MASKS)
    if masks is None or not _first(path, _PICTURES):
        return "there are no folders of pictures and masks in it, as images/ and masks/"
    other = next(files(masks, _OTHER_MASKS), None)
    return f"there are no PNG files in {masks.name}/" + (f", but {other[1].name}" if other else "")
