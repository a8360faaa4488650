"""Keras functional models as networks: any point where they can be cut is a seam for training."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np

from detkit.networks.foreign import holders, is_foreign
from detkit.networks.layers import Dropout, trainable_twin
from detkit.networks.network import Stage
from detkit.networks.pictures import PictureNetwork


class FunctionalNetwork(PictureNetwork):
    """A network that a plain Keras functional model describes.

    Norms and dropout are replaced by those of `detkit.networks.layers`.

    Args:
        model: has one input, images float32 [B, h, w, 3], RGB of 0..255; each of its layers is called once. What comes
            out goes by the names of its last layers.
        backbone: the names of the layers that are the backbone; all others are the head.
        classes, label_ids, name, options: as of every `PictureNetwork`.

    Attributes:
        model: with the layers replaced.
    """

    def __init__(self, model: keras.Model, backbone: Iterable[str], classes, label_ids=None, *, name="model", options):
        super().__init__(classes, label_ids, name=name, options=options)
        self.model = keras.models.clone_model(model, clone_function=trainable_twin)
        self.model.set_weights(model.get_weights())
        names = set(backbone)
        self.nodes = {
            f"{'backbone' if layer.name in names else 'head'}/{path}": holder
            for layer in self.model.layers
            for path, holder in holders(layer).items()
        }
        self.parts = {
            part: [holder for path, holder in self.nodes.items() if path.startswith(f"{part}/")]
            for part in ("backbone", "head")
        }
        self.outputs = tuple(self.model.output_names)
        self.stages = _stages(self.model, names)

    @property
    def fixed(self) -> bool:
        return any(is_foreign(layer) for layer in self.parts["backbone"])

    def variables_of(self, layer) -> dict:
        if isinstance(layer.variables, dict):
            return layer.variables
        own = [variable.path.split("/")[-1] for variable in layer.weights]
        if len(set(own)) < len(own):  # a layer of layers
            own = [".".join(variable.path.split("/")[-2:]) for variable in layer.weights]
        return dict(zip(own, layer.weights, strict=True))

    def initial(self, layer, name: str, rng: np.random.Generator) -> np.ndarray:
        """Of the layer's own initialiser for the variable."""
        if hasattr(layer, "initial"):
            return layer.initial(name, rng)
        variable = self.variables_of(layer)[name]
        # A depthwise layer calls its kernel's initialiser depthwise_initializer.
        names = (f"{name}_initializer", f"{name.removesuffix('_kernel')}_initializer", "depthwise_initializer")
        initializer = next((own for each in names if (own := getattr(layer, each, None)) is not None), None)
        if initializer is None:
            return variable.numpy()
        config = initializer.get_config()
        if "seed" in config:
            initializer = type(initializer).from_config(config | {"seed": int(rng.integers(2**31))})
        return np.array(initializer(variable.shape))

    @property
    def input_name(self) -> str:
        return self.model.inputs[0].name


def _stages(model: keras.Model, backbone: set) -> list[Stage]:
    """The model cut wherever a single tensor is all that is needed further on, and behind the backbone."""
    operations = [each for each in model.operations if not isinstance(each, keras.layers.InputLayer)]
    backbone = _with_what_they_need(operations, backbone)
    operations.sort(key=lambda operation: operation.name not in backbone)
    names = {id(tensor): model.inputs[0].name for tensor in model.inputs}
    for operation in operations:
        produced = _flat(operation.output)
        for number, tensor in enumerate(produced):
            names[id(tensor)] = operation.name + (f":{number}" if len(produced) > 1 else "")
    last = {id(tensor): i for i, operation in enumerate(operations) for tensor in _flat(operation.input)}
    last |= {id(tensor): len(operations) for tensor in model.outputs}
    stages, start, live = [], 0, list(model.inputs)
    for i, operation in enumerate(operations):
        tensors = {id(tensor): tensor for tensor in [*live, *_produced(operations[start : i + 1])]}
        needed = [tensor for key, tensor in tensors.items() if last.get(key, -1) > i]
        final = i + 1 == len(operations)
        leaves_backbone = not final and operation.name in backbone and operations[i + 1].name not in backbone
        single = len(needed) == 1 and not isinstance(operation, Dropout)
        if final or leaves_backbone or single:
            stages.append(_stage(operations[start : i + 1], live, needed, names))
            start, live = i + 1, needed
    return stages


def _stage(operations: list, before: list, after: list, names: dict) -> Stage:
    # What only passes through is no input of this stage's own model.
    used = {id(tensor) for operation in operations for tensor in _flat(operation.input)}
    inputs = [tensor for tensor in before if id(tensor) in used]
    outputs = [tensor for tensor in after if all(tensor is not each for each in before)]
    model = keras.Model(inputs, outputs)
    keys, made = [names[id(tensor)] for tensor in inputs], [names[id(tensor)] for tensor in outputs]
    passing = [names[id(tensor)] for tensor in after if any(tensor is each for each in before)]

    def run(state: dict) -> dict:
        results = model([state[key] for key in keys])
        return {key: state[key] for key in passing} | dict(zip(made, _flat(results), strict=True))

    layers = tuple(holder for each in operations for holder in holders(each).values())
    return Stage(operations[0].name, layers, run)


def _with_what_they_need(operations: list, names: set) -> set:
    """Names of layers, and those of all operations that they depend on."""
    all_names, needed = set(names), set()
    for operation in reversed(operations):
        if operation.name in all_names or any(id(tensor) in needed for tensor in _flat(operation.output)):
            all_names.add(operation.name)
            needed |= {id(tensor) for tensor in _flat(operation.input)}
    return all_names


def _produced(operations: list) -> list:
    return [tensor for operation in operations for tensor in _flat(operation.output)]


def _flat(tensors) -> list:
    return keras.tree.flatten(tensors)
