"""ONNX models as detectors."""

from __future__ import annotations

from pathlib import Path

from detkit.errors import CheckpointError, ConfigError
from detkit.hub import od_outputs
from detkit.hub.detector import GraphDetector
from detkit.hub.facts import NAME, Facts


def session(content: bytes):
    """An ONNX Runtime session of the content of an .onnx file, on the processor.

    Raises:
        ConfigError: if onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError("onnxruntime is not installed.", fix="pip install 'detkit[onnx]'") from error
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def load(path) -> ONNXDetector:
    """A detector that `detkit export` wrote as .onnx.

    Raises:
        ConfigError: if onnxruntime is not installed.
        CheckpointError: if the file can't be read, is damaged, or does not say what its classes are.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError("Can't read this ONNX model.", where=path, got=error.strerror) from error
    try:
        made = session(content)
    except ConfigError:
        raise
    except Exception as error:  # onnxruntime's have no base of their own
        raise CheckpointError(
            "This is no ONNX model, or a damaged one.",
            where=path,
            got=str(error).strip().splitlines()[0][:200],
            expected="an .onnx file as it was written",
            fix="Copy or export it again.",
        ) from error
    return ONNXDetector(made, Facts.read(made.get_modelmeta().custom_metadata_map.get(NAME), path))


class ONNXDetector(GraphDetector):
    """An ONNX model with the inputs and outputs of the OD API's exported models.

    Attributes:
        facts: what travels with it.
    """

    def __init__(self, made, facts: Facts):
        super().__init__(facts.classes, facts.label_ids, facts.name)
        self.facts, self._session = facts, made
        made_names = {each.name for each in made.get_outputs()}
        wanted = (*od_outputs.REQUIRED, od_outputs.COUNT, *od_outputs.OPTIONAL)
        self._outputs = [name for name in wanted if name in made_names]

    def found(self, image):
        """As `GraphDetector.found`."""
        values = self._session.run(self._outputs, {self._session.get_inputs()[0].name: image[None]})
        return od_outputs.fields(dict(zip(self._outputs, values, strict=True)), self.one_based, self.name)

    @property
    def one_based(self) -> range:
        """What `detection_classes` counts."""
        return range(1, len(self.classes) + 1)


def describe(path) -> str:
    """What `detkit inspect` says of an ONNX model; errors as for `load`."""
    detector = load(path)
    made = detector._session
    listed = [("input", each) for each in made.get_inputs()] + [("output", each) for each in made.get_outputs()]
    lines = [f"  {word} {each.name}: {each.type} {each.shape}" for word, each in listed]
    return "\n".join([f"ONNX model {detector.name}", *lines, detector.facts.text()])
