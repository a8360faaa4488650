"""The public functions: what they take, what they give, and what they say when something is wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import detkit
from detkit.errors import CheckpointError, ConfigError, DataError
from detkit.zoo.source import locate

sys.path.append(str(Path(__file__).parent / "checkpoint"))  # small_models

PIPELINE = """
task: detection
model: {model}
data: {{train: {train}}}
train: {{steps: 2, batch_size: 2, tune: heads, augment: none}}
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The directory of a small model with random weights."""
    from small_models import small_detector

    from detkit.detection import load

    detector = small_detector(("boat", "toy_boat"), **{"feature_extractor.type": "ssd_mobilenet_v1_fpn_keras"})
    directory = tmp_path_factory.mktemp("models") / "small"
    load.save(detector, directory)
    return directory


@pytest.fixture
def copy(model, tmp_path):
    """A copy of it, to be changed."""
    return shutil.copytree(model, tmp_path / "copy")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """The path of two synthetic photos' annotations."""
    from detkit.data.synthesis import boats

    folder = tmp_path_factory.mktemp("photos")
    boats.few_shot_set(folder, train=2, test=1, size=(60, 80))
    return folder / "train.json"


@pytest.fixture
def pipeline(model, photos, tmp_path):
    path = tmp_path / "boats.yaml"
    path.write_text(PIPELINE.format(model=model, train=photos))
    return path


# Where a model comes from


def test_a_directory_a_config_or_a_name(model):
    for source in (locate(model), locate(str(model)), locate(model / "pipeline.config")):
        assert (source.name, source.classes, source.label_ids) == ("small", ("boat", "toy_boat"), (1, 2))
        assert source.config.model.ssd.num_classes == 2
    assert locate("hands").classes[4] == "face"


def test_another_checkpoint_than_the_directorys_own(model, copy):
    import tensorflow as tf

    shutil.rmtree(copy / "checkpoint")
    with pytest.raises(CheckpointError, match="No checkpoint here"):
        detkit.load(copy)
    detector = detkit.load(copy, checkpoint=model / "checkpoint" / "ckpt-0")
    path, variable = next(iter(detector.variables().items()))
    stored = tf.train.load_variable(str(model / "checkpoint" / "ckpt-0"), f"model/{path}/.ATTRIBUTES/VARIABLE_VALUE")
    assert np.array_equal(variable.numpy(), stored)


def test_a_directory_without_a_config(tmp_path):
    with pytest.raises(ConfigError) as error:
        detkit.load(tmp_path)
    assert "The model directory has no pipeline.config." in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_run_that_was_not_finished(tmp_path):
    (tmp_path / "training").mkdir()
    with pytest.raises(ConfigError, match="The run in this directory has left no model(.|\n)*--resume"):
        detkit.load(tmp_path)


@pytest.mark.parametrize("name", ["no/such/model", "model.config", "/nowhere"])
def test_a_path_that_is_not_there(name):
    with pytest.raises(ConfigError) as error:
        detkit.load(name)
    assert "No model here." in str(error.value) and f"where: {name}" in str(error.value)
    assert "detkit zoo list" in str(error.value)


def test_a_misspelled_name_names_the_nearest():
    with pytest.raises(ConfigError, match="hands"):
        detkit.load("hand")


def test_an_architecture_that_can_not_be_built_says_so_by_name(copy):
    config = copy / "pipeline.config"
    config.write_text(config.read_text().replace("ssd_mobilenet_v1_fpn_keras", "ssd_inception_v3"))
    with pytest.raises(ConfigError) as error:
        detkit.load(copy)
    assert "detkit can't build this architecture: ssd with ssd_inception_v3" in str(error.value)
    assert "ssd_mobilenet_v2_fpn_keras" in str(error.value)


def label_map(*entries) -> str:
    return "".join(f"item {{ id: {number} name: '{name}' }}\n" for number, name in entries)


def test_ids_that_the_label_map_skips_keep_their_place(copy):
    (copy / "label_map.pbtxt").write_text(label_map((2, "duck")))
    assert locate(copy).classes == ("unused 1", "duck")


def test_without_a_label_map_the_classes_are_numbered(copy):
    (copy / "label_map.pbtxt").unlink()
    assert locate(copy).classes == ("class 1", "class 2")


