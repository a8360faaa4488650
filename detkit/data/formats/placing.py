"""Putting the pictures of a dataset into a folder of its own, as links where that is possible."""

from __future__ import annotations

import filecmp
import os
import shutil
from pathlib import Path

from detkit.data.example import Example
from detkit.data.formats.assemble import refuse_to_replace
from detkit.errors import ConfigError, DataError
from detkit.io import make_directory


def place(example: Example, target: Path) -> None:
    """Link a picture file, or copy it.

    Raises:
        DataError: if the picture is missing, or another one is there already.
        ConfigError: if the target can't be written.
    """
    make_directory(target.parent)
    source = Path(os.path.abspath(example.image))
    if not source.is_file():
        what, fix = "A picture is missing.", "Restore it, or leave out what is annotated in it."
        raise DataError(what, where=source, got="no such file", expected="a picture to link to", fix=fix)
    if target.exists() and filecmp.cmp(target, source, shallow=False):
        return
    if target.exists() and not target.is_symlink():
        refuse_to_replace(target, source)
    try:
        target.unlink(missing_ok=True)  # a link that leads elsewhere
        try:
            target.symlink_to(source)
        except OSError:  # a file system, or a Windows, that allows no links
            shutil.copyfile(source, target)
    except OSError as error:
        got, fix = error.strerror or str(error), "Write to a folder where files can be made."
        raise ConfigError("Can't put a picture here.", where=target, got=got, fix=fix) from error
