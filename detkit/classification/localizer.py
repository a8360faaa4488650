"""`Localizer`, a network that tells the class and the place of the one object of an image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import keras
import numpy as np

from detkit import boxes as box_math
from detkit.classification.architectures import Architecture
from detkit.classification.classifier import OneSizeNetwork, probabilities
from detkit.classification.heads import box, class_logits
from detkit.classification.losses import box_loss, class_loss
from detkit.data.dataset import Dataset
from detkit.data.streams import ObjectFinder
from detkit.detections import Detections
from detkit.errors import DataError
from detkit.pipeline.transfer import LocalizationModel

_BATCH = 32  # images that go through the network together, where nothing else is said


class Localizer(OneSizeNetwork, ObjectFinder):
    """Tells the class and the box of the one object of images of any size.

    Of an image with several objects the largest is learnt; one without is left out of the loss.

    Args:
        features: the backbone, an RGB image of 0..255 -> [B, h, w, C].
        known: its architecture.
        classes, label_ids, name: as of every network.
        options: that it was built from.
    """

    task = "localization"

    def __init__(
        self, features: keras.Model, known: Architecture, classes, label_ids=None, *,
        name: str = "localizer", options: LocalizationModel,
    ):  # fmt: skip
        logits = class_logits(features.output, known, len(classes), options.hidden, options.dropout)
        backbone = [layer.name for layer in features.layers]
        model = keras.Model(features.inputs, [logits, box(features.output)], name=name)
        super().__init__(model, backbone, classes, label_ids, name=name, options=options)

    def check_data(self, dataset: Dataset) -> None:
        """DataError if no picture has an object."""
        if not any(example.counts.any() for example in dataset):
            got, fix = f"{len(dataset)} images without boxes", "Label one object in each image."
            raise DataError("There is no box to learn from.", where=dataset.name, got=got, fix=fix)

    # Training

    def truth(self, views: list) -> dict:
        """ "labels" float32 [B, C], "box" [B, 4] yxyx, "weight" [B], 0 without an object, and "seed"."""
        labels = np.zeros((len(views), len(self.classes)), np.float32)
        boxes, weights = np.zeros((len(views), 4), np.float32), np.zeros(len(views), np.float32)
        for row, view in enumerate(views):
            if len(view.boxes):
                n = np.lexsort((box_math.area(view.boxes), view.weights > 0))[-1]
                labels[row, view.class_ids[n]], boxes[row], weights[row] = 1, view.boxes[n], view.weights[n]
        seeds = np.array([view.seed for view in views], np.int32)
        return {"labels": labels, "box": boxes, "weight": weights, "seed": seeds}

    def losses(self, state: dict) -> dict:
        options, weights = self.options, state["truth/weight"]
        arguments = "one", options.label_smoothing, options.class_weights or None
        localization = box_loss(state["box"], state["truth/box"], weights, options.box_loss)
        return {
            "localization": options.box_weight * localization,
            "classification": class_loss(state["logits"], state["truth/labels"], weights, *arguments),
        }

    # Prediction

    def detect_stream(
        self, images: Iterable, batch_size: int | None = None, threshold: float = 0.0
    ) -> Iterator[Detections]:
        """As `ObjectFinder.detect_stream`: one box in each image, or none."""
        return (found.above(threshold) for found in self.stream(images, batch_size or _BATCH))

    def results(self, outputs: dict, sizes: list, sources: list) -> list[Detections]:
        scores = probabilities(outputs["logits"], "one")
        best = scores.argmax(axis=-1)
        return [
            Detections(box[None], row[[n]], [n], self.classes, tuple(size), source)
            for box, row, n, size, source in zip(outputs["box"], scores, best, sizes, sources, strict=True)
        ]
