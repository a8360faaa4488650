"""Files appear whole or not at all, and unreadable ones are explained."""

from __future__ import annotations

import errno
import os

import pytest

from detkit import io
from detkit.errors import ConfigError, DataError


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    path = tmp_path / "new" / "folder" / "file.txt"
    with io.atomic_write(path) as file:
        file.write("half")
        file.flush()
        assert not path.exists()
    assert path.read_text() == "half"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), io.atomic_write(path, "wb") as file:
        file.write(b"new")
        raise RuntimeError("killed")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_said_to_be_full(tmp_path):
    with pytest.raises(ConfigError, match="got: No space left.*\n.*\n  fix: The disk is full"):
        with io.atomic_write(tmp_path / "file.txt"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not list(tmp_path.iterdir())


def test_errors_of_other_files_pass_through(tmp_path):
    with pytest.raises(FileNotFoundError, match="elsewhere"), io.atomic_write(tmp_path / "file.txt"):
        open(tmp_path / "elsewhere")


def test_a_path_through_a_file_is_explained(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="Can't write here.*\n.*where: .*file\n.*\n.*\n.*is a file: choose"):
        io.write_json(tmp_path / "file" / "data.json", {})


def test_a_directory_in_the_way_is_explained(tmp_path):
    with pytest.raises(ConfigError, match="This path is a directory: give the path of a file"):
        io.write_json(tmp_path, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_forbidden_directory_is_explained(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="Choose a directory you may write to"):
        io.write_json(tmp_path / "data.json", {})


def test_json_round_trip_keeps_unicode(tmp_path):
    value = {"nämé": [1, 2.5, None, "鸭"]}
    io.write_json(tmp_path / "a.json", value)
    assert io.read_json(tmp_path / "a.json") == value
    assert "鸭" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_a_byte_order_mark_is_no_obstacle(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert io.read_json(tmp_path / "a.json") == [1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b'{"a": 1,\n "b" 2}',
            r"not valid JSON.*\n  where: .*a.json, line 2, column 6\n  got: Expecting ':'",
        ),
        (b"", "The file is empty"),
        (b" \n", "The file is empty"),
        (b"\xff{}", "byte 0 is not UTF-8"),
        (b"[" * 200_000, "not valid JSON"),
        (b"1" * 5000, "not valid JSON"),
    ],
)
def test_what_is_no_json_is_explained(tmp_path, content, message):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError, match=message):
        io.read_json(tmp_path / "a.json")


def test_missing_files_and_directories_are_explained(tmp_path):
    with pytest.raises(DataError, match=f"no such file\n.*\n  fix: .* that exists is {tmp_path}"):
        io.read_json(tmp_path / "x" / "a.json")
    with pytest.raises(DataError, match="got: a directory\n  expected: a file"):
        io.read_json(tmp_path)
