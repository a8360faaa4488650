from __future__ import annotations

import gzip
import tarfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zoo_server import MODEL, member, targz

from detkit.errors import CheckpointError
from detkit.zoo.unpack import Bounds, unpack

REQUIRED = ("pipeline.config", "checkpoint")


@pytest.fixture
def archive(tmp_path):
    return tmp_path / "model.tar.gz"


def refusal(archive, content: bytes, bounds: Bounds | None = None) -> str:
    """The message on unpacking such an archive, after which nothing of it must be there."""
    archive.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        unpack(archive, archive.with_name("model"), REQUIRED, bounds)
    assert list(archive.parent.iterdir()) == [archive]
    return str(caught.value)


@pytest.mark.parametrize("prefix", ["", "./", "other_name/", "./other_name/"])
def test_the_common_folder_is_left_out(archive, prefix):
    archive.write_bytes(targz({prefix + name[6:]: content for name, content in MODEL.items()}))
    model = archive.with_name("model")
    unpack(archive, model, REQUIRED)
    for name, content in MODEL.items():
        assert (model / name[6:]).read_bytes() == content
    assert {path.name for path in archive.parent.iterdir()} == {"model", "model.tar.gz"}


def test_folders_of_their_own_are_accepted(archive):
    folders = (member("model/empty", type=tarfile.DIRTYPE), member("model", type=tarfile.DIRTYPE))
    archive.write_bytes(targz(extra=folders))
    unpack(archive, archive.with_name("model"), REQUIRED)
    assert (archive.with_name("model") / "empty").is_dir()


def test_modes_and_owners_of_the_archive_are_not_taken(archive):
    archive.write_bytes(targz(extra=(member("model/tool", mode=0o6777),)))
    unpack(archive, archive.with_name("model"), REQUIRED)
    assert (archive.with_name("model") / "tool").stat().st_mode & 0o7111 == 0


def test_what_was_there_is_replaced(archive):
    model = archive.with_name("model")
    (model / "checkpoint").mkdir(parents=True)
    (model / "checkpoint" / "old").touch()
    archive.write_bytes(targz())
    unpack(archive, model, REQUIRED)
    assert not (model / "checkpoint" / "old").exists()


def test_a_refused_archive_leaves_what_was_there(archive):
    model = archive.with_name("model")
    model.mkdir()
    (model / "old").touch()
    archive.write_bytes(targz({"model/readme": b""}))
    with pytest.raises(CheckpointError):
        unpack(archive, model, REQUIRED)
    assert [path.name for path in model.iterdir()] == ["old"]


@pytest.mark.parametrize(
    ("hostile", "problem"),
    [
        (member("/tmp/evil"), "leads out"),
        (member("model/../../evil"), "leads out"),
        (member(".."), "leads out"),
        (member("model\\..\\..\\evil"), "leads out"),
        (member("C:/evil"), "leads out"),
        (member("model/link", type=tarfile.SYMTYPE, linkname="/etc"), "is a link"),
        (member("model/link", type=tarfile.LNKTYPE, linkname="model/pipeline.config"), "is a link"),
        (member("model/device", type=tarfile.CHRTYPE), "neither a plain file nor a folder"),
        (member("model/device", type=tarfile.BLKTYPE), "neither a plain file nor a folder"),
        (member("model/pipe", type=tarfile.FIFOTYPE), "neither a plain file nor a folder"),
        (member("model/sparse", type=tarfile.GNUTYPE_SPARSE), "neither a plain file nor a folder"),
        (member("model/pipeline.config"), "another member has the same path"),
        (member("model/pipeline.config/x"), "another member has the same path"),
        (member("model/pipeline.config", type=tarfile.DIRTYPE), "another member has the same path"),
    ],
    ids=lambda value: f"{value.name} {value.type!r}" if isinstance(value, tarfile.TarInfo) else "",
)
def test_hostile_members_are_named(archive, hostile, problem):
    text = refusal(archive, targz(extra=(hostile,)))
    assert problem in text and repr(hostile.name) in text and str(archive) in text


@pytest.mark.parametrize("where", ["in a member", "after the end"])
def test_a_decompression_bomb(archive, where):
    zeros = bytes(20 << 20)
    inside = MODEL | {"model/zeros": zeros} if where == "in a member" else MODEL
    raw = gzip.decompress(targz(inside)) + (zeros if where == "after the end" else b"")
    text = refusal(archive, gzip.compress(raw, compresslevel=1))
    assert "decompression bomb" in text and "at most 16,777,216 bytes" in text


def test_weights_that_do_not_compress_may_be_large(archive):
    bounds = Bounds(free_bytes=0, max_ratio=2.0)
    archive.write_bytes(targz())
    unpack(archive, archive.with_name("model"), REQUIRED, bounds)
    assert (archive.with_name("model") / "checkpoint").is_dir()


def test_a_member_that_only_claims_a_size(archive):
    raw = gzip.decompress(targz())
    claim = member("model/claim", size=1 << 40).tobuf(tarfile.GNU_FORMAT)
    assert "unexpected end of data" in refusal(archive, gzip.compress(claim + raw))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_claims_a_size(archive, kind):
    claim = member("x", size=3 << 30, type=kind).tobuf(tarfile.GNU_FORMAT)
    assert "bomb" in refusal(archive, gzip.compress(claim + gzip.decompress(targz())))


def test_headers_nested_without_end(archive):
    header = member("x", size=1, type=tarfile.GNUTYPE_LONGNAME).tobuf(tarfile.GNU_FORMAT)
    nest = (header + b"a".ljust(512, b"\0")) * 2000
    assert "damaged" in refusal(archive, gzip.compress(nest + gzip.decompress(targz())))


def test_too_many_members(archive):
    many = tuple(member(f"model/{number}") for number in range(20))
    assert "more than 10 files" in refusal(archive, targz(extra=many), Bounds(max_files=10))


def test_too_many_bytes(archive):
    assert "at most 1,000 bytes" in refusal(archive, targz(), Bounds(max_bytes=1000))


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>not found</html>", targz()[:-20_000], targz()[:-4], gzip.compress(b"no tar" * 200)],
    ids=["empty", "a web page", "cut", "cut at the very end", "gzip of something else"],
)
def test_what_is_no_archive(archive, content):
    text = refusal(archive, content)
    assert "The archive is damaged or is no .tar.gz file." in text and "fetch the model again" in text


def test_an_altered_byte_is_found(archive):
    content = bytearray(targz())
    content[len(content) // 2] ^= 1
    assert "damaged" in refusal(archive, bytes(content))


def test_an_archive_of_something_else(archive):
    text = refusal(archive, targz({"photos/readme.txt": b"", "photos/pipeline.config": b""}))
    assert "The archive lacks checkpoint." in text and "readme.txt" in text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 2047), value=st.integers(0, 255))
def test_altered_headers_raise_nothing_else(archive, place, value):
    raw = bytearray(gzip.decompress(targz()))
    raw[place] = value
    archive.write_bytes(gzip.compress(bytes(raw), compresslevel=1))
    try:
        unpack(archive, archive.with_name("model"), REQUIRED)
    except CheckpointError:
        pass
    assert {path.name for path in archive.parent.iterdir()} <= {"model", "model.tar.gz"}
