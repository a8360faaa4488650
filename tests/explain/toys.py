"""Models that one knows the reasons of: each looks for something red."""

from __future__ import annotations

import keras
import numpy as np

from detkit.classification.architectures import architecture
from detkit.classification.classifier import Classifier
from detkit.detections import Detections
from detkit.pipeline.transfer import ClassificationModel

SIDE = 32
BOX = np.array([0.5, 0.25, 0.75, 0.5], np.float32)  # of the red patch
PATCH = (slice(16, 24), slice(8, 16))


def picture() -> np.ndarray:
    """Grey noise with a red patch."""
    found = np.random.default_rng(0).integers(90, 130, (SIDE, SIDE, 3)).astype(np.uint8)
    found[PATCH] = 230, 20, 20
    return found


def red_classifier() -> Classifier:
    """Tells red from green by a 1x1 convolution, the mean of its four maps, and a dense layer."""
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = keras.layers.Rescaling(1 / 255, name="scale")(image)
    x = keras.layers.Conv2D(4, 1, activation="relu", name="colours")(x)
    features = keras.Model(image, keras.layers.AveragePooling2D(4, name="coarse")(x))
    network = _classifier(features, "MiniXception")
    red, green = [1.0, -1.0, -0.5], [-1.0, 1.0, -0.5]
    values = network.variables()
    values["backbone/colours/kernel"].assign(np.array([red, green, red, green]).T.reshape(1, 1, 3, 4))
    values["backbone/colours/bias"].assign(np.zeros(4))
    values["head/logits/kernel"].assign([[9.0, -9.0], [-9.0, 9.0], [3.0, -3.0], [-3.0, 3.0]])
    return network


def flat_classifier() -> Classifier:
    """One without a convolution."""
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = keras.layers.Dense(4, "relu", name="pixels")(keras.layers.Rescaling(1 / 255, name="scale")(image))
    return _classifier(keras.Model(image, x), "MiniXception")


def _classifier(features, name: str) -> Classifier:
    options = ClassificationModel(name=name, weights=None, dropout=0.1)
    network = Classifier(features, architecture(name), ("red", "green"), name="toy", options=options)
    network.initialize(network.variables(), 0)
    return network


class RedFinder:
    """A detector that only answers: the patch is there as far as its pixels are red."""

    classes, name = ("red", "green"), "red finder"

    def detect(self, images, batch_size=8, threshold=0.0):
        return [self._found(image).above(threshold) for image in images]

    def _found(self, image):
        patch = image[PATCH].astype(np.float32)
        share = float((patch[..., 0] - patch[..., 1] > 100).mean())
        found = ([BOX], [share], [0]) if share else (np.zeros((0, 4)), [], [])
        return Detections(*found, self.classes, image.shape[:2])


def brightness(pictures) -> np.ndarray:
    """An answer: how red the patch is, 0..1."""
    pictures = np.asarray(pictures, np.float32)
    return pictures[(slice(None), *PATCH, 0)].mean(axis=(1, 2)) / 255
