"""The bundled model: its weights, what it computes and what it finds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from golden_case import unmatched
from reference_weights import digest, image, shapes

FOLDER = Path(__file__).parent
REFERENCE = json.loads((FOLDER / "hands_reference.json").read_text())
FACE = 4


def test_names_classes_and_size(hands):
    assert hands.name == "hands"
    assert hands.classes == ("open", "closed", "pinch", "point", "face", "pointtip", "pinchtip")
    assert hands.label_ids == (1, 2, 3, 4, 5, 6, 7)
    assert hands.input_size == (320, 320)


def test_keys_are_those_of_the_zoo_architecture(hands):
    of_zoo = json.loads((FOLDER / "manifests.json").read_text())["ssd_mobilenet_v2_fpnlite_320x320"]
    assert len(shapes(hands)) == of_zoo["variables"]
    assert digest(shapes(hands)) != of_zoo["sha256"]  # seven classes instead of ninety


def test_weights_are_the_original_bit_for_bit(hands, shared):
    from detkit.checkpoint.reader import open_checkpoint

    original = open_checkpoint(shared / "models" / "ssd_mobilenet_v2_fpnlite_320x320_hands")
    variables = hands.variables()
    assert {original.model_path(key) for key in original.model_keys} == set(variables)
    for key in original.model_keys:
        value = original.read(key)
        assert value.dtype == np.float32
        assert np.array_equal(variables[original.model_path(key)].numpy(), value), key


@pytest.mark.parametrize("size", [(320, 320), (427, 640)])
def test_raw_outputs_are_those_of_the_od_api(hands, size):
    inputs, true_shapes = hands.preprocess([image(7, *size)])
    outputs, reference = hands.predict_graph(inputs, true_shapes), REFERENCE["raw"]["{}x{}".format(*size)]
    for name in ("box_encodings", "class_logits"):
        found = outputs[name].numpy()[0, ::997]
        assert found.std() > 0
        assert np.abs(found - np.array(reference[name])).max() <= 1e-3 * reference["std"][name]


def test_detections_in_photos_are_those_of_the_od_api(hands, shared):
    for entry in REFERENCE["detections"]:
        found = hands.detect(shared / "data" / entry["image"])[0].above(0.3)
        assert len(found) == len(entry["detections"]), entry["image"]
        class_ids, scores, boxes = ([row[i] for row in entry["detections"]] for i in range(3))
        if scores:
            theirs = np.array(boxes), np.array(scores), np.array(class_ids)
            assert unmatched((found.boxes, found.scores, found.class_ids), *theirs) == [], entry["image"]


def test_finds_the_face_and_the_hand_of_a_person(hands, shared):
    found = hands.detect(shared / "data" / "voc100_formats" / "images" / "2007_000170.jpg")[0].above(0.7)
    assert sorted(found.labels) == ["closed", "face"]
    face = found.of_classes(["face"])
    assert face.class_ids.tolist() == [FACE]
    ymin, xmin, ymax, xmax = face.boxes[0]
    assert ymax - ymin < 0.6 and xmax - xmin < 0.6


def test_every_batch_size_gives_the_same_detections(hands):
    pictures = [image(seed, 120, 160 + 40 * seed) for seed in range(3)]
    whole, single = (hands.detect(pictures, batch_size=size) for size in (8, 1))
    for a, b, picture in zip(whole, single, pictures, strict=True):
        assert a.size == picture.shape[:2]
        assert unmatched((a.boxes, a.scores, a.class_ids), b.boxes, b.scores, b.class_ids) == []


def test_detect_takes_paths_arrays_and_single_pictures(hands, tmp_path):
    from PIL import Image

    picture = image(3, 90, 120)
    Image.fromarray(picture).save(tmp_path / "picture.png")
    from_path = hands.detect(tmp_path / "picture.png")
    from_text = hands.detect([str(tmp_path / "picture.png")])
    from_array = hands.detect(picture)
    assert [len(found) for found in (from_path, from_text, from_array)] == [1, 1, 1]
    assert from_path[0].source == str(tmp_path / "picture.png")
    assert np.array_equal(from_path[0].boxes, from_array[0].boxes)
    assert np.array_equal(from_text[0].scores, from_array[0].scores)


def test_detections_are_boxes_inside_the_picture_by_falling_score(hands):
    found = hands.detect(image(5, 200, 100))[0]
    assert 0 < len(found) <= 100
    assert (np.diff(found.scores) <= 0).all()
    assert (found.boxes >= 0).all() and (found.boxes <= 1).all()
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()


def test_detecting_twice_gives_the_same_and_changes_no_weight(hands):
    before = {path: variable.numpy() for path, variable in hands.variables().items()}
    first, second = (hands.detect(image(1, 64, 64))[0] for _ in range(2))
    assert np.array_equal(first.boxes, second.boxes) and np.array_equal(first.scores, second.scores)
    assert all(np.array_equal(before[path], variable.numpy()) for path, variable in hands.variables().items())


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
    ],
)
def test_a_picture_that_is_not_rgb_is_named(hands, picture):
    from detkit.errors import DataError

    with pytest.raises(DataError) as error:
        hands.detect([picture])
    assert str(error.value).startswith("This is no RGB image.")
    assert f"got: {picture.dtype} {list(picture.shape)}" in str(error.value)
    assert "expected: uint8 [H, W, 3]" in str(error.value)
