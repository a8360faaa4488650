"""CenterNet in a pipeline.config: names and defaults are those of the OD API's proto files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from detkit.pipeline.fields import option
from detkit.pipeline.message import Message
from detkit.pipeline.od_layers import ClassificationLoss, ImageResizer, LocalizationLoss
from detkit.pipeline.sections import Section


@dataclass(frozen=True)
class CenterNetFeatureExtractor(Section):
    """Backbone and neck; means and deviations are those of the channels in the order that the backbone reads."""

    IGNORED: ClassVar[str] = "upsampling_interpolation"

    type: str = ""
    channel_means: tuple[float, ...] = ()
    channel_stds: tuple[float, ...] = option((), above=0)
    bgr_ordering: bool = False
    depth_multiplier: float = option(1.0, above=0)
    use_depthwise: bool = False
    use_separable_conv: bool = False


@dataclass(frozen=True)
class ObjectDetection(Section):
    """The heads for the size of a box and the offset of its centre."""

    task_loss_weight: float = option(1.0, at_least=0)
    offset_loss_weight: float = option(1.0, at_least=0)
    scale_loss_weight: float = option(0.1, at_least=0)
    localization_loss: LocalizationLoss | None = None
    scale_head_num_filters: tuple[int, ...] = option((), at_least=1)
    scale_head_kernel_sizes: tuple[int, ...] = option((), at_least=1)
    offset_head_num_filters: tuple[int, ...] = option((), at_least=1)
    offset_head_kernel_sizes: tuple[int, ...] = option((), at_least=1)


@dataclass(frozen=True)
class ObjectCenterParams(Section):
    """The heat map of object centres."""

    IGNORED: ClassVar[str] = "use_labeled_classes keypoint_weights_for_center"

    object_center_loss_weight: float = option(1.0, at_least=0)
    classification_loss: ClassificationLoss | None = None
    heatmap_bias_init: float = -2.19
    min_box_overlap_iou: float = option(0.7, at_least=0, at_most=1)
    max_box_predictions: int = option(100, at_least=1)
    center_head_num_filters: tuple[int, ...] = option((), at_least=1)
    center_head_kernel_sizes: tuple[int, ...] = option((), at_least=1)
    peak_max_pool_kernel_size: int = option(3, at_least=1)


@dataclass(frozen=True)
class KeypointLoss(Section):
    """The losses of keypoint heat maps, offsets and regression."""

    localization_loss: LocalizationLoss | None = None
    classification_loss: ClassificationLoss | None = None


@dataclass(frozen=True)
class KeypointStd(Section):
    """An entry of `keypoint_label_to_std`: a keypoint and the spread of its heat map."""

    key: str = ""
    value: float = option(1.0, above=0)


@dataclass(frozen=True)
class KeypointEstimation(Section):
    """The keypoints of one class."""

    task_name: str = ""
    task_loss_weight: float = option(1.0, at_least=0)
    loss: KeypointLoss | None = None
    keypoint_class_name: str = ""
    keypoint_label_to_std: tuple[KeypointStd, ...] = ()
    keypoint_regression_loss_weight: float = option(1.0, at_least=0)
    keypoint_heatmap_loss_weight: float = option(1.0, at_least=0)
    keypoint_offset_loss_weight: float = option(1.0, at_least=0)
    heatmap_bias_init: float = -2.19
    keypoint_candidate_score_threshold: float = option(0.1, at_least=0, at_most=1)
    num_candidates_per_keypoint: int = option(100, at_least=1)
    peak_max_pool_kernel_size: int = option(3, at_least=1)
    unmatched_keypoint_score: float = option(0.1, at_least=0, at_most=1)
    box_scale: float = option(1.2, above=0)
    candidate_search_scale: float = option(0.3, above=0)
    candidate_ranking_mode: str = "min_distance"
    offset_peak_radius: int = option(0, at_least=0)
    per_keypoint_offset: bool = False
    predict_depth: bool = False
    per_keypoint_depth: bool = False
    score_distance_offset: float = option(1e-6, at_least=0)
    clip_out_of_frame_keypoints: bool = False
    rescore_instances: bool = False
    rescoring_threshold: float = option(0.0, at_least=0, at_most=1)


@dataclass(frozen=True)
class CenterNet(Section):
    """Objects as points (https://arxiv.org/abs/1904.07850)."""

    IGNORED: ClassVar[str] = "compute_heatmap_sparse"

    num_classes: int = option(0, at_least=1)
    feature_extractor: CenterNetFeatureExtractor | None = None
    image_resizer: ImageResizer | None = None
    use_depthwise: bool = False
    object_detection_task: ObjectDetection | None = None
    object_center_params: ObjectCenterParams | None = None
    keypoint_label_map_path: str = ""
    keypoint_estimation_task: tuple[KeypointEstimation, ...] = ()
    mask_estimation_task: Message | None = None
    densepose_estimation_task: Message | None = None
    track_estimation_task: Message | None = None
    temporal_offset_task: Message | None = None
    deepmac_mask_estimation: Message | None = None
