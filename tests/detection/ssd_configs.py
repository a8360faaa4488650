"""The ten SSD architectures of the TF2 Detection Model Zoo, as configs of what decides their variables."""

from __future__ import annotations

from detkit.pipeline import od_config

# name: (feature extractor, side of the input, separable convolutions and one tower for both heads)
ARCHITECTURES = {
    "ssd_mobilenet_v2_320x320": ("ssd_mobilenet_v2_keras", 300, False),
    "ssd_mobilenet_v1_fpn_640x640": ("ssd_mobilenet_v1_fpn_keras", 640, False),
    "ssd_mobilenet_v2_fpnlite_320x320": ("ssd_mobilenet_v2_fpn_keras", 320, True),
    "ssd_mobilenet_v2_fpnlite_640x640": ("ssd_mobilenet_v2_fpn_keras", 640, True),
    "ssd_resnet50_v1_fpn_640x640": ("ssd_resnet50_v1_fpn_keras", 640, False),
    "ssd_resnet50_v1_fpn_1024x1024": ("ssd_resnet50_v1_fpn_keras", 1024, False),
    "ssd_resnet101_v1_fpn_640x640": ("ssd_resnet101_v1_fpn_keras", 640, False),
    "ssd_resnet101_v1_fpn_1024x1024": ("ssd_resnet101_v1_fpn_keras", 1024, False),
    "ssd_resnet152_v1_fpn_640x640": ("ssd_resnet152_v1_fpn_keras", 640, False),
    "ssd_resnet152_v1_fpn_1024x1024": ("ssd_resnet152_v1_fpn_keras", 1024, False),
}

CONVOLUTIONS = """conv_hyperparams {
  activation: RELU_6
  regularizer { l2_regularizer { weight: 4e-5 } }
  initializer { truncated_normal_initializer { mean: 0.0 stddev: 0.03 } }
  batch_norm { scale: true decay: 0.997 epsilon: 0.001 }
}"""

PYRAMID = """
    feature_extractor {
      type: "%(type)s" depth_multiplier: 1.0 min_depth: 16 use_depthwise: %(separable)s %(convolutions)s
      override_base_feature_extractor_hyperparams: true
      fpn { min_level: 3 max_level: 7 additional_layer_depth: %(depth)d }
    }
    anchor_generator { multiscale_anchor_generator {
      min_level: 3 max_level: 7 anchor_scale: 4.0 aspect_ratios: [1.0, 2.0, 0.5] scales_per_octave: 2
    } }
    box_predictor { weight_shared_convolutional_box_predictor {
      %(convolutions)s depth: %(depth)d num_layers_before_predictor: 4 kernel_size: 3
      class_prediction_bias_init: -4.6 use_depthwise: %(separable)s share_prediction_tower: %(separable)s
    } }"""

CHAIN = """
    feature_extractor {
      type: "%(type)s" depth_multiplier: 1.0 min_depth: 16 %(convolutions)s
      override_base_feature_extractor_hyperparams: true
    }
    anchor_generator { ssd_anchor_generator {
      num_layers: 6 min_scale: 0.2 max_scale: 0.95 aspect_ratios: [1.0, 2.0, 0.5, 3.0, 0.3333]
    } }
    box_predictor { convolutional_box_predictor {
      %(convolutions)s kernel_size: 1 class_prediction_bias_init: -4.6 num_layers_before_predictor: 0
    } }"""

MODEL = """model {
  ssd {
    num_classes: %(classes)d
    image_resizer { fixed_shape_resizer { height: %(side)d width: %(side)d } }
    box_coder { faster_rcnn_box_coder { y_scale: 10.0 x_scale: 10.0 height_scale: 5.0 width_scale: 5.0 } }
    matcher { argmax_matcher {
      matched_threshold: 0.5 unmatched_threshold: 0.5 ignore_thresholds: false
      negatives_lower_than_unmatched: true force_match_for_each_row: true
    } }
    similarity_calculator { iou_similarity { } }%(parts)s
    loss {
      classification_loss { weighted_sigmoid_focal { alpha: 0.25 gamma: 2.0 } }
      localization_loss { weighted_smooth_l1 { } }
      classification_weight: 1.0 localization_weight: 1.0
    }
    normalize_loss_by_num_matches: true normalize_loc_loss_by_codesize: true encode_background_as_zeros: true
    post_processing {
      batch_non_max_suppression {
        score_threshold: 1e-8 iou_threshold: 0.6 max_detections_per_class: 100 max_total_detections: 100
      }
      score_converter: SIGMOID
    }
  }
}
"""


def text(name: str, classes: int = 90) -> str:
    """The pipeline.config of an architecture."""
    kind, side, separable = ARCHITECTURES[name]
    values = {"type": kind, "separable": str(separable).lower(), "depth": 128 if separable else 256}
    template = CHAIN if kind == "ssd_mobilenet_v2_keras" else PYRAMID
    parts = template % (values | {"convolutions": CONVOLUTIONS})
    return MODEL % {"classes": classes, "side": side, "parts": parts}


def config(name: str, classes: int = 90):
    """The typed config of an architecture."""
    return od_config.parse(text(name, classes), name)
