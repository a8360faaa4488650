"""LabelMe folders."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from data_files import picture

from detkit import data
from detkit.data.formats import mask_files
from detkit.errors import DataError


def shape(kind="rectangle", points=((8, 6), (48, 36)), label="duck", **more) -> dict:
    return {"label": label, "shape_type": kind, "points": [list(point) for point in points], **more}


@pytest.fixture
def labelme(tmp_path):
    """A function that writes a LabelMe file of shapes, with changes."""

    def build(*shapes, **changes):
        picture(tmp_path / "1.jpg")
        content = {"imagePath": "1.jpg", "imageHeight": 60, "imageWidth": 80, "imageData": "x" * 9999}
        (tmp_path / "1.json").write_text(json.dumps(content | {"shapes": list(shapes)} | changes))
        return tmp_path

    return build


def test_shapes(labelme):
    polygon = shape("polygon", [(10, 10), (20, 10), (20, 30)], "boat", flags={"crowd": True})
    circle = shape("circle", [(40, 30), (40, 40)], flags={"difficult": True})
    (example,) = dataset = data.read(labelme(shape(points=((48, 36), (8, 6))), polygon, circle))
    assert dataset.classes == ("boat", "duck") and dataset.problems == ()
    pixels = example.boxes * [60, 80, 60, 80]
    np.testing.assert_allclose(pixels, [[6, 8, 36, 48], [10, 10, 30, 20], [20, 30, 40, 50]], rtol=1e-5)
    assert example.class_ids.tolist() == [1, 0, 1]
    assert example.crowd.tolist() == [False, True, False] and example.difficult.tolist() == [False, False, True]
    assert example.segmentations == (None, [[10, 10, 20, 10, 20, 30]], None)


def test_polygons_of_a_group_are_one_object(labelme):
    first, second = ([(x, 10), (x + 5, 10), (x, 20)] for x in (10, 40))
    shapes = [shape("polygon", points, group_id=4) for points in (first, second)]
    (example,) = data.read(labelme(*shapes, shape("polygon", first), shape(group_id=4)))
    assert [s and len(s) for s in example.segmentations] == [2, 1, None]
    np.testing.assert_allclose(example.boxes[0] * [60, 80, 60, 80], [10, 10, 20, 45], rtol=1e-5)


def test_a_mask(labelme):
    inside = np.ones((5, 4), np.uint8)
    inside[0, :] = 0
    text = base64.b64encode(mask_files.png(inside)).decode()
    (example,) = data.read(labelme(shape("mask", [(10, 20), (13, 24)], mask=text)))
    wanted = np.zeros((60, 80), bool)
    wanted[21:25, 10:14] = True
    np.testing.assert_array_equal(example.masks()[0], wanted)
    np.testing.assert_allclose(example.boxes[0] * [60, 80, 60, 80], [21, 10, 25, 14], rtol=1e-5)


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (shape("line"), "A shape is no box and no polygon."),
        (shape("point", [(1, 1)]), "A shape is no box and no polygon."),
        (shape(label=None), "An object has no name."),
        ("shape", "An object has no name."),
        (shape(points=[(1, 2)]), "A rectangle has wrong points."),
        (shape("polygon"), "A polygon has wrong points."),
        (shape(points=[("a", 2), (3, 4)]), "A rectangle has wrong points."),
        (shape(points=[(1e999, 2), (3, 4)]), "A rectangle has wrong points."),
        (shape(points=[(10**400, 2), (3, 4)]), "A rectangle has wrong points."),
        (shape(points=[(8, 6), (8, 36)]), "A box has no area."),
        (shape(points=[(800, 6), (900, 36)]), "A box lies outside its image."),
        (shape("mask", [(1, 1), (4, 4)], mask="%%"), "A mask can't be decoded."),
        (shape("mask", [(1, 1), (4, 4)], mask=""), "A mask can't be decoded."),
        (shape("mask", [(70, 1), (90, 4)], mask="aaaa"), "A mask can't be decoded."),
    ],
)
def test_a_bad_shape_is_refused_or_left_out(labelme, bad, what):
    path = labelme(shape(), bad)
    with pytest.raises(DataError) as error:
        data.read(path)
    assert error.value.what == what and error.value.where == f"{path}/1.json, {path}/1.jpg, box 1"
    found = data.read(path, strict=False)
    assert sum(map(len, found)) == 1 and len(found.problems) == 1


def test_bad_files_are_explained(labelme):
    path = labelme(shape())
    (path / "2.json").write_text("[1]")
    (path / "3.json").write_text('{"shapes": [')
    (path / "4.json").write_text('{"shapes": [], "imagePath": "4.jpg"}')
    found = data.read(path, strict=False)
    assert [problem.what for problem in found.problems] == [
        "This JSON file is no LabelMe annotation.",
        "This is not valid JSON.",
        "A picture is missing.",
    ]
    assert len(found) == 1


@pytest.mark.parametrize("name", ["..\\photos\\1.jpg", "elsewhere/1.jpg", "", None])
def test_a_picture_is_found_by_its_name_or_that_of_the_file(labelme, name):
    assert data.read(labelme(shape(), imagePath=name))[0].image.name == "1.jpg"


def test_a_size_that_is_lacking_comes_from_the_picture(labelme):
    assert data.read(labelme(shape(), imageHeight=None))[0].size == (60, 80)


def test_other_json_beside_the_folder_of_annotations(labelme, tmp_path):
    labelme(shape())
    (tmp_path / "annotations").mkdir()
    (tmp_path / "1.json").rename(tmp_path / "annotations/1.json")
    (tmp_path / "changes.json").write_text("[]")
    assert len(data.read(tmp_path)) == 1
