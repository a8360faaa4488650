from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from zoo_server import MODEL, member, targz

from detkit.errors import CheckpointError, ConfigError
from detkit.zoo import cache_directory, fetch, find, is_fetched, model_directory
from detkit.zoo.files import DownloadError

NAME = "ssd_mobilenet_v2_fpnlite_320x320"
ARCHIVE = "ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8"


def assert_is_model(directory: Path):
    for name, content in MODEL.items():
        assert (directory / name.removeprefix("model/")).read_bytes() == content


@pytest.mark.parametrize("name", [NAME, ARCHIVE])
def test_a_model_is_fetched_once(server, cache, name):
    assert not is_fetched(find(name))
    directory = fetch(name, mirror=server.address)
    assert directory == cache / "20200711" / ARCHIVE == model_directory(find(name))
    assert_is_model(directory)
    assert server.requests == [(f"/20200711/{ARCHIVE}.tar.gz", None)]
    assert fetch(name) == directory and len(server.requests) == 1
    assert is_fetched(find(name))


def test_the_environment_names_the_mirror(server, cache, monkeypatch):
    monkeypatch.setenv("DETKIT_ZOO", server.address + "/tf2/")
    fetch(NAME)
    assert server.requests[0][0] == f"/tf2/20200711/{ARCHIVE}.tar.gz"


def test_the_first_download_is_recorded(server, cache):
    directory = fetch(NAME, mirror=server.address)
    noted = json.loads(directory.with_name(ARCHIVE + ".tar.gz.json").read_text())
    assert noted["source"] == f"{server.address}/20200711/{ARCHIVE}.tar.gz"
    assert noted["bytes"] == len(server.body) and len(noted["sha256"]) == 64


def test_another_archive_later_is_refused(server, cache):
    directory = fetch(NAME, mirror=server.address)
    server.body = targz(MODEL | {"model/pipeline.config": b"another"})
    with pytest.raises(DownloadError, match="SHA-256 differs"):
        fetch(NAME, force=True, mirror=server.address)
    assert_is_model(directory)


def test_the_advice_on_another_archive_works(server, cache):
    directory = fetch(NAME, mirror=server.address)
    server.body = targz(MODEL | {"model/pipeline.config": b"another"})
    directory.with_name(ARCHIVE + ".tar.gz.json").unlink()
    fetch(NAME, force=True, mirror=server.address)
    assert (directory / "pipeline.config").read_bytes() == b"another"


def test_a_damaged_model_is_unpacked_again_without_a_network(server, cache):
    directory = fetch(NAME, mirror=server.address)
    (directory / "pipeline.config").unlink()
    assert_is_model(fetch(NAME))
    assert len(server.requests) == 1


def test_a_cached_archive_that_was_altered_is_refused(server, cache):
    directory = fetch(NAME, mirror=server.address)
    (directory / "pipeline.config").unlink()
    directory.with_name(ARCHIVE + ".tar.gz").write_bytes(targz({"model/other": b""}))
    with pytest.raises(DownloadError, match="SHA-256 differs"):
        fetch(NAME)


@pytest.mark.parametrize("body", [b"<html>log in to this network</html>", targz(extra=(member("../evil"),))])
def test_a_bad_archive_is_neither_kept_nor_recorded(server, cache, body):
    good, server.body = server.body, body
    with pytest.raises(CheckpointError):
        fetch(NAME, mirror=server.address)
    assert {path.suffix for path in (cache / "20200711").iterdir()} == {".lock"}
    server.body = good
    assert_is_model(fetch(NAME, mirror=server.address))


@pytest.mark.parametrize("place", [f"20200711/{ARCHIVE}.tar.gz", f"{ARCHIVE}.tar.gz"])
def test_a_mirror_directory(cache, tmp_path, place, monkeypatch):
    archive = tmp_path / "mirror" / place
    archive.parent.mkdir(parents=True)
    archive.write_bytes(targz())
    monkeypatch.setenv("DETKIT_ZOO", str(tmp_path / "mirror"))
    assert_is_model(fetch(NAME))


def test_a_cache_is_a_mirror(server, cache, tmp_path, monkeypatch):
    fetch(NAME, mirror=server.address)
    monkeypatch.setenv("DETKIT_CACHE", str(tmp_path / "second"))
    assert_is_model(fetch(NAME, mirror=cache))


@pytest.mark.parametrize("exists", [True, False])
def test_a_mirror_without_the_archive(cache, tmp_path, exists):
    mirror = tmp_path / "mirror"
    if exists:
        mirror.mkdir()
    with pytest.raises(DownloadError) as caught:
        fetch(NAME, mirror=mirror)
    text = str(caught.value)
    assert f"does not hold {NAME}" in text and f"{ARCHIVE}.tar.gz" in text
    assert caught.value.got == ("no such file" if exists else "no such directory")


def test_two_at_once_download_once(server, cache):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(fetch(NAME, mirror=server.address))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3 and len(set(found)) == 1
    assert len(server.requests) == 1


def test_models_of_one_archive_name_lie_apart(cache):
    assert model_directory(find("extremenet")) != model_directory(find("extremenet_deprecated"))


def test_the_environment_moves_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("DETKIT_CACHE", "~/models")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "models" / "zoo"


def test_a_cache_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DETKIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match="Can't write here"):
        fetch(NAME, mirror=tmp_path)


def test_hands_is_never_downloaded(cache, monkeypatch):
    monkeypatch.setenv("DETKIT_ZOO", "/nowhere")
    assert fetch("hands", force=True).name == "hands"
    assert not cache.exists()


def test_an_unknown_name(cache):
    with pytest.raises(ConfigError, match="No model has the name 'hand'"):
        fetch("hand")
