"""Every format to every other: nothing is lost but what a format has no place for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from data_files import picture
from random_datasets import MAPS, PIXEL, TARGETS, assert_same_boxes, by_picture, passed_through

from detkit import data, masks
from detkit.data import formats
from detkit.data.formats.lost import KEEPS, lost

SIZE = (48, 64)


def rle() -> dict:
    """The mask of a ring whose box is x 20..40, y 8..28."""
    inside = np.ones((20, 20), bool)
    inside[4:16, 6:12] = False
    return masks.encode(inside, (8, 20), SIZE)


@pytest.fixture
def dataset(tmp_path) -> data.Dataset:
    """Boxes with and without outlines, of a pixel and of all the picture, none at all; odd names."""
    files = [picture(tmp_path / "photos" / f"{name}.png", SIZE, i) for i, name in enumerate(["a", "ü b", "empty"])]
    shape = [4.25, 3.25, 20.25, 3.25, 20.25, 7.25, 12.25, 13.25, 4.25, 13.25]
    parts = [[1.25, 1.25, 9.25, 1.25, 9.25, 9.25, 1.25, 9.25], [11.25, 1.25, 19.25, 1.25, 19.25, 8.25, 11.25, 8.25]]
    outlines = ([shape], parts, rle(), None)
    corners = [[3.25, 4.25, 13.25, 20.25], [1.25, 1.25, 9.25, 19.25], [8, 20, 28, 40], [0, 0, 48, 64]]
    scale = np.tile(SIZE, 2)
    first = data.Example(
        files[0],
        np.array(corners) / scale,
        [0, 1, 0, 2],
        SIZE,
        crowd=[0, 0, 1, 0],
        difficult=[0, 1, 0, 0],
        segmentations=outlines,
    )
    second = data.Example(files[1], np.array([[5, 7, 6, 8], [0.5, 0.25, 47.5, 1.5]]) / scale, [1, 1], SIZE)
    empty = data.Example(files[2], [], [], SIZE)
    return data.Dataset((first, second, empty), ("a, b", "bötchen & <co>", "duck"), (3, 7, 90))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", TARGETS)
def test_boxes_and_classes_survive_any_two_formats(dataset, tmp_path, source, target):
    kept = dataset
    for step, name in enumerate((source, target)):
        if "empty" not in KEEPS[name]:
            kept = replace(kept, examples=tuple(example for example in kept if len(example)))
        dataset = passed_through(dataset, name, tmp_path / str(step))
    assert dataset.problems == ()
    # A mask's box is of whole pixels, other than that of the polygon it was made from.
    outlined = source in ("tfrecord", "voc") and target in ("cvat", "labelme")
    assert_same_boxes(kept, dataset, pixels=1 if outlined else PIXEL)
    assert dataset.classes == ("a, b", "bötchen & <co>", "duck")


@pytest.mark.parametrize("name", TARGETS)
def test_what_a_format_keeps(dataset, tmp_path, name):
    old, new = dataset[0], by_picture(passed_through(dataset, name, tmp_path))["a"]
    for flag in ("crowd", "difficult"):
        expected = getattr(old, flag) if flag in KEEPS[name] else np.zeros(4, bool)
        if (flag, name) == ("difficult", "voc"):
            expected = old.crowd | old.difficult
        np.testing.assert_array_equal(getattr(new, flag), expected)
    wanted = old.masks()
    if "masks" not in KEEPS[name]:
        wanted[2] = False
    if name == "yolo":
        wanted[1] = False  # of two polygons
    if not KEEPS[name] & {"polygons", "masks"}:
        wanted[:] = False
    if name == "voc":
        wanted[0] &= ~wanted[1]  # the later object's pixels
        wanted[0] &= ~wanted[2]
    np.testing.assert_array_equal(new.masks(), wanted)


@pytest.mark.parametrize("name", [name for name in TARGETS if "label ids" in KEEPS[name]])
def test_label_ids_and_areas_are_kept(dataset, tmp_path, name):
    first = replace(dataset[0], area=[80.5, 64, 300, np.nan])
    new = passed_through(replace(dataset, examples=(first,)), name, tmp_path)
    assert new.label_ids == (3, 7, 90)
    np.testing.assert_allclose(new[0].area[:3], first.area[:3])


@pytest.mark.parametrize("source", [name for name in TARGETS if KEEPS[name] & {"polygons", "masks"}])
def test_outlines_become_class_maps(dataset, tmp_path, source):
    drawn = slice(1, 3) if source != "yolo" else slice(0, 1)  # which keep away from each other
    first = dataset[0]
    first = data.Example(
        first.image, first.boxes[drawn], first.class_ids[drawn], SIZE, segmentations=first.segmentations[drawn]
    )
    dataset = replace(dataset, examples=(first, dataset[2]))
    passed = passed_through(dataset, source, tmp_path / "0")
    new = passed_through(passed, "masks", tmp_path / "1")
    assert new.problems == ()
    for stem, example in by_picture(dataset).items():
        found, expected = by_picture(new)[stem].semantic(), example.semantic()
        places = np.array([0, *(new.classes.index(name) + 1 if name in new.classes else 0 for name in dataset.classes)])
        np.testing.assert_array_equal(found, places[expected])


@pytest.mark.parametrize("target", ["masks", "voc"])
@pytest.mark.parametrize("source", ["masks", "voc"])
def test_class_maps_survive_any_two_formats(dataset, tmp_path, source, target):
    values = np.random.default_rng(0).choice(np.array([0, 1, 2, 3, 255], np.uint8), SIZE)
    dataset = replace(dataset, examples=(data.Example(dataset[0].image, [], [], SIZE, class_map=values),))
    new = passed_through(passed_through(dataset, source, tmp_path / "0"), target, tmp_path / "1")
    assert new.problems == () and new.classes == dataset.classes
    np.testing.assert_array_equal(new[0].semantic(), values)


def test_labels_of_pictures_survive_any_two_formats(dataset, tmp_path):
    labelled = tuple(replace(example, image_labels=[n]) for n, example in enumerate(dataset))
    dataset = replace(dataset, examples=labelled)
    for step, name in enumerate(("tfrecord", "image_folder", "tfrecord", "image_folder")):
        passed = passed_through(dataset, name, tmp_path / str(step))
        assert passed.problems == () and passed.classes == dataset.classes
        found = by_picture(passed)
        assert [found[stem].image_labels.tolist() for stem in ("a", "ü b", "empty")] == [[0], [1], [2]]


@pytest.mark.parametrize("name", [*TARGETS, *MAPS])
def test_what_is_lost_is_said(dataset, name):
    first = replace(dataset[0], image_labels=[0, 1], class_map=np.zeros(SIZE, np.uint8))
    dataset = replace(dataset, examples=(first, *dataset.examples[1:]))
    said = {problem.what.removeprefix(f"{name} can't hold ").rstrip(".") for problem in lost(dataset, name)}
    kinds = {
        "polygons": "polygons",
        "masks": "masks",
        "crowd": "crowd regions",
        "difficult": "difficult objects",
        "empty": "pictures without objects" if name != "image_folder" else "pictures without a label",
        "image labels": "labels of whole pictures",
        "class maps": "class maps",
    }
    if name in MAPS:
        kinds = {kind: kinds[kind] for kind in ("empty", "image labels", "class maps")}
        kinds["boxes"] = "objects one by one" if name == "masks" else "boxes"
    assert said == {text for kind, text in kinds.items() if kind not in KEEPS[name]}


def test_every_format_is_in_the_matrix():
    assert set(TARGETS) | set(MAPS) == set(KEEPS) == set(formats.NAMES)


SAME_BOXES = (
    "pascalvoc_format",
    "imagenet_format",
    "coco_format_v1/instances_default.json",
    "coco_format_v2/instances_v2.json",
    "cvat_format",
    "labelme_format",
    "yolo_format",
    "openimages_format/all_bounding_boxes.csv",
    "tfrecord_format",
)


@pytest.mark.parametrize("path", SAME_BOXES)
def test_the_same_boxes_in_eight_formats_and_a_tfrecord(shared, path):
    folder = shared / "data/voc100_formats"
    expected = data.read(folder / "gts/pascalvoc_format", images=folder / "images")
    found = data.read(folder / "gts" / path, images=folder / "images").with_classes(expected.classes)
    assert found.problems == () and len(found) == 100 and sum(map(len, found)) == 273
    others = by_picture(found)
    for name, example in by_picture(expected).items():
        scale = np.tile(example.size, 2)
        wanted, got = (
            sorted(zip(e.class_ids.tolist(), np.round(e.boxes * scale).tolist(), strict=True))
            for e in (example, others[name])
        )
        assert [each[0] for each in got] == [each[0] for each in wanted]
        pixels = np.abs(np.array([each[1] for each in got]) - np.array([each[1] for each in wanted]))
        assert pixels.max(initial=0) <= 0.51
