"""TFRecord files of tf.train.Example with the OD API's feature keys; shards; pictures and masks inside.

Also reads tf.train.SequenceExample with a frame a picture, as the OD API's context models use. TensorFlow is not
needed. Source: the OD API's data_decoders/tf_example_decoder.py, dataset_tools/create_coco_tf_record.py.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from detkit.data.dataset import Dataset
from detkit.data.encoded import EncodedImage
from detkit.data.formats import mask_files, records, tfrecord_classes, tfrecord_write, wire
from detkit.data.formats.assemble import Picture, Thing, dataset
from detkit.data.formats.common import Pictures, Report, picture_size
from detkit.data.formats.markup import head
from detkit.errors import DataError
from detkit.pipeline.garden_yaml import NUMBERS

_CORNERS = tuple(f"image/object/bbox/{side}" for side in ("xmin", "ymin", "xmax", "ymax"))
_FLAGS = ("image/object/is_crowd", "image/object/group_of", "image/object/difficult")
_KEYPOINTS = "image/object/keypoint/x"
_WANTED = {
    *("image/encoded", "image/filename", "image/source_id", "image/height", "image/width"),
    *("image/object/class/text", "image/object/class/label", "image/object/area"),
    *("image/class/text", "image/class/label"),
    *("image/object/mask", "image/object/mask/weight", _KEYPOINTS, *_CORNERS, *_FLAGS),
}
# What the frames of a SequenceExample call the same things.
_IN_FRAMES = {f"region/bbox/{key.rpartition('/')[2]}": key for key in _CORNERS} | {
    "region/label/string": "image/object/class/text",
    "region/label/index": "image/object/class/label",
    "image/encoded": "image/encoded",
    "image/source_id": "image/source_id",
}
_NO_KEYPOINTS = "Keypoints in TFRecord files are passed over."
_FIX = "Write the record again."
_SUFFIXES = (".record", ".records", ".tfrecord", ".tfrecords")
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})$")

write = tfrecord_write.write


def matches(path: Path) -> str | None:
    """Why a path is not a TFRecord dataset; None if it is one."""
    if path.is_dir():
        return None if _files(path) else "there are no files *.record or *.tfrecord in it"
    if not path.is_file():
        return None if all(map(_files, _parts(path))) else "there are no files of that pattern"
    start = head(path)
    if start.startswith(b"\x1f\x8b"):
        return "it is compressed with gzip; unpack it first, if it is a TFRecord file"
    return None if records.looks_like(start) else "it doesn't begin with the length of a record and its checksum"


def _parts(path: Path) -> list[Path]:
    """A path, or those of a list "a.record,b.record"."""
    text = str(path)
    return [path] if "," not in text or os.path.exists(path) else [Path(part.strip()) for part in text.split(",")]


def _files(path: Path) -> list[Path]:
    """The files of a dataset: one, those of a folder, or those of a pattern as train.record-?????-of-00010."""
    if path.is_file():
        return [path]
    name = re.sub(r"@(\d+)$", lambda match: f"-?????-of-{int(match[1]):05}", path.name)
    folder, pattern = (path, "[!.]*") if path.is_dir() else (path.parent, name)
    if not path.is_dir() and not set(name) & set("*?"):
        return []
    found = sorted(file for file in folder.glob(pattern) if file.is_file())
    return [file for file in found if _SHARD.sub("", file.name).endswith(_SUFFIXES) or not path.is_dir()]


def read(path, images=None, strict: bool = True, label_map=None) -> Dataset:
    """The dataset in TFRecord files; pictures inside them are decoded only when they are asked for.

    Names of classes come from the records, their numbers from a label map (.pbtxt) or else from the records too.
    Checksums are verified.

    Args:
        path: a file; a folder of *.record or *.tfrecord; a pattern, as "train.record-?????-of-00010" or
            "train.record@10"; or several, with commas between them.
        images: the folder of the pictures, for records without pictures inside; False if only the annotations matter.
        strict: raise for what can't be used; otherwise leave it out and list it in `problems`.
        label_map: the label map, if it isn't beside the records; "numbers" to call classes without one by their number.

    Raises:
        DataError: if a file is damaged or a shard is missing; if strict, with all that can't be used.
    """
    path, files = Path(path), []
    for part in _parts(path):
        own = _files(part)
        if not own:
            raise DataError("There are no TFRecord files here.", where=part, got=matches(part) or "no such file")
        _check_complete(own, part)
        files += own
    report = Report(path)
    finder = Pictures([files[0].parent / name for name in ("", "images", "..", "../images")], images)
    pictures, missing = [], []
    for file in files:
        pictures += _pictures(file, finder, missing, report)
    finder.report_missing(missing, len(missing) + len(pictures), report)
    numbered = label_map == NUMBERS
    place = files[0].parent if numbered else label_map or files[0].parent
    classes, label_ids = tfrecord_classes.resolve(pictures, place, report, numbered)
    return dataset(pictures, classes, path, report, strict, label_ids)


def _check_complete(files: list[Path], path: Path) -> None:
    """DataError if a shard is missing, or a folder holds more than one set of records."""
    names = sorted({_SHARD.sub("", file.name) for file in files})
    if path.is_dir() and len(names) > 1:
        fix = f"Name one of them, as {path / names[0]}, or {path / names[0]}@10 for shards."
        raise DataError("This folder holds several sets of records.", where=path, got=", ".join(names[:10]), fix=fix)
    for file in files:
        shard = _SHARD.search(file.name)
        if shard and not path.is_file():
            total, base = int(shard[2]), file.name[: shard.start()]
            there = sum(other.name.startswith(base) and _SHARD.search(other.name) is not None for other in files)
            if there != total:
                fix = "Copy all shards, or name the ones to read one by one."
                raise DataError("Shards are missing.", where=file.parent / base, got=there, expected=total, fix=fix)


def _pictures(file: Path, finder: Pictures, missing: list[str], report: Report) -> list[Picture]:
    content, found = records.opened(file), []
    for number, span in enumerate(records.spans(content, file)):
        place = f"{file}, record {number}"
        try:
            for values in _examples(content, span):
                picture = _picture(content, values, file, place, finder, missing, report)
                found += [picture] if picture else []
        except wire.WireError as error:
            expected = "a tf.train.Example"
            report.add("error", "A record can't be read.", file=place, got=str(error), expected=expected, fix=_FIX)
    return found


def _examples(content: memoryview, span: wire.Span) -> list[dict]:
    """The values of a record, by the keys of an Example: one picture, or one for each frame."""
    values = wire.features(content, span, _WANTED)
    frames = wire.frames(content, span, _IN_FRAMES)
    if not frames:
        return [values]
    return [values | {_IN_FRAMES[key]: value for key, value in frame.items()} for frame in frames]


def _picture(content, values: dict, file: Path, place: str, finder, missing, report: Report) -> Picture | None:
    name = _texts(content, values.get("image/filename")) or _texts(content, values.get("image/source_id"))
    name = name[0] if name else ""
    named = name or f"{file.name.replace('.', '_')}_{place.rpartition(' ')[2]}"
    start, end = (_spans(values, "image/encoded") or [(0, 0)])[0]
    image = EncodedImage(file, start, end - start, named) if end > start else name and finder.find(name)
    if not image:
        missing.append(name or place)
        return None
    sides = [_first(values, f"image/{side}") for side in ("height", "width")]
    size = picture_size(sides, image, report, place)
    if size is None:
        return None
    picture = Picture(image, size, [], name or place, place)
    if len(_array(values, _KEYPOINTS)) and not any(problem.what == _NO_KEYPOINTS for problem in report.problems):
        report.add("info", _NO_KEYPOINTS, file=place, fix="Give them as COCO JSON.")
    try:
        picture.labels = _labels(content, values)
        picture.things = _things(content, values, size, place)
    except DataError as error:
        report.add_error(error, file=place, image=str(image))
    return picture


def _labels(content, values: dict) -> list[tuple]:
    """(text, number) of each label of the picture as a whole; DataError if the lists don't fit."""
    numbers, texts = _numbers(values, "image/class/label"), _texts(content, values.get("image/class/text"))
    if numbers and texts and len(numbers) != len(texts):
        got, expected = f"{len(numbers)} numbers, {len(texts)} texts", "one of each a label"
        what = "The labels of a picture have lists of different lengths."
        raise DataError(what, got=got, expected=expected, fix=_FIX)
    n = max(len(numbers), len(texts))
    return list(zip(texts or [""] * n, numbers or [None] * n, strict=True))


