"""Parts of a network that are no layers of Keras, as one layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras


class Foreign(keras.layers.Layer):
    """A function of tensors, with variables that Keras does not know, or none that could be changed.

    Args:
        function: float32 [B, h, w, 3] -> float32 [B, ...].
        shape: of what it makes of one image.
        nodes: {path below the network's part: object with `variables`, {name: variable}, `name`, and
            `initial(name, rng)`}: what training may change.
        text: what it is.
    """

    def __init__(self, function: Callable, shape: tuple[int, ...], nodes: Mapping | None = None, text="", **options):
        super().__init__(**options)
        self.function, self.shape, self.nodes, self.text = function, tuple(shape), dict(nodes or {}), text

    def call(self, inputs):
        return self.function(inputs)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((None, *self.shape), "float32")

    def get_config(self):
        own = {"function": self.function, "shape": self.shape, "nodes": dict(self.nodes), "text": self.text}
        return super().get_config() | own


def is_foreign(layer) -> bool:
    """Whether a layer is one of these; among the holders of a network's variables, one without any."""
    return isinstance(layer, Foreign)


def holders(layer) -> dict:
    """{name: what holds its variables}: of a layer of Keras itself, if it has any."""
    if isinstance(layer, Foreign):
        return dict(layer.nodes) or {layer.name: layer}
    return {layer.name: layer} if isinstance(layer, keras.layers.Layer) and layer.weights else {}
