"""What the annotation formats share: collecting problems, finding pictures, checking boxes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path, PureWindowsPath

import numpy as np

from detkit import boxes as box_math
from detkit.data import images
from detkit.data.example import Example
from detkit.data.problems import Problem, problem_of
from detkit.errors import DataError, DetkitError, MediaError

ROUNDING = 1.001  # pixels that a box may stick out: annotation tools round, and count from 0 or 1
_A_PIXEL = 0.95  # that a box sticks out when it was counted from another number
_ENOUGH = 5  # such boxes; fewer may be chance
_repairing: ContextVar[str | None] = ContextVar("repairing", default=None)


@contextmanager
def repairing(own_sizes: bool = False) -> Iterator[None]:
    """While it is open, readers put swapped corners in order instead of refusing the box.

    Args:
        own_sizes: believe the sizes of the picture files, not those of the annotations.
    """
    token = _repairing.set("own sizes" if own_sizes else "annotated sizes")
    try:
        yield
    finally:
        _repairing.reset(token)


class Report:
    """The problems of one annotation file or folder, in the order they are found."""

    def __init__(self, file):
        self.file = str(file)
        self.problems: list[Problem] = []

    def add(self, severity: str, what: str, **parts) -> None:
        """Note a problem; `parts` are the other fields of Problem."""
        self.problems.append(Problem(severity, what, **{"file": self.file, **parts}))

    def add_error(self, error: DetkitError, **place) -> None:
        """Note what an exception tells of; `place` are the fields `file`, `image` and `box`, if they are known."""
        self.problems.append(problem_of(error, **{"file": self.file, **place}))


class Pictures:
    """Finds picture files by name in a list of folders.

    Args:
        folders: where to look, best first; those that don't exist are passed over.
        images: a folder that the user names, which replaces the others; or False, not to look at all.

    Raises:
        DataError: if `images` is not a folder.
    """

    def __init__(self, folders: Iterable[Path], images=None):
        folders = list(dict.fromkeys(folders))
        self.search = images is not False
        self._named = images is not None
        self._moved: dict[Path, str] = {}  # files, and the names that they were found for by their ends
        if images is not None and images is not False:
            folders = [Path(images)]
            if not folders[0].is_dir():
                raise DataError(
                    "The folder of pictures is not there.",
                    where=images,
                    expected="a directory",
                    fix="Give the folder that holds the pictures.",
                )
        self.folders = [folder for folder in folders if folder.is_dir()] or folders[:1]

    def find(self, *names: str) -> Path | None:
        """The first of these files that is in one of the folders; without searching, where it would be.

        Paths of another computer, and relative ones if the user names the folder, may be there by their last parts.
        """
        names = [name for given in names for name in _spellings(given)]
        if not self.search:
            return self.folders[0] / names[0]
        for name in names:
            for number, folder in enumerate(self.folders):
                if _is_file(folder / name):
                    self.folders.insert(0, self.folders.pop(number))  # the next one is likely there as well
                    return folder / name
        return next(filter(None, map(self._find_moved, names)), None)

    def _find_moved(self, name: str) -> Path | None:
        """The file that ends like this path, unless it was found for another: equal names needn't be one picture."""
        parts = PureWindowsPath(name).parts  # which takes slashes of both kinds
        if not (self._named or PureWindowsPath(name).anchor):
            return None
        ends = (folder.joinpath(*parts[i:]) for i in range(1, len(parts)) for folder in self.folders)
        file = next(filter(_is_file, ends), None)
        return file if file and self._moved.setdefault(file, name) == name else None

    def report_missing(self, missing: list[str], total: int, report: Report) -> None:
        """Note the pictures that were not found: one by one, or all together."""
        looked = "in " + ", ".join(sorted(str(folder) for folder in self.folders))
        fix = "Name their folder (--images, data.images in a pipeline, images= in Python), or put them there."
        if len(missing) == total > 1:
            what = f"None of the {total} pictures was found."
            report.add("error", what, image=missing[0], got=f"looked {looked}", expected="picture files", fix=fix)
            return
        for name in missing:
            report.add("error", "A picture is missing.", image=name, got=f"looked {looked}", fix=fix)


def _spellings(name: str) -> tuple[str, ...]:
    """A file's name as it is given, and with forward slashes."""
    return (name, name.replace("\\", "/")) if "\\" in name else (name,) if name else ()


def _is_file(path: Path) -> bool:
    try:
        return os.path.isfile(path)
    except ValueError:  # a NUL in the name
        return False