def _things(content, values: dict, size: tuple[int, int], place: str) -> list[Thing]:
    """The objects of a record, with (text, number) in place of their class; DataError if the lists don't fit."""
    columns = [_array(values, key) for key in _CORNERS]
    labels, texts = _numbers(values, "image/object/class/label"), _texts(content, values.get("image/object/class/text"))
    counts = {key: len(column) for key, column in zip(_CORNERS, columns, strict=True)}
    counts |= {"image/object/class/label": len(labels), "image/object/class/text": len(texts)}
    n = len(columns[0])
    named = {len(labels), len(texts)} - {0}
    if any(len(column) != n for column in columns) or (n and named != {n}) or (not n and named):
        got = ", ".join(f"{count} {key}" for key, count in counts.items())
        what = "The lists of a record have different lengths."
        raise DataError(what, got=got, expected="one value an object each", fix=_FIX)
    flags = {key: _flag(values, key, n) for key in _FLAGS}
    area, found = _array(values, "image/object/area"), _masks(content, values, n, size)
    corners = np.stack(columns, -1).astype(np.float64) * (size[::-1] * 2) if n else []
    return [
        Thing(
            (texts[i] if texts else "", labels[i] if labels else None),
            corners[i],
            i,
            place,
            crowd=bool(flags["image/object/is_crowd"][i] or flags["image/object/group_of"][i]),
            difficult=bool(flags["image/object/difficult"][i]),
            area=float(area[i]) if len(area) == n else float("nan"),
            segmentation=found[i],
        )
        for i in range(n)
    ]


