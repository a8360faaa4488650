"""Writing a synthetic dataset picture by picture, so that what was interrupted goes on where it stopped."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from detkit.data import formats
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.data.formats.lost import lost
from detkit.data.problems import Problem
from detkit.data.synthesis.scenes import Picture
from detkit.errors import ConfigError
from detkit.io import atomic_write, make_directory
from detkit.progress import progress

_JOURNAL = ".synthesis.jsonl"  # the settings, then what is in each picture that is written
_TARGETS = {
    "coco": "annotations.json",
    "csv": "annotations.csv",
    "cvat": "annotations.xml",
    "labelme": "annotations",
    "masks": "",
    "openimages": "annotations.csv",
    "tfrecord": "annotations.record",
    "voc": "annotations",
    "yolo": "",
}
_SHEET, _SHOWN_AT = 12, 400  # pictures on the contact sheet, and about how many pixels wide or high at least
_THREADS = min(os.cpu_count() or 1, 8)


def write_set(
    output,
    count: int,
    draw: Callable[[int], Picture],
    classes: tuple[str, ...],
    settings: dict,
    format: str = "coco",
    encoding: str = "jpeg",
    overwrite: bool = False,
    show_progress: bool | None = None,
    problems: tuple[Problem, ...] = (),
) -> Dataset:
    """Write images/, their annotation and sheet.png, which shows the first of them with what is in them.

    Where `output` holds a part of the same set, only what is missing is drawn.

    Args:
        output: the folder; made if it isn't there.
        count: how many pictures.
        draw: the picture of a number; of nothing but the number, whatever was drawn before.
        classes: the class names.
        settings: what the pictures depend on, for JSON.
        format: of the annotation, as of `detkit.data.write`.
        encoding: "jpeg" or "png".
        overwrite: whether files may be there that are not of this set; pictures of other settings are deleted.
        show_progress: as for `detkit.progress.progress`.
        problems: what the dataset shall tell.

    Raises:
        ConfigError: if an argument is wrong, the folder can't be written, or it holds other files.
    """
    _check(count, format, encoding)
    output = make_directory(output)
    settings = json.loads(json.dumps(settings | {"encoding": encoding, "classes": classes}))
    journal = _Journal(output, settings, overwrite)
    missing = [number for number in range(count) if number not in journal.records]
    for number, record in _written(output / "images", missing, draw, encoding, show_progress):
        journal.add(number, record)
    examples = [_example(output / "images", number, journal.records[number]) for number in range(count)]
    dataset = Dataset(examples, classes, name=output.name)
    formats.named(format).write(dataset, output / _TARGETS[format])
    write_sheet(dataset, output / "sheet.png")
    return replace(dataset, problems=(*problems, *_lost(dataset, format)))


def _lost(dataset: Dataset, format: str) -> list[Problem]:
    """What the format can't hold; labels of pictures say no more than the classes of the boxes."""
    unlabelled = [replace(example, image_labels=None) for example in dataset]
    return lost(replace(dataset, examples=unlabelled), format)


def _check(count: int, format: str, encoding: str) -> None:
    if format not in _TARGETS:
        what, expected = "Synthetic pictures are not annotated so.", ", ".join(_TARGETS)
        raise ConfigError(what, where="format", got=format, expected=expected)
    if int(count) != count or count < 1:
        fix = "Ask for one picture or more."
        raise ConfigError("There are no pictures to make.", where="count", got=count, expected="1 or more", fix=fix)
    if encoding not in _OPTIONS:
        expected = " or ".join(_OPTIONS)
        raise ConfigError("Pictures are not written so.", where="encoding", got=encoding, expected=expected)


class _Journal:
    """The record of the pictures in a folder, {number: record}, kept in a file there."""

    def __init__(self, output: Path, settings: dict, overwrite: bool):
        self.path = output / _JOURNAL
        found, records = _read(self.path)
        if not overwrite:
            _check_same(output, found, settings)
        if found != settings:
            for record in records.values():
                (output / record["file"]).unlink(missing_ok=True)
        self.records = {number: record for number, record in records.items() if (output / record["file"]).is_file()}
        with atomic_write(self.path) as file:
            for line in (settings, *self.records.values()):
                file.write(json.dumps(line) + "\n")

    def add(self, number: int, record: dict) -> None:
        self.records[number] = record
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def _read(path: Path) -> tuple[dict | None, dict[int, dict]]:
    """The settings and the records of a journal; its last line may be cut short."""
    if not path.is_file():
        return None, {}
    lines = []
    with suppress(ValueError):
        lines += (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return (lines[0], {record["number"]: record for record in lines[1:]}) if lines else (None, {})


def _check_same(output: Path, found: dict | None, settings: dict) -> None:
    fix = "Give another folder, or overwrite what is there (overwrite=True, --overwrite)."
    if found is None and any(output.iterdir()):
        raise ConfigError("There are other files in this folder.", where=output, expected="an empty folder", fix=fix)
    if found is not None and found != settings:
        names = [name for name in {**settings, **found} if settings.get(name) != found.get(name)]
        told = [", ".join(f"{name} {each.get(name)}" for name in names) for each in (settings, found)]
        what = "This folder holds pictures that were made in another way."
        raise ConfigError(what, where=output, got=told[0], expected=f"{told[1]}, as before", fix=fix)


def _written(folder: Path, numbers: list[int], draw, encoding: str, show: bool | None) -> Iterator[tuple[int, dict]]:
    """The number and the record of each picture in turn, when it is written."""
    pool = ThreadPoolExecutor(_THREADS)  # numpy and Pillow let others run while they work
    try:
        done = pool.map(lambda number: _save(folder, number, draw(number), encoding), numbers)
        yield from progress(zip(numbers, done, strict=True), total=len(numbers), description="pictures", show=show)
    finally:
        pool.shutdown(cancel_futures=True)


_OPTIONS = {"jpeg": ("JPEG", ".jpg", {"quality": 93}), "png": ("PNG", ".png", {})}


def _save(folder: Path, number: int, picture: Picture, encoding: str) -> dict:
    from PIL import Image

    kind, ending, options = _OPTIONS[encoding]
    encoded = io.BytesIO()
    Image.fromarray(picture.pixels).save(encoded, kind, **options)
    path = folder / f"{number:06d}{ending}"
    with atomic_write(path, "wb") as file:
        file.write(encoded.getbuffer())
    record = {"number": number, "file": f"{folder.name}/{path.name}", "size": list(picture.pixels.shape[:2])}
    return record | {name: value for name, value in picture._asdict().items() if name != "pixels"}


def _example(folder: Path, number: int, record: dict) -> Example:
    """What is in a picture; areas are those of the visible pixels."""
    boxes, size = np.array(record["boxes"], np.float64).reshape(-1, 4), record["size"]
    return Example(
        folder.parent / record["file"],
        boxes / np.tile(size, 2),
        record["class_ids"],
        size,
        area=record["areas"],
        segmentations=record["segmentations"],
        image_labels=record["image_labels"],
        image_id=number + 1,
    )


def write_sheet(dataset: Dataset, path: Path) -> None:
    """Write a picture of the first examples with what is in them."""
    from detkit.visualize.draw import draw_truth
    from detkit.visualize.sheet import contact_sheet, save

    shown = []
    for example in dataset[:_SHEET]:
        times = max(round(_SHOWN_AT / max(example.size)), 1)  # enlarged, where lines and letters would hide all
        pixels = example.pixels().repeat(times, 0).repeat(times, 1)
        shown.append(draw_truth(pixels, example, dataset.classes))
    save(contact_sheet(shown, columns=4), path)
