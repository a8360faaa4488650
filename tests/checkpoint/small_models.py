"""Small detectors, and the trackable objects of plain TensorFlow that stand for the OD API's own."""

from __future__ import annotations

import numpy as np

CLASSES = ("duck", "boat", "tree")
PREDICTOR = "box_predictor.weight_shared_convolutional_box_predictor"
SMALL = {
    "image_resizer.fixed_shape_resizer.height": 64,
    "image_resizer.fixed_shape_resizer.width": 64,
    "feature_extractor.depth_multiplier": 0.1,
    "feature_extractor.min_depth": 8,
    "feature_extractor.fpn.additional_layer_depth": 16,
    f"{PREDICTOR}.depth": 16,
    f"{PREDICTOR}.num_layers_before_predictor": 2,
}


def small_config(classes=3, **changes):
    """The config of `hands`, shrunk."""
    from detkit.pipeline import od_config
    from detkit.zoo.source import locate

    values = SMALL | {"num_classes": classes} | changes
    changed = {f"model.ssd.{key}": value for key, value in values.items()}
    return od_config.with_changes(locate("hands").config, changed)


def small_detector(classes=CLASSES, seed=0, **changes):
    """A detector with random weights everywhere, statistics and biases included."""
    from detkit.detection.build import build

    return randomize(build(small_config(len(classes), **changes), classes, name="small"), seed)


def randomize(detector, seed):
    rng = np.random.default_rng(seed)
    for path, variable in detector.variables().items():
        value = rng.standard_normal(variable.shape) * 0.3
        variable.assign(np.abs(value) + 0.5 if path.endswith(("variance", "gamma")) else value)
    return detector


def values(detector) -> dict:
    return {path: variable.numpy() for path, variable in detector.variables().items()}


def equal(a: dict, b: dict) -> list:
    """The names of the arrays that differ, bit for bit."""
    assert a.keys() == b.keys()
    return [name for name in a if a[name].dtype != b[name].dtype or not np.array_equal(a[name], b[name])]


class Node:
    """A tree of trackable objects that is grown path by path."""

    def __init__(self):
        import tensorflow as tf

        self.object = tf.train.Checkpoint()
        self.children = {}

    def at(self, path: str) -> Node:
        name, _, rest = path.partition("/")
        if name not in self.children:
            self.children[name] = Node()
            setattr(self.object, name, self.children[name].object)
        return self.children[name].at(rest) if rest else self.children[name]


def tree(arrays: dict, prefix: str = ""):
    """(the trackable object at a prefix, {path: tf.Variable below it}) for {variable path: initial value}."""
    import tensorflow as tf

    root, variables = Node(), {}
    for path, value in arrays.items():
        node, name = path.rsplit("/", 1)
        variables[path] = tf.Variable(value)
        setattr(root.at(node).object, name, variables[path])
    return (root.at(prefix) if prefix else root).object, variables
