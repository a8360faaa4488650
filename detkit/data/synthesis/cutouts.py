"""Objects cut out of pictures: from files with transparency, or by the masks and boxes of annotated photos."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from detkit.data import formats, images
from detkit.data.dataset import Dataset
from detkit.data.problems import Problem
from detkit.data.synthesis.compositor import VISIBLE, bounds
from detkit.data.synthesis.outline import cut
from detkit.errors import DataError, MediaError

LARGEST = 800  # pixels of a side: larger ones are shrunk, to be held in memory
_HELD = 128  # cut-outs in memory
_LISTED = 20  # files named in one error
_SMALLEST = 8  # pixels of a side of an object that is worth cutting out


class Cutouts:
    """Objects on nothing, each cut out when it is asked for.

    Attributes:
        classes: the class names.
        of_class: for each class the numbers of its cut-outs; none is empty.
        fingerprint: a text that differs where the cut-outs do.
        problems: what could not be cut out.
    """

    def __init__(self, classes, class_ids, load: Callable[[int], np.ndarray], fingerprint: str, problems=()):
        self.classes = tuple(classes)
        self.class_ids = np.asarray(class_ids, np.int32)
        found = [np.flatnonzero(self.class_ids == c) for c in range(len(self.classes))]
        self.of_class = [numbers for numbers in found if len(numbers)]
        self.fingerprint, self.problems = fingerprint, tuple(problems)
        self.image = lru_cache(_HELD)(lambda number: _image(load(number)))

    def draw(self, rng: np.random.Generator) -> int:
        """The number of a cut-out: of any class as likely as of any other."""
        return int(rng.choice(self.of_class[rng.integers(len(self.of_class))]))


def _image(rgba: np.ndarray):
    """A Pillow RGBA image of RGBA [H, W, 4], cropped to what is visible, not larger than LARGEST."""
    from PIL import Image

    top, left, bottom, right = bounds(rgba[..., 3] >= 255 * VISIBLE)
    image = Image.fromarray(np.ascontiguousarray(rgba[top:bottom, left:right]), "RGBA")
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    return image


def opened(source) -> Cutouts:
    """Cut-outs of a folder of pictures with transparency, of an annotation file or folder, or of a Dataset.

    Raises:
        DataError, MediaError: if there is nothing to cut out, or a file that can't be used.
    """
    if isinstance(source, Cutouts):
        return source
    if isinstance(source, Dataset):
        return of_dataset(source)
    path = Path(source)
    module = None if path.is_dir() and not _annotated(path) else formats.recognised(path)
    return of_dataset(module.read(path)) if module else of_folder(path)


def _annotated(folder: Path) -> bool:
    # Cut-outs by class look like an image folder, which has no objects to cut out.
    return any(formats.named(name).matches(folder) is None for name in formats.NAMES if name != "image_folder")


def of_folder(folder) -> Cutouts:
    """Cut-outs of the PNG and WebP files in a folder and in folders of it.

    The class of a file is the name of its folder; of one in the folder itself its own name up to the number, as
    "duck" of duck_03.png. Files that are not pictures are passed over.

    Raises:
        DataError: if there are none; with all that have no transparency, or in which nothing is visible.
    """
    folder = Path(folder)
    files = picture_files(folder, "cut-outs: pictures with transparency")
    refuse_files(map(_problem, files), folder)
    names = [_class(file, folder) for file in files]
    classes = sorted(set(names))
    ids = [classes.index(name) for name in names]
    return Cutouts(classes, ids, lambda n: images.decode_rgba(files[n]), fingerprint_of(files, folder))


def picture_files(folder: Path, what: str) -> list[Path]:
    """The pictures in a folder and in folders of it, sorted; DataError if there are none."""
    if not folder.is_dir():
        raise DataError("There is no such folder.", where=folder, expected=f"a folder of {what}", fix="Check the path.")
    found = (path for path in folder.rglob("*") if path.suffix.lower() in images.EXTENSIONS and path.is_file())
    files = sorted(file for file in found if not any(p.startswith(".") for p in file.relative_to(folder).parts))
    if not files:
        others = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "an empty folder"
        raise DataError("This folder holds no pictures.", where=folder, got=others, expected=what)
    return files


def refuse_files(problems: Iterable[Problem | None], folder: Path) -> None:
    """Raise one DataError that lists the files of a folder that can't be used, if there are any."""
    found = [problem for problem in problems if problem]
    if len(found) == 1:
        raise DataError(found[0].what, **found[0].details())
    if found:
        lines = [f"{problem.where}: {problem.what} {problem.got}." for problem in found[:_LISTED]]
        lines += [f"... and {len(found) - _LISTED} more."] if len(found) > _LISTED else []
        text = "\n".join(f"- {line}" for line in lines)
        raise DataError(f"There are {len(found)} files that can't be used.\n{text}", where=folder, fix=found[0].fix)


