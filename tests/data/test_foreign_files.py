"""Datasets as other computers write them: paths of Windows, UTF-16, byte order marks."""

from __future__ import annotations

import codecs
import json

import pytest
from data_files import picture, voc_xml

from detkit import data
from detkit.errors import DataError


def coco_of(*names: str) -> str:
    return json.dumps(
        {
            "images": [{"id": i, "file_name": name, "width": 40, "height": 30} for i, name in enumerate(names)],
            "annotations": [{"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 2, 30, 20]}],
            "categories": [{"id": 1, "name": "Ente ä"}],
        },
        ensure_ascii=False,
    )


@pytest.mark.parametrize("name", ["C:\\data\\images\\1.jpg", "/home/elsewhere/1.jpg", "C:/images/1.jpg"])
def test_pictures_of_another_computer_are_found_by_the_ends_of_their_paths(tmp_path, name):
    picture(tmp_path / "images/1.jpg")
    (tmp_path / "a.json").write_text(coco_of(name), encoding="utf-8")
    assert data.read(tmp_path / "a.json")[0].image.samefile(tmp_path / "images/1.jpg")
    assert data.read(tmp_path / "a.json", images=tmp_path / "images")[0].image.samefile(tmp_path / "images/1.jpg")


def test_relative_paths_end_in_the_folder_that_is_named(tmp_path):
    for name in ("new/a/1.jpg", "new/b/1.jpg"):
        picture(tmp_path / name)
    (tmp_path / "a.json").write_text(coco_of("old/a/1.jpg", "old/b/1.jpg"), encoding="utf-8")
    found = [example.image for example in data.read(tmp_path / "a.json", images=tmp_path / "new")]
    assert found == [tmp_path / "new/a/1.jpg", tmp_path / "new/b/1.jpg"]
    with pytest.raises(DataError, match="None of the 2 pictures was found"):
        data.read(tmp_path / "a.json")


def test_equal_names_do_not_become_one_picture(tmp_path):
    picture(tmp_path / "flat/1.jpg")
    (tmp_path / "a.json").write_text(coco_of("a/1.jpg", "b/1.jpg"), encoding="utf-8")
    with pytest.raises(DataError, match=r"A picture is missing.(.|\n)*b/1.jpg"):
        data.read(tmp_path / "a.json", images=tmp_path / "flat")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_text_with_a_byte_order_mark(tmp_path, encoding):
    picture(tmp_path / "1.jpg")
    table = "filename,class,xmin,ymin,xmax,ymax\r\n1.jpg,Ente ä,1,2,31,22\r\n"
    for name, text in (("a.json", coco_of("1.jpg")), ("a.csv", table), ("voc/1.xml", voc_xml("1.jpg"))):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text.encode(encoding))
    for name, format in (("a.json", "coco"), ("a.csv", None)):
        assert data.read(tmp_path / name, format).classes == ("Ente ä",)
    assert len(data.read(tmp_path / "voc")) == 1


def test_labels_with_a_byte_order_mark(tmp_path):
    picture(tmp_path / "1.jpg")
    (tmp_path / "classes.txt").write_bytes(b"duck\r\n")
    (tmp_path / "1.txt").write_bytes(codecs.BOM_UTF8 + b"0 0.5 0.5 0.25 0.5\r\n")
    assert data.read(tmp_path)[0].boxes.tolist() == [[0.25, 0.375, 0.75, 0.625]]


def test_half_a_character_is_told(tmp_path):
    (tmp_path / "a.json").write_bytes(codecs.BOM_UTF16_LE + b'{\0"')
    with pytest.raises(DataError, match="is not UTF-16"):
        data.read(tmp_path / "a.json", "coco")
