"""What every detector is, whatever its family: a chain of stages, and the four verbs over it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from detkit.data import batches
from detkit.data.streams import ObjectFinder, opened
from detkit.detection.resizing import Resizer
from detkit.detections import Detections
from detkit.networks.network import TRUTH, Network
from detkit.pipeline import od_config

# The parts of a detector in the order of the data, and the words that select them and what follows them. In a two-stage
# detector the neck is the region proposal network, and the towers are the layers that run on each proposal.
_HEADS = ("head/box_head", "head/class_head", "head/mask_head", "head/keypoint_head")
TUNE = {
    "heads": _HEADS,
    "towers": ("head/towers", *_HEADS),
    "neck": ("neck", "head/towers", *_HEADS),
    "all": ("backbone", "neck", "head/towers", *_HEADS),
}

_BATCH = 8  # images that go through the network together, where nothing else is said


class Found(NamedTuple):
    """What `postprocess` finds in one image, by falling score.

    Attributes:
        boxes: [N, 4], normalised yxyx of the true image.
        scores: [N]; class_ids: int [N].
        masks: [N, h, w] of 0..1, each over its own box, or None.
        keypoints: [N, K, 2], normalised (y, x) of the true image, or None; keypoint_scores: [N, K].
    """

    boxes: np.ndarray
    scores: np.ndarray
    class_ids: np.ndarray
    masks: np.ndarray | None = None
    keypoints: np.ndarray | None = None
    keypoint_scores: np.ndarray | None = None


class ClassColumns(NamedTuple):
    """How the last axis of a variable is divided among the classes: [groups, background + classes, width].

    Attributes:
        background: columns before those of the classes.
        width: values of one class, such as 4 for boxes.
        keeps: whether those before stay as they are where the classes are others, as boxes do.
    """

    background: int = 0
    width: int = 1
    keeps: bool = False


class Detector(Network, ObjectFinder):
    """A detector: `preprocess`, `predict`, `loss` and `postprocess`, pure functions; `detect` is all but the loss.

    A family (ssd.py, ...) builds `stages`, `parts` and `nodes`, and gives `class_columns`, `_outputs`, `losses`,
    `postprocess` and `normalize` their meaning.

    Attributes:
        meta: the typed message of the model (`ssd`, `faster_rcnn` or `center_net`) in `config`.
        config: the typed pipeline config it was built from.
        parts: {"backbone" | "neck" | "head/towers" | "head/box_head" | "head/class_head" | "head/mask_head" |
            "head/keypoint_head": layers}, in the order of the data.
        wants: of "masks" and "keypoints", what training asks of the data beside boxes.
    """

    task, tunable = "detection", TUNE
    normalizes_padding = False  # whether the padding is normalised too, as pixels of value 0 would be
    loss_only = ()  # beginnings of the names of raw outputs that no detection needs

    def __init__(self, config, classes, label_ids=None, name: str = "detector"):
        super().__init__(classes, label_ids, name)
        self.config, self.meta = config, od_config.meta_architecture(config)
        self.resizer = Resizer(config, od_config.architecture(config))

    def class_columns(self) -> dict:
        """{path of a variable that has columns for every class: ClassColumns}."""
        raise NotImplementedError

    @property
    def unneeded(self) -> tuple:
        """Regular expressions over the checkpoint keys of parts that the architecture may have and this one lacks."""
        return ()

    def files(self) -> dict:
        """{name: text} of what its model directory holds beside config, label map and checkpoint."""
        return {}

    # The four verbs

    def preprocess(self, images) -> tuple:
        """Resizes, normalises and pads.

        Args:
            images: uint8 arrays [H, W, 3] RGB, of any sizes.

        Returns:
            inputs float32 [B, h, w, 3], true_shapes int32 [B, 3]: the size of each image inside its padding.
        """
        resized = [self.resizer(np.asarray(image)) for image in images]
        shapes = np.array([image.shape for image in resized], np.int32)
        height, width = self.input_size or shapes[:, :2].max(axis=0)

        def pad(x):
            return tf.pad(x, [[0, height - x.shape[0]], [0, width - x.shape[1]], [0, 0]])

        if self.normalizes_padding:
            return self.normalize(tf.stack([pad(x) for x in resized])), tf.constant(shapes)
        return tf.stack([pad(self.normalize(x)) for x in resized]), tf.constant(shapes)

    def normalize(self, x):
        """x [..., 3] of 0..255, RGB -> what the backbone expects."""
        raise NotImplementedError

    def in_padding(self, boxes, true_shapes):
        """Boxes [B, M, 4] relative to the true images -> relative to the padded input."""
        if true_shapes is None or self.input_size is None:
            return boxes
        window = tf.cast(true_shapes[:, :2], tf.float32) / tf.constant(self.input_size, tf.float32)
        return boxes * tf.tile(window, [1, 2])[:, None, :]

    def predict(self, inputs, true_shapes) -> dict:
        """The raw outputs for a preprocessed batch, the padded size and `true_shapes` with them."""
        return self._outputs(self.run({"x": inputs}), inputs, true_shapes)

    def loss(self, predictions: dict, groundtruth: dict) -> dict:
        """The parts of the loss, scalars, weighted and normalised as the config says; training descends their sum.

        Args:
            predictions: of `predict`.
            groundtruth: "boxes" [B, M, 4] normalised yxyx relative to the true image, "class_ids" int [B, M], "weights"
                [B, M] (0: padding or a region to ignore), "seed" int [B], for what is drawn by chance; and where the
                model `wants` them "masks" uint8 [B, M, S, S] of 0..255, each stretched over its own box, and
                "keypoints" [B, M, K, 2] normalised (y, x) relative to the true image with "keypoint_weights" [B, M, K]
                (0: not labelled).
        """
        return self.losses(predictions | self._truth(groundtruth, predictions["true_shapes"]))

    def _truth(self, groundtruth: dict, true_shapes) -> dict:
        """The ground truth as entries of a state, relative to the padded input."""
        truth = groundtruth | {"boxes": self.in_padding(groundtruth["boxes"], true_shapes), "true_shapes": true_shapes}
        if "keypoints" in truth:
            corners = tf.concat([truth["keypoints"]] * 2, axis=-1)
            shape = tf.shape(corners)
            flat = tf.reshape(corners, [shape[0], -1, 4])
            truth["keypoints"] = tf.reshape(self.in_padding(flat, true_shapes), shape)[..., :2]
        return {f"{TRUTH}{name}": value for name, value in truth.items()}

    def postprocess(self, predictions: dict, true_shapes=None, threshold: float = 0.0) -> list[Found]:
        """What is found in each image.

        Args:
            threshold: leave out detections that score less, which spares the work of suppressing them.
        """
        raise NotImplementedError

    # Training

    def batch(self, views: list) -> tuple:
        inputs, true_shapes = self.preprocess([view.image for view in views])
        return inputs, true_shapes, {name: tf.constant(value) for name, value in batches.groundtruth(views).items()}

    def training_state(self, inputs, true_shapes, groundtruth: dict) -> dict:
        """The state that training starts from; arguments as for `predict` and `loss`."""
        return {"x": inputs} | self._truth(groundtruth, true_shapes)

    # Convenience

    def detect_stream(
        self, images: Iterable, batch_size: int | None = None, threshold: float = 0.0
    ) -> Iterator[Detections]:
        """As `ObjectFinder.detect_stream`; by default in batches of 8."""
        for batch in _batched(images, batch_size or _BATCH):
            arrays, sources = zip(*map(opened, batch), strict=True)
            found = self._detect_batch(list(arrays), threshold)
            for array, source, each in zip(arrays, sources, found, strict=True):
                yield Detections(*each[:3], self.classes, array.shape[:2], source, *each[3:])

    def _detect_batch(self, arrays: list, threshold: float) -> list[Found]:
        inputs, true_shapes = self.preprocess(arrays)
        return self.postprocess(self.predict_graph(inputs, true_shapes), threshold=threshold)

    def predict_graph(self, inputs, true_shapes) -> dict:
        """`predict`, compiled once for an input size."""
        key = ("predict", *inputs.shape[1:3])
        if key not in self._graphs:
            signature = [tf.TensorSpec([None, *inputs.shape[1:]]), tf.TensorSpec([None, 3], tf.int32)]
            self._graphs[key] = tf.function(self.predict, input_signature=signature, autograph=False)
        return self._graphs[key](inputs, true_shapes)

    @property
    def input_size(self) -> tuple[int, int] | None:
        """(height, width) of the padded model input, None where it follows the images."""
        return self.resizer.input_size

    def resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (height, width) that an image of this size gets before padding."""
        return self.resizer.resized(size)


def _batched(items, size):
    iterator = iter(items)
    while batch := tuple(itertools.islice(iterator, size)):
        yield batch
