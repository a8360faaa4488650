"""Saving pictures that are no files of their own, so that an annotation can name them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.data.formats.assemble import refuse_to_replace
from detkit.data.formats.tfrecord_write import picture_bytes
from detkit.io import atomic_write
from detkit.progress import progress


def save_pictures(data: Dataset, folder) -> Dataset:
    """The same dataset, with each picture inside another file or in memory saved as a file in a folder.

    Args:
        data: the dataset.
        folder: where the pictures shall be; they keep their names, numbered where two are the same.

    Raises:
        MediaError: if a picture can't be read.
        DataError: if another picture of that name is there.
        ConfigError: if the folder can't be written.
    """
    folder, used, examples = Path(folder), set(), []
    with progress(total=len(data), description="pictures") as bar:
        for number, example in enumerate(data):
            examples.append(example if isinstance(example.image, Path) else _saved(example, folder, number, used))
            bar.update()
    return replace(data, examples=tuple(examples))


def _saved(example: Example, folder: Path, number: int, used: set[str]) -> Example:
    content, kind = picture_bytes(example)
    name = Path(str(getattr(example.image, "name", "")).replace("\\", "/")).stem or f"picture_{number:06}"
    name = re.sub(r'[\x00-\x1f<>:"/\\|?*]', "_", name)[:120]
    stem, count = name, 1
    while stem.lower() in used:
        count += 1
        stem = f"{name}_{count}"
    used.add(stem.lower())
    file = folder / f"{stem}.{'jpg' if kind == 'jpeg' else kind}"
    if file.exists() and file.read_bytes() != content:
        refuse_to_replace(file, example.label)
    with atomic_write(file, "wb", sync=False) as out:
        out.write(content)
    return replace(example, image=file)
