"""Exports: written, read back as detectors, checked; what can't be exported is told."""

from __future__ import annotations

import dataclasses
import json
import zipfile

import numpy as np
import pytest

import detkit
from detkit.cli.export import FORMATS as ON_THE_COMMAND_LINE
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.errors import CheckpointError, ConfigError
from detkit.export import export as exporting
from detkit.export.agreement import compare

ROUNDED = {"tflite-float16": 0.02, "tflite-dynamic": 0.3, "tflite-int8": 0.5}


@pytest.fixture(scope="module")
def photos(images):
    """A dataset of the images, without objects."""
    examples = [
        Example(image=image, size=image.shape[:2], boxes=np.zeros((0, 4)), class_ids=np.zeros(0, int), image_id=i)
        for i, image in enumerate(images)
    ]
    return Dataset(examples, ("duck", "boat", "tree"))


@pytest.fixture
def few(monkeypatch):
    """Fewer images to check with."""
    monkeypatch.setattr(exporting, "CHECKED", 1)


@pytest.fixture(scope="module")
def tflite(small, photos, tmp_path_factory):
    """A .tflite file of the small detector."""
    path = tmp_path_factory.mktemp("tflite") / "model.tflite"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "CHECKED", 1)
        (report,) = detkit.export(small, "tflite", path, photos)
    assert report.path == path and report.bytes == path.stat().st_size
    return path


def finds_the_same(small, path, images) -> None:
    loaded = detkit.load(str(path))
    assert loaded.classes == small.classes
    agreement = compare(small, loaded, images)
    assert agreement.score < 1e-4 and agreement.box < 1e-4
    assert len(agreement.scores) == 2 * 20 * len(images)


def test_tflite_finds_the_same(tflite, small, images):
    finds_the_same(small, tflite, images)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["savedmodel", "keras", "onnx"])
def test_what_is_exported_finds_the_same(name, small, images, photos, few, tmp_path):
    if name == "onnx":
        pytest.importorskip("tf2onnx")
        pytest.importorskip("onnxruntime")
    path = tmp_path / f"model{exporting.FORMATS[name].suffix}"
    detkit.export(small, name, path, photos)
    finds_the_same(small, path, images)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "tolerance"), ROUNDED.items())
def test_smaller_exports_find_nearly_the_same(
    name, tolerance, small, images, photos, few, tmp_path, tflite, monkeypatch
):
    monkeypatch.setitem(exporting.FORMATS, name, dataclasses.replace(exporting.FORMATS[name], tolerance=tolerance))
    smaller = tmp_path / "smaller.tflite"
    detkit.export(small, name, smaller, photos)
    assert smaller.stat().st_size < 0.8 * tflite.stat().st_size
    agreement = compare(small, detkit.load(str(smaller)), images)
    assert 0 < agreement.score and np.mean(agreement.scores) < tolerance / 2


def test_classes_config_and_preprocessing_travel_along(tflite):
    with zipfile.ZipFile(tflite) as archive:
        assert set(archive.namelist()) == {"detkit.json", "label_map.pbtxt", "labelmap.txt", "pipeline.config"}
        assert archive.read("labelmap.txt").decode().split() == ["duck", "boat", "tree"]
        facts = json.loads(archive.read("detkit.json"))
    assert facts["size"] == [64, 64] and facts["input"] == "float32" and facts["fit"] is None


@pytest.mark.slow
def test_several_formats_go_into_a_directory_and_a_table(small, photos, few, tmp_path):
    report = detkit.export(small, ["savedmodel", "keras"], tmp_path / "exports", photos)
    names = [path.name for path in sorted((tmp_path / "exports").iterdir())]
    assert names == ["small.keras", "small.savedmodel"]
    lines = report.table().splitlines()
    assert [line.split()[0] for line in lines] == ["format", "savedmodel", "keras"]
    assert [path.name for path in sorted((tmp_path / "exports/small.savedmodel/assets").iterdir())] == [
        "detkit.json",
        "label_map.pbtxt",
        "labelmap.txt",
        "pipeline.config",
    ]