def picture_size(annotated, path: Path, report: Report, file=None) -> tuple[int, int] | None:
    """The annotation's (height, width), or where it gives none the picture's own; None after a problem."""
    height, width = annotated
    if type(height) is type(width) is int:
        whole = 0 < height < 1e6 and 0 < width < 1e6
    else:
        whole = all(isinstance(side, int | float) and 0 < side < 1e6 and side == int(side) for side in annotated)
    believed = whole and _repairing.get() != "own sizes"
    if believed and annotated[0] * annotated[1] <= images.MAX_PIXELS:  # a larger one can't be read anyway
        return int(annotated[0]), int(annotated[1])
    parts = {"file": str(file)} if file else {}
    try:
        return images.size(path)
    except MediaError as error:
        what = "The annotation lacks the picture's size, and the picture can't be read for it."
        report.add(
            "error",
            what,
            image=str(path),
            got=f"{error.what} {error.got}",
            expected="width and height",
            fix=error.fix,
            **parts,
        )
    return None


def check_boxes(
    corners: np.ndarray, sizes: np.ndarray, report: Report, describe: Callable[[int], dict]
) -> tuple[np.ndarray, np.ndarray]:
    """Normalise boxes; note and mark those that can't be used; cut those that stick out.

    Args:
        corners: float64 [N, 4], [xmin, ymin, xmax, ymax] in pixels.
        sizes: [N, 2], (height, width) of each box's image.
        report: takes an error for each box that is not finite, swapped, without area or outside its image,
            and a warning for each that sticks out by more than a pixel.
        describe: what a problem shall say of box i: its fields `image`, `box`, `got`, and others.

    Returns:
        float32 [N, 4], normalised yxyx and inside 0..1 where usable, and bool [N], which boxes are usable.
    """
    limits = np.asarray(sizes, np.float64).reshape(-1, 2)[:, ::-1]  # [N, 2] width, height
    if _repairing.get():
        corners = _in_order(corners, report, describe)
    low, high = corners[:, :2], corners[:, 2:]
    with np.errstate(invalid="ignore", over="ignore"):
        finite = np.isfinite(corners).all(-1)
        out = np.maximum(-low, high - limits).max(-1)  # [N] pixels beyond an edge
        normalised = np.clip(corners / np.tile(limits, 2), 0, 1)[:, [1, 0, 3, 2]].astype(np.float32)
        faults = [
            ("A box has a coordinate that is not a finite number.", ~finite),
            ("The corners of a box are swapped.", (high < low).any(-1)),
            ("A box has no area.", (high == low).any(-1)),
            ("A box lies outside its image.", ((high <= 0) | (low >= limits)).any(-1)),
            ("A box has no area.", ~box_math.valid(normalised)),  # nor has what is too thin for float32
        ]
    usable = np.ones(len(corners), bool)
    for what, found in faults:
        for i in np.flatnonzero(found & usable):
            report.add("error", what, **_advice(what, sizes[i]), **describe(i))
        usable &= ~found
    for i in np.flatnonzero(usable & (out > ROUNDING)):
        what = f"A box stuck out of its image by {out[i]:.4g} pixels and was cut at the edge."
        report.add("warning", what, **_advice("A box lies outside its image.", sizes[i]), **describe(i))
    by_one = np.flatnonzero(usable & (out > _A_PIXEL) & (out <= ROUNDING))
    if by_one.size >= _ENOUGH:
        what = f"{by_one.size} boxes stuck out of their images by a pixel and were cut at the edge."
        fix = "Nothing, if a pixel doesn't matter; the tool that made them seems to count pixels from another number."
        report.add("info", what, **_advice("outside", sizes[by_one[0]]) | {"fix": fix}, **describe(by_one[0]))
    return normalised, usable


def _in_order(corners: np.ndarray, report: Report, describe: Callable[[int], dict]) -> np.ndarray:
    """Corners [N, 4] with the smaller coordinates first; a warning for each box where they were not."""
    low, high = np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])
    ordered = np.concatenate([low, high], -1)  # NaN where a corner is not a number
    for i in np.flatnonzero((low < high).all(-1) & (ordered != corners).any(-1)):
        report.add("warning", "The corners of a box were swapped and were put in order.", **describe(i))
    return np.where(np.isfinite(corners).all(-1, keepdims=True), ordered, corners)


def _advice(what: str, size) -> dict:
    """What was expected instead of a faulty box, and what to do."""
    area = "xmin < xmax and ymin < ymax, in pixels"
    inside = f"inside the image of {int(size[1])} x {int(size[0])} (width x height)"
    expected = inside if "outside" in what else "four numbers" if "finite" in what else area
    if "outside" in what:
        fix = "Check that the box belongs to this image, and that the image was not resized since."
    else:
        fix = "Draw the box again, or delete it."
    return dict(expected=expected, fix=fix)


def annotated_path(example: Example, folder: Path) -> str:
    """How an annotation file in `folder` names a picture: relative, with forward slashes.

    Raises:
        DataError: for an image that is an array in memory.
    """
    if not isinstance(example.image, Path):
        raise DataError(
            "This picture has no file that an annotation could name.",
            where=example.label,
            got="an array" if isinstance(example.image, np.ndarray) else "a picture inside another file",
            expected="the path of a picture",
            fix="Save the picture first.",
        )
    try:
        return Path(os.path.relpath(example.image, folder)).as_posix()
    except ValueError:  # another drive
        return example.image.absolute().as_posix()
