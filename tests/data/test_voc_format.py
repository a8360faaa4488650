"""Pascal VOC folders."""

from __future__ import annotations

import numpy as np
import pytest
from data_files import picture, voc_xml
from fuzzing import bomb
from PIL import Image

from detkit import data
from detkit.data.formats.mask_files import png
from detkit.errors import DataError


def test_boxes_classes_and_flags(voc):
    objects = [("duck", 8, 6, 48, 36, 0), ("boat", 0, 0, 80, 60, 1)]
    dataset = data.read(voc({"1": voc_xml(objects=objects), "2": voc_xml("2.jpg", objects=[])}))
    assert dataset.classes == ("boat", "duck") and dataset.label_ids == (1, 2)
    first, second = dataset
    np.testing.assert_allclose(first.boxes, [[0.1, 0.1, 0.6, 0.6], [0, 0, 1, 1]], rtol=1e-6)
    assert first.class_ids.tolist() == [1, 0] and first.difficult.tolist() == [False, True]
    assert first.image_id == "1" and first.source.endswith("1.xml")
    assert len(second) == 0 and second.size == (60, 80)


def test_parts_of_an_object_are_no_objects(voc):
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object>"
    assert data.read(voc({"1": voc_xml().replace("</object>", part)})).classes == ("duck",)


@pytest.mark.parametrize("filename", ["1.jpg", "1", "other.jpg", "", "C:\\photos\\1.jpg"])
def test_a_picture_is_found_by_file_name_or_by_the_name_of_the_xml(voc, filename):
    assert data.read(voc({"1": voc_xml(filename)}))[0].image.name == "1.jpg"


@pytest.mark.parametrize("extension", [".jpeg", ".png", ".bmp", ".webp"])
def test_a_picture_may_have_another_extension(voc, extension):
    path = voc({"a": voc_xml("a")}, pictures=["a" + extension])
    assert data.read(path)[0].image.suffix == extension


@pytest.mark.parametrize(("annotations", "images"), [("Annotations", "JPEGImages"), (".", "."), ("xml", ".")])
def test_layouts(tmp_path, annotations, images):
    picture(tmp_path / "set" / images / "1.jpg")
    file = tmp_path / "set" / annotations / "1.xml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(voc_xml())
    folder = tmp_path / "set" if annotations != "xml" else file.parent
    assert len(data.read(folder)) == len(data.read(file)) == 1


def test_a_size_that_is_lacking_comes_from_the_picture(voc):
    assert data.read(voc({"1": voc_xml(size=None)}))[0].size == (60, 80)


@pytest.mark.parametrize(
    ("corners", "what", "got"),
    [
        ((48, 6, 8, 36), "The corners of a box are swapped.", "xmin 48, ymin 6, xmax 8, ymax 36"),
        ((8, 6, 8, 36), "A box has no area.", "xmin 8, ymin 6, xmax 8, ymax 36"),
        ((100, 6, 120, 36), "A box lies outside its image.", "xmin 100, "),
        (("nan", 6, 120, 36), "A box has a coordinate that is not a finite number.", "xmin nan, "),
        (("", 6, 120, 36), "A box has a coordinate that is not a finite number.", "xmin nan, "),
    ],
)
def test_a_bad_box_is_refused_or_left_out(voc, corners, what, got):
    objects = [("duck", 8, 6, 48, 36, 0), ("boat", *corners, 0)]
    path = voc({"1": voc_xml(objects=objects)})
    with pytest.raises(DataError) as error:
        data.read(path)
    assert error.value.what == what and got in error.value.got
    assert error.value.where == f"{path}/annotations/1.xml, {path}/images/1.jpg, box 1"
    assert [len(example) for example in data.read(path, strict=False)] == [1]


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (voc_xml(extra=BOMB).replace("duck", "&b;"), "declares entities and was not read"),
        (voc_xml()[:-20], "not valid XML(.|\n)*1.xml\n  got: .*line 1, column"),
        (voc_xml(objects=[("", 8, 6, 48, 36, 0)]), "An object has no name(.|\n)*box 0"),
        (voc_xml("absent.jpg").replace("duck", "absent"), None),
        ("<annotations>5</annotations>", "not an annotation|no VOC annotation"),
        ('<?xml version="1.0" encoding="utf-99"?>' + voc_xml(), "not valid XML"),
    ],
)
def test_bad_files_are_explained(voc, text, message):
    path = voc({"1": text, "2": voc_xml("2.jpg")})
    if message is None:
        assert len(data.read(path)) == 2
        return
    with pytest.raises(DataError, match=message):
        data.read(path)
    assert data.read(path, strict=False).problems


def test_missing_pictures_are_named_with_the_places_searched(voc):
    path = voc({"1": voc_xml(), "3": voc_xml("3.jpg")})
    with pytest.raises(
        DataError, match=f"A picture is missing(.|\n)*3.jpg\n  got: looked in .*{path}/images"
    ):
        data.read(path)


