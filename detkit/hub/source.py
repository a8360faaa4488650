"""Where a SavedModel comes from: a directory, an archive, an address."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from urllib.parse import urlparse

from detkit.errors import CheckpointError
from detkit.io import make_directory
from detkit.zoo.download import download, record, verify
from detkit.zoo.files import file_errors, locked, sha256
from detkit.zoo.store import cache_directory
from detkit.zoo.unpack import unpack

FILE = "saved_model.pb"
ARCHIVES = (".tar.gz", ".tgz")
HUBS = ("tfhub.dev", "www.kaggle.com", "kaggle.com")  # whose handles are no addresses of files


def is_saved_model(model) -> bool:
    """Whether a model is a SavedModel, or an archive or address of one: what `load` takes."""
    path = Path(model)
    if str(model).startswith(("http://", "https://")) or str(model).endswith(ARCHIVES):
        return True
    if not path.is_dir() or (path / "pipeline.config").is_file():
        # The zoo's archives hold a checkpoint beside the SavedModel, which can be trained too.
        return _graph(path) is not None and not (path / "checkpoint").is_dir()
    return _graph(path) is not None or (path / "variables").is_dir()


def find(model) -> Path:
    """The directory that holds saved_model.pb; archives and addresses are unpacked into detkit's cache.

    Raises:
        CheckpointError: if there is none, or the archive is damaged or hostile.
        DownloadError: if it can't be downloaded.
    """
    text = str(model)
    if text.startswith(("http://", "https://")):
        directory = _from_hub(text) if urlparse(text).hostname in HUBS else _from_address(text)
    elif text.endswith(ARCHIVES):
        directory = _from_archive(Path(model))
    else:
        directory = Path(model)
    found = _graph(directory)
    if found is None:
        there = sorted(path.name for path in directory.iterdir())[:10] if directory.is_dir() else ["no such directory"]
        raise CheckpointError(
            f"There is no {FILE} in this SavedModel.",
            where=model,
            got=", ".join(there) or "an empty directory",
            expected=f"{FILE}, variables/ and perhaps assets/",
            fix="Copy or export the whole directory again.",
        )
    return found


def _graph(directory: Path) -> Path | None:
    return next((place for place in (directory, directory / "saved_model") if (place / FILE).is_file()), None)


def _from_archive(archive: Path) -> Path:
    if not archive.is_file():
        raise CheckpointError("There is no such archive.", where=archive, expected="a .tar.gz file")
    with file_errors(archive):
        digest = sha256(archive)
    directory = make_directory(cache_directory().parent / "hub") / f"{_stem(archive.name)}-{digest[:16]}"
    return _unpacked(archive, directory)


def _from_address(address: str) -> Path:
    """Of an archive at an address: downloaded once, and held to the SHA-256 that it then had."""
    name = Path(urlparse(address).path).name or "model"
    key = hashlib.sha256(address.encode()).hexdigest()[:16]
    folder = make_directory(cache_directory().parent / "hub")
    archive = folder / f"{_stem(name)}-{key}.tar.gz"
    if not archive.is_file():
        with locked(archive.with_name(archive.name + ".lock")):
            download(address, archive)
            record(archive, address)
    with file_errors(archive):
        verify(archive, archive, archive)
    return _unpacked(archive, folder / _stem(archive.name))


def _unpacked(archive: Path, directory: Path) -> Path:
    with locked(directory.with_name(directory.name + ".lock")):
        if not directory.is_dir():
            unpack(archive, directory)
    return directory


def _stem(name: str) -> str:
    return next((name[: -len(suffix)] for suffix in ARCHIVES if name.endswith(suffix)), name)


def _from_hub(handle: str) -> Path:
    """Through tensorflow_hub, which keeps modules below $TFHUB_CACHE_DIR, and finds there what is offline."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pkg_resources, which it imports
        import tensorflow_hub
    try:
        return Path(tensorflow_hub.resolve(handle))
    except Exception as error:
        raise CheckpointError(
            "TensorFlow Hub does not give this module.",
            where=handle,
            got=str(error).strip().splitlines()[0][:300],
            fix="Download it elsewhere, and give detkit the archive or the unpacked directory.",
        ) from error
