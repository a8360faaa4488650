"""The region proposal network: where something may be. Source: Ren et al., "Faster R-CNN", 2015."""

from __future__ import annotations

import tensorflow as tf

from detkit.detection import box_coder
from detkit.detection.layers import Conv, ConvNorm, Hyperparameters

CODE_SCALES = (10.0, 10.0, 5.0, 5.0)  # fixed in the OD API's target assigners for both stages


class RegionProposalNetwork:
    """A 3x3 convolution, and on it a box and two logits (background, object) for every anchor.

    Args:
        channels: of the feature map.
        model: the typed `faster_rcnn` message.
    """

    def __init__(self, channels: int, model):
        generator = model.first_stage_anchor_generator.grid_anchor_generator
        per_cell = len(generator.scales) * len(generator.aspect_ratios)
        hyper = Hyperparameters.from_config(model.first_stage_box_predictor_conv_hyperparams)
        depth, size = model.first_stage_box_predictor_depth, model.first_stage_box_predictor_kernel_size
        # The OD API's activation here is ReLU6 whatever the config says.
        self.conv = ConvNorm(channels, depth, size, hyper=hyper, activation="RELU_6")
        self.box = Conv(depth, 4 * per_cell, bias=True, hyper=hyper)
        self.objectness = Conv(depth, 2 * per_cell, bias=True, hyper=hyper)

    def __call__(self, features) -> tuple:
        """[B, h, w, C] -> (box encodings [B, A, 4], logits [B, A, 2]); row by row, cell by cell, anchor by anchor."""
        x = self.conv(features)
        return _rows(self.box(x), 4), _rows(self.objectness(x), 2)

    @property
    def layers(self) -> list:
        """All layers, those of the convolution first."""
        return [*self.conv.layers, self.box, self.objectness]

    def nodes(self) -> dict:
        """{checkpoint path: layer}."""
        first, heads = "_first_stage_box_predictor_first_conv", "_first_stage_box_predictor/_prediction_heads"
        nodes = {f"{first}/layer_with_weights-{i}": layer for i, layer in enumerate(self.conv.layers)}
        nodes[f"{heads}/box_encodings/0/_box_encoder_layers/0"] = self.box
        nodes[f"{heads}/class_predictions_with_background/0/_class_predictor_layers/0"] = self.objectness
        return nodes


def _rows(x, width):
    return tf.reshape(x, [tf.shape(x)[0], x.shape[1] * x.shape[2] * x.shape[3] // width, width])


def propose(codes, logits, anchors, true_sizes, model) -> tuple:
    """The best boxes of every image after non-maximum suppression.

    Args:
        codes: [B, A, 4], logits: [B, A, 2], of the region proposal network.
        anchors: [A, 4] in pixels.
        true_sizes: [B, 2], (height, width) of the images inside their padding, in pixels.
        model: the typed `faster_rcnn` message.

    Returns:
        (boxes [B, P, 4] in pixels, clipped to the true image and zero where there are fewer, their number int32 [B]).
        No gradient flows through them.

    Source: `FasterRCNNMetaArch._postprocess_rpn`.
    """
    boxes = box_coder.decode(tf.stop_gradient(codes), anchors, CODE_SCALES)
    scores = tf.nn.softmax(tf.stop_gradient(logits))[..., 1]
    count = model.first_stage_max_proposals
    thresholds = model.first_stage_nms_iou_threshold, model.first_stage_nms_score_threshold

    def suppress(image):
        # The batched operation shuffles boxes of one score.
        kept, number = tf.raw_ops.NonMaxSuppressionV4(
            boxes=image[0],
            scores=image[1],
            max_output_size=count,
            iou_threshold=thresholds[0],
            score_threshold=thresholds[1],
            pad_to_max_output_size=True,
        )
        return tf.gather(image[0], kept), number

    signature = tf.TensorSpec([count, 4]), tf.TensorSpec([], tf.int32)
    best, number = tf.map_fn(suppress, (boxes, scores), fn_output_signature=signature)
    limits = tf.tile(tf.cast(true_sizes, tf.float32), [1, 2])[:, None]  # [B, 1, 4]
    clipped = tf.clip_by_value(best, 0.0, limits)
    valid = tf.range(count) < number[:, None]
    valid &= tf.reduce_all(clipped[..., 2:] > clipped[..., :2], axis=-1)
    order = tf.argsort(tf.cast(~valid, tf.int32), axis=1, stable=True)
    clipped = tf.where(valid[..., None], clipped, 0.0)
    return tf.gather(clipped, order, batch_dims=1), tf.reduce_sum(tf.cast(valid, tf.int32), axis=1)
