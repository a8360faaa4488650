"""A classifier of nine-pixel pictures by their colour, in the place of those that detkit builds."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from detkit.networks.functional import FunctionalNetwork
from detkit.networks.network import TRUTH
from detkit.pipeline.transfer import ClassificationModel

SIZE = (8, 8)


def colour_model(classes: int = 2) -> keras.Model:
    """Two convolutions with norms and a residual sum, dropout, a dense layer."""
    image = keras.Input((*SIZE, 3), name="image")
    x = keras.layers.Rescaling(1 / 255, name="scale")(image)
    x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False, name="first")(x)
    before = x = keras.layers.BatchNormalization(name="first_norm")(x)
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="second")(x)
    x = keras.layers.Add(name="sum")([x, before])
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dropout(0.5, name="drop")(x)
    return keras.Model(image, keras.layers.Dense(classes, name="logits")(x))


class Colours(FunctionalNetwork):
    """Tells pictures by their class."""

    task, wants = "classification", ("labels",)
    input_size = SIZE

    def __init__(self, classes=("dark", "light"), pretrained=True):
        options = ClassificationModel(name="LeNet5", weights=None)
        model = colour_model(len(classes))
        super().__init__(model, ("scale", "first", "first_norm", "second", "sum"), classes, options=options)
        self.initialize(self.variables(), 0)
        self.pretrained = pretrained

    def resized(self, size):
        return SIZE

    def preprocess(self, images):
        shapes = [image.shape for image in images]
        return tf.image.resize(np.stack(images).astype(np.float32), SIZE), tf.constant(shapes, tf.int32)

    def truth(self, views):
        return {
            "label": np.array([view.labels[0] for view in views], np.int32),
            "seed": np.array([view.seed for view in views], np.int32),
        }

    def losses(self, state):
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(state[f"{TRUTH}label"], state["logits"])
        return {"classification": tf.reduce_mean(loss)}
