"""What explanations see of a model: its picture, the maps of its layers, and what comes out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from detkit.detection.detector import Detector
from detkit.detection.faster_rcnn import FasterRCNN
from detkit.errors import ConfigError
from detkit.garden.detector import GardenDetector
from detkit.garden.detr import Detr
from detkit.garden.retinanet import RetinaNet
from detkit.garden.segmenter import GardenSegmenter
from detkit.networks.foreign import is_foreign
from detkit.networks.functional import FunctionalNetwork
from detkit.networks.layers import Dropout
from detkit.pipeline.fields import nearest
from detkit.text import some

_PASSING = (Dropout, keras.layers.Dropout, keras.layers.Flatten, keras.layers.Reshape)  # between pooling and logits
_SIDE = 320  # of the picture on which layers are listed where the input has no size of its own


class Trace(NamedTuple):
    """A forward pass.

    Attributes:
        outputs: {name: tensor [B, ...]}, what the model's answers are made of.
        maps: {layer: tensor [B, h, w, C]}, in the order of the data.
        last: the layers at the end of the backbone, whose maps all the rest is made of.
    """

    outputs: dict
    maps: dict
    last: tuple[str, ...]


class View:
    """A network from inside.

    Attributes:
        network: the model.
    """

    def __init__(self, network):
        self.network = network

    def picture(self, image: np.ndarray) -> np.ndarray:
        """The image uint8 [H, W, 3] at the size that the network reads, without padding: uint8 [h, w, 3]."""
        raise NotImplementedError

    def padded(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (height, width) of the input for a picture of this size; the picture is at its top left."""
        raise NotImplementedError

    def trace(self, x) -> Trace:
        """The forward pass, differentiable, of pictures float32 [B, h, w, 3] of 0..255."""
        raise NotImplementedError

    def map_of(self, layer: str, x):
        """The map [B, h, w, C] of one layer alone; arguments as for `trace`."""
        raise NotImplementedError

    def layers(self) -> dict:
        """{layer: [h, w, C] of its map} for the usual picture."""
        side = self.network.input_size or (_SIDE, _SIDE)
        with self.network.as_at_inference():
            maps = self.trace(np.zeros((1, *side, 3), np.float32)).maps
        return {name: list(each.shape[1:]) for name, each in maps.items()}

    def default_layer(self, trace: Trace, derivatives: dict) -> str:
        """Of the layers at the end of the backbone the one that adds most to the logit, to first order.

        A detector may have several there, one for each size of objects.

        Args:
            derivatives: {layer: [B, h, w, C]}, of the logit by each map.
        """
        return max(trace.last, key=lambda layer: float(tf.reduce_sum(trace.maps[layer] * derivatives[layer])))

    def pooled(self) -> tuple[str, np.ndarray] | None:
        """(layer, kernel [C, classes]) where the logits weigh global means of a layer's maps; None where they don't."""
        return None

    def checked(self, layer: str | None, maps: dict) -> str | None:
        """The layer, if it is one of those with maps; ConfigError, with the nearest name, if not."""
        if not maps:
            raise ConfigError(
                "This model has no convolution, so there are no maps of its layers.",
                where=self.network.name,
                fix="Use a method that needs none: saliency, smoothgrad, integrated-gradients, occlusion or rise.",
            )
        if layer is not None and layer not in maps:
            fix = nearest(layer, maps) or "`detkit explain MODEL --list-layers` shows them all."
            listed = some(list(maps))
            raise ConfigError("The model has no such layer with maps.", got=layer, expected=listed, fix=fix)
        return layer


class DetectorView(View):
    """A detector; its layers are those of the maps that pass from stage to stage."""

    network: Detector

    def picture(self, image):
        return np.clip(np.rint(np.asarray(self.network.resizer(image))), 0, 255).astype(np.uint8)

    def padded(self, size):
        return self.network.input_size or size

    def trace(self, x):
        maps, last, state = {}, (), {}
        for stage, before, after, made in self._steps(x):
            if not last and not stage.startswith("backbone/"):
                last = tuple(name for name, each in maps.items() if any(each is value for value in before.values()))
            maps, state = maps | made, after
        return Trace(state, maps, last)

    def map_of(self, layer, x):
        return next(made[layer] for _, _, _, made in self._steps(x) if layer in made)

    def _steps(self, x) -> Iterator[tuple]:
        """(stage, state before, state after, {layer: map that it made}) of each stage."""
        state = self._start(x)
        for stage in self.network.stages:
            before, state = state, stage.run(state)
            known = {id(value) for value in before.values()}
            yield stage.name, before, state, _maps(stage.name, {k: v for k, v in state.items() if id(v) not in known})

    def _start(self, x) -> dict:
        network, x = self.network, tf.convert_to_tensor(x, tf.float32)
        size = x.shape[1:3]
        height, width = self.padded(tuple(size))
        padding = [[0, 0], [0, height - size[0]], [0, width - size[1]], [0, 0]]
        if network.normalizes_padding:
            x = network.normalize(tf.pad(x, padding))
        else:
            x = tf.pad(network.normalize(x), padding)
        if not isinstance(network, FasterRCNN):
            return {"x": x}
        shapes = tf.constant([[*size, 3]] * x.shape[0], tf.int32)
        return {"x": x, "true_shapes": shapes, "size": tf.constant([height, width])}


