"""Faster R-CNN and Mask R-CNN in a pipeline.config: names and defaults are those of the OD API's proto files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from detkit.pipeline.fields import option
from detkit.pipeline.message import Message
from detkit.pipeline.od_layers import ClassificationLoss, HardExampleMiner, Hyperparams, ImageResizer
from detkit.pipeline.od_ssd import AnchorGenerator, BoxPredictor, PostProcessing
from detkit.pipeline.sections import Section


@dataclass(frozen=True)
class FasterRcnnFeatureExtractor(Section):
    """The backbone, whose last stage is run on each proposal."""

    type: str = ""
    first_stage_features_stride: int = option(16, at_least=1)
    batch_norm_trainable: bool = False
    conv_hyperparams: Hyperparams | None = None
    override_base_feature_extractor_hyperparams: bool = False
    pad_to_multiple: int = option(32, at_least=1)
    fpn: Message | None = None


@dataclass(frozen=True)
class FasterRcnn(Section):
    """A two-stage detector (https://arxiv.org/abs/1506.01497), with three stages Mask R-CNN (arXiv 1703.06870)."""

    IGNORED: ClassVar[str] = (
        "use_matmul_crop_and_resize use_matmul_gather_in_matcher use_static_shapes use_static_shapes_for_eval "
        "use_partitioned_nms_in_first_stage use_combined_nms_in_first_stage use_static_balanced_label_sampler"
    )

    number_of_stages: int = option(2, at_least=1, at_most=3)
    num_classes: int = option(0, at_least=1)
    image_resizer: ImageResizer | None = None
    feature_extractor: FasterRcnnFeatureExtractor | None = None
    first_stage_anchor_generator: AnchorGenerator | None = None
    first_stage_atrous_rate: int = option(1, at_least=1)
    first_stage_box_predictor_conv_hyperparams: Hyperparams | None = None
    first_stage_box_predictor_kernel_size: int = option(3, at_least=1)
    first_stage_box_predictor_depth: int = option(512, at_least=1)
    first_stage_minibatch_size: int = option(256, at_least=1)
    first_stage_positive_balance_fraction: float = option(0.5, at_least=0, at_most=1)
    first_stage_nms_score_threshold: float = option(0.0, at_least=0, at_most=1)
    first_stage_nms_iou_threshold: float = option(0.7, at_least=0, at_most=1)
    first_stage_max_proposals: int = option(300, at_least=1)
    first_stage_localization_loss_weight: float = option(1.0, at_least=0)
    first_stage_objectness_loss_weight: float = option(1.0, at_least=0)
    initial_crop_size: int = option(0, at_least=1)
    maxpool_kernel_size: int = option(0, at_least=1)
    maxpool_stride: int = option(0, at_least=1)
    second_stage_box_predictor: BoxPredictor | None = None
    second_stage_batch_size: int = option(64, at_least=1)
    second_stage_balance_fraction: float = option(0.25, at_least=0, at_most=1)
    second_stage_post_processing: PostProcessing | None = None
    second_stage_localization_loss_weight: float = option(1.0, at_least=0)
    second_stage_classification_loss_weight: float = option(1.0, at_least=0)
    second_stage_mask_prediction_loss_weight: float = option(1.0, at_least=0)
    second_stage_classification_loss: ClassificationLoss | None = None
    hard_example_miner: HardExampleMiner | None = None
    inplace_batchnorm_update: bool = False
    clip_anchors_to_image: bool = False
    resize_masks: bool = True
    return_raw_detections_during_predict: bool = False
    output_final_box_features: bool = False
    output_final_box_rpn_features: bool = False
    context_config: Message | None = None
