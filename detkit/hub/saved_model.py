"""SavedModels as detectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from detkit.errors import ConfigError, DataError
from detkit.hub import features, labels, od_outputs, reading, source
from detkit.hub.detector import GraphDetector
from detkit.hub.signature import ENTITIES, OPEN_IMAGES, Signature, recognise


def load(model) -> GraphDetector:
    """A SavedModel as a detector.

    Args:
        model: a directory with saved_model.pb (or saved_model/ with it), a .tar.gz archive of one, an https address of
            such an archive, or a handle "https://tfhub.dev/...".

    Raises:
        CheckpointError: if it can't be had or read.
        ConfigError: if it is no detector of a kind that detkit knows.
    """
    directory = source.find(model)
    return _detector(directory, reading.read(directory))


def _detector(directory: Path, loaded) -> SavedModelDetector:
    signature = recognise(loaded, directory)
    kind = NamedClassesDetector if signature.kind == OPEN_IMAGES else ODDetector
    return kind(loaded, signature, directory)


class SavedModelDetector(GraphDetector):
    """A SavedModel with an image as its only input.

    Attributes:
        signature: what it takes and gives.
        directory: where it was read.
    """

    range = 255.0  # of the values of a float image

    def __init__(self, loaded, signature: Signature, directory: Path, classes, label_ids=None):
        home = directory.parent if directory.name == "saved_model" else directory
        super().__init__(classes, label_ids, home.resolve().name)
        self.signature, self.directory = signature, directory
        self._loaded = loaded  # owns what the function needs

    def _run(self, image: np.ndarray) -> dict:
        """{output: array} for an image, scaled and stretched as the input asks."""
        spec = self.signature.spec
        pixels = tf.constant(image[None])
        size = [side or true for side, true in zip(spec.shape[1:3], image.shape[:2], strict=True)]
        if tuple(size) != image.shape[:2]:
            pixels = tf.cast(tf.round(tf.image.resize(pixels, size)), tf.uint8)
        if spec.dtype != tf.uint8:
            pixels = tf.cast(pixels, spec.dtype) * (self.range / 255.0)
        try:
            outputs = self.signature.function(**{self.signature.input: pixels})
        except tf.errors.OpError as error:
            raise self._failed(error, image.shape[:2]) from error
        return {name: value.numpy() for name, value in outputs.items()}

    def _failed(self, error: tf.errors.OpError, size) -> DataError:
        # Before the reason is where in the graph it is, after it the name of the operation.
        lines = [line.strip() for line in error.message.partition("[[{{node")[0].splitlines() if line.strip()]
        return DataError(
            "The SavedModel fails on this image.",
            where=self.directory,
            got=f"{size[0]} x {size[1]}: {(lines or [type(error).__name__])[-1][:300]}",
            expected="an image that its graph takes",
            fix="Try another size; or export the model again, for images of any size.",
        )


class ODDetector(SavedModelDetector):
    """A SavedModel with the OD API's signature."""

    def __init__(self, loaded, signature, directory):
        names = labels.resolve(directory, signature.columns)
        super().__init__(loaded, signature, directory, names.values(), tuple(names))

    def found(self, image):
        """As `GraphDetector.found`."""
        return od_outputs.fields(self._run(image), self.label_ids, str(self.directory))


class NamedClassesDetector(SavedModelDetector):
    """A SavedModel that gives the names of classes with its detections, as the Open Images modules do.

    Attributes:
        classes: those that a label map beside it or a list in its graph names, and others that were found.
    """

    range = 1.0

    def __init__(self, loaded, signature, directory):
        super().__init__(loaded, signature, directory, labels.names_beside(directory) or signature.names)

    def found(self, image):
        """As `GraphDetector.found`."""
        outputs = {name: _without_batch(name, value) for name, value in self._run(image).items()}
        order = np.argsort(-outputs[od_outputs.SCORES], kind="stable")
        names = [name.decode("utf-8", "replace") for name in outputs[ENTITIES][order]]
        fresh = dict.fromkeys(name for name in names if name not in self.classes)
        self.classes += tuple(fresh)
        self.label_ids = tuple(range(1, len(self.classes) + 1))
        index = {name: i for i, name in enumerate(self.classes)}
        return {
            "boxes": outputs[od_outputs.BOXES][order],
            "scores": outputs[od_outputs.SCORES][order],
            "class_ids": np.array([index[name] for name in names], np.int64),
        }


def _without_batch(name: str, value: np.ndarray) -> np.ndarray:
    """One image's rows: these modules have no batch axis, copies of them may."""
    return value[0] if value.ndim > (2 if name == od_outputs.BOXES else 1) else value


def describe(model) -> str:
    """What `detkit inspect` says of a SavedModel; arguments and errors as for `load`."""
    directory = source.find(model)
    loaded = reading.read(directory)
    try:
        detector = _detector(directory, loaded)
    except ConfigError:
        text = features.describe(directory, loaded)
        if text is None:
            raise
        return text
    names = ", ".join(detector.classes[:12]) + (" ..." if len(detector.classes) > 12 else "")
    classes = f"{len(detector.classes)} classes: {names}" if names else "classes as they are found"
    return "\n".join([f"SavedModel {directory}", detector.signature.text(), classes])