def _problem(file: Path) -> Problem | None:
    """Why a file is no cut-out, if it isn't."""
    try:
        opacity = images.decode_rgba(file)[..., 3]
    except MediaError as error:
        return Problem("error", error.what, image=str(file), got=str(error.got), fix=error.fix)
    fix = (
        "Save it as PNG or WebP with what is not the object transparent, or leave it out. "
        "To cut objects out of annotated photos, give the annotation file."
    )
    if opacity.min() >= 255 * VISIBLE:
        return Problem("error", "This cut-out has no transparency.", image=str(file), got="opaque everywhere", fix=fix)
    if opacity.max() < 255 * VISIBLE:
        got = f"opacity up to {opacity.max()} of 255"
        return Problem("error", "In this cut-out nothing is visible.", image=str(file), got=got, fix=fix)
    return None


def _class(file: Path, folder: Path) -> str:
    if file.parent != folder:
        return file.parent.name
    return re.sub(r"[\s_.(-]*\d*\)?$", "", file.stem) or folder.absolute().name


def fingerprint_of(files: Sequence[Path], folder: Path) -> str:
    """A text that differs where the names or the lengths of these files in a folder do."""
    return _digest(f"{file.relative_to(folder).as_posix()} {file.stat().st_size}" for file in files)


def _digest(texts) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def of_dataset(dataset: Dataset) -> Cutouts:
    """The objects of annotated photos, cut out by their segmentation; those without one by their box.

    Left out is what would not make a whole object: crowd and difficult ones, those at the edge of their photo, and
    those under 8 pixels wide or high.

    Raises:
        DataError: if nothing is left.
    """
    found = [(example, n) for example in dataset for n in range(len(example))]
    chosen = [(example, n) for example, n in found if _whole(example, n)]
    left_out = f"{len(found) - len(chosen)} of {len(found)} objects"
    why = "crowds, difficult objects, those at the edge of their photo, and those under 8 pixels"
    if not chosen:
        fix = "Annotate photos that show whole objects."
        got = f"left out {left_out}: {why}"
        raise DataError("There is no object to cut out.", where=dataset.name, got=got, fix=fix)
    used = sorted({int(example.class_ids[n]) for example, n in chosen})
    ids = [used.index(int(example.class_ids[n])) for example, n in chosen]
    what = f"Some objects are not cut out: {why}."
    problems = [Problem("info", what, file=dataset.name, got=left_out)] if len(chosen) < len(found) else []
    fingerprint = _digest(_described(example, n) for example, n in chosen)
    classes = [dataset.classes[i] for i in used]
    return Cutouts(classes, ids, lambda number: cut(*chosen[number]), fingerprint, problems)


def _whole(example, n: int) -> bool:
    height, width = example.size
    top, left, bottom, right = example.boxes[n] * [height, width, height, width]
    inside = min(top, left, height - bottom, width - right) >= 1
    large = min(bottom - top, right - left) >= _SMALLEST
    return bool(inside and large and not example.crowd[n] and not example.difficult[n])


def _described(example, n: int) -> str:
    name = example.image.name if isinstance(example.image, Path) else example.label
    segmentation = example.segmentations[n] if example.segmentations else None
    return f"{name} {example.size} {example.boxes[n].tolist()} {example.class_ids[n]} {segmentation}"
