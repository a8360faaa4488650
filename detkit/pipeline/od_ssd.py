"""The parts of an SSD in a pipeline.config: names and defaults are those of the OD API's proto files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from detkit.pipeline.fields import choice, option
from detkit.pipeline.message import Message
from detkit.pipeline.od_layers import Hyperparams
from detkit.pipeline.sections import Section


@dataclass(frozen=True)
class FeaturePyramidNetworks(Section):
    """The feature pyramid network (https://arxiv.org/abs/1612.03144); level n has a stride of 2**n pixels."""

    ORDERED: ClassVar[tuple] = ("min_level max_level",)

    min_level: int = option(3, at_least=1, at_most=12)
    max_level: int = option(7, at_least=1, at_most=12)
    additional_layer_depth: int = option(256, at_least=1)
    use_native_resize_op: bool = False


@dataclass(frozen=True)
class BidirectionalFeaturePyramidNetworks(Section):
    """EfficientDet's BiFPN (https://arxiv.org/abs/1911.09070)."""

    ORDERED: ClassVar[tuple] = ("min_level max_level",)

    min_level: int = option(3, at_least=1, at_most=12)
    max_level: int = option(7, at_least=1, at_most=12)
    num_iterations: int = option(0, at_least=1)
    num_filters: int = option(0, at_least=1)
    combine_method: str = "fast_attention"
    use_native_resize_op: bool = False


@dataclass(frozen=True)
class SsdFeatureExtractor(Section):
    """Backbone and neck."""

    ONE_OF: ClassVar[tuple] = ("fpn bifpn",)
    IGNORED: ClassVar[str] = "batch_norm_trainable spaghettinet_arch_name"

    type: str = ""
    depth_multiplier: float = option(1.0, above=0)
    min_depth: int = option(16, at_least=0)
    pad_to_multiple: int = option(1, at_least=1)
    conv_hyperparams: Hyperparams | None = None
    override_base_feature_extractor_hyperparams: bool = False
    use_explicit_padding: bool = False
    use_depthwise: bool = False
    fpn: FeaturePyramidNetworks | None = None
    bifpn: BidirectionalFeaturePyramidNetworks | None = None
    replace_preprocessor_with_placeholder: bool = False
    num_layers: int = option(6, at_least=1)


@dataclass(frozen=True)
class FasterRcnnBoxCoder(Section):
    """The factors of the encoded offsets (https://arxiv.org/abs/1506.01497)."""

    y_scale: float = option(10.0, above=0)
    x_scale: float = option(10.0, above=0)
    height_scale: float = option(5.0, above=0)
    width_scale: float = option(5.0, above=0)


@dataclass(frozen=True)
class BoxCoder(Section):
    """How boxes are encoded relative to anchors."""

    ONE_OF: ClassVar[tuple] = ("faster_rcnn_box_coder mean_stddev_box_coder square_box_coder keypoint_box_coder",)

    faster_rcnn_box_coder: FasterRcnnBoxCoder | None = None
    mean_stddev_box_coder: Message | None = None
    square_box_coder: Message | None = None
    keypoint_box_coder: Message | None = None


@dataclass(frozen=True)
class ArgMaxMatcher(Section):
    """Each anchor matches the ground truth box of the highest similarity; thresholds are similarities."""

    ORDERED: ClassVar[tuple] = ("unmatched_threshold matched_threshold",)

    matched_threshold: float = option(0.5, at_least=0, at_most=1)
    unmatched_threshold: float = option(0.5, at_least=0, at_most=1)
    ignore_thresholds: bool = False
    negatives_lower_than_unmatched: bool = True
    force_match_for_each_row: bool = False
    use_matmul_gather: bool = False


@dataclass(frozen=True)
class Matcher(Section):
    """How anchors are matched to ground truth boxes."""

    ONE_OF: ClassVar[tuple] = ("argmax_matcher bipartite_matcher",)

    argmax_matcher: ArgMaxMatcher | None = None
    bipartite_matcher: Message | None = None


@dataclass(frozen=True)
class RegionSimilarityCalculator(Section):
    """What the matcher compares."""

    ONE_OF: ClassVar[tuple] = ("neg_sq_dist_similarity iou_similarity ioa_similarity thresholded_iou_similarity",)

    iou_similarity: Message | None = None
    ioa_similarity: Message | None = None
    neg_sq_dist_similarity: Message | None = None
    thresholded_iou_similarity: Message | None = None


@dataclass(frozen=True)
class BoxEncodingsClipRange(Section):
    """The range that encoded boxes are clipped to."""

    ORDERED: ClassVar[tuple] = ("min max",)

    min: float = 0.0
    max: float = 0.0


@dataclass(frozen=True)
class ConvolutionalBoxPredictor(Section):
    """A head with weights of its own at every feature map."""

    conv_hyperparams: Hyperparams | None = None
    min_depth: int = option(0, at_least=0)
    max_depth: int = option(0, at_least=0)
    num_layers_before_predictor: int = option(0, at_least=0)
    use_dropout: bool = True
    dropout_keep_probability: float = option(0.8, above=0, at_most=1)
    kernel_size: int = option(1, at_least=1)
    box_code_size: int = option(4, at_least=4)
    apply_sigmoid_to_scores: bool = False
    class_prediction_bias_init: float = 0.0
    use_depthwise: bool = False
    box_encodings_clip_range: BoxEncodingsClipRange | None = None


@dataclass(frozen=True)
class WeightSharedConvolutionalBoxPredictor(Section):
    """A head whose weights serve every feature map (https://arxiv.org/abs/1708.02002)."""

    conv_hyperparams: Hyperparams | None = None
    apply_conv_hyperparams_to_heads: bool = False
    apply_conv_hyperparams_pointwise: bool = False
    num_layers_before_predictor: int = option(0, at_least=0)
    depth: int = option(0, at_least=0)
    kernel_size: int = option(3, at_least=1)
    box_code_size: int = option(4, at_least=4)
    class_prediction_bias_init: float = 0.0
    use_dropout: bool = False
    dropout_keep_probability: float = option(0.8, above=0, at_most=1)
    share_prediction_tower: bool = False
    use_depthwise: bool = False
    score_converter: str = choice("IDENTITY", "IDENTITY", "SIGMOID")
    box_encodings_clip_range: BoxEncodingsClipRange | None = None


@dataclass(frozen=True)
class MaskRcnnBoxPredictor(Section):
    """The dense head of a two-stage detector, and the mask head above it."""

    fc_hyperparams: Hyperparams | None = None
    use_dropout: bool = False
    dropout_keep_probability: float = option(0.5, above=0, at_most=1)
    box_code_size: int = option(4, at_least=4)
    conv_hyperparams: Hyperparams | None = None
    predict_instance_masks: bool = False
    mask_prediction_conv_depth: int = option(256, at_least=0)
    predict_keypoints: bool = False
    mask_height: int = option(15, at_least=1)
    mask_width: int = option(15, at_least=1)
    mask_prediction_num_conv_layers: int = option(2, at_least=1)
    masks_are_class_agnostic: bool = False
    share_box_across_classes: bool = False
    convolve_then_upsample_masks: bool = False


@dataclass(frozen=True)
class BoxPredictor(Section):
    """The head."""

    ONE_OF: ClassVar[tuple] = (
        "convolutional_box_predictor weight_shared_convolutional_box_predictor mask_rcnn_box_predictor "
        "rfcn_box_predictor",
    )

    convolutional_box_predictor: ConvolutionalBoxPredictor | None = None
    weight_shared_convolutional_box_predictor: WeightSharedConvolutionalBoxPredictor | None = None
    mask_rcnn_box_predictor: MaskRcnnBoxPredictor | None = None
    rfcn_box_predictor: Message | None = None


@dataclass(frozen=True)
class SsdAnchorGenerator(Section):
    """The anchors of SSD (https://arxiv.org/abs/1512.02325); scales are fractions of the image."""

    ORDERED: ClassVar[tuple] = ("min_scale max_scale",)

    num_layers: int = option(6, at_least=1)
    min_scale: float = option(0.2, above=0)
    max_scale: float = option(0.95, above=0)
    scales: tuple[float, ...] = option((), above=0)
    aspect_ratios: tuple[float, ...] = option((), above=0)
    interpolated_scale_aspect_ratio: float = option(1.0, at_least=0)
    reduce_boxes_in_lowest_layer: bool = True
    base_anchor_height: float = option(1.0, above=0)
    base_anchor_width: float = option(1.0, above=0)
    height_stride: tuple[int, ...] = option((), at_least=1)
    width_stride: tuple[int, ...] = option((), at_least=1)
    height_offset: tuple[int, ...] = option((), at_least=0)
    width_offset: tuple[int, ...] = option((), at_least=0)


@dataclass(frozen=True)
class MultiscaleAnchorGenerator(Section):
    """The anchors of RetinaNet (https://arxiv.org/abs/1708.02002); `anchor_scale` is in strides."""

    ORDERED: ClassVar[tuple] = ("min_level max_level",)

    min_level: int = option(3, at_least=1, at_most=12)
    max_level: int = option(7, at_least=1, at_most=12)
    anchor_scale: float = option(4.0, above=0)
    aspect_ratios: tuple[float, ...] = option((), above=0)
    scales_per_octave: int = option(2, at_least=1)
    normalize_coordinates: bool = True


@dataclass(frozen=True)
class GridAnchorGenerator(Section):
    """The anchors of Faster R-CNN (https://arxiv.org/abs/1506.01497); sizes, strides and offsets are in pixels."""

    height: int = option(256, at_least=1)
    width: int = option(256, at_least=1)
    height_stride: int = option(16, at_least=1)
    width_stride: int = option(16, at_least=1)
    height_offset: int = option(0, at_least=0)
    width_offset: int = option(0, at_least=0)
    scales: tuple[float, ...] = option((), above=0)
    aspect_ratios: tuple[float, ...] = option((), above=0)


@dataclass(frozen=True)
class AnchorGenerator(Section):
    """Where the anchors are."""

    ONE_OF: ClassVar[tuple] = (
        "ssd_anchor_generator multiscale_anchor_generator grid_anchor_generator flexible_grid_anchor_generator",
    )

    ssd_anchor_generator: SsdAnchorGenerator | None = None
    multiscale_anchor_generator: MultiscaleAnchorGenerator | None = None
    grid_anchor_generator: GridAnchorGenerator | None = None
    flexible_grid_anchor_generator: Message | None = None


@dataclass(frozen=True)
class BatchNonMaxSuppression(Section):
    """Non-maximum suppression of the scored boxes of each image."""

    IGNORED: ClassVar[str] = "use_cpu_nms use_hard_nms use_combined_nms use_partitioned_nms combined_nms"

    score_threshold: float = option(0.0, at_least=0, at_most=1)
    iou_threshold: float = option(0.6, at_least=0, at_most=1)
    max_detections_per_class: int = option(100, at_least=1)
    max_total_detections: int = option(100, at_least=1)
    use_static_shapes: bool = False
    use_class_agnostic_nms: bool = False
    max_classes_per_detection: int = option(1, at_least=1)
    soft_nms_sigma: float = option(0.0, at_least=0)
    change_coordinate_frame: bool = True


@dataclass(frozen=True)
class PostProcessing(Section):
    """From logits and encoded boxes to detections."""

    batch_non_max_suppression: BatchNonMaxSuppression | None = None
    score_converter: str = choice("IDENTITY", "IDENTITY", "SIGMOID", "SOFTMAX")
    logit_scale: float = option(1.0, above=0)
    calibration_config: Message | None = None
