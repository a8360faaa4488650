"""Layer hyperparameters, image resizing and losses of a pipeline.config, as in the OD API's proto files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from detkit.pipeline.fields import choice, option
from detkit.pipeline.message import Message
from detkit.pipeline.sections import Section

_RESIZE = ("BILINEAR", "NEAREST_NEIGHBOR", "BICUBIC", "AREA")


@dataclass(frozen=True)
class WeightRegularizer(Section):
    """L1Regularizer or L2Regularizer: the factor of the penalty."""

    weight: float = option(1.0, at_least=0)


@dataclass(frozen=True)
class Regularizer(Section):
    """The penalty on the kernels."""

    ONE_OF: ClassVar[tuple] = ("l1_regularizer l2_regularizer",)

    l1_regularizer: WeightRegularizer | None = None
    l2_regularizer: WeightRegularizer | None = None


@dataclass(frozen=True)
class NormalInitializer(Section):
    """TruncatedNormalInitializer or RandomNormalInitializer: a normal distribution."""

    mean: float = 0.0
    stddev: float = option(1.0, at_least=0)


@dataclass(frozen=True)
class VarianceScalingInitializer(Section):
    """A distribution whose variance is scaled by the number of connections (https://arxiv.org/abs/1502.01852)."""

    factor: float = option(2.0, above=0)
    uniform: bool = False
    mode: str = choice("FAN_IN", "FAN_IN", "FAN_OUT", "FAN_AVG")


@dataclass(frozen=True)
class Initializer(Section):
    """The distribution that kernels start from."""

    ONE_OF: ClassVar[tuple] = (
        "truncated_normal_initializer random_normal_initializer variance_scaling_initializer keras_initializer_by_name",
    )

    truncated_normal_initializer: NormalInitializer | None = None
    random_normal_initializer: NormalInitializer | None = None
    variance_scaling_initializer: VarianceScalingInitializer | None = None
    keras_initializer_by_name: str | None = None


@dataclass(frozen=True)
class BatchNorm(Section):
    """Batch normalisation; `decay` is the momentum of the moving averages."""

    decay: float = option(0.999, at_least=0, at_most=1)
    center: bool = True
    scale: bool = False
    epsilon: float = option(0.001, at_least=0)
    train: bool = True


@dataclass(frozen=True)
class Hyperparams(Section):
    """What the convolutions of a part have in common."""

    ONE_OF: ClassVar[tuple] = ("batch_norm sync_batch_norm group_norm",)

    op: str = choice("CONV", "CONV", "FC")
    regularizer: Regularizer | None = None
    initializer: Initializer | None = None
    activation: str = choice("RELU", "NONE", "RELU", "RELU_6", "SWISH")
    batch_norm: BatchNorm | None = None
    sync_batch_norm: BatchNorm | None = None
    group_norm: Message | None = None
    regularize_depthwise: bool = False
    force_use_bias: bool = False


@dataclass(frozen=True)
class FixedShapeResizer(Section):
    """Resize to `height` x `width` pixels whatever the aspect ratio."""

    height: int = option(300, at_least=1)
    width: int = option(300, at_least=1)
    resize_method: str = choice("BILINEAR", *_RESIZE)
    convert_to_grayscale: bool = False


@dataclass(frozen=True)
class KeepAspectRatioResizer(Section):
    """Resize the shorter side to `min_dimension` pixels unless the longer would exceed `max_dimension`."""

    ORDERED: ClassVar[tuple] = ("min_dimension max_dimension",)

    min_dimension: int = option(600, at_least=1)
    max_dimension: int = option(1024, at_least=1)
    resize_method: str = choice("BILINEAR", *_RESIZE)
    pad_to_max_dimension: bool = False
    convert_to_grayscale: bool = False
    per_channel_pad_value: tuple[float, ...] = ()


@dataclass(frozen=True)
class ImageResizer(Section):
    """How images are brought to the size of the model's input."""

    ONE_OF: ClassVar[tuple] = (
        "fixed_shape_resizer keep_aspect_ratio_resizer identity_resizer conditional_shape_resizer "
        "pad_to_multiple_resizer",
    )

    fixed_shape_resizer: FixedShapeResizer | None = None
    keep_aspect_ratio_resizer: KeepAspectRatioResizer | None = None
    identity_resizer: Message | None = None
    conditional_shape_resizer: Message | None = None
    pad_to_multiple_resizer: Message | None = None


@dataclass(frozen=True)
class WeightedSmoothL1LocalizationLoss(Section):
    """The Huber loss of the encoded boxes, quadratic below `delta`."""

    IGNORED: ClassVar[str] = "anchorwise_output"

    delta: float = option(1.0, above=0)


@dataclass(frozen=True)
class LocalizationLoss(Section):
    """The loss of the boxes."""

    ONE_OF: ClassVar[tuple] = ("weighted_l2 weighted_smooth_l1 weighted_iou l1_localization_loss weighted_giou",)

    weighted_smooth_l1: WeightedSmoothL1LocalizationLoss | None = None
    weighted_l2: Message | None = None
    weighted_iou: Message | None = None
    l1_localization_loss: Message | None = None
    weighted_giou: Message | None = None


@dataclass(frozen=True)
class SigmoidClassificationLoss(Section):
    """WeightedSigmoidClassificationLoss: the cross entropy of each class on its own."""

    IGNORED: ClassVar[str] = "anchorwise_output"


@dataclass(frozen=True)
class SoftmaxClassificationLoss(Section):
    """WeightedSoftmaxClassificationLoss: the cross entropy over the classes and the background."""

    IGNORED: ClassVar[str] = "anchorwise_output"

    logit_scale: float = option(1.0, above=0)


@dataclass(frozen=True)
class SigmoidFocalClassificationLoss(Section):
    """The focal loss (https://arxiv.org/abs/1708.02002); no `alpha`: all anchors weigh the same."""

    IGNORED: ClassVar[str] = "anchorwise_output"

    gamma: float = option(2.0, at_least=0)
    alpha: float | None = option(None, at_least=0, at_most=1)


@dataclass(frozen=True)
class PenaltyReducedLogisticFocalLoss(Section):
    """The focal loss of a heat map whose peaks are Gaussians (https://arxiv.org/abs/1904.07850)."""

    IGNORED: ClassVar[str] = "anchorwise_output"

    alpha: float = option(2.0, at_least=0)
    beta: float = option(4.0, at_least=0)


@dataclass(frozen=True)
class ClassificationLoss(Section):
    """The loss of the class scores."""

    ONE_OF: ClassVar[tuple] = (
        "weighted_sigmoid weighted_softmax weighted_sigmoid_focal weighted_logits_softmax "
        "bootstrapped_sigmoid penalty_reduced_logistic_focal_loss weighted_dice_classification_loss",
    )

    weighted_sigmoid: SigmoidClassificationLoss | None = None
    weighted_softmax: SoftmaxClassificationLoss | None = None
    weighted_sigmoid_focal: SigmoidFocalClassificationLoss | None = None
    weighted_logits_softmax: Message | None = None
    bootstrapped_sigmoid: Message | None = None
    penalty_reduced_logistic_focal_loss: PenaltyReducedLogisticFocalLoss | None = None
    weighted_dice_classification_loss: Message | None = None


@dataclass(frozen=True)
class HardExampleMiner(Section):
    """Which anchors the loss counts, by falling loss after non-maximum suppression."""

    num_hard_examples: int = option(64, at_least=0)
    iou_threshold: float = option(0.7, at_least=0, at_most=1)
    loss_type: str = choice("BOTH", "BOTH", "CLASSIFICATION", "LOCALIZATION")
    max_negatives_per_positive: int = option(0, at_least=0)
    min_negatives_per_image: int = option(0, at_least=0)


@dataclass(frozen=True)
class Loss(Section):
    """The parts of the loss and their weights."""

    localization_loss: LocalizationLoss | None = None
    classification_loss: ClassificationLoss | None = None
    hard_example_miner: HardExampleMiner | None = None
    classification_weight: float = option(1.0, at_least=0)
    localization_weight: float = option(1.0, at_least=0)
    random_example_sampler: Message | None = None
    equalization_loss: Message | None = None
    expected_loss_weights: str = choice("NONE", "NONE", "EXPECTED_SAMPLING", "REWEIGHTING_UNMATCHED_ANCHORS")
    min_num_negative_samples: float = option(0.0, at_least=0)
    desired_negative_sampling_ratio: float = option(3.0, at_least=0)
