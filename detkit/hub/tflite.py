"""TensorFlow Lite models as detectors."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

import numpy as np

from detkit.errors import CheckpointError
from detkit.hub.detector import GraphDetector
from detkit.hub.facts import NAME, Facts


def interpreter(content: bytes, threads: int | None = None):
    """An interpreter of the content of a .tflite file: LiteRT's where it is installed, else TensorFlow's own.

    Raises:
        ValueError, RuntimeError: if it is no such content.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tensorflow.lite import Interpreter
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's own announces its end
        made = Interpreter(model_content=content, num_threads=threads)
    made.allocate_tensors()
    return made


def load(path) -> TFLiteDetector:
    """A detector that `detkit export` wrote as .tflite.

    Raises:
        CheckpointError: if the file can't be read, is damaged, or does not say what its classes are.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError("Can't read this TensorFlow Lite model.", where=path, got=error.strerror) from error
    try:
        made = interpreter(content)
    except (ValueError, RuntimeError) as error:
        raise CheckpointError(
            "This is no TensorFlow Lite model, or a damaged one.",
            where=path,
            got=str(error).strip().splitlines()[0][:200],
            expected="a .tflite file as it was written",
            fix="Copy or export it again.",
        ) from error
    return TFLiteDetector(made, Facts.read(_attached(path), path))


def _attached(path: Path) -> str | None:
    """What is attached to a .tflite file as NAME: the files that belong to it follow it as a ZIP archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(NAME).decode("utf-8")
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError, OSError):
        return None


class TFLiteDetector(GraphDetector):
    """A TensorFlow Lite model whose outputs are `boxes`, `classes`, `scores`, `count`, and may be `keypoints`.

    Attributes:
        facts: what travels with it.
    """

    def __init__(self, made, facts: Facts):
        super().__init__(facts.classes, facts.label_ids, facts.name)
        self.facts = facts
        self._interpreter = made  # owns what the runner needs
        self._run = made.get_signature_runner("serving_default")

    def found(self, image):
        """As `GraphDetector.found`."""
        inputs, share = self.facts.prepare(image)
        outputs = {name: value[0] for name, value in self._run(image=inputs).items()}
        placed = outputs["boxes"] / np.tile(share, 2)
        boxes = np.clip(placed, 0.0, 1.0)
        outside = _has_area(placed) & ~_has_area(boxes)  # what was found in the padding
        kept = (np.arange(len(boxes)) < int(outputs["count"])) & ~outside
        found = {"boxes": boxes[kept], "scores": outputs["scores"][kept], "class_ids": outputs["classes"][kept]}
        if "keypoints" in outputs:
            found["keypoints"] = outputs["keypoints"][kept] / share
            found["keypoint_scores"] = outputs["keypoint_scores"][kept]
        return found


def _has_area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2:] > boxes[:, :2]).all(axis=1)


def describe(path) -> str:
    """What `detkit inspect` says of a TensorFlow Lite model; errors as for `load`."""
    detector = load(path)
    made = detector._interpreter
    details = [("input", each) for each in made.get_input_details()]
    details += [("output", each) for each in made.get_output_details()]
    lines = [
        f"  {word} {each['name']}: {np.dtype(each['dtype']).name} {each['shape'].tolist()}" for word, each in details
    ]
    return "\n".join([f"TensorFlow Lite model {detector.name}", *lines, detector.facts.text()])
