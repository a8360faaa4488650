"""Every architecture of the TF2 Detection Model Zoo, as the model of its pipeline.config."""

from __future__ import annotations

from detkit.pipeline import od_config

# name: (backbone, (height, width) of the input)
SSD = {
    "ssd_mobilenet_v2_320x320": ("mobilenet_v2", (300, 300)),
    "ssd_mobilenet_v1_fpn_640x640": ("mobilenet_v1_fpn", (640, 640)),
    "ssd_mobilenet_v2_fpnlite_320x320": ("mobilenet_v2_fpn", (320, 320)),
    "ssd_mobilenet_v2_fpnlite_640x640": ("mobilenet_v2_fpn", (640, 640)),
    "ssd_resnet50_v1_fpn_640x640": ("resnet50_v1_fpn", (640, 640)),
    "ssd_resnet50_v1_fpn_1024x1024": ("resnet50_v1_fpn", (1024, 1024)),
    "ssd_resnet101_v1_fpn_640x640": ("resnet101_v1_fpn", (640, 640)),
    "ssd_resnet101_v1_fpn_1024x1024": ("resnet101_v1_fpn", (1024, 1024)),
    "ssd_resnet152_v1_fpn_640x640": ("resnet152_v1_fpn", (640, 640)),
    "ssd_resnet152_v1_fpn_1024x1024": ("resnet152_v1_fpn", (1024, 1024)),
}
# name: (number of the EfficientNet, side of the input, BiFPN filters, BiFPN iterations, layers of a tower)
EFFICIENTDET = {
    "efficientdet_d0": (0, 512, 64, 3, 3),
    "efficientdet_d1": (1, 640, 88, 4, 3),
    "efficientdet_d2": (2, 768, 112, 5, 3),
    "efficientdet_d3": (3, 896, 160, 6, 4),
    "efficientdet_d4": (4, 1024, 224, 7, 4),
    "efficientdet_d5": (5, 1280, 288, 7, 4),
    "efficientdet_d6": (6, 1408, 384, 8, 5),
    "efficientdet_d7": (6, 1536, 384, 8, 5),
}
# name: (backbone, (shorter, longer side of the input), whether all classes share a box)
FASTER_RCNN = {
    f"faster_rcnn_resnet{depth}_v1_{size[0]}x{size[1]}": (f"resnet{depth}", size, size != (800, 1333))
    for depth in (50, 101, 152)
    for size in ((640, 640), (1024, 1024), (800, 1333))
}
FASTER_RCNN |= {
    f"faster_rcnn_inception_resnet_v2_{side}x{side}": ("inception_resnet_v2", (side, side), True)
    for side in (640, 1024)
}
FASTER_RCNN["mask_rcnn_inception_resnet_v2"] = ("inception_resnet_v2", (1024, 1024), False)
# name: (feature extractor, side of the input)
CENTERNET = {
    "centernet_hg104_512x512": ("hourglass_104", 512),
    "centernet_hg104_512x512_kpts": ("hourglass_104", 512),
    "centernet_hg104_1024x1024": ("hourglass_104", 1024),
    "centernet_hg104_1024x1024_kpts": ("hourglass_104", 1024),
    "centernet_resnet50_v1_fpn_512x512": ("resnet_v1_50_fpn", 512),
    "centernet_resnet50_v1_fpn_512x512_kpts": ("resnet_v1_50_fpn", 512),
    "centernet_resnet101_v1_fpn_512x512": ("resnet_v1_101_fpn", 512),
    "centernet_resnet50_v2_512x512": ("resnet_v2_50", 512),
    "centernet_resnet50_v2_512x512_kpts": ("resnet_v2_50", 512),
    "centernet_mobilenetv2fpn_512x512_od": ("mobilenet_v2_fpn_sep_conv", 512),
    "centernet_mobilenetv2fpn_512x512_od__densefpn": ("mobilenet_v2_fpn_sep_conv", 512),
    "centernet_mobilenetv2fpn_512x512_kpts": ("mobilenet_v2_fpn_sep_conv", 512),
}
ARCHITECTURES = (*SSD, *EFFICIENTDET, *FASTER_RCNN, *CENTERNET)

