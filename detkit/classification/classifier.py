"""`Classifier`, a network that tells the class of a whole image."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import keras
import numpy as np
import tensorflow as tf

from detkit.classification.architectures import Architecture
from detkit.classification.heads import class_logits
from detkit.classification.losses import class_loss
from detkit.classification.results import Classified
from detkit.data.dataset import Dataset
from detkit.data.streams import several
from detkit.data.tensor_tasks import check_one_label
from detkit.networks.functional import FunctionalNetwork
from detkit.pipeline.transfer import ClassificationModel
from detkit.visualize.draw import check_image


class OneSizeNetwork(FunctionalNetwork):
    """A network that sees images of any size stretched to the one of its input."""

    @property
    def input_size(self) -> tuple[int, int]:
        return tuple(self.model.input_shape[1:3])

    def resized(self, size: tuple[int, int]) -> tuple[int, int]:
        return self.input_size

    def preprocess(self, images: Iterable[np.ndarray]) -> tuple:
        inputs = np.stack([_stretched(image, self.input_size) for image in images])
        shapes = tf.constant([[*self.input_size, 3]] * len(inputs), tf.int32)
        return tf.constant(inputs, tf.float32), shapes


class Classifier(OneSizeNetwork):
    """Tells the class, or the classes, of images of any size.

    Args:
        features: the backbone, an RGB image of 0..255 -> [B, h, w, C].
        known: its architecture.
        classes, label_ids, name: as of every network.
        options: that it was built from.
    """

    task, wants = "classification", ("labels",)

    def __init__(
        self, features: keras.Model, known: Architecture, classes, label_ids=None, *,
        name: str = "classifier", options: ClassificationModel,
    ):  # fmt: skip
        outputs = 1 if options.labels == "binary" else len(classes)
        logits = class_logits(features.output, known, outputs, options.hidden, options.dropout)
        backbone = [layer.name for layer in features.layers]
        model = keras.Model(features.inputs, logits, name=name)
        super().__init__(model, backbone, classes, label_ids, name=name, options=options)

    def check_data(self, dataset: Dataset) -> None:
        """DataError for a picture without one class, where one is to be told."""
        if self.options.labels != "several":
            check_one_label(dataset, "train with model.labels=several")

    # Training

    def truth(self, views: list) -> dict:
        """ "labels" float32 [B, C], 1 for the classes of the image, and "seed"."""
        labels = np.zeros((len(views), len(self.classes)), np.float32)
        for row, view in zip(labels, views, strict=True):
            row[view.labels] = 1
        return {"labels": labels, "seed": np.array([view.seed for view in views], np.int32)}

    def losses(self, state: dict) -> dict:
        options, truth = self.options, state["truth/labels"]
        weights = tf.ones_like(truth[:, 0])
        arguments = options.labels, options.label_smoothing, options.class_weights or None
        return {"classification": class_loss(state["logits"], truth, weights, *arguments)}

    # Prediction

    def classify(self, images, batch_size: int = 32) -> list[Classified]:
        """Tells the classes of images.

        Args:
            images: paths or uint8 arrays [H, W, 3] RGB, of any sizes; or one of them.
            batch_size: images that go through the network together.

        Returns:
            One `Classified` for each image.
        """
        return list(self.stream(several(images), batch_size))

    def results(self, outputs: dict, sizes: list, sources: list) -> list[Classified]:
        scores = probabilities(outputs["logits"], self.options.labels)
        return [
            Classified(row, self.classes, tuple(size), source)
            for row, size, source in zip(scores, sizes, sources, strict=True)
        ]


def probabilities(logits: np.ndarray, labels: str) -> np.ndarray:
    """Scores 0..1 [B, C] of logits [B, C], or [B, 1] for "binary"."""
    if labels == "one":
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)
    positive = 0.5 * (1.0 + np.tanh(0.5 * logits))  # the sigmoid, without overflow
    return np.concatenate([1.0 - positive, positive], axis=-1) if labels == "binary" else positive


def _stretched(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The image at another size, sampled as the views of training are; DataError if it is none."""
    image = check_image(image)
    if image.shape[:2] == size:
        return image
    (height, width), (rows, columns) = image.shape[:2], size
    scales = np.array([[width / columns, 0, 0], [0, height / rows, 0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, scales, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)
