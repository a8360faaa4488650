from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest

from detkit.zoo.download import Limits, copy, download, record
from detkit.zoo.files import DownloadError, locked

QUICK = Limits(attempts=4, backoff=0.001, connect_timeout=2.0, read_timeout=0.3)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.tar.gz"


def left_over(path: Path) -> set[str]:
    return {other.name for other in path.parent.iterdir()} - {path.name}


def refused(server, path, limits=QUICK) -> str:
    with pytest.raises(DownloadError) as caught:
        download(server.address + "/model.tar.gz", path, limits)
    assert not path.exists()
    return str(caught.value)


def test_a_file_arrives_whole_and_alone(server, path):
    download(server.address + "/model.tar.gz", path)
    assert path.read_bytes() == server.body
    assert left_over(path) == set()


@pytest.mark.parametrize(
    "fault",
    [("cut", 20_000), ("stall", 20_000), 503, 429],
    ids=["connection lost", "silence", "server busy", "too many requests"],
)
def test_a_passing_failure_is_tried_again(server, path, fault):
    server.script = [fault]
    download(server.address + "/model.tar.gz", path, QUICK)
    assert path.read_bytes() == server.body
    assert len(server.requests) == 2


def test_what_arrived_is_not_asked_for_again(server, path):
    server.script = [("cut", 20_000), ("cut", 5_000)]
    download(server.address + "/model.tar.gz", path, QUICK)
    assert path.read_bytes() == server.body
    assert server.starts() == [0, 20_000, 25_000]


def test_a_server_without_ranges_starts_over(server, path):
    server.ranges = False
    server.script = [("cut", 20_000)]
    download(server.address + "/model.tar.gz", path, QUICK)
    assert path.read_bytes() == server.body


def test_a_later_call_resumes(server, path):
    server.script = [("cut", 10_000)] * 2
    text = refused(server, path, Limits(attempts=2, backoff=0.001))
    assert "20,000 bytes are kept" in text and "run again" in text and "DETKIT_ZOO" in text
    download(server.address + "/model.tar.gz", path)
    assert path.read_bytes() == server.body
    assert server.starts()[-1] == 20_000
    assert left_over(path) == set()


@pytest.mark.parametrize("etag", ['"2"', None], ids=["another ETag", "no ETag, another length"])
def test_a_file_that_changed_meanwhile_starts_over(server, path, etag):
    server.etag = etag and '"1"'
    server.script = [("cut", 10_000)]
    refused(server, path, Limits(attempts=1))
    server.body, server.etag = b"new" * 10_000, etag
    download(server.address + "/model.tar.gz", path, QUICK)
    assert path.read_bytes() == server.body


def test_the_beginning_from_another_address_is_not_built_on(server, path):
    server.script = [("cut", 10_000)]
    refused(server, path, Limits(attempts=1))
    download(server.address + "/elsewhere.tar.gz", path)
    assert server.starts() == [0, 0]


def test_a_whole_partial_needs_no_request(server, path):
    server.script = [("cut", 10_000)]
    refused(server, path, Limits(attempts=1))
    path.with_name("model.tar.gz.partial").write_bytes(server.body)
    download(server.address + "/model.tar.gz", path)
    assert path.read_bytes() == server.body and len(server.requests) == 1


@pytest.mark.parametrize("note", ["", "[]", "{}", "{'", '{"address": 1}'])
def test_a_partial_with_a_damaged_note_starts_over(server, path, note):
    path.with_name("model.tar.gz.partial").write_bytes(b"something else")
    path.with_name("model.tar.gz.partial.json").write_text(note)
    download(server.address + "/model.tar.gz", path)
    assert path.read_bytes() == server.body


@pytest.mark.parametrize("ranges", [True, False])
def test_a_wrong_length_is_an_error(server, path, ranges):
    server.ranges = ranges
    server.script = [("lie", 100)] * 4
    text = refused(server, path)
    assert "could not be finished" in text and "attempt 4 of 4" in text


def test_a_file_without_a_stated_length_arrives(server, path):
    server.lengthless = True
    download(server.address + "/model.tar.gz", path)
    assert path.read_bytes() == server.body


def test_a_missing_file(server, path):
    server.script = [404]
    text = refused(server, path)
    assert "The file is not on the server." in text and server.address in text
    assert "HTTP 404" in text and "--mirror" in text
    assert len(server.requests) == 1 and left_over(path) == set()


