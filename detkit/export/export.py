"""Exporting a model: written, reloaded in its own runtime, and compared with what it was made of."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import tensorflow as tf

from detkit.detection import keras_model
from detkit.detection.center_net import CenterNet
from detkit.detection.detector import Detector
from detkit.detection.faster_rcnn import FasterRCNN
from detkit.errors import ConfigError
from detkit.export import contents, functional, onnx, saved_model, tflite
from detkit.export.agreement import SHARE, Agreement, compare
from detkit.export.lite import lite
from detkit.export.serving import IMAGE, serving
from detkit.garden.detector import GardenDetector
from detkit.garden.names import PREFIX
from detkit.garden.retinanet import RetinaNet
from detkit.hub import load as hub
from detkit.io import atomic_write, make_directory
from detkit.networks.functional import FunctionalNetwork
from detkit.pipeline.fields import nearest
from detkit.progress import progress

CHECKED, SAMPLES = 4, 100  # images that an export is checked with, and that int8 ranges are measured on


@dataclass(frozen=True)
class Format:
    """A format to export to.

    Attributes:
        suffix: of the file or directory.
        write: (Source, path) -> None.
        load: path -> detector.
        tolerance: of the scores.
    """

    suffix: str
    write: Callable
    load: Callable
    tolerance: float


@dataclass(frozen=True)
class Exported:
    """An export that was checked.

    Attributes:
        format: its name; path: where it is; bytes: on disk.
        agreement: with the model that it was made of.
    """

    format: str
    path: Path
    bytes: int
    agreement: Agreement


class Report(tuple):
    """The Exported of a run, in order."""

    def table(self) -> str:
        """A line an export: its size, the largest difference of scores and of coordinates, and how long an image takes.

        The milliseconds are of all there is to do for an image in memory, on this machine as busy as it was.
        """
        head = f"{'format':<16}{'MB':>8}{'score':>10}{'box':>10}{'ms':>8}{'source ms':>11}  path"
        rows = (
            f"{each.format:<16}{each.bytes / 1e6:>8.1f}{each.agreement.score:>10.2g}{each.agreement.box:>10.2g}"
            f"{each.agreement.milliseconds:>8.1f}{each.agreement.source_milliseconds:>11.1f}  {each.path}"
            for each in self
        )
        return "\n".join([head, *rows])


class Source:
    """The model of a run, and what several of its exports have in common."""

    def __init__(self, detector: Detector, samples: Callable):
        self.detector, self.samples = detector, samples

    def write(self, name: str, path: Path) -> None:
        """Writes one of FORMATS."""
        FORMATS[name].write(self, path)

    def check(self, name: str, path: Path, images: list) -> Agreement:
        """Compares what an export finds with what the detector finds."""
        return compare(self.detector, FORMATS[name].load(path), images)

    @cached_property
    def serving(self) -> Callable:
        return serving(self.detector)

    @cached_property
    def lite(self) -> Callable:
        return lite(self.detector)


def export(detector, to: str | Sequence[str], output=None, data=None, show_progress=None) -> Report:
    """Writes a detector in other formats, reloads each and compares what it finds with what the detector finds.

    Args:
        detector: of `detkit.load`, of whatever task.
        to: names of FORMATS.
        output: the file (for a SavedModel the directory) of one format; the directory of several. By default they are
            in the working directory, called after the detector.
        data: a Dataset; its first images are what the exports are checked with, and what int8 is fitted to.

    Raises:
        ConfigError: for an unknown format, int8 without data, a model that the format can't hold, a path that can't be
            written; and if an export does not agree with the model, which is then removed.
    """
    chosen = dict.fromkeys([to] if isinstance(to, str) else to)
    _check(detector, chosen, data)
    places = _places(detector.name.removeprefix(PREFIX), list(chosen), output)
    images = _images(data, CHECKED)
    samples = partial(_images, data, SAMPLES)
    source = (functional.Source if isinstance(detector, FunctionalNetwork) else Source)(detector, samples)
    listed = progress(places.items(), total=len(places), description="export", show=show_progress)
    return Report(_exported(source, name, path, images) for name, path in listed)


def _images(data, count: int) -> list[np.ndarray]:
    """So many images of the data, or of a drawn scene if there are none."""
    if data is not None:
        return [example.pixels() for example in itertools.islice(data, count)]
    from detkit.data.synthesis import boats

    return [pixels for pixels, _ in boats.clip(frames=count)]


def _check(detector, chosen, data) -> None:
    for name in chosen:
        if name not in FORMATS:
            fix = nearest(name, FORMATS)
            raise ConfigError("There is no such format.", got=repr(name), expected=", ".join(FORMATS), fix=fix)
    if not chosen:
        raise ConfigError("No format to export to.", expected=", ".join(FORMATS))
    if not isinstance(detector, (Detector, FunctionalNetwork)):
        raise ConfigError(
            "This model can't be exported.",
            got=f"{detector.name}: {type(detector).__name__}",
            expected="a model with a network of detkit's own",
            fix="Export the model that it was made of; Model Garden's exporter takes checkpoint/ of its segmenters.",
        )
    if detector.input_size is None:
        raise ConfigError(
            "This model's input follows the images, and an exported model has one size.",
            where=detector.config.where("model"),
            fix="Set pad_to_max_dimension: true in the image resizer of its pipeline.config.",
        )
    if data is not None and not len(data):
        raise ConfigError("The data to check exports with has no images.", fix="Give other data, or none.")
    if "tflite-int8" in chosen and data is None:
        raise ConfigError(
            "int8 needs images to measure the ranges of the activations on.",
            got="no data",
            fix="Give some dozen images like those of the model's task: --data TRAIN.json.",
        )


def _places(name: str, formats: list[str], output) -> dict[str, Path]:
    """{format: path}."""
    folder = Path(output or ".")
    suffix = FORMATS[formats[0]].suffix
    if output is None or len(formats) > 1 or (folder.is_dir() and formats[0] != "savedmodel"):
        return {each: folder / f"{name}{FORMATS[each].suffix}" for each in formats}
    ending = "." + suffix.rsplit(".", 1)[1]  # by which the file is known when it is loaded
    if formats[0] != "savedmodel" and folder.suffix != ending:
        fix = f"Call it {folder.with_suffix(ending).name}."
        raise ConfigError("The file has another ending than its format.", where=folder, expected=ending, fix=fix)
    return {formats[0]: folder}


def _exported(source: Source, name: str, path: Path, images) -> Exported:
    make_directory(path.parent)
    try:
        source.write(name, path)
    except (OSError, tf.errors.OpError) as error:
        fix = "Choose a directory that you may write to, on a disk with room."
        got = getattr(error, "strerror", None) or error
        raise ConfigError("Can't write the export.", where=path, got=got, fix=fix) from error
    try:
        return Exported(name, path, _size(path), _checked(source, name, path, images))
    except BaseException:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise


def _checked(source: Source, name: str, path: Path, images) -> Agreement:
    agreement, tolerance = source.check(name, path, images), FORMATS[name].tolerance
    if agreement.within(tolerance):
        return agreement
    raise ConfigError(
        "The export does not find what the model finds; it was removed.",
        where=path,
        got=f"scores that differ by up to {agreement.score:.2g}",
        expected=f"up to {tolerance:g} for {SHARE:.0%} of the best detections",
        fix="Export to another format; for int8 try more pictures, like those of the model's task.",
    )


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _write_saved_model(source: Source, path: Path) -> None:
    detector = source.detector
    saved_model.write(source.serving, [IMAGE], path, contents.files(detector, contents.facts(detector)))


def _write_onnx(source: Source, path: Path) -> None:
    detector = source.detector
    anchors = not isinstance(detector, GardenDetector) or isinstance(detector, RetinaNet)
    if isinstance(detector, FasterRCNN) or not anchors:
        raise ConfigError(
            "tf2onnx can't convert this kind of detector.",
            got=f"{detector.name}: {type(detector).__name__}",
            expected="an SSD, an EfficientDet, a CenterNet or a RetinaNet",
            fix="Export it as a SavedModel.",
        )
    function = tf.function(source.serving, input_signature=[IMAGE], autograph=False).get_concrete_function()
    outputs = sorted(function.structured_outputs)
    files = contents.files(source.detector, contents.facts(source.detector))
    _write(path, onnx.convert(function, [IMAGE.name], outputs, files))


def _write_tflite(kind: str, source: Source, path: Path) -> None:
    if kind == "int8" and isinstance(source.detector, CenterNet):
        raise ConfigError(
            "A CenterNet does not go into int8: its places would be rounded to whole cells.",
            got=source.detector.name,
            fix="Export it to tflite-dynamic or tflite-float16.",
        )
    facts = contents.of_fixed_size(source.detector, "uint8" if kind == "int8" else "float32")
    spec = tf.TensorSpec([1, *facts.size, 3], facts.input, "image")
    samples = [facts.prepare(image)[0] for image in source.samples()] if kind == "int8" else ()
    content = tflite.convert(source.lite, spec, kind, samples)
    _write(path, tflite.attach(content, contents.files(source.detector, facts)))


def _write_keras(source: Source, path: Path) -> None:
    if isinstance(source.detector, GardenDetector):
        raise ConfigError(
            "A .keras file holds a model of Keras 3, and those of Model Garden are of tf_keras.",
            got=source.detector.name,
            fix="Export it as a SavedModel; or let Model Garden build it from the run's params.yaml and checkpoint.",
        )
    keras_model.write(source.detector, path)


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path, "wb") as file:
        file.write(content)


def _tflite(kind: str, suffix: str, tolerance: float) -> Format:
    return Format(suffix, lambda source, path: _write_tflite(kind, source, path), hub.load, tolerance)


FORMATS = {
    "savedmodel": Format(".savedmodel", _write_saved_model, hub.load, 1e-3),
    "keras": Format(".keras", _write_keras, keras_model.load, 1e-3),
    "tflite": _tflite("float32", ".tflite", 1e-3),
    "tflite-float16": _tflite("float16", ".float16.tflite", 1e-2),
    "tflite-dynamic": _tflite("dynamic", ".dynamic.tflite", 0.1),
    "tflite-int8": _tflite("int8", ".int8.tflite", 0.3),
    "onnx": Format(".onnx", _write_onnx, hub.load, 1e-3),
}
