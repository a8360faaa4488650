"""Segmentations and keypoints in COCO files and in examples."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from data_files import picture
from PIL import Image
from pycocotools import mask as coco_masks

from detkit import data, masks
from detkit.data import Dataset, Example
from detkit.errors import DataError

TRIANGLE = [[8.5, 6, 48, 6, 8.5, 36]]
NAMES = ["nose", "left_eye", "right_eye"]


def rle(mask, kind=str):
    compressed = coco_masks.encode(np.asfortranarray(mask.astype(np.uint8)))
    counts = compressed["counts"] if kind is bytes else compressed["counts"].decode()
    return {"size": list(mask.shape), "counts": counts}


def block(top=6, left=8, bottom=36, right=48, size=(60, 80)):
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def with_keypoints(document, *keypoints, names=NAMES, skeleton=((1, 2), (1, 3))):
    """Gives the annotations keypoints, and the categories their names."""
    for entry, points in zip(document["annotations"], keypoints, strict=False):
        entry["keypoints"] = points
    for category in document["categories"]:
        category |= {"keypoints": names, "skeleton": [list(pair) for pair in skeleton]}


@pytest.mark.parametrize("segmentation", [
    [[8, 6, 48, 6, 48, 36, 8, 36]],
    rle(block()),
    {"size": [60, 80], "counts": [8 * 60 + 6, *[30, 30] * 39, 30, 32 * 60 + 24]},
], ids=["polygon", "compressed", "list"])  # fmt: skip
def test_every_kind_of_segmentation_is_kept_and_decoded(coco, segmentation):
    dataset = data.read(coco(lambda d: d["annotations"][0].update(segmentation=segmentation)))
    first, second = dataset
    assert dataset.has_masks and dataset.problems == ()
    assert first.segmentations == (segmentation,) and second.segmentations is None
    assert np.array_equal(first.masks(), block()[None])
    assert second.masks().shape == (1, 60, 80) and not second.masks().any()


def test_an_object_may_have_none(coco):
    def change(document):
        document["annotations"][0]["segmentation"] = TRIANGLE
        document["annotations"] += [
            {"id": 3, "image_id": 1, "category_id": 7, "bbox": [1, 1, 5, 5], "segmentation": none}
            for none in ([], None)
        ]

    example = data.read(coco(change))[0]
    assert example.segmentations == (TRIANGLE, None, None)
    assert example.masks().any(axis=(1, 2)).tolist() == [True, False, False]


def test_opening_a_file_decodes_no_mask(coco, monkeypatch):
    path = coco(lambda d: d["annotations"][0].update(segmentation=rle(block())))
    monkeypatch.setattr(masks, "run_lengths", None)
    assert data.read(path).has_masks


def test_a_box_that_is_lacking_is_that_of_the_mask(coco):
    def change(document):
        del document["annotations"][0]["bbox"]
        document["annotations"][0]["segmentation"] = rle(block())

    dataset = data.read(coco(change))
    np.testing.assert_allclose(dataset[0].boxes, [[0.1, 0.1, 0.6, 0.6]], rtol=1e-6)


@pytest.mark.parametrize(("segmentation", "what"), [
    ([[8, 6, 48, 6]], "A polygon has under 3 points."),
    ([[8, 6, 48, 6, 8, 36, 9]], "A polygon has an odd number of coordinates."),
    ([[8, 6, 48, float("nan"), 8, 36]], "A polygon has a coordinate that is not a finite number."),
    ([8, 6, 48, 6, 8, 36], "A polygon is not in a list of polygons."),
    (rle(block(size=(60, 90))), "An RLE mask has another size than its image."),
    ({"size": [60, 80], "counts": [4000]}, "The counts of an RLE mask don't sum up to its image."),
    ("polygon", "A segmentation is neither polygons nor run lengths."),
])  # fmt: skip
def test_a_bad_segmentation_is_refused_or_left_out(coco, segmentation, what):
    path = coco(lambda d: d["annotations"][0].update(segmentation=segmentation))
    with pytest.raises(DataError) as error:
        data.read(path)
    assert error.value.what == what
    assert error.value.where.startswith(str(path)) and error.value.where.endswith("1.jpg, box 0")
    assert error.value.got and error.value.expected and error.value.fix
    lenient = data.read(path, strict=False)
    assert [problem.what for problem in lenient.problems] == [what]
    assert [len(example) for example in lenient] == [1, 1] and not lenient.has_masks
    with pytest.raises(DataError, match=what) as error:
        Example("1.jpg", [[0, 0, 1, 1]], [0], (60, 80), segmentations=(segmentation,))
    assert error.value.where == "1.jpg, box 0"


def test_keypoints_are_read_with_their_names(coco):
    points = [8, 6, 2, 40, 30, 1, 0, 0, 0]
    dataset = data.read(coco(lambda d: with_keypoints(d, points)))
    assert dataset.keypoint_names == tuple(NAMES) and dataset.skeleton == ((0, 1), (0, 2))
    assert dataset.has_keypoints and dataset.keypoint_count == 3 and dataset.problems == ()
    np.testing.assert_allclose(dataset[0].keypoints, [[[0.1, 0.1], [0.5, 0.5], [0, 0]]], rtol=1e-6)
    assert dataset[0].keypoint_visibility.tolist() == [[2, 1, 0]]
    assert dataset[1].keypoints.shape == (1, 3, 2) and not dataset[1].keypoint_visibility.any()
    assert dataset[0].keypoints.dtype == np.float32 and dataset[0].keypoint_visibility.dtype == np.int8


@pytest.mark.parametrize("points", [
    [8, 6, 2, 40], [8, 6, 2], [8, 6, 3] * 3, [8, 6, 0.5] * 3, [8, float("nan"), 2] * 3, [8, "6", 2] * 3,
    [8, 1e300, 0] * 3, [True, True, True] * 3, "nose",
], ids=str)  # fmt: skip
def test_bad_keypoints_are_refused_or_left_out(coco, points):
    path = coco(lambda d: with_keypoints(d, points, [1, 1, 2] * 3))
    with pytest.raises(DataError, match="The keypoints of an object are not as they should be.") as error:
        data.read(path)
    assert error.value.where.endswith("1.jpg, box 0")
    assert "keypoints" in error.value.got and error.value.expected.startswith("3 times x, y and 0, 1 or 2")
    lenient = data.read(path, strict=False)
    assert not lenient[0].keypoint_visibility.any() and lenient[1].keypoint_visibility.all()


def test_a_keypoint_outside_its_image_is_told_and_left_out(coco):
    dataset = data.read(coco(lambda d: with_keypoints(d, [8, 6, 2, 95, 30, 2, 80, 60, 2])))
    assert dataset[0].keypoint_visibility.tolist() == [[2, 0, 2]]
    (problem,) = dataset.problems
    assert problem.severity == "warning" and "outside its image" in problem.what
    assert problem.got == "keypoint 1 at x, y [95.0, 30.0]" and "80 x 60" in problem.expected


def test_keypoints_without_names_are_told(coco):
    dataset = data.read(coco(lambda d: d["annotations"][0].update(keypoints=[8, 6, 2] * 5)))
    assert dataset.keypoint_names == () and dataset.keypoint_count == 5
    assert [problem.what for problem in dataset.problems] == ["The keypoints have no names."]


@pytest.mark.parametrize(("change", "what"), [
    (lambda c: c[0].update(keypoints=["a", "b", "c"]), r"different keypoints: categories\[1\]"),
    (lambda c: c[0].update(keypoints=["a", "a", "c"]), r"not as they should be: categories\[0\]"),
    (lambda c: c[0].update(keypoints=[1, 2, 3]), "not as they should be"),
    (lambda c: c[0].update(skeleton=[[0, 1]]), "not as they should be"),
    (lambda c: c[0].update(skeleton=[[1, 4]]), "not as they should be"),
    (lambda c: c[0].update(skeleton=[1, 2]), "not as they should be"),
])  # fmt: skip
def test_bad_names_of_keypoints_are_explained(coco, change, what):
    path = coco(lambda d: (with_keypoints(d, [8, 6, 2] * 3), change(d["categories"])))
    with pytest.raises(DataError, match=what):
        data.read(path)


def test_what_is_written_is_read(coco, tmp_path):
    def change(document):
        document["annotations"][0]["segmentation"] = [[8.25, 6, 48, 6.125, 8, 36], [1, 2, 3, 4, 5, 6.5]]
        document["annotations"][1]["segmentation"] = {"size": [60, 80], "counts": [100, 50, 4650]}
        extra = {"id": 3, "image_id": 1, "category_id": 7, "bbox": [8, 6, 40, 30], "segmentation": rle(block())}
        document["annotations"].append(extra)
        with_keypoints(document, [8.25, 6, 2, 40, 30, 1, 0, 0, 0], [1, 2, 2] * 3)

    dataset = data.read(coco(change))
    data.write(dataset, tmp_path / "copy.json", "coco")
    copy = data.read(tmp_path / "copy.json")
    assert (copy.keypoint_names, copy.skeleton) == (dataset.keypoint_names, dataset.skeleton)
    for old, new in zip(dataset, copy, strict=True):
        assert new.segmentations == old.segmentations
        np.testing.assert_allclose(new.keypoints, old.keypoints, atol=1e-5)
        assert np.array_equal(new.keypoint_visibility, old.keypoint_visibility)
    first = json.loads((tmp_path / "copy.json").read_text())["annotations"][0]
    assert first["keypoints"] == [8.25, 6, 2, 40, 30, 1, 0, 0, 0] and first["num_keypoints"] == 2


def test_compressed_bytes_are_written_as_text(tmp_path):
    example = Example(picture(tmp_path / "a.jpg"), [[0, 0, 1, 1]], [0], (60, 80), segmentations=(rle(block(), bytes),))
    data.write(Dataset((example,), ("duck",)), tmp_path / "a.json", "coco")
    copy = data.read(tmp_path / "a.json")
    assert copy[0].segmentations == (rle(block()),)
    assert np.array_equal(copy[0].masks(), example.masks())


POINTS = np.full((1, 3, 2), 0.5)


@pytest.mark.parametrize("fields", [
    dict(keypoints=np.full((2, 3, 2), 0.5)),
    dict(keypoints=np.full((1, 3), 0.5)),
    dict(keypoints=np.full((1, 3, 2), np.nan)),
    dict(keypoint_visibility=[[2, 2, 2]]),
    dict(keypoints=POINTS, keypoint_visibility=[[2, 2]]),
    dict(keypoints=POINTS, keypoint_visibility=[[2, 2, 3]]),
    dict(segmentations=(None, None)),
], ids=str)  # fmt: skip
def test_examples_refuse_what_does_not_fit_their_boxes(fields):
    with pytest.raises(DataError) as error:
        Example("1.jpg", [[0, 0, 1, 1]], [0], (60, 80), **fields)
    assert error.value.where == "1.jpg" and error.value.got is not None and error.value.expected is not None


def test_keypoints_are_visible_by_default_and_can_not_be_changed():
    example = Example("1.jpg", [[0, 0, 1, 1]], [0], (60, 80), keypoints=POINTS)
    assert example.keypoint_visibility.tolist() == [[2, 2, 2]]
    for values in (example.keypoints, example.keypoint_visibility):
        with pytest.raises(ValueError, match="read-only"):
            values[:] = 0


@pytest.mark.parametrize("fields", [
    dict(keypoint_names=("a", "b")), dict(skeleton=((0, 3),)), dict(skeleton=((0, 1, 2),)),
], ids=str)  # fmt: skip
def test_datasets_refuse_what_does_not_fit_their_keypoints(fields):
    example = Example("1.jpg", [[0, 0, 1, 1]], [0], (60, 80), keypoints=POINTS)
    dataset = Dataset((example,), ("duck",), keypoint_names=NAMES, skeleton=((0, 1),))
    with pytest.raises(DataError, match="keypoints") as error:
        replace(dataset, **fields)
    assert error.value.got and error.value.expected
    assert dataset[:0].keypoint_count == 3 and dataset.with_classes(("dog", "duck")).has_keypoints


def test_real_masks(shared):
    folder = shared / "data" / "dsb2018_nuclei"
    lengths, polygons = (data.read(folder / f"instances_val_{kind}.json") for kind in ("rle", "poly"))
    assert lengths.problems == polygons.problems == ()
    for a, b in zip(lengths[:6], polygons[:6], strict=True):
        assert np.array_equal(a.masks(), b.masks())
        np.testing.assert_allclose(a.masks().sum((1, 2)), a.area)
        together = Image.open(folder / "semantic" / a.image.name)
        assert np.array_equal(a.masks().any(0), np.asarray(together) > 0)
    coco = data.read(shared / "data" / "evalref" / "instances_val2014_100.json", images=False)
    for example in coco[:10]:
        difference = np.abs(example.masks().sum((1, 2)) - example.area)[~example.crowd]
        assert np.all(difference <= 0.1 * example.area[~example.crowd] + 20)


def test_masks_elsewhere_than_their_box_and_empty_ones_are_found(coco):
    def change(document):
        first, second = document["annotations"]
        first["segmentation"] = rle(block())
        second |= {"segmentation": rle(np.zeros((60, 80), bool)), "iscrowd": 0}
        document["annotations"].append({**first, "id": 3, "bbox": [30, 20, 40, 30]})

    found = {problem.what: problem for problem in data.check(coco(change)) if "mask" in problem.what}
    assert list(found) == ["A mask lies elsewhere than its box.", "A mask covers no pixel."]
    elsewhere = found["A mask lies elsewhere than its box."]
    assert elsewhere.box == 1 and "[8.0, 6.0, 48.0, 36.0]" in elsewhere.got
    assert "[30.0, 20.0, 70.0, 50.0]" in elsewhere.expected