def test_a_label_map_of_another_name(copy):
    (copy / "label_map.pbtxt").rename(copy / "boats.pbtxt")
    assert locate(copy).classes == ("boat", "toy_boat")


def test_a_label_map_that_does_not_fit(copy):
    (copy / "label_map.pbtxt").write_text(label_map((1, "duck"), (2, "boat"), (3, "tree")))
    with pytest.raises(ConfigError) as error:
        detkit.load(copy)
    assert "The label map has an id beyond the config's num_classes." in str(error.value)
    assert "got: id 3 (tree)" in str(error.value) and "expected: 1..2" in str(error.value)


def test_a_class_called_like_a_place_holder(copy):
    """The name that detkit gives to a gap may be a class's own; that is an error with words, not a crash."""
    (copy / "label_map.pbtxt").write_text(label_map((2, "unused 1")))
    with pytest.raises(ConfigError, match="Two classes have one name"):
        detkit.load(copy)


def test_coco_names_for_ninety_classes(shared, tmp_path):
    shutil.copy(shared / "golden" / "configs" / "ssd_mobilenet_v2_320x320.config", tmp_path / "pipeline.config")
    source = locate(tmp_path)
    assert len(source.classes) == 90
    assert (source.classes[0], source.classes[11], source.classes[89]) == ("person", "unused 12", "toothbrush")


def test_a_damaged_config_names_the_line(copy):
    path = copy / "pipeline.config"
    path.write_text(path.read_text().replace("num_classes: 2", "num_classes: two", 1))
    with pytest.raises(ConfigError, match=r"pipeline\.config"):
        detkit.load(copy)


# The story


def test_import_is_light():
    code = "import detkit, sys; detkit.load; detkit.finetune; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_training_as_a_pipeline_says(pipeline, tmp_path):
    run = detkit.api.train(pipeline, ["train.steps=1"], output=tmp_path / "run", show_progress=False)
    assert run.detector.classes == ("toy_boat",)
    assert run.metrics["steps"] == 1
    assert run.directory == tmp_path / "run"
    written = (run.directory / "pipeline.yaml").read_text()
    assert "steps: 1" in written and "tune: heads" in written