def test_what_is_written_is_read(voc, tmp_path):
    objects = [("dück & <co>", 8.25, 6, 48, 36.125, 1), ("boat", 0, 0, 80, 60, 0)]
    escaped = [(n.replace("&", "&amp;").replace("<", "&lt;"), *rest) for n, *rest in objects]
    dataset = data.read(voc({"1": voc_xml(objects=escaped), "2": voc_xml("2.jpg")}))
    data.write(dataset, tmp_path / "copy", "voc")
    copy = data.read(tmp_path / "copy")
    assert copy.classes == dataset.classes == ("boat", "duck", "dück & <co>")
    for old, new in zip(dataset, copy, strict=True):
        np.testing.assert_allclose(new.boxes, old.boxes, atol=1e-5)
        np.testing.assert_array_equal(new.class_ids, old.class_ids)
        np.testing.assert_array_equal(new.difficult, old.difficult)
        assert new.image.samefile(old.image) and new.size == old.size


def test_two_pictures_of_one_name_are_not_written_over_each_other(tmp_path):
    paths = [picture(tmp_path / folder / "a.jpg") for folder in "xy"]
    examples = tuple(data.Example(path, [], [], (60, 80)) for path in paths)
    with pytest.raises(DataError, match="would share an XML file(.|\n)*x/a.jpg and .*y/a.jpg"):
        data.write(data.Dataset(examples, ("duck",)), tmp_path / "out", "voc")


def test_real_voc_folders(shared):
    raccoon = data.read(shared / "data/raccoon")
    assert len(raccoon) == 200 and raccoon.classes == ("raccoon",) and raccoon.problems == ()
    assert sum(map(len, raccoon)) == 217


def test_the_same_boxes_in_coco_and_voc(shared):
    folder = shared / "data/voc100_formats"
    options = {"images": folder / "images"}
    voc = data.read(folder / "gts/pascalvoc_format", **options)
    coco = data.read(folder / "gts/coco_format_v2/instances_v2.json", **options).with_classes(voc.classes)
    by_name = {example.image.name: example for example in coco}
    assert sum(map(len, voc)) == sum(map(len, coco)) == 273
    for example in voc:
        other = by_name[example.image.name]
        order, other_order = (np.lexsort((*e.boxes.T, e.class_ids)) for e in (example, other))
        np.testing.assert_array_equal(example.class_ids[order], other.class_ids[other_order])
        pixels = np.abs(example.boxes[order] - other.boxes[other_order]) * np.tile(example.size, 2)
        assert pixels.max(initial=0) < 0.51


def test_imagenet_folders_by_class(tmp_path):
    for name in ("n01", "n02"):
        picture(tmp_path / f"Data/{name}/{name}_7.JPEG")
        file = tmp_path / f"Annotations/{name}/{name}_7.xml"
        file.parent.mkdir(parents=True)
        folder = f"<annotation><folder>{name}</folder>"
        file.write_text(voc_xml(f"{name}_7", [(name, 8, 6, 48, 36, 0)]).replace("<annotation>", folder))
    dataset = data.read(tmp_path, images=tmp_path / "Data")
    assert dataset.classes == ("n01", "n02") and sum(map(len, dataset)) == 2
    assert [example.image.name for example in dataset] == ["n01_7.JPEG", "n02_7.JPEG"]


@pytest.fixture
def segmented(voc):
    """A function that writes a VOC folder of two objects with an index picture of given bytes or values."""

    def build(content):
        objects = [("duck", 10, 10, 30, 20, 0), ("boat", 40, 10, 60, 20, 0)]
        path = voc({"1": voc_xml(objects=objects), "2": voc_xml("2.jpg")})
        (path / "SegmentationObject").mkdir()
        content = content if isinstance(content, bytes) else png(np.asarray(content, np.uint8), bytes(768))
        (path / "SegmentationObject/1.png").write_bytes(content)
        return path

    return build


def index(size=(60, 80), last=2) -> np.ndarray:
    """Two squares with a void rim."""
    values = np.zeros(size, np.uint8)
    values[9:21, 9:31] = 255
    values[10:20, 10:30] = 1
    values[10:20, 40:60] = last
    return values


def test_masks_of_an_index_picture(segmented):
    first, second = data.read(segmented(index()))
    np.testing.assert_array_equal(first.masks(), [index() == 1, index() == 2])
    assert second.segmentations is None


@pytest.mark.parametrize(
    ("content", "what", "masks"),
    [
        (index(last=0), None, [True, False]),
        (index(last=7), "An index picture has more objects than its XML file.", [True, False]),
        (index((10, 10)), "A mask has another size than its picture.", None),
        (np.zeros((60, 80, 3)), "A mask has colours.", None),
        (b"text", "A mask can't be decoded.", None),
        (bomb(50_000), "A mask has another size than its picture.", None),
    ],
)
def test_odd_index_pictures(segmented, content, what, masks):
    if isinstance(content, np.ndarray) and content.ndim == 3:
        content = png(content.astype(np.uint8))
    found = data.read(segmented(content), strict=False)
    assert [problem.what for problem in found.problems] == ([what] if what else [])
    given = found[0].segmentations
    assert given is masks if masks is None else [each is not None for each in given] == masks
    assert all(problem.file.endswith("SegmentationObject/1.png") for problem in found.problems)


def test_masks_are_written_with_vocs_colours(segmented, tmp_path):
    dataset = data.read(segmented(index()))
    data.write(dataset, tmp_path / "copy", "voc")
    np.testing.assert_array_equal(data.read(tmp_path / "copy")[0].masks(), dataset[0].masks())
    kinds = Image.open(tmp_path / "copy/SegmentationClass/1.png")
    assert kinds.mode == "P" and sorted(np.unique(kinds)) == [0, 1, 2]
    assert kinds.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
    assert not (tmp_path / "copy/SegmentationObject/2.png").exists()
