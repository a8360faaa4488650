"""Downloading one file: resumed, bounded, verified, and in place only when it is whole."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from detkit.io import read_json, write_json
from detkit.zoo.files import DownloadError, disk_full, file_errors, sha256

CHUNK = 1 << 16
MIRROR = (
    "Get the archive in another way, put it into a directory, and name that directory (or the base address "
    "of a mirror) in the environment variable DETKIT_ZOO or after --mirror."
)


@dataclass(frozen=True)
class Limits:
    """How long a download keeps trying, and how much it takes.

    Args:
        attempts: the number of connections made before giving up; each resumes where the last one ended.
        backoff: seconds before the second attempt; doubled for each further one, up to 8 s.
        connect_timeout: seconds for a connection to come about.
        read_timeout: seconds of silence after which a connection counts as dropped.
        redirects: the number of redirects followed.
        max_bytes: the largest file taken.
    """

    attempts: int = 5
    backoff: float = 0.5
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    redirects: int = 5
    max_bytes: int = 4 << 30


class _Dropped(Exception):
    """A transfer that ended early; the next attempt may go on from there."""


def download(address: str, path: Path, limits: Limits | None = None) -> None:
    """Downloads `address` to `path`.

    The bytes go to `path` + ".partial", which a later call resumes, also after a kill; the file at `path`
    is replaced only when all bytes are there and have the SHA-256 that `record` noted, if it did.

    Args:
        address: an http or https address.
        path: the file to make; its directory exists.
        limits: times and sizes; None takes the defaults.

    Raises:
        DownloadError: the file is not there, can't be reached, stays incomplete, is too large, has another
            SHA-256 than the recorded one, or does not fit on the disk.
    """
    limits = limits or Limits()
    partial = _Partial(path, address)
    with file_errors(path):
        for attempt in range(limits.attempts):
            if attempt:
                time.sleep(min(limits.backoff * 2 ** (attempt - 1), 8.0))
            try:
                _receive(partial, limits)
                break
            except _Dropped as dropped:
                reason = dropped
        else:
            raise _unfinished(partial, limits, reason)
        try:
            _put_in_place(partial.file, path, address)
        finally:
            partial.forget()


def copy(source: Path, path: Path) -> None:
    """Copies the file `source` of a mirror directory to `path`, verified as `download` does."""
    copied = path.with_name(path.name + ".copy")
    with file_errors(path):
        shutil.copyfile(source, copied)
        _put_in_place(copied, path, source)


def record(path: Path, source: str | Path) -> None:
    """Notes the SHA-256 of the file at `path`, in a JSON beside it, for later downloads to be held to."""
    write_json(_record_file(path), {"source": str(source), "bytes": path.stat().st_size, "sha256": sha256(path)})


def verify(file: Path, path: Path, source: str | Path) -> None:
    """Raises DownloadError where `file` has another SHA-256 than the one recorded for `path`."""
    noted = _record_file(path)
    if not noted.exists():
        return
    expected, got = read_json(noted).get("sha256"), sha256(file)
    if got != expected:
        raise DownloadError(
            "The archive is not the one that was downloaded first: its SHA-256 differs.",
            where=source,
            got=got,
            expected=expected,
            fix="Try again, or use another mirror. If the publisher did replace the archive and you trust "
            f"the new one, delete {noted} and fetch the model again with --force.",
        )


def _record_file(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _put_in_place(file: Path, path: Path, source: str | Path) -> None:
    try:
        verify(file, path, source)
        os.replace(file, path)
    finally:
        file.unlink(missing_ok=True)


class _Partial:
    """The bytes of an unfinished download, and a note of what they are the beginning of."""

    def __init__(self, path: Path, address: str):
        self.address = address
        self.file = path.with_name(path.name + ".partial")
        self._note_file = path.with_name(path.name + ".partial.json")

    @property
    def size(self) -> int:
        return self.file.stat().st_size if self.file.exists() else 0

    def note(self) -> dict:
        """The note of the bytes at hand; empty where there are none to build on."""
        try:
            note = json.loads(self._note_file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        known = isinstance(note, dict) and note.get("address") == self.address
        return note if known and self.size else {}

    def restart(self, length: int | None, validator: str | None) -> None:
        # In this order a kill at any point leaves nothing that could be taken for the wrong file's beginning.
        self.forget()
        write_json(self._note_file, {"address": self.address, "length": length, "validator": validator})

    def forget(self) -> None:
        self.file.unlink(missing_ok=True)
        self._note_file.unlink(missing_ok=True)


def _receive(partial: _Partial, limits: Limits) -> None:
    """One connection: continues the partial file where the server lets it, else begins it anew."""
    note = partial.note()
    have = partial.size if note else 0
    if note and note.get("length") == have:
        return
    with _connection(partial.address, have, note.get("validator"), limits) as response:
        if response.status_code in (206, 416):
            length = note.get("length")
            if not _continues(response, have, length):
                partial.forget()
                raise _Dropped("the server has other bytes than those already downloaded")
        else:
            have, length = 0, _length(response)
            partial.restart(length, _validator(response))
        _check_room(partial, have, length, limits)
        _write(response, partial, have, length, limits)
    if length is not None and partial.size != length:
        raise _Dropped(f"the connection ended at {partial.size:,} of {length:,} bytes")


@contextmanager
def _connection(address: str, have: int, validator: str | None, limits: Limits) -> Iterator:
    """The response to a GET from byte `have` on; the errors of the network in detkit's words."""
    import requests
    import urllib3

    # A server that compresses on the way would make lengths and digests those of another file.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-"} | ({"If-Range": validator} if validator else {})
    try:
        with requests.Session() as session:
            session.max_redirects = limits.redirects
            timeout = (limits.connect_timeout, limits.read_timeout)
            with session.get(address, headers=headers, timeout=timeout, stream=True) as response:
                _check_status(response, address)
                yield response
    except requests.TooManyRedirects as error:
        raise DownloadError(
            "The server sends the request round in circles.",
            where=address,
            got=f"more than {limits.redirects} redirects",
            fix=MIRROR,
        ) from error
    except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
        raise _Dropped(_reason(error)) from error
    except requests.RequestException as error:
        raise DownloadError(
            "The address can't be used.",
            where=address,
            got=error,
            expected="an http or https address",
            fix=f"Check the address. {MIRROR}",
        ) from error


