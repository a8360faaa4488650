"""Finished views that are made once: kept in memory, or as files of a folder."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import numpy as np

from detkit import io
from detkit.data.batches import Views
from detkit.data.encoded import EncodedImage
from detkit.data.sample import View
from detkit.errors import DataError

_NOTE = "cache.json"


class ViewCache:
    """What `make(index)` gives, made once for each photo.

    Args:
        make: index -> the view of a photo, which must always be the same.
        views: whose views they are.
        size_of: (height, width) of a photo -> that of the view.
        place: "memory", or the folder of the files; it is made where it is not there.

    Raises:
        DataError: if the folder holds views of other photos, annotations or sizes.
        ConfigError: if it can't be written.
    """

    def __init__(self, make, views: Views, size_of, place):
        self._make, self._kept, self._folder = make, {}, None
        if place != "memory":
            self._folder = io.make_directory(place)
            _check_folder(self._folder, _fingerprint(views, size_of))

    def __call__(self, index: int) -> View:
        if self._folder is None:
            if index not in self._kept:
                self._kept[index] = self._make(index)
            return self._kept[index]
        file = self._folder / f"{index:08}.npz"
        try:
            return View(**io.read_arrays(file))
        except (OSError, ValueError):  # not made yet, or only half written
            view = self._make(index)
        _write(file, {name: value for name, value in view._asdict().items() if value is not None})
        return view


def _write(file: Path, arrays: dict) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    with open(temporary, "wb") as stream:  # without waiting for the disk: what is lost is made again
        np.savez(stream, **arrays)
    os.replace(temporary, file)


def _check_folder(folder: Path, fingerprint: str) -> None:
    note = folder / _NOTE
    if not note.exists():
        io.write_json(note, {"fingerprint": fingerprint})
    elif io.read_json(note) != {"fingerprint": fingerprint}:
        raise DataError(
            "This cache is of other photos, annotations or sizes.",
            where=folder,
            fix="Delete the folder, or name another one.",
        )


def _fingerprint(views: Views, size_of) -> str:
    """A hash of all that decides what the views are."""
    digest = hashlib.sha256(repr((views.wants, views.dataset.classes)).encode())
    for example in views.dataset:
        class_map = example.class_map if "semantic" in views.wants else None
        shapes = example.segmentations if {"masks", "semantic"} & set(views.wants) else None
        facts = (_content(example.image), example.size, tuple(size_of(example.size)), shapes)
        digest.update(repr(facts).encode())
        if class_map is not None:
            digest.update(repr((_content(getattr(class_map, "image", class_map)), str(class_map))).encode())
        for name in ("boxes", "class_ids", "crowd", "difficult", "image_labels", "keypoints", "keypoint_visibility"):
            digest.update(b"" if getattr(example, name) is None else getattr(example, name).tobytes())
    return digest.hexdigest()


def _content(image):
    """What changes with a picture: its place, its file's size and when it was written."""
    if isinstance(image, np.ndarray):
        return hashlib.sha256(image.tobytes()).hexdigest()
    try:
        status = os.stat(image.file if isinstance(image, EncodedImage) else image)
    except OSError:  # to be told when the picture is wanted
        return repr(image)
    return repr(image), status.st_size, status.st_mtime_ns
