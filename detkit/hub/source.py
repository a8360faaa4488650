"""Where a SavedModel comes from: a directory, an archive, an address."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path
from urllib.parse import urlparse

from detkit.errors import CheckpointError, ConfigError
from detkit.io import make_directory
from detkit.zoo.download import download, record, verify
from detkit.zoo.files import DownloadError, file_errors, locked, sha256
from detkit.zoo.store import cache_directory
from detkit.zoo.unpack import unpack

FILE = "saved_model.pb"
ARCHIVES = (".tar.gz", ".tgz")
HUBS = ("tfhub.dev", "www.kaggle.com", "kaggle.com")  # whose handles are no addresses of files
_SUM = "sha256=([0-9a-fA-F]{64})"  # after "#" in an address
_ELSEWHERE = (
    "Check the address and the network. Without one: download the archive elsewhere and give its path, or that of the "
    "unpacked directory; or copy what {cache} holds on a machine that has loaded it."
)


def is_saved_model(model) -> bool:
    """Whether a model is a SavedModel, or an archive or address of one: what `load` takes."""
    path = Path(model)
    if _is_address(model) or str(model).endswith(ARCHIVES):
        return True
    if not path.is_dir() or (path / "pipeline.config").is_file():
        # The zoo's archives hold a checkpoint beside the SavedModel, which can be trained too.
        return _graph(path) is not None and not (path / "checkpoint").is_dir()
    return _graph(path) is not None or (path / "variables").is_dir()


def find(model) -> Path:
    """The directory that holds saved_model.pb; archives and addresses are unpacked into detkit's cache.

    Args:
        model: a directory, an archive, the address of one (ADDRESS#sha256=SUM to demand that checksum), or a handle of
            TensorFlow Hub.

    Raises:
        CheckpointError: if there is none, or the archive is damaged or hostile.
        ConfigError: for a checksum that is none.
        DownloadError: if it can't be downloaded, or is another one.
    """
    text = str(model)
    if _is_address(text):
        directory = _from_address(text)
    elif text.endswith(ARCHIVES):
        directory = _from_archive(Path(model))
    else:
        directory = Path(model)
    found = _graph(directory)
    if found is None:
        raise _nothing(directory, model)
    return found


def _nothing(directory: Path, model) -> CheckpointError:
    below = sorted(path.parent.relative_to(directory).as_posix() for path in directory.rglob(FILE))[:10]
    there = sorted(path.name for path in directory.iterdir())[:10] if directory.is_dir() else ["no such directory"]
    return CheckpointError(
        f"There is no {FILE} in this SavedModel.",
        where=model,
        got=f"it is in {', '.join(below)}" if below else ", ".join(there) or "an empty directory",
        expected=f"{FILE}, variables/ and perhaps assets/",
        fix=f"Name the directory that is meant: {directory / below[0]}"
        if below
        else "Check the path; or copy or export the whole directory again.",
    )


def _is_address(model) -> bool:
    return str(model).startswith(("http://", "https://"))


def _graph(directory: Path) -> Path | None:
    return next((place for place in (directory, directory / "saved_model") if (place / FILE).is_file()), None)


def _from_archive(archive: Path) -> Path:
    if not archive.is_file():
        fix = "Check the path; addresses begin with https:// or http://."
        raise CheckpointError("There is no such archive.", where=archive, expected="a .tar.gz file", fix=fix)
    with file_errors(archive):
        digest = sha256(archive)
    directory = make_directory(cache_directory().parent / "hub") / f"{_stem(archive.name)}-{digest[:16]}"
    return _unpacked(archive, directory)


def _from_address(address: str) -> Path:
    """Of an archive at an address: downloaded once, and held to the SHA-256 that it then had, or is said to have."""
    url, marked, asked = address.partition("#")
    demanded = re.fullmatch(_SUM, asked)
    if marked and not demanded:
        fix = "Give the sum that the publisher states, or `sha256sum FILE` shows of a copy that you trust."
        expected = "sha256= and 64 hexadecimal digits"
        raise ConfigError("This is no SHA-256.", where=address, got=asked, expected=expected, fix=fix)
    on_hub = urlparse(url).hostname in HUBS
    kept = _of_tensorflow_hub(url) if on_hub and not marked else None
    if kept is not None:
        return kept
    name = Path(urlparse(url).path).name or "model"
    folder = make_directory(cache_directory().parent / "hub")
    archive = folder / f"{_stem(name)}-{hashlib.sha256(url.encode()).hexdigest()[:16]}.tar.gz"
    with locked(archive.with_name(archive.name + ".lock")):
        if not archive.is_file():
            _download(_compressed(url) if on_hub else url, archive)
        with file_errors(archive):
            _check(archive, url, demanded[1].lower() if demanded else "")
    return _unpacked_download(archive, url)


def _download(url: str, archive: Path) -> None:
    try:
        download(url, archive)
    except DownloadError as error:
        fix = _ELSEWHERE.format(cache=archive.parent)
        raise DownloadError(error.what, where=url, got=error.got, expected=error.expected, fix=fix) from error
    record(archive, url)


def _check(archive: Path, url: str, expected: str) -> None:
    again = f"To download it again, delete {archive} and {archive.name}.json first."
    try:
        verify(archive, archive, url)
    except DownloadError as error:
        raise DownloadError(error.what, where=url, got=error.got, expected=error.expected, fix=again) from error
    got = sha256(archive)
    if expected and got != expected:
        raise DownloadError(
            "The archive is not the one that was asked for: its SHA-256 differs.",
            where=url,
            got=got,
            expected=expected,
            fix=f"Check the address and the sum. {again}",
        )


def _unpacked_download(archive: Path, url: str) -> Path:
    """As `_unpacked`; what can't be unpacked, such as a page to sign in, is not kept."""
    try:
        return _unpacked(archive, archive.with_name(_stem(archive.name)))
    except CheckpointError as error:
        for path in (archive, archive.with_name(archive.name + ".json")):
            path.unlink(missing_ok=True)
        fix = "Check that the address is that of a .tar.gz archive, and of a publisher that you trust."
        raise CheckpointError(error.what, where=url, got=error.got, expected=error.expected, fix=fix) from error


def _compressed(handle: str) -> str:
    """The address of the archive behind a handle."""
    return f"{handle}{'&' if '?' in handle else '?'}tf-hub-format=compressed"


def _of_tensorflow_hub(handle: str) -> Path | None:
    """Where the library tensorflow_hub keeps a module that it has loaded before; None if it has not."""
    cache = os.environ.get("TFHUB_CACHE_DIR") or os.path.join(tempfile.gettempdir(), "tfhub_modules")
    directory = Path(cache).expanduser() / hashlib.sha1(handle.encode()).hexdigest()
    return directory if _graph(directory) else None


def _unpacked(archive: Path, directory: Path) -> Path:
    with locked(directory.with_name(directory.name + ".lock")):
        if not directory.is_dir():
            unpack(archive, directory)
    return directory


def _stem(name: str) -> str:
    return next((name[: -len(suffix)] for suffix in ARCHIVES if name.endswith(suffix)), name)