KEYPOINTS = {
    "nose": 0.26, "left_eye": 0.25, "right_eye": 0.25, "left_ear": 0.35, "right_ear": 0.35, "left_shoulder": 0.79,
    "right_shoulder": 0.79, "left_elbow": 0.72, "right_elbow": 0.72, "left_wrist": 0.62, "right_wrist": 0.62,
    "left_hip": 1.07, "right_hip": 1.07, "left_knee": 0.89, "right_knee": 0.89, "left_ankle": 0.89,
    "right_ankle": 0.89,
}  # fmt: skip


def fixed(height: int, width: int) -> str:
    return f"image_resizer {{ fixed_shape_resizer {{ height: {height} width: {width} }} }}"


def padded(shorter: int, longer: int) -> str:
    return f"""image_resizer {{ keep_aspect_ratio_resizer {{
      min_dimension: {shorter} max_dimension: {longer} pad_to_max_dimension: true
    }} }}"""


def convolutions(l2: str, initializer: str, activation: str = "RELU_6", decay: float = 0.997, more: str = "") -> str:
    return f"""conv_hyperparams {{
      activation: {activation} {more} regularizer {{ l2_regularizer {{ weight: {l2} }} }}
      initializer {{ {initializer} }}
      batch_norm {{ scale: true decay: {decay} epsilon: 0.001 }}
    }}"""


NARROW = "random_normal_initializer { mean: 0.0 stddev: 0.01 }"
WIDE = "truncated_normal_initializer { mean: 0.0 stddev: 0.03 }"


def one_stage(parts: str, resizer: str, alpha: float = 0.25, gamma: float = 2.0, iou: float = 0.6) -> str:
    """What SSD and EfficientDet have in common."""
    return f"""model {{ ssd {{
    num_classes: 90 inplace_batchnorm_update: true freeze_batchnorm: false {resizer} {parts}
    box_coder {{ faster_rcnn_box_coder {{ y_scale: 10.0 x_scale: 10.0 height_scale: 5.0 width_scale: 5.0 }} }}
    matcher {{ argmax_matcher {{
      matched_threshold: 0.5 unmatched_threshold: 0.5 ignore_thresholds: false use_matmul_gather: true
      negatives_lower_than_unmatched: true force_match_for_each_row: true
    }} }}
    similarity_calculator {{ iou_similarity {{ }} }}
    loss {{
      classification_loss {{ weighted_sigmoid_focal {{ alpha: {alpha} gamma: {gamma} }} }}
      localization_loss {{ weighted_smooth_l1 {{ }} }}
      classification_weight: 1.0 localization_weight: 1.0
    }}
    normalize_loss_by_num_matches: true normalize_loc_loss_by_codesize: true encode_background_as_zeros: true
    post_processing {{
      batch_non_max_suppression {{
        score_threshold: 1e-8 iou_threshold: {iou} max_detections_per_class: 100 max_total_detections: 100
      }}
      score_converter: SIGMOID
    }}
  }} }}"""


def shared_head(depth: int, layers: int, hyperparams: str, more: str = "") -> str:
    """The predictor whose weights all levels share."""
    return f"""box_predictor {{ weight_shared_convolutional_box_predictor {{
      depth: {depth} num_layers_before_predictor: {layers} kernel_size: 3 class_prediction_bias_init: -4.6 {more}
      {hyperparams}
    }} }}"""


def anchors(scales: int) -> str:
    return f"""anchor_generator {{ multiscale_anchor_generator {{
      min_level: 3 max_level: 7 anchor_scale: 4.0 aspect_ratios: [1.0, 2.0, 0.5] scales_per_octave: {scales}
    }} }}"""


def ssd(name: str) -> str:
    backbone, size = SSD[name]
    if name == "ssd_mobilenet_v2_320x320":
        return one_stage(chain(), fixed(*size), alpha=0.75)
    separable, resnet = "fpnlite" in name, "resnet" in name
    l2, depth = ("0.0004" if resnet else "0.00004"), (128 if separable else 256)
    head = shared_head(
        depth, 4, convolutions(l2, NARROW), "share_prediction_tower: true use_depthwise: true" if separable else ""
    )
    extractor = f"""feature_extractor {{
      type: "ssd_{backbone}_keras" min_depth: 16 depth_multiplier: 1.0 use_depthwise: {str(separable).lower()}
      fpn {{ min_level: 3 max_level: 7 additional_layer_depth: {depth} }}
      override_base_feature_extractor_hyperparams: true {convolutions(l2, WIDE if resnet else NARROW)}
    }}"""
    return one_stage(f"{extractor} {anchors(2)} {head}", fixed(*size))


