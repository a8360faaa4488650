"""Keras functional models as networks: any point where they can be cut is a seam for training."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf

from detkit.data.streams import opened
from detkit.networks.layers import Dropout, dropping, trainable_twin
from detkit.networks.network import TRUTH, Network, Stage


class FunctionalNetwork(Network):
    """A network that a plain Keras functional model describes.

    Norms and dropout are replaced by those of `detkit.networks.layers`. A kind of model gives `preprocess`, `truth`,
    `losses` and `results` their meaning.

    Args:
        model: has one input, images float32 [B, h, w, 3], RGB of 0..255; each of its layers is called once. What comes
            out goes by the names of its last layers.
        backbone: the names of the layers that are the backbone; all others are the head.
        classes, label_ids, name: as of every network.
        options: the dataclass of options that the model was built from.

    Attributes:
        model: with the layers replaced.
        outputs: the names of what comes out.
        pretrained: whether the backbone has trained weights; weights_text: where they came from.
    """

    tunable = {"head": ("head",), "all": ("backbone", "head")}

    def __init__(self, model: keras.Model, backbone: Iterable[str], classes, label_ids=None, *, name="model", options):
        super().__init__(classes, label_ids, name)
        self.options, self.pretrained, self.weights_text = options, False, ""
        self.model = keras.models.clone_model(model, clone_function=trainable_twin)
        self.model.set_weights(model.get_weights())
        names = set(backbone)
        layers = [layer for layer in self.model.layers if layer.weights]
        self.parts = {
            "backbone": [layer for layer in layers if layer.name in names],
            "head": [layer for layer in layers if layer.name not in names],
        }
        self.nodes = {f"{part}/{layer.name}": layer for part, layers in self.parts.items() for layer in layers}
        self.outputs = tuple(self.model.output_names)
        self.stages = _stages(self.model, names)

    # The network

    def variables_of(self, layer) -> dict:
        own = [variable.path.split("/")[-1] for variable in layer.weights]
        if len(set(own)) < len(own):  # a layer of layers
            own = [".".join(variable.path.split("/")[-2:]) for variable in layer.weights]
        return dict(zip(own, layer.weights, strict=True))

    def initial(self, layer, name: str, rng: np.random.Generator) -> np.ndarray:
        """Of the layer's own initialiser for the variable."""
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

    # Training

    def batch(self, views: list) -> tuple:
        inputs, true_shapes = self.preprocess([view.image for view in views])
        return inputs, true_shapes, {name: tf.constant(value) for name, value in self.truth(views).items()}

    def truth(self, views: list) -> dict:
        """What is true of some views, as arrays [B, ...]; "seed" int32 [B] among them."""
        raise NotImplementedError

    def training_state(self, inputs, true_shapes, groundtruth: dict) -> dict:
        return {self.model.inputs[0].name: inputs} | {f"{TRUTH}{name}": value for name, value in groundtruth.items()}

    def record_loss(self, record: dict, stage: int) -> dict:
        """As of every network; dropout is on from the seam on."""
        with dropping(record[f"{TRUTH}seed"]):
            return super().record_loss(record, stage)

    # Prediction

    def preprocess(self, images) -> tuple:
        """Brings images to the size of the input.

        Args:
            images: uint8 arrays [H, W, 3] RGB, of any sizes.

        Returns:
            inputs float32 [B, h, w, 3] of 0..255, true_shapes int32 [B, 3]: the size of each image inside its padding.
        """
        raise NotImplementedError

    def forward(self, inputs) -> dict:
        """{output: tensor} of preprocessed inputs, compiled once for an input size."""
        key = tuple(inputs.shape[1:3])
        if key not in self._graphs:
            signature = [tf.TensorSpec([None, *inputs.shape[1:]])]
            self._graphs[key] = tf.function(self._forward, input_signature=signature, autograph=False)
        return self._graphs[key](inputs)

    def _forward(self, inputs) -> dict:
        return self.finish({self.model.inputs[0].name: inputs}, 0)

    def finish(self, record: dict, stage: int) -> dict:
        """{output: tensor} of a state, or of a record, from its seam on."""
        state = self.run(record, stage)
        return {name: state[name] for name in self.outputs}

    def results(self, outputs: dict, sizes: list, sources: list) -> list:
        """What the outputs, arrays [B, ...], say of images of these (height, width)."""
        raise NotImplementedError

    def stream(self, images: Iterable, batch_size: int = 8) -> Iterator:
        """A result for each image, a path or a uint8 array [H, W, 3] RGB of any size; holds one batch at a time."""
        iterator = iter(images)
        while batch := tuple(itertools.islice(iterator, batch_size)):
            arrays, sources = zip(*map(opened, batch), strict=True)
            yield from self._results_of(list(arrays), list(sources))

    def _results_of(self, arrays: list, sources: list) -> list:
        outputs = self.forward(self.preprocess(arrays)[0])
        sizes = [array.shape[:2] for array in arrays]
        return self.results({name: value.numpy() for name, value in outputs.items()}, sizes, sources)


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

    layers = tuple(each for each in operations if isinstance(each, keras.layers.Layer) and each.weights)
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