def test_a_forbidden_file(server, path):
    server.script = [403]
    assert "The server does not give the file." in refused(server, path)


def test_redirects_in_circles(server, path):
    server.circles = True
    text = refused(server, path)
    assert "in circles" in text and "more than 5 redirects" in text
    assert len(server.requests) == 6


def test_no_network(path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(DownloadError) as caught:
        download(f"http://127.0.0.1:{port}/model.tar.gz", path, QUICK)
    text = str(caught.value)
    assert "Connection refused" in text and "Without a network" in text and "DETKIT_ZOO" in text
    assert "object at 0x" not in text


@pytest.mark.parametrize("address", ["http://", "gopher://host/file", "http://[::1/file"])
def test_a_senseless_address(path, address):
    with pytest.raises(DownloadError, match="The address can't be used"):
        download(address, path, QUICK)


@pytest.mark.parametrize("lengthless", [False, True])
def test_a_file_that_is_too_large(server, path, lengthless):
    server.lengthless = lengthless
    text = refused(server, path, Limits(max_bytes=10_000))
    assert "larger than any model archive" in text and "10,000 bytes" in text
    assert left_over(path) == set()


def test_a_disk_without_room_is_noticed_before(server, path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(free=1000))
    text = refused(server, path)
    assert "The disk is full." in text and "1,000 bytes free" in text and "DETKIT_CACHE" in text


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_disk_that_fills_up(server, path, monkeypatch):
    monkeypatch.setattr(
        "detkit.zoo.download._Partial.restart",
        lambda partial, *_: partial.file.symlink_to("/dev/full"),
    )
    assert "The disk is full." in refused(server, path)


def test_a_recorded_digest_holds_later_downloads(server, path):
    download(server.address + "/model.tar.gz", path)
    record(path, server.address)
    first, server.body = server.body, b"x" * len(server.body)
    with pytest.raises(DownloadError) as caught:
        download(server.address + "/model.tar.gz", path)
    text = str(caught.value)
    assert "SHA-256 differs" in text and "model.tar.gz.json" in text and "--force" in text
    assert caught.value.expected == json.loads(Path(f"{path}.json").read_text())["sha256"]
    assert path.read_bytes() == first
    assert left_over(path) == {"model.tar.gz.json"}


def test_a_copy_is_held_to_the_digest_too(tmp_path, path):
    source = tmp_path / "mirror.tar.gz"
    source.write_bytes(b"first")
    copy(source, path)
    record(path, source)
    source.write_bytes(b"other")
    with pytest.raises(DownloadError, match="SHA-256 differs"):
        copy(source, path)
    assert path.read_bytes() == b"first"


def test_a_killed_download_is_resumed(server, path):
    server.body = bytes(1_000_000)
    server.script = [("stall", 500_000)]
    code = "import sys; from pathlib import Path; from detkit.zoo.download import download\n"
    code += "download(sys.argv[1], Path(sys.argv[2]))"
    address = server.address + "/model.tar.gz"
    process = subprocess.Popen([sys.executable, "-c", code, address, str(path)])
    partial = path.with_name("model.tar.gz.partial")
    deadline = time.monotonic() + 20
    while not (partial.exists() and partial.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = partial.stat().st_size
    assert 0 < kept <= 500_000
    download(address, path)
    assert server.starts() == [0, kept]
    assert path.read_bytes() == server.body


def test_an_unwritable_place(server, tmp_path):
    with pytest.raises(DownloadError, match="can't be read or written"):
        download(server.address + "/model.tar.gz", tmp_path / ("n" * 300), QUICK)


def test_one_process_waits_for_another(tmp_path):
    with locked(tmp_path / "lock"):
        with pytest.raises(DownloadError, match="Another process is still fetching") as caught:
            with locked(tmp_path / "lock", timeout=0.0):
                pytest.fail("the lock was given twice")
        assert "run again" in caught.value.fix
    with locked(tmp_path / "lock", timeout=0.0):
        pass


def test_a_lock_dies_with_its_process(tmp_path):
    code = "import os, sys; from pathlib import Path; from detkit.zoo.files import locked\n"
    code += "with locked(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")])
    assert killed.returncode == -signal.SIGKILL
    with locked(tmp_path / "lock", timeout=0.0):
        pass


def test_an_error_that_is_no_full_disk_keeps_its_words(tmp_path):
    from detkit.zoo.files import file_errors

    with pytest.raises(DownloadError, match="Permission denied"), file_errors(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "x"))