def chain() -> str:
    """SSD without a pyramid."""

    def hyperparams(initializer):
        return convolutions("0.00004", initializer, decay=0.97)

    return f"""feature_extractor {{
      type: "ssd_mobilenet_v2_keras" min_depth: 16 depth_multiplier: 1.0 {hyperparams(WIDE)}
      override_base_feature_extractor_hyperparams: true
    }}
    anchor_generator {{ ssd_anchor_generator {{
      num_layers: 6 min_scale: 0.2 max_scale: 0.95 aspect_ratios: [1.0, 2.0, 0.5, 3.0, 0.3333]
    }} }}
    box_predictor {{ convolutional_box_predictor {{
      min_depth: 0 max_depth: 0 num_layers_before_predictor: 0 use_dropout: false dropout_keep_probability: 0.8
      kernel_size: 1 box_code_size: 4 apply_sigmoid_to_scores: false class_prediction_bias_init: -4.6
      {hyperparams(NARROW)}
    }} }}"""


def efficientdet(name: str) -> str:
    number, side, filters, iterations, layers = EFFICIENTDET[name]
    swish = dict(activation="SWISH", decay=0.99, more="force_use_bias: true")
    extractor = f"""feature_extractor {{
      type: "ssd_efficientnet-b{number}_bifpn_keras" {convolutions("0.00004", WIDE, **swish)}
      bifpn {{
        min_level: 3 max_level: 7 num_iterations: {iterations} num_filters: {filters}
        {"combine_method: 'sum'" if number == 6 else ""}
      }}
    }}"""
    head = shared_head(filters, layers, convolutions("0.00004", NARROW, **swish), "use_depthwise: true")
    parts = f"add_background_class: false {extractor} {anchors(3)} {head}"
    return one_stage(parts, padded(side, side), gamma=1.5, iou=0.5)


FULLY_CONNECTED = """fc_hyperparams {
      op: FC regularizer { l2_regularizer { weight: 0.0 } }
      initializer { variance_scaling_initializer { factor: 1.0 uniform: true mode: FAN_AVG } }
    }"""
PLAIN = """{
      op: CONV regularizer { l2_regularizer { weight: 0.0 } }
      initializer { truncated_normal_initializer { stddev: 0.01 } }
    }"""
MASKS = f"""predict_instance_masks: true mask_height: 33 mask_width: 33 mask_prediction_conv_depth: 0
      mask_prediction_num_conv_layers: 4 conv_hyperparams {PLAIN}"""


def faster_rcnn(name: str) -> str:
    backbone, size, shared = FASTER_RCNN[name]
    inception, masks = backbone.startswith("inception"), name.startswith("mask")
    resizer = fixed(*size) if inception or size == (1024, 1024) else padded(*size)
    crop = (17, 1, 1) if inception else (14, 2, 2)
    return f"""model {{ faster_rcnn {{
    num_classes: 90 number_of_stages: {3 if masks else 2} {resizer}
    feature_extractor {{
      type: "faster_rcnn_{backbone}_keras" batch_norm_trainable: {str(shared).lower()}
    }}
    first_stage_anchor_generator {{ grid_anchor_generator {{
      scales: [0.25, 0.5, 1.0, 2.0] aspect_ratios: [0.5, 1.0, 2.0] height_stride: 16 width_stride: 16
    }} }}
    first_stage_box_predictor_conv_hyperparams {PLAIN}
    first_stage_nms_score_threshold: 0.0 first_stage_nms_iou_threshold: 0.7 first_stage_max_proposals: 300
    first_stage_localization_loss_weight: 2.0 first_stage_objectness_loss_weight: 1.0
    initial_crop_size: {crop[0]} maxpool_kernel_size: {crop[1]} maxpool_stride: {crop[2]}
    second_stage_box_predictor {{ mask_rcnn_box_predictor {{
      use_dropout: false dropout_keep_probability: 1.0 share_box_across_classes: {str(shared).lower()}
      {FULLY_CONNECTED} {MASKS if masks else ""}
    }} }}
    second_stage_post_processing {{
      batch_non_max_suppression {{
        score_threshold: 0.0 iou_threshold: 0.6 max_detections_per_class: 100
        max_total_detections: {300 if shared and not inception else 100}
      }}
      score_converter: SOFTMAX
    }}
    second_stage_localization_loss_weight: 2.0 second_stage_classification_loss_weight: 1.0
    {"second_stage_mask_prediction_loss_weight: 4.0 resize_masks: false" if masks else ""}
    {"clip_anchors_to_image: true" if shared else ""}
  }} }}"""


