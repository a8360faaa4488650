"""Small datasets written on the fly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from data_files import picture


@pytest.fixture
def coco(tmp_path):
    """A function that writes a COCO file of two pictures with two boxes, after changes to the document."""

    def build(change=lambda document: None, name="train.json", folder="images") -> Path:
        for number in (1, 2):
            picture(tmp_path / folder / f"{number}.jpg", seed=number)
        document = {
            "images": [{"id": n, "file_name": f"{n}.jpg", "width": 80, "height": 60} for n in (1, 2)],
            "categories": [{"id": 7, "name": "duck"}, {"id": 3, "name": "boat"}],
            "annotations": [
                {"id": 1, "image_id": 1, "category_id": 7, "bbox": [8, 6, 40, 30], "area": 900, "iscrowd": 0},
                {"id": 2, "image_id": 2, "category_id": 3, "bbox": [0, 0, 80, 60], "iscrowd": 1},
            ],
        }
        change(document)
        (tmp_path / name).write_text(json.dumps(document))
        return tmp_path / name

    return build


@pytest.fixture
def voc(tmp_path):
    """A function that writes a VOC folder with annotations/ and images/ from {stem: XML text}."""

    def build(files, pictures=("1.jpg", "2.jpg")) -> Path:
        for number, name in enumerate(pictures):
            picture(tmp_path / "images" / name, seed=number)
        (tmp_path / "annotations").mkdir()
        for stem, text in files.items():
            (tmp_path / "annotations" / f"{stem}.xml").write_text(text, encoding="utf-8")
        return tmp_path

    return build
