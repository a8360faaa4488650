"""Exports, explanations, compiled runtimes, inspection, checks and pipelines of Model Garden's models."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

import detkit
from detkit import api, cli
from detkit.data.synthesis import boats
from detkit.errors import ConfigError
from detkit.explain.detections import detection_target
from detkit.explain.views import view_of
from detkit.garden import build, load, storage
from detkit.inference.predictor import Predictor
from detkit.pipeline import yaml_format

pytestmark = pytest.mark.slow  # importing Model Garden takes as long as many tests

TINY = {
    "num_classes": 3,
    "input_size": [128, 128, 3],
    "backbone": {"type": "mobilenet", "mobilenet": {"model_id": "MobileNetV3Small", "filter_size_scale": 0.5}},
    "decoder": {"type": "fpn", "fpn": {"num_filters": 16}},
    "head": {"num_convs": 1, "num_filters": 16},
}
OVERRIDES = {"task": {"model": TINY}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("surface")


@pytest.fixture(scope="module")
def photos(folder):
    return boats.few_shot_set(folder / "photos", train=2, test=1, size=(96, 128))


@pytest.fixture(scope="module")
def overrides(folder):
    path = folder / "tiny.yaml"
    path.write_text(yaml_format.dumps(OVERRIDES))
    return path


@pytest.fixture(scope="module")
def detector(overrides, images):
    """With class scores of all sizes."""
    detector = load.load("garden:retinanet", config=overrides)
    variables, rng = detector.variables(), np.random.default_rng(0)
    for name in ("head/_classifier/kernel", "head/_box_regressor/kernel"):
        variables[name].assign(rng.normal(0.0, 1.0, variables[name].shape))
    variables["head/_classifier/bias"].assign(np.full(27, -2.0))
    found = detector.predict(*detector.preprocess(images))
    for name, output, spread in (("_classifier", "class_logits", 1.0), ("_box_regressor", "box_encodings", 0.2)):
        kernel = variables[f"head/{name}/kernel"]
        kernel.assign(kernel.numpy() * spread / np.std(found[output]))
    return detector


@pytest.fixture(scope="module")
def stored(detector, folder):
    storage.save(detector, folder / "stored")
    return folder / "stored"


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, size, np.uint8) for size in ((96, 128, 3), (150, 60, 3))]


def same(found, others, tolerance=1e-4):
    for one, other in zip(found, others, strict=True):
        assert len(one) == len(other) > 0
        np.testing.assert_array_equal(one.class_ids, other.class_ids)
        np.testing.assert_allclose(one.scores, other.scores, atol=tolerance)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=tolerance)


def test_a_saved_model_finds_the_same(detector, images, folder):
    api.export(detector, "savedmodel", folder / "exported")
    again = detkit.load(folder / "exported")
    assert again.classes == detector.classes
    same(detector.detect(images), again.detect(images))
    assert "num_classes: 3" in (folder / "exported" / "assets" / "params.yaml").read_text()


@pytest.mark.parametrize(("name", "file"), [("tflite", "a.tflite"), ("onnx", "a.onnx")])
def test_other_formats_agree(detector, folder, name, file):
    if name == "onnx":
        pytest.importorskip("tf2onnx")
        pytest.importorskip("onnxruntime")
    (exported,) = api.export(detector, name, folder / file)
    assert exported.agreement.within(1e-3)


def test_a_keras_file_is_refused_with_what_to_do(detector, folder):
    with pytest.raises(ConfigError, match="those of Model Garden are of tf_keras(.|\n)*SavedModel"):
        api.export(detector, "keras", folder / "a.keras")


@pytest.mark.parametrize("runtime", ["tensorflow", "litert", "onnxruntime"])
def test_compiled_networks_find_the_same(detector, images, runtime):
    if runtime == "onnxruntime":
        pytest.importorskip("tf2onnx")
        pytest.importorskip("onnxruntime")
    same(detector.detect(images), Predictor(detector, runtime=runtime).detect(images))


def test_videos_are_annotated(stored, folder):
    import cv2

    clip = folder / "clip.mp4"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter_fourcc(*"mp4v"), 10, (128, 96))
    for pixels, _ in boats.clip(frames=12):
        writer.write(cv2.resize(pixels, (128, 96))[..., ::-1])
    writer.release()
    detkit.predict(detkit.load(stored), [clip], folder / "predicted", show_progress=False)
    assert any(file.suffix == ".mp4" for file in (folder / "predicted").iterdir())


def test_detections_are_explained(detector, images):
    view = view_of(detector)
    picture = view.picture(images[0])
    target, _ = detection_target(detector, picture, threshold=0.05)
    logit = target.logit(view.trace(picture[None].astype(np.float32)).outputs)
    np.testing.assert_allclose(tf.sigmoid(logit), [target.score], atol=1e-3)
    summary = detkit.explain(detector, images[0], method=("grad-cam", "d-rise"), masks=16, threshold=0.05)
    (explanation,) = summary.explanations
    assert explanation.layer.startswith("backbone/")
    assert set(explanation.maps) == {"grad-cam", "d-rise"}
    assert all(np.isfinite(each).all() for each in explanation.maps.values())


def test_inspection_tells_what_a_surgery_would_do(stored, overrides):
    plain = api.inspect(stored)
    assert "head/class_head" in plain and "input 128x128" in plain
    text = api.inspect(stored, classes=["duck"], reset=["neck"], variables=True)
    assert "1 class: duck" in text and "everything is explained" in text
    assert "reset       head/_classifier/kernel" in text and "restored    head/_box_regressor/kernel" in text
    named = api.inspect("garden:retinanet", classes=["duck"], config=overrides, checkpoint=stored / "checkpoint")
    assert "RetinaNet, mobilenet" in named and "everything is explained" in named
    assert "head" in api.inspect(stored / "checkpoint" / "ckpt-0")
    with pytest.raises(ConfigError, match="no checkpoint that a surgery could begin with"):
        api.inspect("garden:retinanet", classes=["duck"], config=overrides)


def test_known_classes_are_kept_beside_new_ones(detector, stored, photos, folder):
    options = {"steps": 1, "batch_size": 1, "tune": "heads", "learning_rate": 1e-9, "augment": None, "ema": None}
    run = detkit.finetune(str(stored), photos[0], output=folder / "more", keep_classes=True, **options)
    assert run.detector.classes == (*detector.classes, "toy_boat")
    before = detector.variables()["head/_classifier/kernel"].numpy().reshape(3, 3, 16, 9, 3)
    after = run.detector.variables()["head/_classifier/kernel"].numpy().reshape(3, 3, 16, 9, 4)
    np.testing.assert_allclose(after[..., :3], before, atol=1e-6)


def test_statistics_know_the_anchors(stored, photos):
    assert "anchor" in str(api.stats(photos[0], stored).table())


def test_all_problems_are_found_at_once(photos, folder):
    pipeline = folder / "wrong.yaml"
    pipeline.write_text(
        "model: {name: 'garden:retinanet_resnetfpm_coco', config: missing.yaml, checkpoint: nowhere/ckpt-1}\n"
        "data: {train: nothing.json}\n"
    )
    problems = "\n".join(str(problem) for problem in api.check(pipeline))
    for part in ("nothing.json", "missing.yaml", "nowhere", "Did you mean retinanet_resnetfpn_coco"):
        assert part in problems


def test_a_checkpoint_that_does_not_fit_is_a_problem(stored, photos, folder):
    wider = yaml_format.dumps({"task": {"model": TINY | {"head": {"num_convs": 1, "num_filters": 24}}}})
    (folder / "wider.yaml").write_text(wider)
    pipeline = folder / "fits_not.yaml"
    pipeline.write_text(
        f"model: {{name: 'garden:retinanet', config: wider.yaml, checkpoint: {stored}/checkpoint}}\n"
        f"data: {{train: {photos[0][0].image.parent.with_suffix('.json')}}}\n"
    )
    assert any("does not fit" in str(problem) for problem in api.check(pipeline))


@pytest.fixture(scope="module")
def theirs(photos, folder):
    """A pipeline in Model Garden's layout, with records beside it."""
    records = folder / "records"
    records.mkdir()
    detkit.data.write(photos[0], records / "train.record", "tfrecord")
    (records / "label_map.pbtxt").unlink()
    content = {
        "task": {
            "model": TINY | {"num_classes": 2},
            "train_data": {"input_path": "records/train.record", "global_batch_size": 2, "shuffle_buffer_size": 7},
        },
        "trainer": {"train_steps": 2, "optimizer_config": {"learning_rate": {"constant": {"learning_rate": 0.001}}}},
    }
    path = folder / "theirs.yaml"
    path.write_text(yaml_format.dumps(content))
    return path