def test_fine_tuning_takes_paths_and_options(model, photos, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(detkit.api, "_run", lambda pipeline, sets, **options: calls.append((pipeline, sets)))
    detkit.finetune(model, photos, test=photos, output=tmp_path / "run", init="imprint", steps=7, tune="heads")
    pipeline, (train, val, test) = calls[0]
    assert (pipeline.model.name, pipeline.model.init) == (str(model), "imprint")
    assert (pipeline.train.steps, pipeline.train.tune) == (7, "heads")
    assert pipeline.output == str(tmp_path / "run")
    assert len(train) == len(test) == 2 and val is None


def test_a_pipeline_without_training_data(pipeline):
    with pytest.raises(ConfigError) as error:
        detkit.api.train(pipeline, ["data.train=null"])
    assert "The pipeline names no training data." in str(error.value)
    assert f"{pipeline}: data.train" in str(error.value)
    assert "--set data.train=PATH" in str(error.value)


@pytest.fixture(scope="module")
def detector(model):
    return detkit.load(model)


def test_evaluating(detector, photos, tmp_path):
    metrics = detkit.evaluate(detector, photos, results=tmp_path / "results.json", show_progress=False)
    assert 0 <= metrics["AP"] <= metrics["AP50"] <= 1
    assert list(metrics.per_class) == ["toy_boat"]
    entries = json.loads((tmp_path / "results.json").read_text())
    ids = json.loads(photos.read_text())
    assert {entry["image_id"] for entry in entries} == {image["id"] for image in ids["images"]}
    assert {"image_id", "category_id", "bbox", "score"} <= entries[0].keys()


def test_evaluating_with_a_least_score(detector, photos, tmp_path):
    scores = [found.scores for found in detector.detect([np.zeros((60, 80, 3), np.uint8)])]
    assert len(scores[0]) > 0
    detkit.evaluate(detector, photos, results=tmp_path / "results.json", score=1.01, show_progress=False)
    assert json.loads((tmp_path / "results.json").read_text()) == []


def test_a_detector_of_other_classes_can_not_be_evaluated(photos):
    with pytest.raises(DataError) as error:
        detkit.evaluate(detkit.load("hands"), photos, show_progress=False)
    assert "toy_boat" in str(error.value) and "face" in str(error.value)


# Before anything is run


def problems_of(target, overrides=()):
    return {problem.severity: problem for problem in detkit.api.check(target, overrides)}


def test_a_pipeline_that_is_fine(pipeline):
    found = problems_of(pipeline)
    assert set(found) <= {"info", "warning"}
    assert "The checkpoint fits." in str(found["info"])


def test_all_problems_of_a_pipeline_at_once(pipeline, copy, photos, tmp_path):
    (copy / "checkpoint" / "ckpt-0.index").unlink()
    document = json.loads(photos.read_text())
    document["annotations"][0]["category_id"] = 77
    bad = photos.parent / "bad.json"
    bad.write_text(json.dumps(document))
    found = detkit.api.check(pipeline, [f"model={copy}", f"data.train={bad}", "data.test=/nowhere.json"])
    text = "\n".join(str(problem) for problem in found if problem.severity == "error")
    assert "77" in text and "/nowhere.json" in text and "No checkpoint here." in text


def test_pictures_that_train_and_test_share(pipeline, photos):
    found = detkit.api.check(pipeline, [f"data.test={photos}"])
    assert {problem.what for problem in found if problem.severity == "warning"} == {
        "A picture of test is in train as well."
    }


def test_a_misspelled_key_is_a_problem(pipeline):
    pipeline.write_text(pipeline.read_text().replace("steps:", "setps:"))
    found = detkit.api.check(pipeline)
    assert [problem.severity for problem in found] == ["error"]
    assert "setps" in str(found[0]) and "steps" in str(found[0])


def test_a_rule_that_matches_nothing_is_a_problem(pipeline):
    found = problems_of(pipeline, ["train.tune=[{pattern: no_such_layer}]"])
    assert "no_such_layer" in str(found["error"])


def test_checking_models_and_data(model, copy, photos):
    assert detkit.api.check(model) == []
    assert not [problem for problem in detkit.api.check(photos) if problem.severity == "error"]
    data = next((copy / "checkpoint").glob("*.data-*"))
    data.write_bytes(data.read_bytes()[:1000])
    assert "damaged" in str(problems_of(copy)["error"])


def test_the_input_size_of_a_model(model):
    from detkit.preflight import input_size

    assert (input_size(str(model)), input_size("hands"), input_size("efficientdet_d7")) == (64, 320, 1536)


# What a model holds


def test_inspecting_a_model(model):
    text = detkit.api.inspect(model)
    assert "model small" in text and "input 64x64, 2 classes: boat, toy_boat" in text
    assert "everything is explained" in text
    rows = [line.split()[:2] for line in text.splitlines()]
    assert ["backbone", "restored"] in rows and ["head/class_head", "restored"] in rows


def test_inspecting_a_surgery(model):
    text = detkit.api.inspect(model, classes=("duck",), reset=("neck",))
    rows = [line.split()[:2] for line in text.splitlines()]
    assert ["head/class_head", "reset"] in rows and ["neck", "reset"] in rows
    assert "1 class: duck" in text


def test_inspecting_variables(model):
    text = detkit.api.inspect(model, variables=True)
    assert "_box_predictor/_box_prediction_head/_box_encoder_layers/0/bias [24]" in text


def test_inspecting_a_bare_checkpoint(model):
    text = detkit.api.inspect(model / "checkpoint")
    assert "_feature_extractor/classification_backbone" in text
    assert "training state (not used)" in text


def test_inspecting_what_does_not_fit(copy):
    path = copy / "pipeline.config"
    path.write_text(path.read_text().replace("num_classes: 2", "num_classes: 3", 1))
    text = detkit.api.inspect(copy)
    assert "NOT explained" in text and "shape mismatch: 2" in text


@pytest.mark.slow
def test_the_demo(tmp_path):
    """The whole story: the detector finds the boats of the clip and of the test photos."""
    text = detkit.api.demo(tmp_path / "demo")
    assert (tmp_path / "demo" / "summary.txt").read_text().strip() == text.strip()
    for name in ("clip.mp4", "clip.detected.mp4", "contact_sheet.png", "run/metrics.json"):
        assert (tmp_path / "demo" / name).stat().st_size > 100
    assert json.loads((tmp_path / "demo" / "run" / "metrics.json").read_text())["AP50"] > 0.8
