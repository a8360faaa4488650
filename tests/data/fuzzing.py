"""Mutated annotation files of every format: whatever they hold, reading gives a dataset or a DataError.

`python tests/data/fuzzing.py 20000` tries that many and says how long it took.
"""

from __future__ import annotations

import contextlib
import random
import re
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from detkit import data, masks
from detkit.data.formats import records, wire
from detkit.errors import DataError

SIZE = (24, 32)
PATHS = {
    "coco": "boxes.json",
    "csv": "boxes.csv",
    "cvat": "annotations.xml",
    "image_folder": "by_class",
    "labelme": "labelme",
    "masks": "semantic",
    "openimages": "boxes.csv",
    "tfrecord": "boxes.record",
    "voc": "voc",
    "yolo": "yolo",
}
MAPS = ("image_folder", "masks")  # which hold no boxes
SECONDS = 10  # of the processor, for one file
_NUMBERS = (
    *(b"-1", b"0", b"1", b"2", b"0.5", b"1e9", b"1e999", b"nan", b"-inf", b"1000000000", b"99999", b"1e-300"),
    *(b"9" * 30, b"9" * 5000, b"", b"null", b"true", b'"7"', b"[]", b"{}", b"1_0", b"0x10", b"\xd9\xa3", b"1,5"),
)
_TEXTS = (
    *(b"", b" ", b"../../../../etc/passwd", b"/", b"\\u0000", b"\\ud800", b"a" * 100_000, b"\0", b"\xff\xfe", b"#"),
    *(b"polygon", b"mask", b"rectangle", b"track", b"&lt;", b"&a;", b"*a", b"<<", b"!!python/object:os.system"),
)
_LAUGHS = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + b"".join(
    b'<!ENTITY %c "&%c;&%c;&%c;&%c;&%c;&%c;&%c;&%c;">' % ((98 + i,) + (97 + i,) * 8) for i in range(12)
)
_PIECES = (
    *(_LAUGHS + b"]>", b"[" * 5000, b"{" * 5000, b'{"a":' * 5000, b"<a>" * 5000, b"- " * 5000, b'"', b"<!--"),
    b"a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nnames: [*b,*b,*b,*b,*b,*b,*b,*b]\n",
    b"names: &n {0: a}\nx: &x {<<: [*n,*n,*n,*n,*n,*n,*n,*n]}\n",
)


def sample(folder: Path) -> data.Dataset:
    """Three pictures with boxes, polygons, a mask and nothing."""
    files = []
    for name in ("a", "b", "c"):
        files.append(folder / "pictures" / f"{name}.png")
        files[-1].parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE[::-1]).save(files[-1])
    ring = masks.encode(np.ones((6, 8), bool), (2, 3), SIZE)
    outlines = ([[1.0, 1.0, 9.0, 1.0, 9.0, 9.0]], ring, None)
    boxes = [[1 / 24, 1 / 32, 9 / 24, 9 / 32], [2 / 24, 3 / 32, 8 / 24, 11 / 32], [0, 0, 1, 1]]
    first = data.Example(files[0], boxes, [0, 1, 0], SIZE, [0, 0, 1], [0, 1, 0], segmentations=outlines)
    second = data.Example(files[1], [[0.25, 0.25, 0.5, 0.75]], [1], SIZE)
    return data.Dataset((first, second, data.Example(files[2], [], [], SIZE)), ("boat", "duck"))


def labelled(folder: Path) -> data.Dataset:
    """The pictures of `sample` with a label and a class map each, and no boxes."""
    whole = sample(folder)
    values = np.zeros(SIZE, np.uint8)
    values[2:9, 3:20], values[12:20, 3:20], values[0] = 1, 2, 255
    own = [dict(image_labels=[number % 2], class_map=values) for number in range(len(whole))]
    examples = [data.Example(each.image, [], [], SIZE, **parts) for each, parts in zip(whole, own, strict=True)]
    return replace(whole, examples=examples)


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Some bytes, changed in one to four places."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        content = chance.choice(_MUTATIONS)(content, chance)
    return content


def _flip(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content) + 1)
    return content[:at] + bytes([chance.randrange(256)]) + content[at + 1 :]


def _cut(content: bytes, chance: random.Random) -> bytes:
    start, stop = sorted(chance.randrange(len(content) + 1) for _ in range(2))
    return chance.choice((content[:start], content[stop:], content[:start] + content[stop:]))


def _double(content: bytes, chance: random.Random) -> bytes:
    start, stop = sorted(chance.randrange(len(content) + 1) for _ in range(2))
    at = chance.randrange(len(content) + 1)
    return content[:at] + content[start:stop] + content[at:]


def _insert(content: bytes, chance: random.Random) -> bytes:
    at = chance.choice((0, chance.randrange(len(content) + 1)))
    return content[:at] + chance.choice((*_PIECES, chance.randbytes(8))) + content[at:]


