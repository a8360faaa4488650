"""The third stage of Mask R-CNN: a small picture of each object, over its own box.

Source: He et al., "Mask R-CNN", 2017; `MaskRCNNMaskHead` and the mask loss of `FasterRCNNMetaArch` in the OD API.
"""

from __future__ import annotations

import math

import tensorflow as tf

from detkit.detection.backbones.common import chain
from detkit.detection.layers import ConvNorm, Hyperparameters
from detkit.errors import ConfigError

PREFIX = "_mask_rcnn_box_predictor/_third_stage_heads/mask_predictions/_mask_predictor_layers"


class MaskHead:
    """Resizes the features of a box, then convolutions of 3x3: a map of logits for each class.

    Args:
        settings: the typed `mask_rcnn_box_predictor` message.
        channels: of the features.
        classes: how many.
    """

    def __init__(self, settings, channels: int, classes: int):
        hyper = Hyperparameters.from_config(_supported(settings).conv_hyperparams)
        self.size = (settings.mask_height, settings.mask_width)
        self.class_agnostic = settings.masks_are_class_agnostic
        depth = settings.mask_prediction_conv_depth or automatic_depth(channels, classes)
        hidden = settings.mask_prediction_num_conv_layers - 1
        inputs = [channels] + [depth] * hidden
        self._units = [ConvNorm(n, depth, 3, hyper=hyper) for n in inputs[:-1]]
        final = ConvNorm(inputs[-1], 1 if self.class_agnostic else classes, 3, hyper=_plain(hyper))
        self._run, self.final = chain(*self._units, final), final.conv

    @property
    def _final_path(self) -> str:
        return f"{PREFIX}/{3 * len(self._units)}"

    @property
    def final_paths(self) -> list[str]:
        """Those of the variables with columns for the classes."""
        return [f"{self._final_path}/{name}" for name in ("kernel", "bias")]

    def nodes(self) -> dict:
        """{checkpoint path: layer}: the OD API counts a convolution, its norm and its activation."""
        paths = {self._final_path: self.final}
        for number, unit in enumerate(self._units):
            paths |= {f"{PREFIX}/{3 * number + i}": layer for i, layer in enumerate(unit.layers)}
        return paths

    def __call__(self, features):
        """features [N, h, w, channels] -> logits [N, mask_height, mask_width, classes or 1]."""
        return self._run(tf.raw_ops.ResizeBilinear(images=features, size=self.size, align_corners=True))

    def of_class(self, features, class_ids):
        """Those logits for one class (int [N]) of each box: [N, mask_height, mask_width]."""
        logits = self(features)
        if self.class_agnostic:
            return logits[..., 0]
        return tf.gather(tf.transpose(logits, [0, 3, 1, 2]), class_ids, batch_dims=1)


def automatic_depth(channels: int, classes: int) -> int:
    """The convolutions' channels where the config says 0: between features and classes, and a power of two."""
    return 2 ** round((2.0 * math.log2(channels) + 3.0 * math.log2(classes)) / 5.0)


def targets(masks, boxes, proposals, size: tuple[int, int]):
    """What the mask head should see of each object through its proposal.

    Args:
        masks: uint8 [N, S, S] of 0..255, each stretched over its own box.
        boxes: [N, 4], the objects; proposals: [N, 4], the windows; normalised yxyx of the same picture.
        size: (height, width) of the result.

    Returns:
        [N, height, width] of 0..1; outside of the object's box 0.
    """
    corner, extent = boxes[:, :2], tf.maximum(boxes[:, 2:] - boxes[:, :2], 1e-8)
    inside = (proposals - tf.tile(corner, [1, 2])) / tf.tile(extent, [1, 2])  # 0..1 over the object's box
    # A ring of zeros lets a mask fade out at its box; sample k of a mask lies at (k + 1/2) / S.
    padded = tf.pad(tf.cast(masks, tf.float32) / 255.0, [[0, 0], [1, 1], [1, 1]])
    side = tf.cast(tf.shape(masks)[1], tf.float32)
    windows = (inside * side + 0.5) / (side + 1.0)
    return tf.image.crop_and_resize(padded[..., None], windows, tf.range(tf.shape(masks)[0]), size)[..., 0]


def losses(logits, wanted):
    """The sigmoid cross-entropies [N] of masks, summed over their pixels; logits, wanted: [N, height, width]."""
    each = tf.nn.sigmoid_cross_entropy_with_logits(labels=wanted, logits=logits)
    return tf.reduce_sum(each, axis=[1, 2])


def _plain(hyper: Hyperparameters) -> Hyperparameters:
    """For a convolution with a bias, without norm or activation."""
    return Hyperparameters("NONE", hyper.l2, hyper.initializer, batch_norm=False)


def _supported(settings):
    where = "model.faster_rcnn.second_stage_box_predictor.mask_rcnn_box_predictor"
    unusable = {
        "conv_hyperparams": settings.conv_hyperparams is None,
        "convolve_then_upsample_masks": settings.convolve_then_upsample_masks,
        "predict_keypoints": settings.predict_keypoints,
    }
    for name, bad in unusable.items():
        if bad:
            raise ConfigError(
                "detkit can't build the mask head that this config asks for.",
                where=f"{where}.{name}",
                got=getattr(settings, name),
                expected="conv_hyperparams { ... }; neither convolve_then_upsample_masks nor predict_keypoints",
                fix="Use the Mask R-CNN config of the TF2 Detection Model Zoo.",
            )
    return settings
