"""Unpacking a .tar.gz that may be hostile: plain files and folders only, inside, bounded, all or nothing."""

from __future__ import annotations

import gzip
import re
import shutil
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from detkit.errors import CheckpointError
from detkit.zoo.files import file_errors

CHUNK = 1 << 20
# What tarfile lets through when the headers themselves are nonsense.
_PARSING = (ValueError, OverflowError, RecursionError)
FIX = "Don't use this archive; get it from the publisher, or from another mirror."


@dataclass(frozen=True)
class Bounds:
    """How much an archive may hold.

    Args:
        max_bytes: the bytes it may unpack to.
        max_files: the number of files and folders.
        max_ratio: unpacked bytes for each byte of the archive; weights hardly compress, bombs do.
        free_bytes: unpacked bytes for which the ratio is not looked at.
    """

    max_bytes: int = 8 << 30
    max_files: int = 10_000
    max_ratio: float = 50.0
    free_bytes: int = 16 << 20


def unpack(archive: Path, directory: Path, required: Sequence[str] = (), bounds: Bounds | None = None) -> None:
    """Unpacks a .tar.gz so that `directory` holds its files, less the folder that they all lie in.

    It is unpacked beside `directory` and renamed at the end, so a directory that is there is whole.

    Args:
        archive: the .tar.gz file.
        directory: the directory to make; one that is there is replaced.
        required: names that must be in it.
        bounds: how much it may hold; None takes the defaults.

    Raises:
        CheckpointError: the archive is damaged, lacks a required name, holds too much, or a member is a
            link, a device or a path that leads out.
        DownloadError: the disk is full or can't be written.
    """
    temporary = directory.with_name(directory.name + ".unpacking")
    with file_errors(directory):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            _extract(archive, temporary, bounds or Bounds())
            root = _root(temporary)
            _check_required(root, archive, required)
            shutil.rmtree(directory, ignore_errors=True)
            root.rename(directory)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _extract(archive: Path, target: Path, bounds: Bounds) -> None:
    try:
        with open(archive, "rb") as file, gzip.GzipFile(fileobj=file) as stream:
            bounded = _Bounded(stream, archive, bounds)
            with tarfile.open(fileobj=bounded, mode="r:") as tar:
                for count, member in enumerate(tar, start=1):
                    _check_member(member, count, archive, bounds)
                    _write_member(tar, member, target, archive)
            # The checksum comes after the last byte: only reading on to it finds an altered archive.
            while bounded.read(CHUNK):
                pass
    except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError, *_PARSING) as error:
        raise CheckpointError(
            "The archive is damaged or is no .tar.gz file.",
            where=archive,
            got=error,
            fix="Delete it and fetch the model again.",
        ) from error


class _Bounded:
    """The unpacked stream; raises before more is read than the bounds allow."""

    def __init__(self, stream: gzip.GzipFile, archive: Path, bounds: Bounds):
        allowed = max(bounds.free_bytes, bounds.max_ratio * archive.stat().st_size)
        self._stream, self._archive = stream, archive
        self._limit = int(min(bounds.max_bytes, allowed))

    def _check(self, position: int) -> None:
        if position > self._limit:
            raise CheckpointError(
                "The archive unpacks to far more than a model: it looks like a decompression bomb.",
                where=self._archive,
                expected=f"at most {self._limit:,} bytes",
                fix=FIX,
            )

    def read(self, size: int = -1) -> bytes:
        # Extended headers are read in one piece, of a length that the archive itself states.
        if not 0 <= size <= 16 * CHUNK:
            self._check(self._limit + 1)
        data = self._stream.read(size)
        self._check(self._stream.tell())
        return data

    def seek(self, position: int, whence: int = 0) -> int:
        self._check(position)
        return self._stream.seek(position, whence)

    def tell(self) -> int:
        return self._stream.tell()


def _check_member(member: tarfile.TarInfo, count: int, archive: Path, bounds: Bounds) -> None:
    problem = None
    if count > bounds.max_files:
        problem = f"it holds more than {bounds.max_files:,} files"
    elif not _inside(member.name):
        problem = "the path leads out of the directory"
    elif member.issym() or member.islnk():
        problem = "it is a link"
    elif not (member.isreg() or member.isdir()) or member.issparse():
        problem = "it is neither a plain file nor a folder"
    if problem:
        raise _unsafe(archive, member, problem)


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    # Backslashes, drive letters and control characters mean something else on some systems.
    strange = re.search(r"[\\:\x00-\x1f]", name)
    return not path.is_absolute() and ".." not in path.parts and not strange


def _write_member(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path, archive: Path) -> None:
    path = target / member.name
    try:
        if member.isdir():
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        # Mode "x": a second member of the same name must not overwrite the first.
        with open(path, "xb") as file:
            shutil.copyfileobj(tar.extractfile(member), file, CHUNK)
    except (FileExistsError, NotADirectoryError) as error:
        raise _unsafe(archive, member, "another member has the same path") from error


def _unsafe(archive: Path, member: tarfile.TarInfo, problem: str) -> CheckpointError:
    return CheckpointError(
        "The archive holds something that a model archive should not.",
        where=archive,
        got=f"member {member.name!r}: {problem}",
        expected="plain files and folders, each once, inside the archive's own folder",
        fix=FIX,
    )


def _root(directory: Path) -> Path:
    """The only folder in `directory`, where that is all there is in it, else `directory`."""
    inner = list(directory.iterdir())
    return inner[0] if len(inner) == 1 and inner[0].is_dir() else directory


def _check_required(root: Path, archive: Path, required: Sequence[str]) -> None:
    missing = [name for name in required if not (root / name).exists()]
    if missing:
        raise CheckpointError(
            f"The archive lacks {' and '.join(missing)}.",
            where=archive,
            got=", ".join(sorted(path.name for path in root.iterdir())[:10]) or "nothing",
            expected=", ".join(required),
            fix="A zoo archive holds pipeline.config and checkpoint/: check that it is one.",
        )
