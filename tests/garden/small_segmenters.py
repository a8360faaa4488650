"""Small segmenters of Model Garden, and pictures of discs and bars for them."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from detkit.data.batches import Views
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.garden import upstream

NAME = "garden:mnv2_deeplabv3_pascal"
TINY = {
    "num_classes": 21,
    "backbone": {"mobilenet": {"model_id": "MobileNetV3Small", "filter_size_scale": 0.5}},
    "decoder": {"aspp": {"num_filters": 16, "dilation_rates": [2]}},
}
SHAPES = ("disc", "bar")


def overrides_of(**model) -> dict:
    return {"task": {"model": model}}


def picture(number: int, size=(40, 56)) -> Example:
    """A bright disc and a red bar on a dark ground, a strip of it to be ignored."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[: size[0], : size[1]]
    centre, top = rng.uniform(10, np.array(size) - 10), int(rng.integers(0, size[0] - 8))
    semantic = np.zeros(size, np.uint8)
    semantic[top : top + 8] = 2
    semantic[np.hypot(rows - centre[0], columns - centre[1]) < 9] = 1
    colours = np.array([[30, 40, 50], [220, 220, 210], [200, 40, 30]], np.uint8)[semantic]
    semantic[:, :2] = 255
    return Example(colours, np.zeros((0, 4)), [], size, class_map=semantic, source=f"picture {number}")


def dataset(count: int = 4, classes=SHAPES) -> Dataset:
    return Dataset(tuple(picture(number) for number in range(count)), classes, name="shapes")


def stirred(segmenter):
    """The segmenter with statistics that its norms have seen, and scores that differ."""
    rng = np.random.default_rng(0)
    for path, variable in segmenter.variables().items():
        if path.endswith(("moving_mean", "moving_variance", "beta", "bias")):
            variable.assign(variable.numpy() + rng.uniform(0.0, 0.3, variable.shape))
        if path == "head/_classifier/kernel":
            variable.assign(rng.normal(0.0, 1.0, variable.shape))
    return segmenter


def values(segmenter) -> dict:
    return {path: variable.numpy() for path, variable in segmenter.variables().items()}


def batch_of(segmenter, count: int = 3):
    views = Views(dataset(count), segmenter.resized, None, 0, segmenter.wants)
    return segmenter.batch([views.view(number, 0) for number in range(count)])


def gardens_own(segmenter, inputs):
    """The logits of Model Garden's own model, at the size of the images."""
    feature, ops = segmenter.task_config.train_data.image_feature, upstream.module("vision.ops.preprocess_ops")
    x = ops.normalize_image(inputs, feature.mean, feature.stddev)
    return tf.image.resize(segmenter.model(x, training=False)["logits"], inputs.shape[1:3]).numpy()


def descend(segmenter, steps: int, runs: int = 1) -> list[list[float]]:
    """The losses of steps of plain gradient descent on one batch, for each of some runs from the same weights."""
    segmenter.freeze_batch_norm(False)
    start = values(segmenter)
    state = segmenter.training_state(*batch_of(segmenter))
    variables = [variable for variable in segmenter.variables().values() if variable.trainable]

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            total = tf.add_n(list(segmenter.record_loss(state, 0).values()))
        gradients = tape.gradient(total, [variable.value for variable in variables], unconnected_gradients="zero")
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.value.assign_sub(0.1 * gradient)
        return total

    losses = []
    for _ in range(runs):
        for path, variable in segmenter.variables().items():
            variable.assign(start[path])
        losses.append([float(step()) for _ in range(steps)])
    return losses
