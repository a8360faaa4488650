"""Large COCO files are read piece by piece and checked all together, to the same result as one by one."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detkit import masks
from detkit.data import Dataset
from detkit.data.formats import coco, long_list
from detkit.errors import DataError
from detkit.io import read_json

SIZE = 60, 80
NAN = float("nan")


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(long_list, "_PIECE", 100)


def slowly(document: dict) -> tuple[list, list[str]]:
    """The boxes in a document, picture by picture, and the problems with it."""
    classes = sorted(entry["id"] for entry in document["categories"])
    pictures = {entry["id"]: [] for entry in document["images"]}
    counts, problems = dict.fromkeys(pictures, 0), []
    for entry in document["annotations"]:
        if not isinstance(entry, dict):
            problems.append("An entry")
            continue
        image, category = entry.get("image_id"), entry.get("category_id")
        if type(image) not in (int, str) or image not in pictures:
            problems.append("An annotation")
            continue
        number, counts[image] = counts[image], counts[image] + 1
        if type(category) is not int or category not in classes:
            problems.append(f"unknown category {number}")
        elif (row := usable(entry)) is None:
            problems.append(f"box {number} of {image}")
        else:
            pictures[image].append((row[0], classes.index(category), *row[1:]))
    return list(pictures.items()), problems


def usable(entry: dict) -> tuple | None:
    """Box, flags, area and outline of an annotation; None if the box can't be used."""
    outline, bbox = entry.get("segmentation") or None, entry.get("bbox")
    if bbox is None and outline is not None:
        bbox = masks.bounding_box(outline, SIZE)
    box = corners(bbox)
    flags = [entry.get(name) in (1, True) for name in ("iscrowd", "difficult")]
    return None if box is None else (box, *flags, numeric(entry.get("area")), outline)


def numeric(value) -> float:
    try:
        return float(value) if type(value) in (int, float) else NAN
    except OverflowError:
        return float("inf")


def corners(bbox) -> list[float] | None:
    """A box, normalised yxyx, or None for one that can't be used."""
    if not isinstance(bbox, list) or len(bbox) != 4:
        return None
    x, y, width, height = map(numeric, bbox)
    box = np.array([y, x, y + height, x + width]) / np.tile(SIZE, 2)
    if not np.isfinite(box).all() or (box[2:] <= 0).any() or (box[:2] >= 1).any():
        return None
    box = np.clip(box, 0, 1).astype(np.float32)
    return box.tolist() if (box[2:] > box[:2]).all() and width > 0 and height > 0 else None


def as_lists(dataset: Dataset) -> list:
    """A dataset as `slowly` tells it."""
    found = []
    for example in dataset:
        outlines = example.segmentations or (None,) * len(example)
        columns = (example.boxes, example.class_ids, example.crowd, example.difficult, example.area)
        rows = zip(*(column.tolist() for column in columns), outlines, strict=True)
        found.append((example.image_id, list(rows)))
    return found


def told(dataset: Dataset) -> list[str]:
    """The errors of a dataset as `slowly` tells them."""
    short = []
    for problem in dataset.problems:
        if problem.severity == "error":
            unknown = f"unknown category {problem.box}" if "category" in problem.what else None
            nowhere = " ".join(problem.what.split()[:2]) if problem.box is None else None
            short.append(unknown or nowhere or f"box {problem.box} of {Path(problem.image).stem}")
    return short


strange = st.sampled_from([None, True, 1.0, "7", [], {}, -1, 2**70, 10**400, NAN, "},{", [{}, {}]])
numbers = st.integers(-5, 90) | st.floats(-5, 90, width=32)
usable_boxes = st.tuples(numbers, numbers, st.integers(1, 60), st.floats(1, 60, width=32)).map(list)
flags = st.sampled_from([0, 1, True, 1.0, None])
outlines = st.sampled_from([[[8, 6, 48, 6, 48, 36.5]], [[1, 1, 9, 1, 9, 9], [2, 2, 3, 3, 2.5, 4]], [], None])