def test_an_export_that_finds_something_else_is_removed(small, photos, few, tmp_path, monkeypatch):
    other = exporting.Format(".keras", lambda _, path: path.write_text("x"), lambda _: small, tolerance=-1.0)
    monkeypatch.setitem(exporting.FORMATS, "keras", other)
    with pytest.raises(ConfigError, match="does not find what the model finds; it was removed"):
        detkit.export(small, "keras", tmp_path / "model.keras", photos)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("to", "message"),
    [
        pytest.param("tflight", "(?s)no such format.*'tflight'.*Did you mean tflite", id="unknown-format"),
        pytest.param((), "(?s)No format to export to.*savedmodel", id="no-format"),
        pytest.param("tflite-int8", "(?s)int8 needs images.*no data.*--data", id="int8-without-data"),
    ],
)
def test_what_is_asked_for_wrongly_is_told(to, message, small, tmp_path):
    with pytest.raises(ConfigError, match=message):
        detkit.export(small, to, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_another_ending_is_told(small, tmp_path):
    with pytest.raises(ConfigError, match="(?s)another ending than its format.*Call it model.tflite"):
        detkit.export(small, "tflite-float16", tmp_path / "model.lite")


def test_data_without_images_are_refused(small, tmp_path):
    with pytest.raises(ConfigError, match="has no images"):
        detkit.export(small, "keras", tmp_path / "x.keras", Dataset([], ("duck",)))


def test_only_detectors_with_a_network_are_exported(tmp_path):
    class Other:
        name = "mine"

    with pytest.raises(ConfigError, match="(?s)can't be exported.*mine: Other"):
        detkit.export(Other(), "savedmodel", tmp_path / "x")


@pytest.mark.parametrize("name", ["savedmodel", "tflite"])
def test_a_place_that_cannot_be_written_is_told(name, small, photos, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="Can't write"):
        detkit.export(small, name, tmp_path / "file/model.tflite", photos)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("a.tflite", "(?s)no TensorFlow Lite model, or a damaged one.*a.tflite", id="tflite"),
        pytest.param("a.keras", "(?s)no Keras model of detkit, or a damaged one.*a.keras", id="keras"),
    ],
)
def test_a_damaged_file_is_told(name, message, tmp_path):
    (tmp_path / name).write_bytes(b"nothing of use" * 100)
    with pytest.raises(CheckpointError, match=message):
        detkit.load(str(tmp_path / name))


def test_a_damaged_onnx_file_is_told(tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "a.onnx").write_bytes(b"nothing of use" * 100)
    with pytest.raises(CheckpointError, match="(?s)no ONNX model, or a damaged one.*a.onnx"):
        detkit.load(str(tmp_path / "a.onnx"))


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(CheckpointError, match="(?s)Can't read this TensorFlow Lite model.*No such file"):
        detkit.load(str(tmp_path / "a.tflite"))


def test_the_command_knows_all_formats():
    assert tuple(exporting.FORMATS) == ON_THE_COMMAND_LINE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("to", "message"),
    [("tflite", "TensorFlow Lite can't hold this kind of detector"), ("onnx", "tf2onnx can't convert a detector of")],
)
def test_a_two_stage_detector_does_not_go_into_everything(to, message, tmp_path, photos):
    from model_kit import draw_weights, small_config

    from detkit.detection.build import build

    name = "faster_rcnn_resnet50_v1_640x640"
    detector = draw_weights(build(small_config(name), name=name))
    with pytest.raises(ConfigError, match=f"(?s){message}.*FasterRCNN"):
        detkit.export(detector, to, tmp_path / f"x.{to}", photos)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["efficientdet_small", "centernet_mobilenetv2fpn_512x512_kpts"])
@pytest.mark.parametrize("to", ["tflite", "onnx", "keras"])
def test_other_families_find_the_same(name, to, images, photos, few, tmp_path):
    if to == "onnx":
        pytest.importorskip("tf2onnx")
    from model_kit import draw_weights, small_config

    from detkit.detection.build import build

    detector = draw_weights(build(small_config(name), name=name))
    path = tmp_path / f"x{exporting.FORMATS[to].suffix}"
    (report,) = detkit.export(detector, to, path, photos)
    # Without padding: a CenterNet keeps what it finds there, as boxes without area, and TensorFlow Lite does not.
    squares = [image[: min(image.shape[:2]), : min(image.shape[:2])] for image in images]
    agreement = compare(detector, detkit.load(str(path)), squares)
    assert np.mean(agreement.scores < 1e-3) > 0.9
    if detector.wants:
        assert detkit.load(str(path)).detect(images[0])[0].keypoints is not None
