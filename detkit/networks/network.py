"""What every trainable model is, whatever its task: a chain of stages over named parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import tensorflow as tf

from detkit.errors import ConfigError

VARIABLES = (
    "kernel",
    "depthwise_kernel",
    "pointwise_kernel",
    "bias",
    "gamma",
    "beta",
    "moving_mean",
    "moving_variance",
    "bifpn_combine_weights",
)
TRUTH = "truth/"  # what is true of a batch travels through the stages under this prefix


def truth_of(state: dict) -> dict:
    """The ground truth in a state, under the names that the model gives it."""
    return {name[len(TRUTH) :]: value for name, value in state.items() if name.startswith(TRUTH)}


@dataclass(frozen=True)
class Stage:
    """A step of the forward pass; a seam lies before every one.

    Attributes:
        name: such as "backbone/block_3".
        layers: the layers whose variables it uses.
        run: state -> state, where a state is a dict of the tensors [B, ...] that later stages still need. Entries
            under TRUTH are there in training only, and survive every stage.
    """

    name: str
    layers: tuple
    run: Callable[[dict], dict]


class Network:
    """A model as training sees it: stages over variables with names, and a loss of the state after the last stage.

    A kind of model (`detkit.detection.detector.Detector`, ...) builds `stages`, `parts` and `nodes`, and gives `batch`,
    `training_state` and `losses` their meaning.

    Attributes:
        task: what the model is for: "detection", ...
        tunable: the words that select what training changes, and the parts that each one means.
        name: of the architecture or the zoo entry.
        classes: class names; label_ids: the label-map id of each.
        stages: the forward pass.
        parts: {name of a part, such as "backbone" or "head/class_head": layers}, in the order of the data.
        nodes: {checkpoint path: layer}; a layer may be reached by several paths.
        wants: what training asks of the data beside boxes, as `detkit.data.batches.Views` takes it.
    """

    task: ClassVar[str]
    tunable: ClassVar[dict[str, tuple[str, ...]]]
    stages: list[Stage]
    parts: dict[str, list]
    nodes: dict
    wants: tuple = ()

    def __init__(self, classes, label_ids=None, name: str = "model"):
        self.name, self.classes = name, tuple(classes)
        self.label_ids = tuple(label_ids) if label_ids is not None else tuple(range(1, len(self.classes) + 1))
        if len(set(self.classes)) != len(self.classes):
            raise ConfigError("Two classes have one name.", got=", ".join(self.classes), fix="Name each class once.")
        self._graphs: dict = {}

    # The network

    def paths(self) -> dict:
        """{shortest checkpoint path: layer}, every layer once."""
        shortest: dict = {}
        for path, layer in self.nodes.items():
            known = shortest.get(id(layer))
            if known is None or path.count("/") < known[0].count("/"):
                shortest[id(layer)] = (path, layer)
        return dict(shortest.values())

    def variables_of(self, layer) -> dict:
        """{name: keras.Variable} of a layer."""
        return {name: value for name in VARIABLES if (value := getattr(layer, name, None)) is not None}

    def variables(self) -> dict:
        """{checkpoint path of a variable: keras.Variable}, without the leading "model/"."""
        return {
            f"{path}/{name}": variable
            for path, layer in self.paths().items()
            for name, variable in self.variables_of(layer).items()
        }

    def part_of(self) -> dict:
        """{checkpoint path of a variable: its part}."""
        parts = {id(layer): part for part, layers in self.parts.items() for layer in layers}
        return {
            f"{path}/{name}": parts[id(layer)]
            for path, layer in self.paths().items()
            for name in self.variables_of(layer)
        }

    def initial(self, layer, name: str, rng: np.random.Generator) -> np.ndarray:
        """The first value of a layer's variable."""
        return layer.initial(name, rng)

    def initialize(self, paths: Iterable[str], seed: int = 0) -> None:
        """Draws initial values for the named variables; each depends on the seed and its own path only."""
        variables, layers = self.variables(), self.paths()
        for path in paths:
            node, name = path.rsplit("/", 1)
            rng = np.random.default_rng([seed, *path.encode()])
            variables[path].assign(self.initial(layers[node], name, rng))

    def freeze_batch_norm(self, frozen: bool = True) -> None:
        """Sets whether batch norms use their moving statistics (always so outside of training)."""
        for layer in self.nodes.values():
            if hasattr(layer, "frozen"):
                layer.frozen = frozen
        self._graphs.clear()

    @contextmanager
    def as_at_inference(self):
        """Batch norms use their moving statistics inside the `with` block, whatever they do in training."""
        unfrozen = [layer for layer in self.paths().values() if not getattr(layer, "frozen", True)]
        if not unfrozen:
            yield
            return
        self.freeze_batch_norm(True)
        try:
            yield
        finally:
            self._graphs.clear()
            for layer in unfrozen:
                layer.frozen = False

    def regularization_loss(self):
        """The sum of the L2 penalties that the config asks for, a scalar."""
        terms = [layer.l2_term() for layer in self.paths().values() if getattr(layer, "l2_count", 0)]
        return tf.add_n(terms) if terms else tf.zeros([])

    def run(self, state: dict, start: int = 0, stop: int | None = None) -> dict:
        """Runs the stages start..stop over a state."""
        truth = {name: value for name, value in state.items() if name.startswith(TRUTH)}
        for stage in self.stages[start:stop]:
            state = stage.run(state) | truth
        return state

    # Training

    @property
    def input_size(self) -> tuple[int, int] | None:
        """(height, width) of the padded model input, None where it follows the images."""
        raise NotImplementedError

    def resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (height, width) that an image of this size gets before padding."""
        raise NotImplementedError

    def check_data(self, dataset) -> None:
        """DataError for a dataset that the model can't learn from, beyond what the views of it check."""

    def batch(self, views: list) -> tuple:
        """What `training_state` takes, of some views (`detkit.data.sample.View`): inputs, true shapes, ground truth."""
        raise NotImplementedError

    def training_state(self, inputs, true_shapes, groundtruth: dict) -> dict:
        """The state that training starts from; arguments as `batch` returns them."""
        raise NotImplementedError

    def record(self, state: dict, stage: int) -> dict:
        """What the loss still needs of a state once the stages before `stage` have run: tensors [B, ...]."""
        return state

    def record_loss(self, record: dict, stage: int) -> dict:
        """The loss of a record from its seam on; equal to that of the whole network."""
        return self.losses(self.run(record, stage))

    def losses(self, state: dict) -> dict:
        """The parts of the loss, scalars, of the state after the last stage; training descends their sum."""
        raise NotImplementedError
