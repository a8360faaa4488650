"""ONNX models from concrete functions, through tf2onnx. Nothing here knows what the function computes."""

from __future__ import annotations

from collections.abc import Mapping

from detkit.errors import ConfigError
from detkit.export.quiet import quiet

OPSET = 17


def convert(function, inputs, outputs, facts: Mapping[str, str] | None = None) -> bytes:
    """The content of an .onnx file.

    Args:
        function: a concrete function without variables.
        inputs, outputs: what to call its inputs and outputs, in their order.
        facts: {name: text}, entries of the model's metadata.

    Raises:
        ConfigError: if tf2onnx is not installed, or the function can't be converted.
    """
    tf2onnx = _tf2onnx()
    given, made = [x.name for x in function.inputs], [x.name for x in function.outputs]
    graph = function.graph.as_graph_def(add_shapes=True)
    try:
        with quiet():
            model, _ = tf2onnx.convert.from_graph_def(
                graph, name="detkit", input_names=given, output_names=made, opset=OPSET
            )
    except Exception as error:
        raise ConfigError(
            "ONNX can't represent this model.",
            got=str(error).strip().splitlines()[0][:300],
            fix="Export it as a SavedModel, which can hold every model.",
        ) from error
    _rename(model.graph, dict(zip((*given, *made), (*inputs, *outputs), strict=True)))
    for name, value in (facts or {}).items():
        model.metadata_props.add(key=name, value=value)
    return model.SerializeToString()


def network_to_onnx(frozen) -> bytes:
    """The bare network of `detkit.export.frozen.freeze` as the content of an .onnx file.

    Inputs and outputs are those of `frozen`, by name and in the same order.
    """
    return convert(frozen.function, frozen.inputs, frozen.outputs)


def _tf2onnx():
    try:
        import tf2onnx
    except ImportError as error:
        raise ConfigError(
            "ONNX files are written by tf2onnx, which is not installed.", fix="pip install 'detkit[onnx]'"
        ) from error
    return tf2onnx


def _rename(graph, names: Mapping[str, str]) -> None:
    """Renames inputs and outputs of an ONNX graph, and what refers to them."""
    for value in (*graph.input, *graph.output):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        for listed in (node.input, node.output):
            listed[:] = [names.get(name, name) for name in listed]
