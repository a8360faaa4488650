"""Writing files so that a reader never sees half of one, and JSON with errors one can act on."""

from __future__ import annotations

import codecs
import errno
import json
import os
import zipfile
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path

from detkit.errors import ConfigError, DataError

_ADVICE = {
    errno.EACCES: "Choose a directory you may write to, or change its permissions.",
    errno.EPERM: "Choose a directory you may write to, or change its permissions.",
    errno.EROFS: "This file system is read-only: choose a directory elsewhere.",
    errno.ENOSPC: "The disk is full: free some space or choose a directory on another disk.",
    errno.EDQUOT: "Your disk quota is used up: free some space or choose a directory on another disk.",
    errno.ENOTDIR: "Part of this path is a file: choose another path, or move that file away.",
    errno.EEXIST: "Part of this path is a file: choose another path, or move that file away.",
    errno.EISDIR: "This path is a directory: give the path of a file.",
    errno.ENAMETOOLONG: "Choose a shorter file name.",
}


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        "Can't write here.",
        where=path,
        got=error.strerror,
        expected="a path that can be written",
        fix=_ADVICE.get(error.errno, "Choose another path."),
    )


def make_directory(path) -> Path:
    """Create a directory and its parents, or find it there; ConfigError with advice where that fails."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


@contextmanager
def atomic_write(path, mode: str = "w", sync: bool = True):
    """Open a file that appears under its name only when it is complete, on disk and closed.

    Missing parent directories are made. When the body raises, nothing is left behind and a file that
    was there before stays as it was.

    Args:
        path: where the file shall be.
        mode: "w" for text (UTF-8, "\\n" line ends) or "wb" for bytes.
        sync: whether to wait until it is on disk; takes milliseconds, which add up where each picture has a file.

    Raises:
        ConfigError: if the path can't be written, the disk is full, or the like.
    """
    path = Path(path)
    make_directory(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    # What UTF-8 can't hold, such as file names in another encoding, is escaped; in JSON that means the same.
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n", "errors": "backslashreplace"}
    try:
        with open(temporary, mode, **text) as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        ours = error.errno and error.filename in (None, str(temporary), str(path))
        raise (_unwritable(path, error) if ours else error) from error
    finally:
        with suppress(OSError):
            os.unlink(temporary)


@contextmanager
def growing_file(path, mode: str = "w"):
    """Open a file that others may read while it grows; otherwise as `atomic_write`, but it is kept on failure.

    Args:
        path: where the file is.
        mode: "w" for text, "ab" for bytes behind those that are there.

    Raises:
        ConfigError: if the path can't be written, the disk is full, or the like.
    """
    path = Path(path)
    make_directory(path.parent)
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n", "errors": "backslashreplace"}
    try:
        with open(path, mode, **text) as file:
            yield file
    except OSError as error:
        ours = error.errno and error.filename in (None, str(path))
        raise (_unwritable(path, error) if ours else error) from error


def write_json(path, value, sync: bool = True) -> None:
    """Write a value as indented JSON, all at once; otherwise as `atomic_write`."""
    with atomic_write(path, sync=sync) as file:
        json.dump(value, file, indent=1, ensure_ascii=False)
        file.write("\n")


def read_json(path):
    """The value in a JSON file.

    Raises:
        DataError: if there is no such file, it is a directory or empty, or it isn't JSON; the message then
            has the line and the column.
    """
    return parse_json(json_text(path), path)


def encoding(path) -> str:
    """The encoding of a text file: UTF-16 with a byte order mark, as Windows writes it, otherwise UTF-8."""
    with open(path, "rb") as file:
        return "utf-16" if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def json_text(path) -> str:
    """What stands in a JSON file; DataError if there is no such file, or nothing in it."""
    path = Path(path)
    try:
        text = path.read_text(encoding=encoding(path))
    except (OSError, UnicodeError) as error:
        raise DataError("Can't read this JSON file.", **unreadable(path, error)) from error
    if not text or text.isspace():
        raise DataError("The file is empty.", where=path, expected="JSON", fix="Export or download it again.")
    return text


def parse_json(text: str, path):
    """The value in the text of a JSON file; DataError with line and column if it isn't JSON."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where, got = f"{path}, line {error.lineno}, column {error.colno}", error.msg
    except (ValueError, RecursionError) as error:
        where, got = path, str(error)
    fix = "Correct it there, or export the file again; a file cut short often ends in mid-list."
    raise DataError("This is not valid JSON.", where=where, got=got, expected="JSON", fix=fix)


def unreadable(path: Path, error: Exception) -> dict:
    """The parts of the message about a file that can't be opened: where, got, expected and fix."""
    if isinstance(error, UnicodeDecodeError):
        return dict(
            where=path,
            got=f"byte {error.start} is not {error.encoding.upper()}",
            expected="UTF-8 text",
            fix="Save the file as UTF-8.",
        )
    if path.is_dir():
        return dict(where=path, got="a directory", expected="a file", fix="Give the path of a file in it.")
    if isinstance(error, FileNotFoundError):
        here = next((p for p in path.absolute().parents if p.is_dir()), Path("/"))
        return dict(
            where=path,
            got="no such file",
            expected="a file",
            fix=f"Check the path; the part of it that exists is {here}.",
        )
    got = getattr(error, "strerror", None) or str(error)
    return dict(where=path, got=got, expected="a file that can be read", fix="Check the path and permissions.")


def read_arrays(path) -> dict:
    """{name: array} of a .npz file, without pickle.

    Raises:
        ValueError: if the file is damaged, empty, or holds anything but arrays; OSError if it can't be opened.
    """
    import numpy as np

    # Opened here, since numpy leaves a broken archive open when it is given a path.
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        except (EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(str(error) or "an empty file") from None
