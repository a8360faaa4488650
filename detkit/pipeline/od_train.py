"""The training, input and evaluation messages of a pipeline.config, as in the OD API's proto files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from detkit.pipeline.fields import choice, option
from detkit.pipeline.message import Message
from detkit.pipeline.od_augmentation import PreprocessingStep
from detkit.pipeline.sections import Section


@dataclass(frozen=True)
class ConstantLearningRate(Section):
    """The same learning rate at every step."""

    learning_rate: float = option(0.002, at_least=0)


@dataclass(frozen=True)
class ExponentialDecayLearningRate(Section):
    """A learning rate that is multiplied by `decay_factor` every `decay_steps` steps."""

    initial_learning_rate: float = option(0.002, at_least=0)
    decay_steps: int = option(4_000_000, at_least=1)
    decay_factor: float = option(0.95, above=0)
    staircase: bool = True
    burnin_learning_rate: float = option(0.0, at_least=0)
    burnin_steps: int = option(0, at_least=0)
    min_learning_rate: float = option(0.0, at_least=0)


@dataclass(frozen=True)
class LearningRateSchedule(Section):
    """The learning rate from a step on."""

    step: int = option(0, at_least=0)
    learning_rate: float = option(0.002, at_least=0)


@dataclass(frozen=True)
class ManualStepLearningRate(Section):
    """A learning rate that changes at the listed steps."""

    initial_learning_rate: float = option(0.002, at_least=0)
    schedule: tuple[LearningRateSchedule, ...] = ()
    warmup: bool = False


@dataclass(frozen=True)
class CosineDecayLearningRate(Section):
    """A linear warm-up followed by half a cosine down to zero (https://arxiv.org/abs/1608.03983)."""

    learning_rate_base: float = option(0.002, at_least=0)
    total_steps: int = option(4_000_000, at_least=1)
    warmup_learning_rate: float = option(0.0002, at_least=0)
    warmup_steps: int = option(10_000, at_least=0)
    hold_base_rate_steps: int = option(0, at_least=0)


@dataclass(frozen=True)
class LearningRate(Section):
    """The learning rate as a function of the step."""

    ONE_OF: ClassVar[tuple] = (
        "constant_learning_rate exponential_decay_learning_rate manual_step_learning_rate cosine_decay_learning_rate",
    )

    constant_learning_rate: ConstantLearningRate | None = None
    exponential_decay_learning_rate: ExponentialDecayLearningRate | None = None
    manual_step_learning_rate: ManualStepLearningRate | None = None
    cosine_decay_learning_rate: CosineDecayLearningRate | None = None


@dataclass(frozen=True)
class RMSPropOptimizer(Section):
    """RMSProp with momentum."""

    learning_rate: LearningRate | None = None
    momentum_optimizer_value: float = option(0.9, at_least=0, at_most=1)
    decay: float = option(0.9, at_least=0, at_most=1)
    epsilon: float = option(1.0, at_least=0)


@dataclass(frozen=True)
class MomentumOptimizer(Section):
    """Stochastic gradient descent with momentum."""

    learning_rate: LearningRate | None = None
    momentum_optimizer_value: float = option(0.9, at_least=0, at_most=1)


@dataclass(frozen=True)
class AdamOptimizer(Section):
    """Adam (https://arxiv.org/abs/1412.6980)."""

    learning_rate: LearningRate | None = None
    epsilon: float = option(1e-8, at_least=0)


@dataclass(frozen=True)
class Optimizer(Section):
    """The optimizer and the moving average of the weights."""

    ONE_OF: ClassVar[tuple] = ("rms_prop_optimizer momentum_optimizer adam_optimizer",)

    rms_prop_optimizer: RMSPropOptimizer | None = None
    momentum_optimizer: MomentumOptimizer | None = None
    adam_optimizer: AdamOptimizer | None = None
    use_moving_average: bool = True
    moving_average_decay: float = option(0.9999, at_least=0, at_most=1)


@dataclass(frozen=True)
class TrainConfig(Section):
    """How the model is trained; each data augmentation option is a message that holds that of one operation."""

    IGNORED: ClassVar[tuple] = (
        "sync_replicas keep_checkpoint_every_n_hours run_fine_tune_checkpoint_dummy_computation "
        "startup_delay_steps replicas_to_aggregate batch_queue_capacity num_batch_queue_threads "
        "prefetch_queue_capacity merge_multiple_label_boxes use_multiclass_scores "
        "unpad_groundtruth_tensors retain_original_images use_bfloat16 summarize_gradients"
    )

    batch_size: int = option(32, at_least=1)
    data_augmentation_options: tuple[PreprocessingStep, ...] = ()
    optimizer: Optimizer | None = None
    gradient_clipping_by_norm: float = option(0.0, at_least=0)
    fine_tune_checkpoint: str = ""
    fine_tune_checkpoint_type: str = ""
    fine_tune_checkpoint_version: str = choice("V1", "UNKNOWN", "V1", "V2")
    from_detection_checkpoint: bool = False
    load_all_detection_checkpoint_vars: bool = False
    num_steps: int = option(0, at_least=0)
    bias_grad_multiplier: float = option(0.0, at_least=0)
    update_trainable_variables: tuple[str, ...] = ()
    freeze_variables: tuple[str, ...] = ()
    add_regularization_loss: bool = True
    max_number_of_boxes: int = option(100, at_least=1)


@dataclass(frozen=True)
class TFRecordInputReader(Section):
    """The TFRecord files of a dataset."""

    input_path: tuple[str, ...] = ()


@dataclass(frozen=True)
class InputReader(Section):
    """Where a dataset and its label map are."""

    ONE_OF: ClassVar[tuple] = ("tf_record_input_reader external_input_reader",)
    IGNORED: ClassVar[tuple] = (
        "name shuffle_buffer_size filenames_shuffle_buffer_size num_readers num_parallel_batches "
        "num_prefetch_batches queue_capacity min_after_dequeue read_block_length prefetch_size "
        "num_parallel_map_calls drop_remainder num_additional_channels num_keypoints keypoint_type_weight "
        "load_multiclass_scores load_context_features load_context_image_ids load_instance_masks mask_type "
        "load_dense_pose load_track_id load_keypoint_depth_features use_display_name include_source_id "
        "input_type frame_index use_keypoint_label_map sample_from_datasets_weights expand_labels_hierarchy"
    )

    label_map_path: str = ""
    shuffle: bool = True
    num_epochs: int = option(0, at_least=0)
    sample_1_of_n_examples: int = option(1, at_least=1)
    max_number_of_boxes: int = option(100, at_least=1)
    tf_record_input_reader: TFRecordInputReader | None = None
    external_input_reader: Message | None = None


@dataclass(frozen=True)
class EvalConfig(Section):
    """How the model is evaluated."""

    IGNORED: ClassVar[tuple] = (
        "num_visualizations eval_interval_secs max_evals save_graph visualization_export_dir eval_master "
        "parameterized_metric export_path ignore_groundtruth eval_instance_masks min_score_threshold "
        "max_num_boxes_to_visualize skip_scores skip_labels visualize_groundtruth_boxes "
        "groundtruth_box_visualization_color keep_image_id_for_visualization_export retain_original_images "
        "all_metrics_per_category super_categories recall_lower_bound recall_upper_bound "
        "retain_original_image_additional_channels force_no_resize use_dummy_loss_in_eval keypoint_edge "
        "skip_predictions_for_unlabeled_class image_classes_field_map_empty_to_ones"
    )

    batch_size: int = option(1, at_least=1)
    num_examples: int = option(5000, at_least=0)
    metrics_set: tuple[str, ...] = ()
    use_moving_averages: bool = False
    include_metrics_per_category: bool = False
