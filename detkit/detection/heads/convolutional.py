"""The box predictor with convolutions of its own for every feature map.

Source: Liu et al., "SSD", 2016; `ConvolutionalBoxPredictor` of the OD API (Keras).
"""

from __future__ import annotations

from detkit.detection.heads.weight_shared import BOX, CLASS, _flatten
from detkit.detection.layers import Conv, Hyperparameters
from detkit.errors import ConfigError


class ConvolutionalHead:
    """A box and a class convolution for every map, no towers.

    Args:
        predictor: the typed `convolutional_box_predictor` message.
        channels: of each map.
        anchors: per location, for each map.
        columns: class columns per anchor, the background's included where there is one.
    """

    towers: dict = {}

    def __init__(self, predictor, channels: list, anchors: list, columns: int):
        if predictor.use_depthwise or (predictor.num_layers_before_predictor and predictor.max_depth):
            raise ConfigError(
                "detkit can't build this convolutional_box_predictor.",
                where="model.ssd.box_predictor.convolutional_box_predictor",
                got="use_depthwise or layers before the predictor",
                expected="neither, as in ssd_mobilenet_v2_320x320",
            )
        hyper = Hyperparameters.from_config(predictor.conv_hyperparams)
        options = {"size": predictor.kernel_size, "bias": True, "hyper": hyper}
        self.columns, self.levels = columns, tuple(range(len(channels)))
        self.box = [Conv(c, n * 4, **options) for c, n in zip(channels, anchors, strict=True)]
        self.cls = [Conv(c, n * columns, **options) for c, n in zip(channels, anchors, strict=True)]
        for conv in self.cls:
            conv.bias_prior = predictor.class_prediction_bias_init

    def run_towers(self, maps: dict) -> dict:
        """The maps as they are, under the names that the heads read."""
        return {f"map/{level}": x for level, x in maps.items()}

    def class_logits(self, features: dict):
        """The maps -> [B, A, columns]."""
        return _flatten([conv(features[f"map/{i}"]) for i, conv in enumerate(self.cls)], self.columns)

    def box_encodings(self, features: dict):
        """The maps -> [B, A, 4]."""
        return _flatten([conv(features[f"map/{i}"]) for i, conv in enumerate(self.box)], 4)

    def parts(self) -> dict:
        """{part of the head: layers}."""
        return {"towers": [], "box_head": list(self.box), "class_head": list(self.cls)}

    def nodes(self) -> dict:
        """{checkpoint path: layer}."""
        prefix = "_box_predictor/_prediction_heads"
        boxes = {f"{prefix}/{BOX}/{i}/_box_encoder_layers/0": conv for i, conv in enumerate(self.box)}
        classes = {f"{prefix}/{CLASS}/{i}/_class_predictor_layers/0": conv for i, conv in enumerate(self.cls)}
        return boxes | classes
