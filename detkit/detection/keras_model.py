"""The bare network of a detector as a Keras model, in Keras's own file format."""

from __future__ import annotations

import os
import warnings
import zipfile
from pathlib import Path

import keras

from detkit.detection.build import build
from detkit.detection.detector import Detector
from detkit.errors import CheckpointError
from detkit.io import make_directory
from detkit.pipeline import od_config


@keras.saving.register_keras_serializable("detkit")
class Network(keras.layers.Layer):
    """The network of a detector as a layer: (inputs [B, h, w, 3], true_shapes int32 [B, 3]) -> {name: raw output}.

    Attributes:
        detector: whose network it is; it shares its variables.

    Args:
        config: protobuf text of the pipeline config; classes, label_ids, title: of the detector.
        detector: one that is there already.
    """

    def __init__(self, config: str, classes, label_ids, title: str, detector: Detector | None = None, **options):
        super().__init__(**options)
        self.detector = detector or build(od_config.parse(config), classes, label_ids, title)
        self.network = list(self.detector.paths().values())  # Keras finds the variables of what is listed here
        self.built = True

    def get_config(self) -> dict:
        """What a layer like this is made from."""
        detector = self.detector
        parts = {"classes": list(detector.classes), "label_ids": list(detector.label_ids), "title": detector.name}
        return super().get_config() | {"config": od_config.dumps(detector.config)} | parts

    def call(self, inputs, true_shapes):
        """The raw outputs that `Detector.postprocess` takes."""
        predictions = self.detector.predict(inputs, true_shapes)
        kept = {name: value for name, value in predictions.items() if not name.startswith(self.detector.loss_only)}
        return {name: value for name, value in kept.items() if value is not true_shapes}


def model(detector: Detector) -> keras.Model:
    """A functional model of preprocessed images and the sizes of the images inside their padding.

    It shares the detector's variables.
    """
    inputs = keras.Input((*detector.input_size, 3), name="inputs"), keras.Input((3,), dtype="int32", name="true_shapes")
    network = Network("", (), (), "", detector, name="network")
    return keras.Model(inputs, network(*inputs), name="detector")


def write(detector: Detector, path) -> None:
    """Writes the model as .keras; `keras.saving.load_model` reads it too, once this module is imported."""
    path = make_directory(Path(path).parent) / Path(path).name
    # Keras goes by the suffix, so the unfinished file has it too.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.keras")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of how Keras makes arrays
            keras.saving.save_model(model(detector), temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path) -> Detector:
    """The detector whose network a .keras file holds, ready to detect and to be trained on.

    Raises:
        CheckpointError: if the file can't be read, is damaged, or holds another model.
    """
    path = Path(path)
    try:
        loaded = keras.saving.load_model(path, compile=False)
        return next(layer for layer in loaded.layers if isinstance(layer, Network)).detector
    except (OSError, ValueError, TypeError, KeyError, StopIteration, zipfile.BadZipFile) as error:
        raise CheckpointError(
            "This is no Keras model of detkit, or a damaged one.",
            where=path,
            got=str(error).strip().split("\n")[0][:200] or "a model without detkit's network",
            expected="a .keras file that `detkit export` wrote",
            fix="Copy or export it again; another Keras model can be loaded by Keras alone.",
        ) from error