L1 = "localization_loss { l1_localization_loss { } }"
FOCAL = "classification_loss { penalty_reduced_logistic_focal_loss { alpha: 2.0 beta: 4.0 } }"


def centernet(name: str) -> str:
    extractor, side = CENTERNET[name]
    small, more = "mobilenet" in name, ""
    if extractor == "hourglass_104":
        more = "channel_means: [104.01362025, 114.03422265, 119.9165958] bgr_ordering: true"
        more += " channel_stds: [73.6027665, 69.89082075, 70.9150767]"
    if small and "dense" not in name:
        more = "use_separable_conv: true"
    return f"""model {{ center_net {{
    num_classes: {1 if small and "kpts" in name else 90} {"use_depthwise: true" if small else ""} {padded(side, side)}
    feature_extractor {{ type: "{extractor}" {more} }}
    object_detection_task {{ task_loss_weight: 1.0 offset_loss_weight: 1.0 scale_loss_weight: 0.1 {L1} }}
    object_center_params {{
      object_center_loss_weight: 1.0 min_box_overlap_iou: 0.7 {FOCAL}
      max_box_predictions: {20 if small and "kpts" in name else 100}
    }}
    {keypoints() if "kpts" in name else ""}
  }} }}"""


def keypoints() -> str:
    deviations = " ".join(
        f'keypoint_label_to_std {{ key: "{key}" value: {value} }}' for key, value in sorted(KEYPOINTS.items())
    )
    return f"""keypoint_label_map_path: "mscoco_kpts_label_map.pbtxt" keypoint_estimation_task {{
      task_name: "human_pose" task_loss_weight: 1.0 keypoint_class_name: "/m/01g317"
      loss {{ {L1} {FOCAL} }} {deviations}
      keypoint_regression_loss_weight: 0.1 keypoint_heatmap_loss_weight: 1.0 keypoint_offset_loss_weight: 1.0
      offset_peak_radius: 3 per_keypoint_offset: true
    }}"""


def text(name: str) -> str:
    """The pipeline.config of an architecture; it holds a model only."""
    write = next(write for names, write in FAMILIES if name in names)
    return write(name)


FAMILIES = ((SSD, ssd), (EFFICIENTDET, efficientdet), (FASTER_RCNN, faster_rcnn), (CENTERNET, centernet))


def config(name: str, side: int | None = None, **changes):
    """The typed config of an architecture.

    Args:
        name: of ARCHITECTURES.
        side: shrinks the input to about this many pixels.
        changes: fields of the model's message.
    """
    parsed = od_config.parse(text(name), name)
    values = shrinking(parsed, side) | changes if side else changes
    path = f"model.{od_config.architecture(parsed)}"
    return od_config.with_changes(parsed, {f"{path}.{field}": value for field, value in values.items()})


SUPPRESSION = "second_stage_post_processing.batch_non_max_suppression"
FEW = {
    "first_stage_max_proposals": 12,
    "second_stage_batch_size": 8,
    f"{SUPPRESSION}.max_detections_per_class": 12,
    f"{SUPPRESSION}.max_total_detections": 12,
}


def shrinking(config, side: int) -> dict:
    """The changes to a model's message for a small input; a two-stage model gets few proposals and detections too."""
    model = od_config.meta_architecture(config)
    few = FEW if od_config.architecture(config) == "faster_rcnn" else {}
    if model.image_resizer.fixed_shape_resizer is not None:
        sizes = {"fixed_shape_resizer.height": side, "fixed_shape_resizer.width": side}
    else:
        before = model.image_resizer.keep_aspect_ratio_resizer
        longer = side * before.max_dimension // before.min_dimension
        sizes = {"keep_aspect_ratio_resizer.min_dimension": side, "keep_aspect_ratio_resizer.max_dimension": longer}
    return {f"image_resizer.{field}": value for field, value in sizes.items()} | few