class FunctionalView(View):
    """A Keras functional model; its layers are all those behind the first convolution that have maps."""

    network: FunctionalNetwork

    def __init__(self, network):
        super().__init__(network)
        self._tensors = _tensors(network.model)
        named = dict(zip(network.outputs, network.model.outputs, strict=True))
        self._model = keras.Model(network.model.inputs, {"outputs": named, "maps": self._tensors})

    def picture(self, image):
        inputs, shapes = self.network.preprocess([image])
        height, width = np.asarray(shapes)[0, :2]
        return np.clip(np.rint(np.asarray(inputs)[0, :height, :width]), 0, 255).astype(np.uint8)

    def padded(self, size):
        inputs, _ = self.network.preprocess([np.zeros((*size, 3), np.uint8)])
        return tuple(inputs.shape[1:3])

    def trace(self, x):
        found = self._model(self._padded(x))
        return Trace(found["outputs"], found["maps"], self._last(found["maps"]))

    def _last(self, maps: dict) -> tuple[str, ...]:
        """The last of the backbone's smallest maps; those of a single cell say nothing of where."""
        cells = {name: int(np.prod(each.shape[1:3])) for name, each in maps.items()}
        several = [count for count in cells.values() if count > 1] or [1]
        names = [name for name, count in cells.items() if count == min(several)]
        weighted = {layer.name for part in self.network.parts.values() for layer in part}
        backbone = {layer.name for layer in self.network.parts["backbone"]}
        behind = max((i for i, name in enumerate(names) if name in backbone), default=len(names) - 1) + 1
        while behind < len(names) and names[behind] not in weighted:  # an activation, a sum
            behind += 1
        return tuple(names[behind - 1 : behind])

    def map_of(self, layer, x):
        return keras.Model(self.network.model.inputs, self._tensors[layer])(self._padded(x))

    def pooled(self):
        dense = _producer(self.network.model.get_layer("logits").output, self.network.model)
        pooling = dense
        while pooling is dense or isinstance(pooling, _PASSING):
            pooling = _producer(keras.tree.flatten(pooling.input)[0], self.network.model)
        if not (isinstance(dense, keras.layers.Dense) and isinstance(pooling, keras.layers.GlobalAveragePooling2D)):
            return None
        return _producer(pooling.input, self.network.model).name, dense.kernel.numpy()

    def _padded(self, x):
        x = tf.convert_to_tensor(x, tf.float32)
        height, width = self.padded(tuple(x.shape[1:3]))
        return tf.pad(x, [[0, 0], [0, height - x.shape[1]], [0, width - x.shape[2]], [0, 0]])


class GardenSegmenterView(DetectorView):
    """A segmenter of Model Garden; its layers are the maps that pass from stage to stage."""

    network: GardenSegmenter
    picture, padded, _padded = FunctionalView.picture, FunctionalView.padded, FunctionalView._padded

    def trace(self, x):
        found = super().trace(x)
        return found._replace(outputs=self.network.finish(found.outputs, len(self.network.stages)))

    def _start(self, x):
        return {self.network.input_name: self._padded(x)}


def view_of(model) -> View | None:
    """The view of a model, None where only its answers can be seen."""
    if isinstance(model, FunctionalNetwork):
        return FunctionalView(model)
    if isinstance(model, GardenSegmenter):
        return GardenSegmenterView(model)
    if isinstance(model, GardenDetector) and not isinstance(model, (RetinaNet, Detr)):
        return None  # whose raw outputs are no logits of detections
    return DetectorView(model) if isinstance(model, Detector) else None


def _maps(stage: str, state: dict) -> dict:
    """{layer: map} of a state: the stage's name, and that of the entry where it is not the only one."""
    maps = {}
    for key, value in state.items():
        if getattr(value, "shape", None) is not None and value.shape.rank == 4:
            maps.setdefault(id(value), (key, value))
    plain = len(maps) == 1
    return {stage if plain or key == "x" else f"{stage}/{key}": value for key, value in maps.values()}


def _producer(tensor, model: keras.Model):
    """The operation that a symbolic tensor comes from."""
    made = ((each, op) for op in model.operations for each in keras.tree.flatten(op.output))
    return next(operation for each, operation in made if each is tensor)


def _tensors(model: keras.Model) -> dict:
    """{layer: symbolic map}, from the first layer with a convolution's kernel, or that is no layer of Keras, on."""
    found, begun = {}, False
    for operation in model.operations:
        begun = begun or is_foreign(operation) or any(len(w.shape) == 4 for w in getattr(operation, "weights", ()))
        tensors = keras.tree.flatten(operation.output)
        if begun and len(tensors) == 1 and len(tensors[0].shape) == 4:
            found[operation.name] = tensors[0]
    return found
