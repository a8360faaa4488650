"""The cache of fetched models: <cache>/zoo/<date>/<archive>.tar.gz and, unpacked beside it, <archive>/.

Archives lie there as they do on the zoo's server, so that a cache can serve as a mirror to another machine.
"""

from __future__ import annotations

import os
from pathlib import Path

from detkit.errors import CheckpointError
from detkit.io import make_directory
from detkit.zoo.catalogue import BASE_ADDRESS, Entry, find
from detkit.zoo.download import copy, download, record, verify
from detkit.zoo.files import DownloadError, file_errors, locked
from detkit.zoo.unpack import unpack

REQUIRED = ("pipeline.config", "checkpoint")
BUNDLED = Path(__file__).parent / "bundled"


def cache_directory() -> Path:
    """Where fetched models lie: below $DETKIT_CACHE, else below the user's cache directory."""
    from platformdirs import user_cache_path

    root = os.environ.get("DETKIT_CACHE")
    return (Path(root).expanduser() if root else user_cache_path("detkit")) / "zoo"


def model_directory(entry: Entry) -> Path:
    """The directory that holds the entry's model once it is fetched."""
    if entry.bundled:
        return BUNDLED / entry.name
    return cache_directory() / entry.date / entry.archive


def is_fetched(entry: Entry) -> bool:
    """Whether the model can be loaded without a network."""
    return entry.bundled or (model_directory(entry) / REQUIRED[0]).is_file()


def fetch(name: str, force: bool = False, mirror: str | os.PathLike | None = None) -> Path:
    """The model's directory, with pipeline.config and checkpoint/; downloaded and unpacked at need.

    Args:
        name: a short name or a full archive name.
        force: download and unpack again what is there already.
        mirror: a directory that holds the archive, or a base address to use instead of the zoo's; None takes
            $DETKIT_ZOO, else the zoo itself.

    Raises:
        ConfigError: no model has that name, or the cache directory can't be made.
        DownloadError: the archive can't be had, or is another one than before.
        CheckpointError: the archive is damaged or hostile.
    """
    entry = find(name)
    directory = model_directory(entry)
    if entry.bundled or (is_fetched(entry) and not force):
        return directory
    make_directory(directory.parent)
    with locked(directory.with_name(directory.name + ".lock")):
        # Another process may have fetched it while this one waited.
        if force or not is_fetched(entry):
            _bring(entry, directory, force, str(mirror or os.environ.get("DETKIT_ZOO") or BASE_ADDRESS))
    return directory


def _bring(entry: Entry, directory: Path, force: bool, base: str) -> None:
    archive = directory.with_name(entry.archive + ".tar.gz")
    source: str | Path = archive
    if force or not archive.exists():
        source = _obtain(entry, archive, base)
    else:
        with file_errors(archive):
            verify(archive, archive, archive)
    try:
        unpack(archive, directory, REQUIRED)
    except CheckpointError:
        # Kept, it would be met again by every later call.
        archive.unlink()
        raise
    record(archive, source)


def _obtain(entry: Entry, archive: Path, base: str) -> str | Path:
    """Puts the archive into the cache and says where it came from."""
    if base.startswith(("http://", "https://")):
        source = f"{base.rstrip('/')}/{entry.archive_path}"
        download(source, archive)
        return source
    source = _in_mirror(entry, Path(base).expanduser())
    copy(source, archive)
    return source


def _in_mirror(entry: Entry, mirror: Path) -> Path:
    places = (mirror / entry.archive_path, mirror / f"{entry.archive}.tar.gz")
    for place in places:
        if place.is_file():
            return place
    raise DownloadError(
        f"The mirror directory does not hold {entry.name}.",
        where=mirror,
        got="no such file" if mirror.is_dir() else "no such directory",
        expected=" or ".join(str(place) for place in places),
        fix=f"Put the archive there (it is published at {entry.address}), or name another mirror.",
    )