def _replace(pattern: bytes, values):
    def change(content: bytes, chance: random.Random) -> bytes:
        found = list(re.finditer(pattern, content))
        if not found:
            return content
        match = chance.choice(found)
        return content[: match.start()] + chance.choice(values) + content[match.end() :]

    return change


_number = _replace(rb"-?\d+(\.\d+)?([eE]-?\d+)?", _NUMBERS)
_text = _replace(rb"[A-Za-z_./]{2,}", _TEXTS)
_MUTATIONS = (_flip, _cut, _double, _insert, _number, _number, _number, _text, _text)


def _record(content: bytes, chance: random.Random) -> bytes:
    """A TFRecord file with one record changed, its checksums right again three times in four."""
    if chance.random() < 0.25:
        return mutated(content, chance)
    view = memoryview(content)
    whole = [bytes(view[start:end]) for start, end in records.spans(view, Path())]
    number = chance.randrange(len(whole))
    whole[number] = _values(view, number, chance) if chance.random() < 0.6 else mutated(whole[number], chance)
    with tempfile.TemporaryDirectory() as folder:
        records.write(Path(folder) / "x", whole)
        return (Path(folder) / "x").read_bytes()


def _values(view: memoryview, number: int, chance: random.Random) -> bytes:
    """A record with one of its lists changed."""
    span = list(records.spans(view, Path()))[number]
    keys = {key.decode() for key in re.findall(rb"image/[a-z0-9_/]+", bytes(view[slice(*span)]))}
    found = wire.features(view, span, keys)
    values = {k: [bytes(view[slice(*s)]) for s in v] if isinstance(v, list) else v.tolist() for k, v in found.items()}
    key = chance.choice(sorted(values))
    odd = [-1, 0, 7, 10**9, 2**62, float("nan"), float("inf"), -0.5, 1e30, b"", b"\xff", b"duck", bomb(50_000)]
    kept = values[key][: chance.randrange(len(values[key]) + 1)]
    values[key] = [odd_value] * len(kept) if (odd_value := chance.choice(odd)) != b"duck" else kept * 2
    return wire.encode(values)


def bomb(side: int) -> bytes:
    """A small PNG that says that it is very large."""
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(1_000_000))), (b"IEND", b""))
    parts = (struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _too_long(*_):
    raise TimeoutError(f"over {SECONDS} seconds")


class Fuzzer:
    """Writes a dataset in a format; `attempt` changes one of its files, reads it, and puts the file back."""

    def __init__(self, format: str, folder: Path, seed: int):
        self.format, self.folder, self.chance = format, folder / format, random.Random(f"{format} {seed}")
        self.path = self.folder / PATHS[format]
        data.write((labelled if format in MAPS else sample)(self.folder), self.path, format)
        pictures = {self.folder / "pictures", self.folder / "yolo/images", self.path / "images"}
        files = sorted(file for file in self.folder.rglob("*") if file.is_file() and file.parent not in pictures)
        self.files = {file: file.read_bytes() for file in files}

    def attempt(self) -> bool:
        """Whether a changed file was read; False for a DataError. Raises anything else that came out."""
        file = self.chance.choice(list(self.files))
        change = _record if file.suffix == ".record" else mutated
        content = change(self.files[file], self.chance)
        if file.suffix == ".png" and self.chance.random() < 0.2:
            content = bomb(self.chance.choice((24, 5000, 50_000)))
        file.write_bytes(content)
        signal.signal(signal.SIGPROF, _too_long)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            return self._read()
        except Exception as error:
            kept = Path(tempfile.mkdtemp(prefix=f"fuzz_{self.format}_"))
            shutil.copytree(self.folder, kept, dirs_exist_ok=True, symlinks=True)
            raise AssertionError(f"{type(error).__name__} for {kept}/{file.relative_to(self.folder)}") from error
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            file.write_bytes(self.files[file])

    def _read(self) -> bool:
        strict, known = self.chance.random() < 0.3, self.chance.random() < 0.7
        images = self.folder / "pictures" if self.chance.random() < 0.5 else None
        try:
            found = data.read(self.path, self.format if known else None, images=images, strict=strict)
        except DataError:
            return False
        for example in found:
            if example.class_map is not None:
                _decoded(example)
            if example.size[0] * example.size[1] < 1_000_000:
                example.masks()
        return True


def _decoded(example: data.Example) -> None:
    with contextlib.suppress(DataError):
        example.semantic()


def main(count: int) -> None:
    """Try that many files, spread over the formats, in 2 GiB of memory beyond what is used at the start."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**31, resource.RLIM_INFINITY))
    start, read = time.perf_counter(), dict.fromkeys(PATHS, 0)
    with tempfile.TemporaryDirectory() as folder:
        fuzzers = [Fuzzer(name, Path(folder), seed=count) for name in PATHS]
        for number in range(count):
            fuzzer = fuzzers[number % len(fuzzers)]
            read[fuzzer.format] += fuzzer.attempt()
    seconds, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{count} files in {seconds:.0f} s, peak memory {peak} MiB; read all the same: {read}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