@st.composite
def documents(draw) -> dict:
    """A COCO document, in parts or mostly as it should be."""
    ids = draw(st.lists(st.integers(1, 9) | st.just(2**70) | st.sampled_from(["a", "b"]), min_size=1, unique=True))
    classes = draw(st.lists(st.integers(1, 5), min_size=1, unique=True))
    may_be = (lambda kind: kind | strange) if draw(st.booleans()) else (lambda kind: kind)
    entries = st.fixed_dictionaries(
        {"image_id": may_be(st.sampled_from(ids)), "category_id": may_be(st.sampled_from(classes))},
        optional={
            "id": numbers, "bbox": may_be(usable_boxes | st.lists(numbers, min_size=4, max_size=4)),
            "area": may_be(st.integers(0, 9) | st.just(0.5)), "iscrowd": flags, "difficult": flags,
            "segmentation": outlines, "extra": strange,
        },
    )  # fmt: skip
    parts = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": SIZE[0], "width": SIZE[1]} for i in ids],
        "annotations": draw(st.lists(may_be(entries), max_size=12)),
        "categories": [{"id": i, "name": f"class {i}"} for i in classes],
    }
    return {key: parts[key] for key in draw(st.permutations(list(parts)))}


@settings(max_examples=40, deadline=None)
@given(documents(), st.sampled_from([None, 1]))
def test_all_together_gives_what_one_by_one_gives(document, indent):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.json"
        path.write_text(json.dumps(document, indent=indent))
        dataset = coco.read(path, images=False, strict=False)
    expected, problems = slowly(document)
    assert repr(as_lists(dataset)) == repr(expected)  # NaN is NaN there
    assert sorted(told(dataset)) == sorted(problems)


def test_problems_name_the_annotations_of_all_pieces(tmp_path):
    images = [{"id": i, "file_name": f"{i}.jpg", "height": 60, "width": 80} for i in range(50)]
    boxes = [[1, 1, 10, -1] if i % 7 == 0 else [1, 1, 10, 10] for i in range(400)]
    numbers = np.random.default_rng(0).integers(0, 50, 400).tolist()
    rows = [{"id": i, "image_id": numbers[i], "category_id": 1, "bbox": boxes[i]} for i in range(400)]
    document = {"annotations": rows, "images": images, "categories": [{"id": 1, "name": "a"}]}
    (tmp_path / "train.json").write_text(json.dumps(document))
    problems = coco.read(tmp_path / "train.json", images=False, strict=False).problems
    expected = [i for i in sorted(range(400), key=numbers.__getitem__) if i % 7 == 0]
    assert [int(problem.got.split()[-1].strip(")")) for problem in problems] == expected
    assert [int(Path(problem.image).stem) for problem in problems] == [numbers[i] for i in expected]


ENTRY = '{"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]%s}'
DOCUMENT = (
    '{"categories": [{"id": 1, "name": "a"}], "annotations": [%s],\n'
    '"images": [{"id": 1, "file_name": "1.jpg", "height": 60, "width": 80}]}%s'
)


@pytest.mark.parametrize(
    "extra", ["", ', "note": "}, {"', ', "parts": [{}, {}, {}]', ', "score": NaN', ', "a\\u0062": {"b": 1}']
)
def test_pieces_are_cut_between_entries_only(tmp_path, extra):
    entries = ", \n".join([ENTRY % extra] * 30)
    (tmp_path / "train.json").write_text(DOCUMENT % (entries, " \n"))
    assert len(coco.read(tmp_path / "train.json", images=False)[0]) == 30


@pytest.mark.parametrize(
    ("entries", "end"),
    [
        (ENTRY % ",", ""),
        (ENTRY % "" + ",", ""),
        (ENTRY % "", "}"),
        ("[" * 5000, ""),
        (ENTRY % ', "a": 0' + "0" * 9, ""),
    ],
)
def test_what_is_no_json_is_refused_as_ever(tmp_path, entries, end):
    path = tmp_path / "train.json"
    path.write_text(DOCUMENT % (", ".join([ENTRY % ""] * 30 + [entries]), end))
    with pytest.raises(DataError) as expected:
        read_json(path)
    with pytest.raises(DataError) as error:
        coco.read(path)
    assert str(error.value) == str(expected.value)
