"""Label maps of the OD API."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detkit.data import labelmap
from detkit.errors import DataError

label_maps = st.dictionaries(st.integers(1, 10**9), st.text(min_size=1).filter(str.strip), min_size=1).filter(
    lambda names: len(set(names.values())) == len(names)
)


@given(names=label_maps)
def test_what_is_written_is_read(names, tmp_path_factory):
    path = tmp_path_factory.mktemp("maps") / "map.pbtxt"
    labelmap.write(path, names)
    assert list(labelmap.read(path).items()) == list(names.items())


def test_gaps_comments_and_display_names(tmp_path):
    path = tmp_path / "map.pbtxt"
    path.write_text("""# of COCO
        item { name: "/m/01g317" id: 1 display_name: "person" }
        item { id: 90  name: 'toothbrush' }""")
    assert labelmap.read(path) == {1: "person", 90: "toothbrush"}


def test_the_label_maps_of_others(shared):
    assert labelmap.read(shared / "data/raccoon/training/object-detection.pbtxt") == {1: "raccoon"}
    names = labelmap.read(shared / "data/voc100_formats/gts/tfrecord_format/label_map.pbtxt")
    assert len(names) == 20 and names[1] == "person"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('item { id: 0 name: "a" }', r"whole number from 1.*\n  where: .*map.pbtxt, item 0\n  got: 0"),
        ('item { id: -1 name: "a" }', "got: -1"),
        ('item { id: "1" name: "a" }', "got: '1'"),
        ('item { name: "a" }', "got: None"),
        ("item { id: 1 }", "A class has no name"),
        ('item { id: 1 name: "a" } item { id: 1 name: "b" }', "same id.*\n.*item 1\n  got: id 1: 'b'"),
        ('item { id: 1 name: "a" } item { id: 2 name: "a" }', "same name.*\n.*item 1\n  got: 'a'"),
        ("", "has no items"),
        ("item: 5", "An item of a label map is not a message"),
        ("item {", "Can't read this label map"),
    ],
)
def test_bad_label_maps_are_explained(tmp_path, text, message):
    (tmp_path / "map.pbtxt").write_text(text)
    with pytest.raises(DataError, match=message):
        labelmap.read(tmp_path / "map.pbtxt")


def test_a_missing_label_map(tmp_path):
    with pytest.raises(DataError, match="Can't read this label map"):
        labelmap.read(tmp_path / "absent.pbtxt")


def test_what_can_not_be_read_is_not_written(tmp_path):
    with pytest.raises(DataError, match="same name"):
        labelmap.write(tmp_path / "map.pbtxt", {1: "a", 2: "a"})
    assert not list(tmp_path.iterdir())
