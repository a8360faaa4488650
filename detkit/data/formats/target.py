"""Where a dataset is written: nothing that is there is replaced unasked."""

from __future__ import annotations

import re
from pathlib import Path

from detkit.data.formats import FILES
from detkit.errors import ConfigError


def check_target(target: Path, source: Path, format: str, overwrite: bool) -> None:
    """Look before a dataset is read and written.

    Args:
        target: where it shall be written, in this format.
        source: where it is read from.
        format: the name of a format.
        overwrite: whether files that are there may be replaced; never those of the source.

    Raises:
        ConfigError: if the target is the source, or there is something already.
    """
    sharded = re.fullmatch(r"(.+)@(\d{1,4})", target.name) if format == "tfrecord" else None
    first = target.with_name(f"{sharded[1]}-00000-of-{int(sharded[2]):05}") if sharded else target
    if not first.exists():
        return
    if format in FILES and source.exists() and first.samefile(source):
        what, fix = "The dataset would be written over itself.", "Name another file: nothing is changed in place."
        raise ConfigError(what, where=target, fix=fix)
    if not overwrite and not (first.is_dir() and format not in FILES and next(first.iterdir(), None) is None):
        got = "a folder with files in it" if first.is_dir() else "a file"
        fix = "Name another target, or replace what is there (--overwrite)."
        raise ConfigError("There is something at the target already.", where=target, got=got, fix=fix)
