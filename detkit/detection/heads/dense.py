"""The second stage's final layers: a box and class scores from the mean feature of a region.

Source: Ren et al., "Faster R-CNN", 2015; `MaskRCNNBoxHead` and `MaskRCNNClassHead` of the OD API (Keras).
"""

from __future__ import annotations

import tensorflow as tf

from detkit.detection.detector import ClassColumns
from detkit.detection.layers import Dense, Hyperparameters

_PREFIX = "_mask_rcnn_box_predictor"


class DenseHead:
    """A dense layer for the boxes and one for the classes.

    Args:
        channels: of the region's feature.
        classes: without background.
        share: whether all classes have one box.
    """

    def __init__(self, channels: int, classes: int, share: bool):
        # The OD API hands neither initializer nor regularizer of the config to these two.
        hyper = Hyperparameters(initializer=("glorot", 0.0, 1.0))
        self.boxes = 1 if share else classes
        self.box = Dense(channels, 4 * self.boxes, hyper=hyper)
        self.cls = Dense(channels, 1 + classes, hyper=hyper)

    def box_encodings(self, features):
        """[B, P, channels] -> [B, P, 1 or classes, 4]."""
        codes = self.box(features)
        return tf.reshape(codes, [tf.shape(codes)[0], -1, self.boxes, 4])

    def class_logits(self, features):
        """[B, P, channels] -> [B, P, 1 + classes]."""
        return self.cls(features)

    def class_columns(self) -> dict:
        """{path: ClassColumns} of the variables with columns for every class."""
        columns = {f"{self._class_path}/{name}": ClassColumns(background=1) for name in ("kernel", "bias")}
        if self.boxes > 1:
            columns |= {f"{self._box_path}/{name}": ClassColumns(width=4) for name in ("kernel", "bias")}
        return columns

    _box_path = f"{_PREFIX}/_box_prediction_head/_box_encoder_layers/1"
    _class_path = f"{_PREFIX}/_class_prediction_head/_class_predictor_layers/1"

    def nodes(self) -> dict:
        """{checkpoint path: layer}."""
        return {self._box_path: self.box, self._class_path: self.cls}
