"""CSV: the TensorFlow kind and its relatives; Open Images."""

from __future__ import annotations

import numpy as np
import pytest
from data_files import picture

from detkit import data
from detkit.errors import DataError

HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax\n"


@pytest.fixture
def table(tmp_path):
    """A function that writes a table beside two pictures, 1.jpg and 2.jpg of 80 x 60."""

    def build(text, name="boxes.csv"):
        for number in (1, 2):
            picture(tmp_path / "images" / f"{number}.jpg", seed=number)
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return build


def test_boxes_classes_and_pictures_without_objects(table):
    text = HEADER + "1.jpg,80,60,duck,8,6,48,36\n2.jpg,80,60,,,,,\n1.jpg,80,60,boat,0,0,80,60\n"
    dataset = data.read(table(text))
    assert dataset.classes == ("boat", "duck") and dataset.problems == ()
    first, second = dataset
    np.testing.assert_allclose(first.boxes, [[0.1, 0.1, 0.6, 0.6], [0, 0, 1, 1]], rtol=1e-6)
    assert first.class_ids.tolist() == [1, 0] and len(second) == 0
    assert first.source.endswith("boxes.csv, line 2")


@pytest.mark.parametrize(
    "text",
    [
        "image_path;label;x1;y1;x2;y2\n1.jpg;duck;8;6;48;36\n",
        "file\tcategory\tleft\ttop\tright\tbottom\n1.jpg\tduck\t8\t6\t48\t36\n",
        "Image ID,Class Name,x,y,w,h\n1.jpg, duck, 8, 6, 40, 30\n",
        '\ufeff"filename","class","XMin","YMin","XMax","YMax"\r\n"1.jpg","duck","8,0","6,0","48,0","36,0"\r\n',
        "1.jpg,8,6,48,36,duck\n",
        "images/1.jpg,8,6,48,36,duck\n2.jpg,,,,,\n",
    ],
)
def test_other_headers_delimiters_and_none(table, text):
    dataset = data.read(table(text))
    np.testing.assert_allclose(dataset[0].boxes, [[0.1, 0.1, 0.6, 0.6]], rtol=1e-6)
    assert dataset.classes == ("duck",) and dataset[0].size == (60, 80)


def test_columns_that_are_named(table):
    path = table("photo,what,xmin,ymin,xmax,ymax\n1.jpg,duck,8,6,48,36\n")
    with pytest.raises(DataError, match="can't be told(.|\n)*not csv: This table lacks columns. no filename, class"):
        data.read(path)
    dataset = data.read(path, format="csv", columns={"filename": "photo", "class": "what"})
    assert dataset.classes == ("duck",) and len(dataset[0]) == 1
    with pytest.raises(DataError, match="no such column(.|\n)*got: class=kind\n  expected: photo, what, xmin"):
        data.read(path, format="csv", columns={"class": "kind"})
    with pytest.raises(DataError, match="no such column(.|\n)*got: klass=what\n  expected: filename, class"):
        data.read(path, format="csv", columns={"klass": "what"})


@pytest.mark.parametrize(
    ("row", "what", "where"),
    [
        ("1.jpg,80,60,duck,48,6,8,36", "The corners of a box are swapped.", "1.jpg, box 1"),
        ("1.jpg,80,60,duck,8,6,,36", "A box has a coordinate that is not a finite number.", "1.jpg, box 1"),
        ("1.jpg,80,60,duck,8", "A box has a coordinate that is not a finite number.", "1.jpg, box 1"),
        ("1.jpg,80,60,,8,6,48,36", "An object has no name.", "1.jpg, box 1"),
        (",80,60,duck,8,6,48,36", "A row names no picture.", "line 3"),
        ("9.jpg,80,60,duck,8,6,48,36", "A picture is missing.", "9.jpg"),
    ],
)
def test_a_bad_row_is_refused_or_left_out(table, row, what, where):
    path = table(f"{HEADER}1.jpg,80,60,duck,8,6,48,36\n{row}\n")
    with pytest.raises(DataError) as error:
        data.read(path)
    assert error.value.what == what and error.value.where.endswith(where)
    found = data.read(path, strict=False)
    assert sum(map(len, found)) == 1 and len(found.problems) == 1


def test_rows_that_contradict_each_other(table):
    path = table(HEADER + "1.jpg,80,60,duck,8,6,48,36\n1.jpg,60,80,duck,8,6,48,36\n")
    with pytest.raises(DataError, match="different sizes(.|\n)*got: 80 x 60, 60 x 80|got: 60 x 80, 80 x 60"):
        data.read(path)


def test_fractions_are_suspected(table):
    (problem,) = data.read(table(HEADER + "1.jpg,80,60,duck,0.1,0.1,0.6,0.6\n")).problems
    assert problem.severity == "warning" and "are these fractions?" in problem.what


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'filename,class,xmin,ymin,xmax,ymax\n"' + b"a" * 200_000])
def test_what_is_no_table(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError):
        data.read(tmp_path / "a.csv", format="csv")


def test_real_csv(shared):
    folder = shared / "data/raccoon"
    rows = {name: data.read(folder / f"data/{name}_labels.csv") for name in ("train", "test", "raccoon")}
    assert [sum(map(len, rows[name])) for name in rows] == [173, 44, 217]
    by_name = {example.image.name: example for example in data.read(folder)}
    for example in rows["raccoon"]:
        scale = np.tile(example.size, 2)
        pairs = (np.sort(e.boxes, 0) * scale for e in (example, by_name[example.image.name]))
        np.testing.assert_allclose(*pairs, atol=0.01)


OPEN = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction\n"


def test_open_images(table, tmp_path):
    rows = "1,xclick,/m/09ddx,1,0.1,0.6,0.2,0.7,0,0,1,0\n2.jpg,xclick,/m/019jd,1,0,1,0,1,0,0,0,0\n"
    path = table(OPEN + rows, "train-annotations-bbox.csv")
    (warning,) = data.read(path).problems
    assert warning.what == "The classes have codes for names." and warning.severity == "warning"
    (tmp_path / "class-descriptions-boxable.csv").write_text("/m/09ddx,Duck\n/m/019jd,Boat\n/m/0k4j,Car\n")
    dataset = data.read(path)
    assert dataset.classes == ("Duck", "Boat", "Car") and dataset.problems == ()
    np.testing.assert_allclose(dataset[0].boxes, [[0.2, 0.1, 0.7, 0.6]], rtol=1e-6)
    assert dataset[0].crowd.tolist() == [True] and dataset[0].size == (60, 80)


def test_open_images_with_bad_rows(table, tmp_path):
    rows = "1,x,duck,1,0.6,0.1,0.2,0.7,0,0,0,0\n1,x,,1,0,1,0,1,0,0,0,0\n9,x,duck,1,0,1,0,1,0,0,0,0\n"
    found = data.read(table(OPEN + rows), strict=False)
    assert [problem.what for problem in found.problems] == [
        "A box has an unknown class.",
        "A picture is missing.",
        "The corners of a box are swapped.",
    ]
    assert found.problems[2].file.endswith("line 2") and found.problems[2].got.startswith("1, x, duck")
    with pytest.raises(DataError, match="3 problems"):
        data.read(tmp_path / "boxes.csv")


def test_two_pictures_of_one_name_are_not_mixed_up(tmp_path):
    examples = [data.Example(picture(tmp_path / f / "a.jpg"), [[0, 0, 1, 1]], [0], (60, 80)) for f in "xy"]
    with pytest.raises(DataError, match="Two pictures of one name"):
        data.write(data.Dataset(tuple(examples), ("duck",)), tmp_path / "a.csv", "openimages")
