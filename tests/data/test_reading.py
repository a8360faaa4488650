"""The format is told by content, and `check` lists all problems at once."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from data_files import picture, voc_xml
from PIL import Image

from detkit import data
from detkit.data import Dataset, Example, Problem, check, format_problems
from detkit.errors import DataError


def test_an_unknown_format_lists_what_was_tried(tmp_path):
    (tmp_path / "train.json").write_text("[1]")
    (tmp_path / "notes.txt").write_text("ducks")
    (tmp_path / "annotations").mkdir()
    with pytest.raises(DataError) as error:
        data.read(tmp_path)
    assert (
        "not coco: it is a directory; a COCO dataset is the JSON file (there are: train.json)"
        in error.value.got
    )
    assert "not voc: there are no XML files in it" in error.value.got
    with pytest.raises(DataError, match="not coco: its JSON is a list, as in a file of COCO results"):
        data.read(tmp_path / "train.json")
    with pytest.raises(
        DataError, match=r"not coco: This is not valid JSON.*\(line 1, column 1\)\n(.|\n)*    not voc: it is"
    ):
        data.read(tmp_path / "notes.txt")


def test_other_json_and_xml_is_not_taken_for_a_dataset(tmp_path):
    (tmp_path / "a.json").write_text('{"version": "5.0", "frames": []}')
    with pytest.raises(DataError, match='its JSON lacks "images" and "annotations" and "categories"'):
        data.read(tmp_path / "a.json")
    (tmp_path / "a.xml").write_text("<annotations><image/></annotations>")
    with pytest.raises(DataError, match=r"XML files don't hold an <annotation> \(looked at a.xml\)"):
        data.read(tmp_path)


def test_what_is_not_there(tmp_path):
    with pytest.raises(DataError, match="no dataset here(.|\n)*no such file"):
        data.read(tmp_path / "absent" / "train.json")
    with pytest.raises(DataError, match="no such annotation format.*\n  got: 'yoyo'\n  expected: coco, csv, "):
        data.read(tmp_path, format="yoyo")


def whats(problems, severity=None) -> list[str]:
    return [problem.what for problem in problems if severity in (None, problem.severity)]


def test_a_good_dataset_has_no_problems(coco):
    assert check(coco()) == []
    assert format_problems([]) == "No problems found."


def test_check_lists_what_reading_finds_and_goes_on(coco, tmp_path):
    def spoil(document):
        document["annotations"][0]["bbox"] = [0, 0, 0, 0]
        document["annotations"] += [dict(document["annotations"][1], id=3), {"id": 4, "image_id": 8}]
        document["categories"].append({"id": 9, "name": "frog"})
        document["images"].append({"id": 5, "file_name": "1.jpg", "width": 40, "height": 30})
        document["images"].append({"id": 6, "file_name": "absent.jpg", "width": 40, "height": 30})

    path = coco(spoil)
    (tmp_path / "images" / "2.jpg").write_bytes(b"text")
    problems = check(path)
    assert whats(problems) == [
        "A picture is missing.",
        "An annotation belongs to an image that isn't there: annotations[3].",
        "A box has no area.",
        "This is not a picture that detkit reads.",
        "A box is there twice.",
        "The picture has another size than its annotation says.",
        "2 of 3 pictures have no boxes.",
        "2 of 3 classes have no boxes.",
        "The same picture is there twice.",
    ]
    assert problems[4].box == 1 and problems[4].got == "equal to box 0, boat"
    assert problems[7].got == "duck, frog"
    text = format_problems(problems)
    assert text.startswith("error: A picture is missing.\n  where: ")
    assert text.endswith("5 errors, 3 warnings, 1 info")


def test_equal_pictures_with_other_boxes_are_told(tmp_path):
    paths = [picture(tmp_path / name) for name in ("a.png", "b.png", "c.png")]
    boxes = [[0, 0, 1, 1]], [[0, 0, 1, 1]], [[0, 0, 0.5, 1]]
    dataset = Dataset(
        tuple(Example(p, b, [0], (60, 80)) for p, b in zip(paths, boxes, strict=True)), ("duck",)
    )
    same = "The same picture is there twice"
    assert whats(check(dataset)) == [f"{same}.", f"{same}, with other boxes."]


def test_a_rotated_photo_with_its_unrotated_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.new("RGB", (80, 60)).save(tmp_path / "a.jpg", exif=exif)
    (problem,) = check(Dataset((Example(tmp_path / "a.jpg", [[0, 0, 1, 1]], [0], (60, 80)),), ("duck",)))
    assert problem.what == "The annotation has the size of the photo before its EXIF rotation."
    assert problem.severity == "error" and "swap width and height" in problem.fix


def test_small_objects_and_no_objects(tmp_path):
    path = picture(tmp_path / "a.png")
    small = Example(path, [[0, 0, 0.02, 0.02], [0, 0, 1, 1]], [0, 0], (60, 80))
    (problem,) = check(Dataset((small,), ("duck",)))
    assert problem.what == "1 of 2 objects are smaller than 8 pixels at the input size 320."
    assert problem.severity == "info" and problem.box == 0
    assert whats(check(Dataset((Example(path, [], [], (60, 80)),), ("duck",)))) == [
        "The dataset has no boxes at all."
    ]


@pytest.mark.parametrize("content", ["", "{", '{"images": []}'])
def test_check_never_raises_for_a_bad_file(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    (problem,) = check(tmp_path / "a.json")
    assert problem.severity == "error" and "a.json" in problem.file


def test_a_problem_reads_well():
    problem = Problem("warning", "A box is odd.", "a.json", "b.jpg", 3, "this", "that", "Look at it.")
    details = "  where: a.json, b.jpg, box 3\n  got: this\n  expected: that\n  fix: Look at it."
    assert str(problem) == f"warning: A box is odd.\n{details}"


def test_reading_imports_nothing_heavy(voc, tmp_path):
    path = voc({"1": voc_xml()})
    code = (
        "import json, sys, detkit.data; detkit.data.read(sys.argv[1]);"
        "heavy = ('tensorflow', 'cv2', 'matplotlib', 'av', 'rich');"
        "print(json.dumps([module for module in heavy if module in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_a_folder_of_several_formats_is_not_guessed(voc):
    path = voc({"1": voc_xml(), "2": voc_xml("2.jpg")})
    (path / "classes.txt").write_text("boat\nduck\n")
    (path / "labels").mkdir()
    (path / "labels/1.txt").write_text("1 0.35 0.35 0.5 0.5\n")
    with pytest.raises(DataError, match="in several formats(.|\n)*got: voc, yolo"):
        data.read(path)
    assert len(data.read(path, format="voc")[0]) == len(data.read(path, format="yolo")[0]) == 1


def test_an_option_that_a_format_does_not_have(coco):
    with pytest.raises(DataError, match="no such option(.|\n)*where: coco\n  got: columns, split"):
        data.read(coco(), split="train", columns={})
