"""The class names of a finished graph: its assets, a label map beside it, or COCO's."""

from __future__ import annotations

from pathlib import Path

from detkit.data import labelmap
from detkit.errors import DataError
from detkit.zoo.coco_classes import COCO_CLASSES

COCO_COLUMNS = (None, 90, 91)  # numbers of score columns, without and with background; None: the graph does not say


def resolve(directory: Path, columns: int | None) -> dict[int, str]:
    """{label-map id: class name}, without gaps, of the SavedModel in a directory.

    Args:
        columns: of its table of scores, None if it does not say.
    """
    names = _beside(directory)
    if names is None:
        names = COCO_CLASSES if columns in COCO_COLUMNS else {i: f"class {i}" for i in range(1, columns + 1)}
    return {i: names.get(i, f"unused {i}") for i in range(1, max(names) + 1)}


def _beside(directory: Path) -> dict[int, str] | None:
    """The first label map among the assets of a SavedModel, and then beside it."""
    places = [directory / "assets", directory]
    if directory.name == "saved_model":  # as in the archives of the zoo
        places.append(directory.parent)
    paths = (path for place in places for path in sorted(place.glob("*.pbtxt")))
    return next(filter(None, map(_names, paths)), None)


def _names(path: Path) -> dict[int, str] | None:
    """The label map that a file holds, None if it is something else."""
    try:
        return labelmap.read(path)
    except DataError:
        return None


def names_beside(directory: Path) -> tuple[str, ...]:
    """The class names that a label map in or beside a SavedModel lists, in the order of their ids; () without one."""
    names = _beside(directory)
    return tuple(names[i] for i in sorted(names)) if names else ()