def _check_status(response, address: str) -> None:
    status = response.status_code
    if status in (200, 206, 416):
        return
    if status >= 500 or status in (408, 429):
        raise _Dropped(f"HTTP {status} {response.reason}")
    raise DownloadError(
        "The file is not on the server." if status == 404 else "The server does not give the file.",
        where=address,
        got=f"HTTP {status} {response.reason}",
        expected="HTTP 200",
        fix=MIRROR,
    )


def _continues(response, have: int, length: int | None) -> bool:
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    return bool(found) and int(found[1]) == have and found[2] in ("*", str(length))


def _length(response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _validator(response) -> str | None:
    """What identifies the file's version in If-Range: a strong ETag, else the date (RFC 9110, 13.1.5)."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")


def _check_room(partial: _Partial, have: int, length: int | None, limits: Limits) -> None:
    if length is None:
        return
    if length > limits.max_bytes:
        raise _too_large(partial, f"{length:,} bytes", limits)
    free = shutil.disk_usage(partial.file.parent).free
    if length - have > free:
        raise disk_full(partial.file, got=f"{free:,} bytes free", expected=f"{length - have:,} bytes")


def _write(response, partial: _Partial, have: int, length: int | None, limits: Limits) -> None:
    from detkit.progress import progress

    megabytes = None if length is None else length / 1e6
    name = partial.file.name.removesuffix(".tar.gz.partial")
    with progress(total=megabytes, description=f"{name} (MB)") as bar, open(partial.file, "ab") as file:
        bar.update(have / 1e6)
        for chunk in response.raw.stream(CHUNK, decode_content=False):
            have += len(chunk)
            if have > limits.max_bytes:
                raise _too_large(partial, "more", limits)
            file.write(chunk)
            bar.update(len(chunk) / 1e6)


def _too_large(partial: _Partial, got: str, limits: Limits) -> DownloadError:
    partial.forget()
    return DownloadError(
        "The file is larger than any model archive should be.",
        where=partial.address,
        got=got,
        expected=f"at most {limits.max_bytes:,} bytes",
        fix=f"Check the address. {MIRROR}",
    )


def _unfinished(partial: _Partial, limits: Limits, reason: _Dropped) -> DownloadError:
    kept = f"; {partial.size:,} bytes are kept" if partial.size else ""
    return DownloadError(
        "The download could not be finished.",
        where=partial.address,
        got=f"{reason} (attempt {limits.attempts} of {limits.attempts}{kept})",
        fix=f"Check the network and run again: what is kept is resumed. Without a network: {MIRROR}",
    )


def _reason(error: Exception) -> str:
    """The innermost cause: the outer texts show the objects of the libraries."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__