def _masks(content, values: dict, n: int, size: tuple[int, int]) -> list[dict | None]:
    """The RLE of each object's mask, given as PNG or as numbers [N, H, W]; None where there is none."""
    given = values.get("image/object/mask")
    if given is None or not len(given):
        return [None] * n
    weights = _array(values, "image/object/mask/weight")
    if isinstance(given, list):
        if len(given) != n:
            raise DataError("A record has another number of masks than boxes.", got=len(given), expected=n, fix=_FIX)
        planes = (mask_files.pixels(bytes(content[start:end]), size) for start, end in given)
    else:
        if len(given) != n * size[0] * size[1]:
            got, expected = f"{len(given)} numbers", f"{n} x {size[0]} x {size[1]}"
            raise DataError("The masks of a record don't fit its picture.", got=got, expected=expected, fix=_FIX)
        planes = given.reshape(n, *size)
    found = (mask_files.run_lengths(plane, (0, 0), size) for plane in planes)
    return [rle if len(weights) != n or weights[i] else None for i, rle in enumerate(found)]


def _spans(values: dict, key: str) -> list[wire.Span]:
    found = values.get(key)
    return found if isinstance(found, list) else []


def _texts(content, spans) -> list[str]:
    spans = spans if isinstance(spans, list) else []
    return [bytes(content[start:end]).decode("utf-8", "replace") for start, end in spans]


def _array(values: dict, key: str) -> np.ndarray:
    found = values.get(key)
    return found if isinstance(found, np.ndarray) else np.zeros(0)


def _numbers(values: dict, key: str) -> list[int]:
    """A list of whole numbers; none where there are others."""
    found = _array(values, key)
    return found.tolist() if found.dtype == np.int64 else []


def _first(values: dict, key: str) -> float:
    found = _array(values, key)
    return float(found[0]) if len(found) else float("nan")


def _flag(values: dict, key: str, n: int) -> np.ndarray:
    """A list of flags, none set unless there is one an object."""
    found = _array(values, key)
    return found != 0 if len(found) == n else np.zeros(n, bool)
