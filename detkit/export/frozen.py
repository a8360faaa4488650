"""A detector's network as one graph of constants: no variables, batch norms folded, one size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from detkit.errors import ConfigError

NAMES = ("inputs", "true_shapes")
_HANDLES = (tf.resource, tf.variant)


@dataclass(frozen=True)
class Frozen:
    """A network from preprocessed images to raw outputs.

    Attributes:
        function: a concrete function of the inputs, by position; gives a list of tensors.
        inputs: the names of its inputs: "inputs" float32 [B, h, w, 3], and "true_shapes" int32 [B, 3] if the network
            reads it.
        outputs: the names of its outputs.
        constants: what `Detector.predict` gives beside them and no input changes, such as the anchors.
        size: (h, w) of the padded input.
        batch_size: B, None if any will do.
    """

    function: object
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, np.ndarray]
    size: tuple[int, int]
    batch_size: int | None

    def predictions(self, outputs, true_shapes) -> dict:
        """What `Detector.postprocess` takes, from the outputs in the order of their names."""
        return dict(zip(self.outputs, outputs, strict=True)) | self.constants | {"true_shapes": true_shapes}


def freeze(detector, batch_size: int | None = None, size: tuple[int, int] | None = None) -> Frozen:
    """The network of a detector with its present weights; later changes of them do not reach it.

    Outputs that only the loss reads are left out.

    Args:
        batch_size: of the inputs; None: any.
        size: (height, width) of the padded input; by default the model's own.

    Raises:
        ConfigError: if the model has no size of its own and none is given.
    """
    size = _size(detector, size)
    constants: dict = {}
    specs = tf.TensorSpec([batch_size, *size, 3], name=NAMES[0]), tf.TensorSpec([batch_size, 3], tf.int32, NAMES[1])
    with detector.as_at_inference():
        network = tf.function(_network(detector, constants), autograph=False)
        traced = network.get_concrete_function(*specs)
    names = tuple(sorted(traced.structured_outputs))
    tensors = [traced.structured_outputs[name] for name in names]
    function, inputs = _folded(traced, tensors)
    return Frozen(function, inputs, names, constants, size, batch_size)


def _size(detector, size) -> tuple[int, int]:
    size = size or detector.input_size
    if size is None:
        raise ConfigError(
            "This model's input follows the images, and a frozen network has one size.",
            where=detector.config.where("model"),
            fix="Give a size (height, width), or set pad_to_max_dimension: true in the image resizer.",
        )
    return tuple(int(side) for side in size)


def _network(detector, constants: dict):
    """(inputs, true_shapes) -> {name: output that depends on them}; fills `constants` with those that do not."""
    known = (variable for variable in detector.variables().values() if isinstance(variable, keras.Variable))
    values = [(variable, variable.numpy()) for variable in known]

    def network(inputs, true_shapes):
        with keras.StatelessScope(values):
            predictions = detector.predict(inputs, true_shapes)
        outputs = {}
        for name, value in predictions.items():
            if value is true_shapes or name.startswith(detector.loss_only):
                continue
            known = tf.get_static_value(value)
            if known is None:
                outputs[name] = tf.identity(value, name=name.replace("/", "_"))
            else:
                constants[name] = np.asarray(known)
        return outputs

    return network


def _folded(traced, outputs: list) -> tuple:
    """(the function with what is constant computed, and without inputs that nothing reads; the names of the inputs)."""
    graph = _without_variables(traced.graph)
    inputs = [x for x in traced.inputs if x.dtype != tf.resource and graph.as_graph_element(x.name).consumers()]
    definition = _definition(graph)

    def load():
        tf.graph_util.import_graph_def(definition, name="")

    wrapped = tf.compat.v1.wrap_function(load, [])
    find = wrapped.graph.as_graph_element
    function = wrapped.prune([find(x.name) for x in inputs], [find(x.name) for x in outputs])
    return function, tuple(next(name for name in NAMES if x.name.startswith(name)) for x in inputs)


def _without_variables(graph):
    """The graph with constants in the place of the variables that it reads."""
    handles = {placeholder.op.name: handle for handle, placeholder in graph.captures if handle.dtype == tf.resource}
    if not handles:
        return graph
    definition = graph.as_graph_def()
    for node in definition.node:
        if node.op == "ReadVariableOp" and node.input[0] in handles:
            dtype = tf.dtypes.as_dtype(node.attr["dtype"].type)
            _make_constant(node, tf.raw_ops.ReadVariableOp(resource=handles[node.input[0]], dtype=dtype))
    return tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(definition, name=""), []).graph


def _definition(graph):
    """The definition of a graph, with constants in the place of what can be computed now."""
    constant = _constant_operations(graph)
    computable = [op.outputs[0] for op in constant if op.type != "Const"]
    border = [x for x in computable if not constant.issuperset(x.consumers())]
    values = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph.as_graph_def(), name=""), [])
    computed = values.prune([], [values.graph.as_graph_element(x.name) for x in border])()
    known = {x.op.name: value for x, value in zip(border, computed, strict=True)}
    definition = graph.as_graph_def()
    for node in definition.node:
        if node.name in known:
            _make_constant(node, known[node.name])
    return definition


def _constant_operations(graph) -> set:
    """The operations with one output that depend on constants alone."""
    constant: set = set()
    for op in graph.get_operations():  # in the order of their making: inputs come first
        known = op.inputs and constant.issuperset(x.op for x in op.inputs) and not op.op_def.is_stateful
        if op.type == "Const" or (known and len(op.outputs) == 1 and op.outputs[0].dtype not in _HANDLES):
            constant.add(op)
    return constant


def _make_constant(node, value) -> None:
    made = tf.make_tensor_proto(value.numpy())
    node.op = "Const"
    del node.input[:]
    node.attr.clear()
    node.attr["dtype"].type = made.dtype
    node.attr["value"].tensor.CopyFrom(made)
