"""A detector of a few numbers, with a loss that one can differentiate by hand."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np

from detkit.data import batches
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.pipeline.settings import TrainConfig
from detkit.training.selection import Selection

INITIAL = {"layer/kernel": [[1.0, -2.0], [0.5, 3.0]], "layer/bias": [0.25, -0.5], "norm/gamma": [2.0]}
PLAIN = {
    "optimizer": "momentum", "momentum": 0.0, "schedule": "constant", "warmup_steps": 0, "clip_norm": None,
    "learning_rate": 0.1, "batch_size": 2, "cache": "off", "augment": "none", "ema": None,
}  # fmt: skip


def settings(**changes) -> TrainConfig:
    """Plain gradient descent, with changes."""
    return TrainConfig(**(PLAIN | changes))


class ToyDetector:
    """Its loss is half the squared distance of every variable from the mean brightness of the pictures."""

    input_size = (4, 4)

    def __init__(self):
        import keras

        self._variables = {
            path: keras.Variable(np.array(value, np.float32), name=path.rsplit("/", 1)[1])
            for path, value in INITIAL.items()
        }
        self.stages = [SimpleNamespace(name="all", layers=())]

    def variables(self):
        return self._variables

    def paths(self):
        return {path.rsplit("/", 1)[0]: SimpleNamespace() for path in self._variables}

    def freeze_batch_norm(self, frozen=True):
        pass

    def as_at_inference(self):
        return nullcontext()

    def batch(self, views):
        import tensorflow as tf

        inputs = np.stack([view.image for view in views]).astype(np.float32) / 255
        return tf.constant(inputs), tf.constant([view.image.shape for view in views]), {}

    def training_state(self, inputs, true_shapes, groundtruth):
        return {"x": inputs}

    def run(self, state, start=0, stop=None):
        return state

    def record(self, state, stage):
        return state

    def record_loss(self, record, stage):
        import tensorflow as tf

        target = tf.reduce_mean(record["x"])
        total = tf.add_n([tf.reduce_sum(tf.square(v.value - target)) for v in self._variables.values()]) / 2
        return {"localization": 0.25 * total, "classification": 0.75 * total}


def values(detector) -> dict:
    return {path: variable.numpy() for path, variable in detector.variables().items()}


def select(*groups) -> Selection:
    """A selection of groups (multiplier, paths); by default all of them."""
    return Selection(list(groups) or [(1.0, list(INITIAL))], 0, "")


def brightnesses(*levels) -> batches.Views:
    """Views of photos of one grey each, 0..255."""
    examples = [
        Example(np.full((4, 4, 3), level, np.uint8), [[0, 0, 1, 1]], [0], (4, 4), image_id=f"grey {level}")
        for level in levels
    ]
    return batches.Views(Dataset(tuple(examples), ("a",)), lambda size: size)
