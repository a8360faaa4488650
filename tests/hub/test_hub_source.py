"""SavedModels in archives and at addresses."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest

from detkit.errors import CheckpointError, ConfigError, DetkitError
from detkit.hub import source
from detkit.zoo.files import DownloadError


def archive(path, members: dict):
    """A .tar.gz file of {name: bytes}."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("inner", ["saved_model.pb", "model/saved_model.pb", "model/saved_model/saved_model.pb"])
def test_an_archive_is_unpacked_into_the_cache(inner, tmp_path, cache):
    found = source.find(archive(tmp_path / "model.tar.gz", {inner: b"graph", "model/notes.txt": b""}))
    assert (found / "saved_model.pb").read_bytes() == b"graph" and cache in found.parents


def test_it_is_unpacked_once(tmp_path, cache, monkeypatch):
    path = archive(tmp_path / "model.tgz", {"saved_model.pb": b"graph"})
    first = source.find(path)
    monkeypatch.setattr(source, "unpack", None)
    assert source.find(path) == first


def test_a_path_that_leads_out_of_the_archive_is_refused(tmp_path, cache):
    path = archive(tmp_path / "model.tar.gz", {"../../evil.txt": b"!", "saved_model.pb": b""})
    with pytest.raises(CheckpointError, match="(?s)the path leads out of the directory"):
        source.find(path)
    assert not list(tmp_path.rglob("evil.txt"))


def test_what_is_no_archive_is_told(tmp_path, cache):
    (tmp_path / "model.tar.gz").write_bytes(b"text")
    with pytest.raises(CheckpointError, match="damaged or is no .tar.gz"):
        source.find(tmp_path / "model.tar.gz")


def test_an_archive_without_a_graph_is_told(tmp_path, cache):
    with pytest.raises(CheckpointError, match="(?s)no saved_model.pb.*notes.txt"):
        source.find(archive(tmp_path / "model.tar.gz", {"a/notes.txt": b"", "a/more.txt": b""}))


def test_what_lies_deeper_or_several_times_is_named(tmp_path, cache):
    path = archive(tmp_path / "model.tar.gz", {"a/saved_model.pb": b"", "b/deep/saved_model.pb": b""})
    with pytest.raises(CheckpointError, match="(?s)no saved_model.pb.*it is in a, b/deep.*Name the directory.*/a"):
        source.find(path)


def test_what_was_downloaded_but_is_no_archive_is_not_kept(tmp_path, cache, monkeypatch):
    pages = [b"<html>Sign in</html>", archive(tmp_path / "model.tar.gz", {"saved_model.pb": b"graph"}).read_bytes()]
    monkeypatch.setattr(source, "download", lambda address, path: path.write_bytes(pages.pop(0)))
    address = "https://example.com/model.tar.gz"
    with pytest.raises(CheckpointError, match=f"(?s)damaged.*where: {address}.*Check that the address"):
        source.find(address)
    assert (source.find(address) / "saved_model.pb").read_bytes() == b"graph"


def test_a_missing_archive_is_told(tmp_path):
    with pytest.raises(CheckpointError, match="no such archive"):
        source.find(tmp_path / "model.tar.gz")


def test_an_address_is_downloaded_once_and_then_held_to_its_checksum(tmp_path, cache, monkeypatch):
    made, asked = archive(tmp_path / "model.tar.gz", {"saved_model.pb": b"graph"}), []

    def download(address, path):
        asked.append(address)
        path.write_bytes(made.read_bytes())

    monkeypatch.setattr(source, "download", download)
    address = "https://example.com/models/model.tar.gz?download=1"
    first = source.find(address)
    assert source.find(address) == first and asked == [address]
    (kept,) = cache.rglob("*.tar.gz")
    kept.write_bytes(b"another")
    with pytest.raises(DetkitError, match=f"(?s)SHA-256 differs.*delete {kept} and {kept.name}.json first"):
        source.find(address)


def test_a_handle_is_found_in_the_cache_of_tensorflow_hub(tmp_path, monkeypatch):
    handle = "https://tfhub.dev/google/openimages_v4/ssd/mobilenet_v2/1"
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    # The directory that tensorflow_hub keeps this handle in.
    directory = tmp_path / hashlib.sha1(handle.encode()).hexdigest()
    directory.mkdir()
    (directory / "saved_model.pb").write_bytes(b"graph")
    assert source.find(handle) == directory


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("graph", True, id="saved-model"),
        pytest.param("zoo", False, id="a-checkpoint-beside-it"),
        pytest.param("graph.tar.gz", True, id="archive"),
        pytest.param("https://example.com/a", True, id="address"),
        pytest.param("hands", False, id="a-name-of-the-zoo"),
    ],
)
def test_what_is_taken_for_a_saved_model(name, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("graph/saved_model.pb", "zoo/saved_model/saved_model.pb", "zoo/pipeline.config", "zoo/checkpoint/x"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    assert source.is_saved_model(name) == expected


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A list of the addresses that were asked for; each gives the archive of a SavedModel."""
    made, asked = archive(tmp_path / "served.tar.gz", {"saved_model.pb": b"graph"}), []

    def download(address, path):
        asked.append(address)
        path.write_bytes(made.read_bytes())

    monkeypatch.setattr(source, "download", download)
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "tfhub"))
    return asked


@pytest.mark.parametrize(
    ("handle", "expected"),
    [
        ("https://tfhub.dev/google/vector/1", "https://tfhub.dev/google/vector/1?tf-hub-format=compressed"),
        ("https://www.kaggle.com/models/a?b=1", "https://www.kaggle.com/models/a?b=1&tf-hub-format=compressed"),
    ],
)
def test_a_handle_is_downloaded_as_an_archive_once(handle, expected, served, cache):
    assert (source.find(handle) / "saved_model.pb").is_file()
    source.find(handle)
    assert served == [expected]


def test_a_checksum_that_is_asked_for_decides(tmp_path, served, cache):
    right = hashlib.sha256((tmp_path / "served.tar.gz").read_bytes()).hexdigest()
    address = "https://example.com/vector.tar.gz"
    with pytest.raises(DetkitError, match="(?s)not the one that was asked for.*expected: 0000.*Check the address"):
        source.find(f"{address}#sha256={'0' * 64}")
    found = source.find(f"{address}#sha256={right.upper()}")
    assert found == source.find(address) and served == [address]
    for wrong in ("sha256=abc", "md5=abc", ""):
        with pytest.raises(ConfigError, match="(?s)This is no SHA-256.*64 hexadecimal digits"):
            source.find(f"{address}#{wrong}")


def test_without_a_network_it_is_said_what_to_use_instead(cache, monkeypatch):
    def unreachable(address, path):
        raise DownloadError("The download could not be finished.", where=address, got="no route", fix="a zoo's mirror")

    monkeypatch.setattr(source, "download", unreachable)
    with pytest.raises(DownloadError) as error:
        source.find("https://tfhub.dev/google/vector/2")
    assert "mirror" not in str(error.value)
    for text in ("no route", "download the archive elsewhere and give its path", f"copy what {cache / 'hub'} holds"):
        assert text in str(error.value)
