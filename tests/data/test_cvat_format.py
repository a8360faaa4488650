"""CVAT for images."""

from __future__ import annotations

import numpy as np
import pytest
from data_files import picture

from detkit import data
from detkit.errors import DataError

BOX = '<box label="duck" xtl="8" ytl="6" xbr="48" ybr="36"/>'


@pytest.fixture
def cvat(tmp_path):
    """A function that writes a CVAT file of one picture with some shapes in it."""

    def build(shapes, image='name="1.jpg" width="80" height="60"', before=""):
        picture(tmp_path / "images" / "1.jpg")
        labels = "<labels><label><name>duck</name></label><label><name>boat</name></label></labels>"
        start = f"{before}<annotations><version>1.1</version><meta><task>{labels}</task></meta>"
        (tmp_path / "annotations.xml").write_text(f"{start}<image id='0' {image}>{shapes}</image></annotations>")
        return tmp_path / "annotations.xml"

    return build


def pixels(example) -> np.ndarray:
    return example.boxes * np.tile(example.size, 2)


def test_shapes_and_attributes(cvat):
    polygon = '<polygon label="boat" points="10,10;20,10;20,30"><attribute name="is_crowd">true</attribute></polygon>'
    ellipse = '<ellipse label="duck" cx="40" cy="30" rx="10" ry="5"><attribute name="colour">true</attribute></ellipse>'
    path = cvat(BOX + polygon + ellipse + '<tag label="duck"/>')
    (example,) = dataset = data.read(path)
    assert data.read(path.parent).classes == dataset.classes == ("duck", "boat") and dataset.problems == ()
    np.testing.assert_allclose(pixels(example), [[6, 8, 36, 48], [10, 10, 30, 20], [25, 30, 35, 50]], rtol=1e-5)
    assert example.class_ids.tolist() == [0, 1, 0] and example.crowd.tolist() == [False, True, False]
    assert example.segmentations == (None, [[10, 10, 20, 10, 20, 30]], None) and not example.difficult.any()


def test_a_rotated_box_is_a_polygon(cvat):
    (example,) = data.read(cvat('<box label="duck" xtl="20" ytl="20" xbr="40" ybr="30" rotation="90"/>'))
    np.testing.assert_allclose(pixels(example), [[15, 25, 35, 35]], rtol=1e-5)
    assert len(example.segmentations[0][0]) == 8


def test_a_mask_in_runs_by_row(cvat):
    (example,) = data.read(cvat('<mask label="duck" rle="1, 2, 3, 3" left="10" top="20" width="3" height="3"/>'))
    wanted = np.zeros((60, 80), bool)
    wanted[20, 11:13] = wanted[22, 10:13] = True
    np.testing.assert_array_equal(example.masks()[0], wanted)
    np.testing.assert_allclose(pixels(example), [[20, 10, 23, 13]], rtol=1e-5)


def test_polygons_of_a_group_are_one_object(cvat):
    parts = [f'<polygon label="duck" group_id="2" points="{x},10;{x + 5},10;{x},20"/>' for x in (10, 40)]
    (example,) = data.read(cvat("".join(parts) + parts[0].replace("2", "0")))
    assert [len(s) for s in example.segmentations] == [2, 1]


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ('<polyline label="duck" points="1,1;2,2"/>', "A shape is no box and no polygon."),
        ('<points label="duck" points="1,1"/>', "A shape is no box and no polygon."),
        ('<skeleton label="duck"/>', "A shape is no box and no polygon."),
        ('<box xtl="8" ytl="6" xbr="48" ybr="36"/>', "An object has no name."),
        ('<box label="duck" xtl="48" ytl="6" xbr="8" ybr="36"/>', "The corners of a box are swapped."),
        ('<box label="duck" ytl="6" xbr="8" ybr="36"/>', "A box has a coordinate that is not a finite number."),
        ('<polygon label="duck" points="1,1;2,2"/>', "A box has a coordinate that is not a finite number."),
        ('<polygon label="duck" points="1,1;2;3,3"/>', "A box has a coordinate that is not a finite number."),
        ('<mask label="duck" rle="1000000000" left="0" top="0" width="3" height="3"/>', "A mask can't be decoded."),
        ('<mask label="duck" rle="1,x" left="0" top="0" width="3" height="3"/>', "A mask can't be decoded."),
        ('<mask label="duck" rle="9" left="79" top="0" width="3" height="3"/>', "A mask lies outside its image."),
    ],
)
def test_a_bad_shape_is_refused_or_left_out(cvat, bad, what):
    path = cvat(BOX + bad)
    with pytest.raises(DataError) as error:
        data.read(path)
    assert error.value.what == what and error.value.where == f"{path}, {path.parent}/images/1.jpg, box 1"
    found = data.read(path, strict=False)
    assert sum(map(len, found)) == 1 and len(found.problems) == 1


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(shapes="", before=BOMB), "declares entities and was not read"),
        (dict(shapes="<box"), "not valid XML"),
        (dict(shapes="</image><track/><image>"), "CVAT for video(.|\n)*CVAT for images 1.1"),
        (dict(shapes=BOX, image='name="9.jpg" width="80" height="60"'), "A picture is missing(.|\n)*9.jpg"),
        (dict(shapes=BOX, image='width="80" height="60"'), "A picture is missing(.|\n)*without a name"),
    ],
)
def test_bad_files_are_explained(cvat, arguments, message):
    with pytest.raises(DataError, match=message):
        data.read(cvat(**arguments), format="cvat")


def test_a_size_that_is_lacking_comes_from_the_picture(cvat):
    assert data.read(cvat(BOX, image='name="1.jpg"'))[0].size == (60, 80)
