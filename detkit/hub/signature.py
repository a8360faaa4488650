"""What a SavedModel takes and gives, and whether it is a detector that detkit knows how to use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import tensorflow as tf

from detkit.errors import ConfigError
from detkit.hub import od_outputs

OD_API, OPEN_IMAGES = "OD API", "Open Images"
ENTITIES = "detection_class_entities"
TABLES = ("detection_multiclass_scores", "raw_detection_scores")  # [1, N, columns]


@dataclass(frozen=True)
class Signature:
    """A signature of a SavedModel that finds objects.

    Attributes:
        kind: OD_API (uint8 or float 0..255; label-map ids) or OPEN_IMAGES (float 0..1; names of classes).
        key: by which the SavedModel knows it.
        input: the name of the image; spec: its shape [1 or None, height, width, 3] and type.
        outputs: {name: TensorSpec}.
        function: the concrete function.
    """

    kind: str
    key: str
    input: str
    spec: tf.TensorSpec
    outputs: Mapping
    function: object

    @property
    def columns(self) -> int | None:
        """The columns of its table of scores, None where there is none or it does not say."""
        shapes = [self.outputs[name].shape for name in TABLES if name in self.outputs]
        return next((shape[-1] for shape in shapes if shape.rank and shape[-1]), None)

    @property
    def names(self) -> tuple[str, ...]:
        """The longest list of words among its constants, where the names of classes may be."""
        definition = self.function.graph.as_graph_def()
        nodes = [*definition.node, *(node for each in definition.library.function for node in each.node_def)]
        tensors = (node.attr["value"].tensor for node in nodes if node.op == "Const")
        lists = [tf.make_ndarray(tensor).ravel() for tensor in tensors if tensor.dtype == tf.string.as_datatype_enum]
        words = [[word.decode("utf-8", "replace") for word in each] for each in lists]
        # The same list with identifiers in place of the names is beside it.
        words = [each for each in words if len(each) > 1 and not each[0].startswith("/m/")]
        return tuple(dict.fromkeys(max(words, key=len, default=())))

    def text(self) -> str:
        """What it takes and gives, a line each."""
        return "\n".join([f"signature {self.key}: {self.kind}", *lines(self.function)])


def recognise(loaded, where) -> Signature:
    """The signature of a loaded SavedModel that finds objects; `serving_default` first.

    Raises:
        ConfigError: if there is none; the message shows what there is.
    """
    keys = sorted(loaded.signatures, key=lambda key: (key != "serving_default", key != "default", key))
    for key in keys:
        found = _known(key, loaded.signatures[key])
        if found is not None:
            return found
    there = [line for key in keys for line in (f"signature {key}", *lines(loaded.signatures[key]))]
    raise ConfigError(
        "This SavedModel is no detector that detkit knows.",
        where=where,
        got="\n".join(["", *(f"    {line}" for line in there)]) if there else "no signatures",
        expected=f"an image [1, height, width, 3] in, uint8 or float32; out {', '.join(od_outputs.REQUIRED)} (OD "
        f"API), or float32 in; out {od_outputs.BOXES}, {od_outputs.SCORES} and {ENTITIES} (Open Images)",
        fix="Export the model with one of these signatures. Feature vectors are backbones: model.name=hub:PATH in a "
        "pipeline for classification.",
    )


def _known(key: str, function) -> Signature | None:
    inputs, outputs = specs(function)
    if len(inputs) != 1 or not {od_outputs.BOXES, od_outputs.SCORES} <= set(outputs):
        return None
    ((name, spec),) = inputs.items()
    image = spec.shape.rank == 4 and spec.shape[3] in (3, None)
    kind = OPEN_IMAGES if ENTITIES in outputs else OD_API if od_outputs.CLASSES in outputs else None
    types = {OPEN_IMAGES: (tf.float32,), OD_API: (tf.uint8, tf.float32)}.get(kind, ())
    if not image or spec.dtype not in types:
        return None
    return Signature(kind, key, name, spec, outputs, function)


def specs(function) -> tuple[dict, dict]:
    """({name: TensorSpec} of the inputs of a signature, {name: TensorSpec} of its outputs)."""
    outputs = function.structured_outputs
    return dict(function.structured_input_signature[1]), outputs if isinstance(outputs, Mapping) else {}


def lines(function) -> list[str]:
    """What a signature takes and gives, a line each."""
    return [
        f"  {word} {name}: {spec.dtype.name} {spec.shape}"
        for word, specs in zip(("input", "output"), specs(function), strict=True)
        for name, spec in sorted(specs.items())
    ]
