"""SavedModels of others become detectors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import maker
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from PIL import Image

import detkit
from detkit.cli import main
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.errors import CheckpointError, ConfigError, DataError

EXPECTED = [("Toy boat", 0.8), ("Apple", 0.4), ("Duck", 0.2)]


def found(detections) -> list:
    return [(name, round(float(score), 3)) for name, score in zip(detections.labels, detections.scores, strict=True)]


@pytest.mark.parametrize("name", ["od", "od/saved_model", "open_images"])
def test_it_detects(name, made, image):
    detector = detkit.load(str(made / name))
    (detections,) = detector.detect(image)
    assert found(detections) == EXPECTED
    np.testing.assert_allclose(detections.boxes, [maker.BOXES[i] for i in (1, 2, 0)])
    assert detections.size == (40, 60)
    assert found(detector.detect(image, threshold=0.3)[0]) == EXPECTED[:2]


@pytest.mark.parametrize("name", ["od", "open_images"])
def test_it_is_evaluated(name, made, image):
    boxes = np.float32(maker.BOXES)
    example = Example(image=image, size=(40, 60), boxes=boxes, class_ids=np.arange(3), image_id=1)
    metrics = detkit.evaluate(detkit.load(str(made / name)), Dataset([example], maker.NAMES))
    assert metrics["AP"] == pytest.approx(1.0)


def test_classes_are_known_before_anything_is_found(made):
    assert detkit.load(str(made / "od")).classes == maker.NAMES
    assert detkit.load(str(made / "open_images")).classes == maker.NAMES


@pytest.mark.parametrize(
    ("columns", "count", "name"),
    [
        pytest.param(91, 90, "zebra", id="COCO"),
        pytest.param(5, 5, "class 4", id="of-its-own"),
    ],
)
def test_without_a_label_map_the_table_of_scores_tells_the_classes(columns, count, name, tmp_path):
    detector = detkit.load(str(maker.write(maker.od_api(columns), tmp_path / "model")))
    assert len(detector.classes) == count and name in detector.classes


def test_a_class_that_the_label_map_lacks_is_told(tmp_path, image):
    directory = maker.write(maker.od_api(), tmp_path / "model")
    (directory / "label_map.pbtxt").write_text('item { id: 1 name: "duck" }')
    with pytest.raises(DataError, match="(?s)a class that its label map does not have.*id 2.*label_map.pbtxt"):
        detkit.load(str(directory)).detect(image)


def test_a_graph_that_fails_on_an_image_is_told(tmp_path, image):
    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8, "image")])
    def detect(image):
        with tf.control_dependencies([tf.debugging.assert_greater(tf.shape(image)[1], 50, "too low")]):
            return maker.od_api()(image)

    path = maker.write(detect, tmp_path / "model")
    with pytest.raises(DataError, match="(?s)fails on this image.*got: 40 x 60: .*too low.*fix:"):
        detkit.load(str(path)).detect(image)


def test_boxes_without_classes_are_neither_a_detector_nor_features(tmp_path):
    from detkit.api import inspect

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8, "image")])
    def detect(image):
        found = maker.od_api()(image)
        return {name: found[name] for name in ("detection_boxes", "detection_scores")}

    with pytest.raises(ConfigError, match="(?s)no detector.*out detection_boxes, detection_scores, detection_classes"):
        inspect(str(maker.write(detect, tmp_path / "model")))


@pytest.mark.parametrize("name", ["open_images", "od", "model.tar.gz", "https://example.com/model.tar.gz"])
def test_it_is_not_trained(name, made, image, tmp_path):
    model = name if "://" in name else str(made / name)
    with pytest.raises(ConfigError, match="(?s)a finished graph.*where: .*fix: Take the same model of the zoo"):
        example = Example(image=image, size=(40, 60), boxes=np.float32(maker.BOXES), class_ids=np.arange(3), image_id=1)
        detkit.finetune(model, Dataset([example], maker.NAMES), output=tmp_path / "run", steps=1)


def test_it_is_loaded_without_the_prefix_of_backbones(made):
    with pytest.raises(ConfigError, match="(?s)No model here.*fix: Leave out hub:"):
        detkit.load(f"hub:{made / 'open_images'}")


def test_an_unknown_signature_is_shown(made):
    with pytest.raises(ConfigError) as error:
        detkit.load(str(made / "unknown"))
    assert "no detector that detkit knows" in str(error.value)
    assert "input pixels: float32 (None, 224, 224, 3)" in str(error.value)
    assert "output logits: float32" in str(error.value)


def test_inspect_shows_the_signature(made):
    from detkit.api import inspect

    text = inspect(str(made / "open_images"))
    assert "signature default: Open Images" in text and "input images: float32 (1, None, None, 3)" in text
    assert "3 classes: Duck, Toy boat, Apple" in text


def test_a_directory_without_its_graph_is_told(tmp_path):
    (tmp_path / "model/variables").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="(?s)no saved_model.pb in this SavedModel.*variables"):
        detkit.load(str(tmp_path / "model"))


def test_a_damaged_graph_is_told(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"\xff" * 50)
    with pytest.raises(CheckpointError, match="can't be loaded"):
        detkit.load(str(tmp_path))


@pytest.mark.slow
def test_models_made_in_another_process_find_what_their_maker_finds(tmp_path, image):
    here = Path(__file__).parent
    subprocess.run([sys.executable, str(here / "maker.py"), str(tmp_path)], check=True)
    code = (
        "import json, sys, numpy as np, detkit\n"
        "image = np.full((40, 60, 3), (51, 204, 102), np.uint8)\n"
        "for name in ('od', 'open_images'):\n"
        "    found, = detkit.load(sys.argv[1] + '/' + name).detect(image)\n"
        "    print(json.dumps([found.labels, found.scores.tolist(), found.boxes.tolist()]))\n"
        "try:\n"
        "    detkit.load(sys.argv[1] + '/unknown')\n"
        "except detkit.ConfigError as error:\n"
        "    print(json.dumps(str(error)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True)
    *rows, error = map(json.loads, done.stdout.splitlines())
    for labels, scores, boxes in rows:
        assert labels == [name for name, _ in EXPECTED]
        np.testing.assert_allclose(scores, [score for _, score in EXPECTED], rtol=1e-3)
        np.testing.assert_allclose(boxes, [maker.BOXES[i] for i in (1, 2, 0)])
    assert "output logits" in error


@pytest.mark.parametrize("name", ["od/saved_model", "open_images"])
def test_the_command_line_takes_it_as_any_model(name, made, image, tmp_path):
    Image.fromarray(image).save(tmp_path / "photo.png")
    photo, out = str(tmp_path / "photo.png"), str(tmp_path / "out")
    done = CliRunner().invoke(main, ["predict", str(made / name), photo, "--output", out, "--json", f"{out}.json"])
    assert done.exit_code == 0, done.output
    rows = json.loads(Path(f"{out}.json").read_text())
    assert [row["category_id"] for row in rows] == [2, 3]  # Toy boat, Apple
