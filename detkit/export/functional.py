"""Exports of classifiers, localisers and segmenters: pixels in, scores out, with what belongs before the network."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from detkit.errors import ConfigError
from detkit.export import onnx, saved_model, tflite
from detkit.export.agreement import Agreement
from detkit.hub import onnx as onnx_files
from detkit.hub import tflite as tflite_files
from detkit.hub.facts import NAME, Facts
from detkit.io import atomic_write
from detkit.networks.foreign import is_foreign
from detkit.networks.functional import FunctionalNetwork
from detkit.networks.layers import plain_twin

INPUT = "image"


class Source:
    """A network and what its exports have in common; its answers are "scores" and, of a localiser, "box".

    Scores are probabilities of the classes: [B, C], and of a segmenter [B, h, w, 1 + C], the background first. A .keras
    file has the network's own outputs, "logits" in the place of scores.
    """

    def __init__(self, network: FunctionalNetwork, samples: Callable):
        self.detector, self._samples = network, samples
        self._foreign = any(is_foreign(layer) for layer in network.model.layers)
        self._values = [(variable, variable.numpy()) for variable in network.model.variables]

    def write(self, name: str, path: Path) -> None:
        """Writes one of detkit.export.export.FORMATS."""
        if name == "keras":
            self._check_keras()
            _write_keras(path, _plain(self.detector.model))
        elif name == "savedmodel":
            saved_model.write(self._function(None), [self._spec(None)], path, self._files())
        elif name == "onnx":
            graph, outputs = self._traced(None)
            _write(path, onnx.convert(graph, [INPUT], outputs, self._files()))
        else:
            kind = name.removeprefix("tflite").removeprefix("-") or "float32"
            samples = [self.inputs([image]) for image in self._samples()] if kind == "int8" else ()
            _write(path, tflite.attach(tflite.convert(self._function(1), self._spec(1), kind, samples), self._files()))

    def check(self, name: str, path: Path, images: list) -> Agreement:
        """Runs an export in its own runtime and compares its answers with the network's."""
        run = _RUNTIMES[name.split("-")[0]](path)
        inputs = [self.inputs([image]) for image in images]
        graph = tf.function(self.detector.forward if name == "keras" else self._answers, autograph=False)
        ours, before = _timed(lambda x: _arrays(graph(tf.constant(x))), inputs)
        theirs, after = _timed(run, inputs)
        pairs = list(zip(ours, theirs, strict=True))
        scores = np.concatenate([np.abs(a[key] - b[key]).ravel() for a, b in pairs for key in a if key != "box"])
        boxes = [np.abs(a["box"] - b["box"]).max() for a, b in pairs if "box" in a]
        return Agreement(float(scores.max()), float(max(boxes, default=0.0)), after, before, scores)

    def inputs(self, images: Iterable[np.ndarray]) -> np.ndarray:
        """Images as the exports take them: float32 [B, h, w, 3] of 0..255."""
        return np.stack([tf.image.resize(each, self.detector.input_size).numpy() for each in images])

    def _answers(self, image) -> dict:
        network = self.detector
        with keras.StatelessScope(self._values):
            outputs = network.finish({network.model.inputs[0].name: image}, 0)
        logits = outputs.pop("logits")
        labels = getattr(network.options, "labels", "one")
        scores = tf.nn.softmax(logits) if labels == "one" else tf.sigmoid(logits)
        return {"scores": tf.concat([1.0 - scores, scores], -1) if labels == "binary" else scores} | outputs

    def _function(self, batch: int | None) -> Callable:
        """`_answers` for so many images, with constants in the place of all variables."""
        if not self._foreign:
            return self._answers
        function, names = self._traced(batch)
        return lambda image: dict(zip(names, function(image), strict=True))

    def _traced(self, batch: int | None) -> tuple:
        """(the graph of the answers for so many images, the names of its outputs in their order)."""
        function = tf.function(self._answers, input_signature=[self._spec(batch)], autograph=False)
        traced = function.get_concrete_function()
        names = sorted(traced.structured_outputs)
        # Keras' scope in `_answers` does not reach the variables of others.
        return convert_variables_to_constants_v2(traced) if self._foreign else traced, names

    def _check_keras(self) -> None:
        if self._foreign:
            raise ConfigError(
                "A .keras file holds layers of Keras 3, and this backbone is none.",
                got=self.detector.name,
                fix="Export it as a SavedModel.",
            )

    def _spec(self, batch: int | None) -> tf.TensorSpec:
        return tf.TensorSpec([batch, *self.detector.input_size, 3], name=INPUT)

    def _files(self) -> dict[str, str]:
        network = self.detector
        named = network.task, network.name, network.classes, network.label_ids
        facts = Facts(*named, size=network.input_size, input="float32")
        return {NAME: facts.text(), "labelmap.txt": "\n".join(network.classes) + "\n"}


def _plain(model: keras.Model) -> keras.Model:
    """The model of Keras' own layers, which takes an image and not a list of one."""
    twin = keras.models.clone_model(model, clone_function=plain_twin)
    twin.set_weights(model.get_weights())
    outputs = twin.outputs if len(twin.outputs) > 1 else twin.outputs[0]
    return keras.Model(twin.inputs[0], outputs, name=model.name)


def _write_keras(path: Path, model: keras.Model) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of how Keras makes arrays
        keras.saving.save_model(model, Path(folder) / "model.keras")
        (Path(folder) / "model.keras").rename(path)


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path, "wb") as file:
        file.write(content)


def _of_saved_model(path: Path) -> Callable:
    loaded = tf.saved_model.load(str(path))  # kept: its signature alone would lose its constants
    return lambda x, loaded=loaded: _arrays(loaded.signatures["serving_default"](**{INPUT: tf.constant(x)}))


def _of_keras(path: Path) -> Callable:
    model = keras.saving.load_model(path)
    names = model.output_names

    def run(x) -> dict:
        outputs = model(x)
        return _arrays(dict(zip(names, outputs if isinstance(outputs, list) else [outputs], strict=True)))

    return run


def _of_tflite(path: Path) -> Callable:
    runner = tflite_files.interpreter(path.read_bytes()).get_signature_runner()
    return lambda x: runner(**{INPUT: x})


def _of_onnx(path: Path) -> Callable:
    session = onnx_files.session(path.read_bytes())
    names = [output.name for output in session.get_outputs()]
    return lambda x: dict(zip(names, session.run(names, {INPUT: x}), strict=True))


def _timed(run: Callable, inputs: list) -> tuple[list[dict], float]:
    """The answers to each input, and the milliseconds for one once it has warmed up."""
    answers = [run(x) for x in inputs]
    started = time.perf_counter()
    for x in inputs:
        run(x)
    return answers, (time.perf_counter() - started) * 1000 / len(inputs)


def _arrays(outputs: dict) -> dict:
    return {name: value.numpy() for name, value in outputs.items()}


_RUNTIMES = {"savedmodel": _of_saved_model, "keras": _of_keras, "tflite": _of_tflite, "onnx": _of_onnx}