def test_a_pipeline_of_model_garden_trains(theirs, folder):
    arguments = ["train", str(theirs), "--experiment", "retinanet", "-o", str(folder / "run"), "--set"]
    result = CliRunner().invoke(cli.main, [*arguments, "train.augment=none"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    log = (folder / "run" / "log.txt").read_text()
    assert "only Model Garden's trainer reads: task.train_data.shuffle_buffer_size" in log
    written = yaml_format.loads((folder / "run" / "pipeline.yaml").read_text())[0]
    assert (written["train"]["steps"], written["train"]["schedule"]) == (2, "constant")
    assert detkit.load(folder / "run").classes == ("toy_boat",)
    assert build.read_overrides(folder / "run" / "params.yaml")["task"]["model"]["num_classes"] == 2


def test_it_is_checked_too(theirs):
    problems = api.check(theirs, ["experiment=retinanet"])
    assert {problem.severity for problem in problems} <= {"info", "warning"}
    assert any("shuffle_buffer_size" in str(problem) for problem in problems)
    assert any("can be built" in problem.what for problem in problems)


def test_a_size_that_is_no_list_is_a_problem(theirs):
    problems = api.check(theirs, ["experiment=retinanet", "task.model.input_size=128"])
    assert any("can't have this value" in problem.what for problem in problems)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("task.model.num_classes=two", "a whole number"),
        ("task.model.num_clases=2", "Did you mean num_classes?"),
        ("task.model.backbone.type=resnett", "Did you mean resnet?"),
        ("task.model.input_size=[100, 100, 3]", "multiples of the largest stride"),
        ("task.model.max_level=8", "Write input_size: [256, 256, 3], or a lower max_level."),
        ("task.model.max_level=2", "3, the min_level, or more"),
        ("task.model.backbone.mobilenet.model_id=Nope", "can't build this model"),
        ("task.model.backbone={type: resnet, resnet: {model_id: 11}}", "11, which Model Garden does not know"),
        ("task.init_checkpoint=nowhere/ckpt", "nowhere/ckpt"),
    ],
)
def test_mistakes_end_with_a_sentence(theirs, folder, override, message):
    arguments = ["train", str(theirs), "--experiment", "retinanet", "-o", str(folder / "bad"), "--overwrite"]
    result = CliRunner().invoke(cli.main, [*arguments, "--set", override, "--set", "train.steps=1"])
    assert result.exit_code == 2
    assert message in result.output and "Traceback" not in result.output


def test_nothing_of_model_garden_is_heard(theirs, stored, photos, folder):
    photo = photos[1][0].image
    script = (
        "from detkit.cli import main\n"
        f"for line in (['train', {str(theirs)!r}, '--experiment', 'retinanet', '-o', {str(folder / 'quiet')!r}],\n"
        f"             ['predict', {str(stored)!r}, {str(photo)!r}, '-o', {str(folder / 'drawn')!r}]):\n"
        "    main.main(line, standalone_mode=False)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    heard = (done.stdout + done.stderr).lower()
    assert not [word for word in ("warning", "absl", "tf_keras", "official", "deprecat") if word in heard], heard
