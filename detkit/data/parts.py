"""Writing the parts of a dataset to files that can be read again, and a table of what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from detkit.data import formats
from detkit.data.dataset import Dataset
from detkit.data.formats.extract import save_pictures
from detkit.data.formats.lost import lost
from detkit.data.formats.placing import place
from detkit.data.problems import Problem
from detkit.errors import ConfigError, DataError
from detkit.text import aligned

_ROWS = 40  # of a table


def write(parts: Mapping[str, Dataset], folder, format: str) -> tuple[dict[str, Path], list[Problem]]:
    """Write datasets of the same classes into a folder, each as a file or folder of its name.

    Pictures stay where they are and are named or linked; those that are no files are saved in images/.

    Args:
        parts: the datasets by name.
        folder: where they shall be.
        format: as for `detkit.data.write`.

    Returns:
        The path of each, and a warning for each kind of thing that the format can't hold.

    Raises:
        ConfigError: if there is one of that name already, or it can't be written.
        DataError: if the format can't hold them, or a picture can't be linked.
    """
    module, folder = formats.named(format), Path(folder)
    paths = {name: folder / f"{name}{formats.FILES.get(format, '')}" for name in parts}
    for path in paths.values():
        if path.exists():
            fix = "Name a new directory, or delete this one."
            raise ConfigError("There is a part of this name already.", where=path, expected="nothing there", fix=fix)
    whole = replace(next(iter(parts.values())), examples=tuple(e for part in parts.values() for e in part))
    examples = iter(whole if format in formats.WITH_PICTURES else save_pictures(whole, folder / "images"))
    for name, part in parts.items():
        part = replace(part, examples=tuple(next(examples) for _ in part))
        if format == "openimages":  # which tells no more than the name of a picture
            _place_by_name(part, folder / name)
        module.write(part, paths[name])
    return paths, lost(whole, format)


def _place_by_name(part: Dataset, folder: Path) -> None:
    for example in part:
        if not len(example):
            continue
        target = folder / example.image.name
        if target.is_symlink() or target.exists():
            raise DataError("Two pictures have the same name.", where=target, got=example.label, fix="Rename one.")
        place(example, target)


def table(parts: Mapping[str, Dataset]) -> str:
    """How many pictures, and how many boxes and labelled pictures of each class, are in each part, as text."""
    classes = next(iter(parts.values())).classes
    counts = np.stack([_counts(part) for part in parts.values()], 1)  # [C, parts]
    order = np.argsort(-counts.sum(1), kind="stable")[:_ROWS]
    rows = [("", *parts), ("images", *(str(len(part)) for part in parts.values()))]
    rows += [(classes[c], *map(str, counts[c])) for c in order]
    if len(classes) > _ROWS:
        rest = counts.sum(0) - counts[order].sum(0)
        rows.append((f"{len(classes) - _ROWS} more classes", *map(str, rest)))
    return aligned(rows)


def _counts(part: Dataset) -> np.ndarray:
    """int [C]: the boxes, crowd regions and difficult objects included, and labelled pictures of each class."""
    ids = [np.zeros(0, np.int32), *(ids for each in part for ids in (each.class_ids, each.image_labels))]
    return np.bincount(np.concatenate(ids), minlength=len(part.classes))
