"""Datasets for round trips, and comparing them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from detkit import data
from detkit.data.formats.extract import save_pictures

TARGETS = {
    "coco": "coco/boxes.json",
    "csv": "csv/boxes.csv",
    "cvat": "cvat/annotations.xml",
    "labelme": "labelme",
    "openimages": "openimages/boxes.csv",
    "tfrecord": "tfrecord/boxes.record",
    "voc": "voc",
    "yolo": "yolo",
}
# These hold no boxes.
MAPS = {"image_folder": "by_class", "masks": "semantic"}
PIXEL = 0.002  # the precision of the coarsest formats, which write thousandths


def passed_through(dataset: data.Dataset, format: str, root: Path) -> data.Dataset:
    """A dataset written to a folder and read again, the format told by its content."""
    if format != "tfrecord":
        dataset = save_pictures(dataset, root / "saved")
    folders = {example.image.parent for example in dataset} if format == "openimages" else set()
    target = root / (TARGETS | MAPS)[format]
    data.write(dataset, target, format)
    # A single class is not enough for telling that folders are classes.
    named = format if format == "image_folder" else None
    return data.read(target, named, images=folders.pop() if folders else None)


def by_picture(dataset: data.Dataset) -> dict[str, data.Example]:
    """The examples by the names of their pictures."""
    return {Path(example.image.name).stem: example for example in dataset}


def assert_same_boxes(old: data.Dataset, new: data.Dataset, pixels: float = PIXEL) -> None:
    """Fails unless the pictures, sizes, boxes and class names are the same, in the same order within a picture."""
    before, after = by_picture(old), by_picture(new)
    assert sorted(before) == sorted(after)
    for name, example in before.items():
        other = after[name]
        assert other.size == example.size
        scale = np.tile(example.size, 2)
        np.testing.assert_allclose(other.boxes * scale, example.boxes * scale, rtol=0, atol=pixels)
        assert names(new, other) == names(old, example)


def names(dataset: data.Dataset, example: data.Example) -> list[str]:
    """The class names of an example's boxes."""
    return [dataset.classes[i] for i in example.class_ids]


letters = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Co"], exclude_characters='/\\<>:"|?*.')
words = st.text(letters, min_size=1, max_size=12).map(lambda text: text.strip() or "blank")
file_names = words.map(lambda text: unicodedata.normalize("NFC", text))
odd = st.sampled_from(["no", "1", "a & b", "x,y", "'", "<b>", '"', "a.b", "/m/01"])
labels = st.lists(words | odd, min_size=1, max_size=4, unique=True)


@st.composite
def boxes(draw, size):
    """A box in an image: any, or a pixel, or all of it."""
    sides = []
    for side in size:
        length = draw(st.sampled_from([1.0, float(side)]) | st.floats(0.0625, side, width=32))
        start = draw(st.integers(0, side - 1) | st.floats(0, side, width=32))
        sides.append((min(start, side - length), length))
    (top, height), (left, width) = sides
    box = np.array([top, left, top + height, left + width]) / np.tile(size, 2)
    return np.clip(box, 0, 1).tolist()


@st.composite
def datasets(draw, root: Path):
    """A dataset whose pictures lie in a folder."""
    classes = sorted(draw(labels))
    stems = draw(st.lists(file_names, min_size=1, max_size=4, unique_by=str.casefold))
    examples = []
    for stem in stems:
        size = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
        file = root / f"{stem}.png"
        Image.new("L", size[::-1]).save(file)
        rows = draw(st.lists(boxes(size), max_size=6))
        class_ids = draw(st.lists(st.integers(0, len(classes) - 1), min_size=len(rows), max_size=len(rows)))
        examples.append(data.Example(file, rows, class_ids, size))
    return data.Dataset(tuple(examples), tuple(classes))


@st.composite
def labelled(draw, root: Path):
    """A dataset whose pictures have one label each, and the class of each pixel."""
    plain = draw(datasets(root))
    classes = tuple(name for name in plain.classes if "/" not in name)
    classes = classes or ("blank",)
    examples = []
    for example in plain:
        values = draw(st.lists(st.sampled_from([0, 255, *range(1, len(classes) + 1)]), min_size=1, max_size=9))
        label = draw(st.integers(0, len(classes) - 1))
        class_map = np.resize(np.array(values, np.uint8), example.size)
        examples.append(data.Example(example.image, [], [], example.size, image_labels=[label], class_map=class_map))
    return data.Dataset(tuple(examples), classes)
