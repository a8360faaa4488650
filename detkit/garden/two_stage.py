"""Faster, Mask and Cascade R-CNN of Model Garden as detkit detectors, for prediction and evaluation.

Sources: Ren et al., "Faster R-CNN", 2015; He et al., "Mask R-CNN", 2017; Cai and Vasconcelos, "Cascade R-CNN", 2018;
`official.vision.tasks.maskrcnn`.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from detkit.detection.detector import ClassColumns
from detkit.garden.detector import GardenDetector
from detkit.networks.network import Stage

FOUND = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
MASKS = "detection_masks"


class TwoStage(GardenDetector):
    """An R-CNN; its raw outputs are the detections that the model itself chooses, boxes in pixels of the input."""

    def __init__(self, description, garden_task, model):
        super().__init__(description, garden_task, model)
        self.stages = [Stage("model", tuple(self.paths().values()), self._whole)]

    def _roots(self):
        names = ("backbone", "decoder", "rpn_head", "detection_head", "mask_head")
        return {name: root for name in names if (root := getattr(self.model, name)) is not None}

    def _parts(self):
        heads = [f"detection_head/{number}" for number in range(len(self.model.detection_head))]
        return {
            "backbone": ("backbone",),
            "neck": ("decoder", "rpn_head"),
            "head/towers": tuple(f"{head}/_{kind}" for head in heads for kind in _TOWERS),
            "head/box_head": tuple(f"{head}/_box_regressor" for head in heads),
            "head/class_head": tuple(f"{head}/_classifier" for head in heads),
            "head/mask_head": ("mask_head",),
        }

    def class_columns(self):
        """As `Detector.class_columns`."""
        parts, widths = self.part_of(), {"head/class_head": 1}
        if not self.task_config.model.detection_head.class_agnostic_bbox_pred:
            widths["head/box_head"] = 4
        return {path: ClassColumns(1, widths[part]) for path, part in parts.items() if part in widths}

    def predict(self, inputs, true_shapes) -> dict:
        """As `Detector.predict`."""
        return self.run({"x": inputs, "true_shapes": true_shapes})

    def _whole(self, state: dict) -> dict:
        shapes = state["true_shapes"]
        found = self.model(state["x"], image_shape=tf.cast(shapes[:, :2], tf.float32), training=False)
        return {name: found[name] for name in (*FOUND, MASKS) if name in found} | {"true_shapes": shapes}

    def postprocess(self, predictions, true_shapes=None, threshold=0.0):
        """As `Detector.postprocess`; source: `DetectionGenerator`."""
        shapes = np.asarray(predictions["true_shapes"] if true_shapes is None else true_shapes)
        masks = [on_borders(np.asarray(each)) for each in predictions[MASKS]] if MASKS in predictions else None
        arrays = [np.asarray(predictions[name]) for name in FOUND]
        return self.found(*arrays, np.tile(shapes[:, :2], (1, 2)), threshold, masks)


_TOWERS = ("convs", "conv_norms", "fcs", "fc_norms")


def on_borders(masks: np.ndarray) -> np.ndarray:
    """Masks [N, S, S], sampled at the centres of S x S cells, as sampled from border to border of their boxes.

    Around the cells there is nothing, as in Model Garden's `paste_instance_masks`.
    """
    side = masks.shape[-1]
    cells = np.pad(masks, [(0, 0), (1, 1), (1, 1)])
    place = np.linspace(0.5, side + 0.5, side, dtype=np.float32)  # of the new samples among the padded cells
    low = place.astype(int)
    share = place - low
    rows = cells[:, low] * (1 - share)[:, None] + cells[:, low + 1] * share[:, None]
    return rows[:, :, low] * (1 - share) + rows[:, :, low + 1] * share
