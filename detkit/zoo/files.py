"""What the cache's writers share: file-system errors with advice, digests, and a lock between processes."""

from __future__ import annotations

import errno
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from detkit.errors import DetkitError

MOVE_CACHE = "or set the environment variable DETKIT_CACHE to a directory elsewhere."


class DownloadError(DetkitError):
    """A model that could not be brought into the cache."""


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turns an OSError of the block into a DownloadError that says what to do about `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full(path) from error
        raise DownloadError(
            "A file of the model cache can't be read or written.",
            where=error.filename or path,
            got=error.strerror or error,
            fix=f"Check the directory's permissions, {MOVE_CACHE}",
        ) from error


def disk_full(path: Path, got: str | None = None, expected: str | None = None) -> DownloadError:
    """The error of a disk without room for `path`."""
    return DownloadError(
        "The disk is full.", where=path, got=got, expected=expected, fix=f"Free some space, {MOVE_CACHE}"
    )


def sha256(path: Path) -> str:
    """The SHA-256 digest of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def locked(path: Path, timeout: float = 3600.0) -> Iterator[None]:
    """Holds the lock file at `path`, waiting up to `timeout` seconds for other processes.

    The lock belongs to the open file, so a killed process leaves none behind.

    Raises:
        DownloadError: another process held the lock all that time.
    """
    with file_errors(path), open(path, "ab") as file:
        deadline = time.monotonic() + timeout
        while not _try_lock(file):
            if time.monotonic() >= deadline:
                raise DownloadError(
                    "Another process is still fetching this model.",
                    where=path,
                    got=f"no end after {timeout:g} s",
                    fix="Wait for it or end it, then run again: the download resumes.",
                )
            time.sleep(min(0.2, timeout))
        yield


def _try_lock(file) -> bool:
    try:
        import fcntl
    except ImportError:
        return _try_lock_windows(file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _try_lock_windows(file) -> bool:
    import msvcrt

    file.seek(0)
    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except PermissionError:
        return False
    return True
