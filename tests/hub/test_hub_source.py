"""SavedModels in archives and at addresses."""

from __future__ import annotations

import io
import tarfile

import pytest

from detkit.errors import CheckpointError, DetkitError
from detkit.hub import source


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
    with pytest.raises(DetkitError, match="SHA-256 differs"):
        source.find(address)


def test_a_handle_is_found_in_the_cache_of_tensorflow_hub(tmp_path, monkeypatch):
    handle = "https://tfhub.dev/google/openimages_v4/ssd/mobilenet_v2/1"
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    # The directory that tensorflow_hub keeps this handle in.
    import hashlib

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
