"""The variables of a tf_keras model under the names that its checkpoints have, as detkit's networks hold theirs."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from detkit.garden import upstream


class Variable:
    """A tf.Variable with the attributes of a keras.Variable that training and checkpoints use.

    Attributes:
        value: the tf.Variable itself.
    """

    def __init__(self, variable: tf.Variable):
        self.value, self.name = variable, variable.name.partition(":")[0]
        self.shape, self.dtype, self.trainable = variable.shape, variable.dtype, variable.trainable

    def numpy(self) -> np.ndarray:
        """The value."""
        return self.value.numpy()

    def assign(self, value) -> None:
        """Sets the value."""
        self.value.assign(value)


class Node:
    """An object of a model with variables of its own, mostly a layer.

    Attributes:
        owner: the object; variables: {name: Variable}.
        name: the path that leads to it.
    """

    name = ""

    def __init__(self, owner, variables: dict[str, Variable]):
        self.owner, self.variables = owner, variables
        self._built = {name: each.numpy() for name, each in variables.items() if self._initializer(name) is None}

    def initial(self, name: str, rng: np.random.Generator) -> np.ndarray:
        """The first value of a variable, drawn by the layer's own initialiser; where there is none, as it was built."""
        initializer, variable = self._initializer(name), self.variables[name]
        if initializer is None:
            return self._built[name]
        with upstream.quiet(), upstream.seeded(int(rng.integers(2**31))):
            if hasattr(initializer, "get_config"):  # a new one, which has not chosen its seed yet
                initializer = type(initializer).from_config(initializer.get_config())
            return np.asarray(initializer(tuple(variable.shape), dtype=variable.dtype))

    def _initializer(self, name: str):
        names = (f"{name}_initializer", f"{name.removesuffix('_kernel')}_initializer")
        return next((found for each in names if (found := getattr(self.owner, each, None)) is not None), None)


class Norm(Node):
    """A batch norm, which uses its moving statistics while it is frozen."""

    def __init__(self, owner, variables: dict[str, Variable]):
        super().__init__(owner, variables)
        self.frozen = True

    @property
    def frozen(self) -> bool:
        return not self.owner.trainable

    @frozen.setter
    def frozen(self, value: bool) -> None:
        self.owner.trainable = not value


def nodes_of(roots: Mapping) -> dict[str, Node]:
    """{path: Node} of everything with variables below some objects; each once, under its shortest path.

    Args:
        roots: {first name of the path: object}, such as {"backbone": model.backbone}.
    """
    nodes, seen = {}, {id(root) for root in roots.values()}
    queue = deque(roots.items())
    while queue:
        path, owner = queue.popleft()
        children = tf.train.TrackableView.children(owner)
        variables = {name: child for name, child in children.items() if isinstance(child, tf.Variable)}
        if variables:  # a layer that makes a list of its variables holds them twice
            listed = {id(each) for child in children.values() for each in _listed(child)}
            variables = {name: Variable(child) for name, child in variables.items() if id(child) not in listed}
        if variables:
            nodes[path] = (Norm if "moving_mean" in variables else Node)(owner, variables)
            nodes[path].name = path
        for name, child in children.items():
            if not isinstance(child, tf.Variable) and id(child) not in seen:
                seen.add(id(child))
                queue.append((f"{path}/{name}", child))
    return nodes


def _listed(owner) -> list:
    """The variables that an object holds directly."""
    if isinstance(owner, tf.Variable):
        return []
    return [child for child in tf.train.TrackableView.children(owner).values() if isinstance(child, tf.Variable)]
