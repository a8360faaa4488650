"""YOLOv4, scaled YOLOv4 and YOLOv7 of Model Garden as detkit detectors.

Sources: Bochkovskiy et al., "YOLOv4", 2020; Wang et al., "Scaled-YOLOv4", 2021; Wang et al., "YOLOv7", 2022;
`official.projects.yolo.tasks`. Their losses are in `yolo_training`.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from detkit.detection.detector import ClassColumns
from detkit.garden.detector import GardenDetector
from detkit.garden.letterbox import Letterbox
from detkit.garden.levels import levels_of, named
from detkit.garden.yolo_options import check
from detkit.networks.network import Stage

GREY = 114.0  # of the padding
BEFORE_CLASSES = 5  # columns of an anchor: the box, and whether there is an object


class Frame(Letterbox):
    """A letterbox that averages the pixels of images larger than itself, as Model Garden's YOLO parser does."""

    def __call__(self, image: np.ndarray):
        """As `Letterbox.__call__`."""
        old, new = image.shape[:2], self.resized(image.shape[:2])
        image = tf.cast(image, tf.float32)
        smaller = tuple(map(min, old, new))
        if smaller != old:
            image = tf.image.resize(image, smaller, method=tf.image.ResizeMethod.AREA)
        return image if smaller == new else tf.image.resize(image, new)

    def resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """As `Letterbox.resized`, with a pixel left of the thinnest image."""
        height, width = super().resized(size)
        return max(height, 1), max(width, 1)


class Yolo(GardenDetector):
    """A YOLO; its raw outputs are "raw/LEVEL" [B, h, w, ...], of each anchor its box, objectness and class scores.

    An image lies in the middle of a grey frame, or is stretched to it (`letter_box` of the parser).
    """

    def __init__(self, description, garden_task, model):
        super().__init__(description, garden_task, model)
        self.stages = [
            self._stage("backbone", "backbone", model.backbone, "x", "map"),
            self._stage("neck", "neck", model.decoder, "map", "map"),
            *self._head_stages(),
        ]

    @classmethod
    def check_options(cls, config) -> None:
        """As `GardenDetector.check_options`."""
        check(config.task)

    def _stage(self, name: str, part: str, module, given: str, made: str) -> Stage:
        def run(state):
            inputs = state[given] if given in state else levels_of(state, given)
            return named(made, module(inputs, training=self._unfrozen(part)))

        return Stage(name, tuple(self.parts[part]), run)

    def _head_stages(self) -> list[Stage]:
        def run(state):
            return named("raw", self.model.head(levels_of(state, "map")))

        return [Stage("head/final", tuple(self.parts["head/class_head"]), run)]

    def _letterbox(self) -> Letterbox:
        options, parser = self.task_config.model, self.task_config.validation_data.parser
        return Frame(options.input_size[:2], keep_aspect_ratio=bool(parser.letter_box))

    def _roots(self):
        return {"backbone": self.model.backbone, "decoder": self.model.decoder, "head": self.model.head}

    def _parts(self):
        # The last convolution of a level says all: boxes, objectness and classes.
        return {"backbone": ("backbone",), "neck": ("decoder",), "head/class_head": ("head",)}

    def class_columns(self):
        """As `Detector.class_columns`; the box and the objectness of an anchor stand before the classes."""
        columns = ClassColumns(background=BEFORE_CLASSES, keeps=True)
        return {
            path: columns
            for path, part in self.part_of().items()
            if part == "head/class_head" and not path.endswith("/depthwise_kernel")
        }

    def preprocess(self, images):
        """As `Detector.preprocess`."""
        resized = [self.resizer(np.asarray(image)) for image in images]
        shapes = np.array([image.shape for image in resized], np.int32)
        height, width = self.input_size

        def framed(x):
            top, left = (height - x.shape[0]) // 2, (width - x.shape[1]) // 2
            rest = [[top, height - x.shape[0] - top], [left, width - x.shape[1] - left], [0, 0]]
            return tf.pad(x, rest, constant_values=GREY)

        return self.normalize(tf.stack([framed(x) for x in resized])), tf.constant(shapes)

    def normalize(self, x):
        """As `Detector.normalize`."""
        return x / 255.0

    def in_padding(self, boxes, true_shapes):
        """As `Detector.in_padding`."""
        frame, sizes = tf.constant(self.input_size), true_shapes[:, :2]
        corners = (frame - sizes) // 2
        frame, sizes, corners = (tf.cast(tf.concat([x, x], axis=-1), tf.float32) for x in (frame, sizes, corners))
        return (boxes * sizes[:, None] + corners[:, None]) / frame

    def _outputs(self, state, inputs=None, true_shapes=None) -> dict:
        return state | {"true_shapes": true_shapes}

    def postprocess(self, predictions, true_shapes=None, threshold=0.0):
        """As `Detector.postprocess`; source: `YoloLayer`."""
        shapes = np.asarray(predictions["true_shapes"] if true_shapes is None else true_shapes)[:, :2]
        raw = {level: tf.convert_to_tensor(x) for level, x in levels_of(predictions, "raw").items()}
        found = self.model.detection_generator(raw)
        boxes, *others = (np.asarray(found[name]) for name in ("bbox", "confidence", "classes", "num_detections"))
        windows = np.tile(shapes, (1, 2)).astype(np.float32)
        corners = np.tile((np.array(self.input_size) - shapes) // 2, (1, 2))
        pixels = boxes * np.array(self.input_size * 2, np.float32) - corners[:, None]
        return self.found(np.clip(pixels, 0, windows[:, None]), *others, windows, threshold)
