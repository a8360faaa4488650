"""The OD API's pipeline.config as typed dataclasses; what they don't cover survives in the raw message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from detkit.errors import ConfigError
from detkit.io import atomic_write
from detkit.pipeline import text_format
from detkit.pipeline.fields import option
from detkit.pipeline.message import Enum, Message
from detkit.pipeline.od_center_net import CenterNet
from detkit.pipeline.od_layers import ImageResizer, Loss
from detkit.pipeline.od_ssd import (
    AnchorGenerator,
    BoxCoder,
    BoxPredictor,
    Matcher,
    PostProcessing,
    RegionSimilarityCalculator,
    SsdFeatureExtractor,
)
from detkit.pipeline.od_train import EvalConfig, InputReader, TrainConfig
from detkit.pipeline.od_two_stage import FasterRcnn
from detkit.pipeline.sections import Section, build, spec_at


@dataclass(frozen=True)
class Ssd(Section):
    """A single-shot detector (https://arxiv.org/abs/1512.02325), RetinaNet and EfficientDet among them."""

    IGNORED: ClassVar[str] = "use_expected_classification_loss_under_sampling weight_regression_loss_by_score"

    num_classes: int = option(0, at_least=1)
    image_resizer: ImageResizer | None = None
    feature_extractor: SsdFeatureExtractor | None = None
    box_coder: BoxCoder | None = None
    matcher: Matcher | None = None
    similarity_calculator: RegionSimilarityCalculator | None = None
    encode_background_as_zeros: bool = False
    negative_class_weight: float = option(1.0, at_least=0)
    box_predictor: BoxPredictor | None = None
    anchor_generator: AnchorGenerator | None = None
    post_processing: PostProcessing | None = None
    normalize_loss_by_num_matches: bool = True
    normalize_loc_loss_by_codesize: bool = False
    loss: Loss | None = None
    freeze_batchnorm: bool = False
    inplace_batchnorm_update: bool = False
    add_background_class: bool = True
    explicit_background_class: bool = False
    use_confidences_as_targets: bool = False
    implicit_example_weight: float = option(1.0, at_least=0)
    return_raw_detections_during_predict: bool = False
    mask_head_config: Message | None = None


@dataclass(frozen=True)
class DetectionModel(Section):
    """The model: one meta-architecture."""

    ONE_OF: ClassVar[tuple] = ("ssd faster_rcnn center_net experimental_model",)

    ssd: Ssd | None = None
    faster_rcnn: FasterRcnn | None = None
    center_net: CenterNet | None = None
    experimental_model: Message | None = None


@dataclass(frozen=True)
class PipelineConfig(Section):
    """A whole pipeline.config (TrainEvalPipelineConfig).

    Attributes:
        raw: the message it was made from, which `dumps` writes; change it by `with_changes`.
    """

    model: DetectionModel | None = None
    train_config: TrainConfig | None = None
    train_input_reader: InputReader | None = None
    eval_config: EvalConfig | None = None
    eval_input_reader: tuple[InputReader, ...] = ()
    graph_rewriter: Message | None = None
    raw: Message = field(default_factory=Message, repr=False, compare=False, metadata={"untyped": True})

    def where(self, path: str) -> str:
        """The place of the field at a dotted path, for error messages; the path itself if it was not read."""
        found = self.raw.locate(path)
        return found.where if found and found.source else path


def parse(text: str, source: str = "<string>") -> PipelineConfig:
    """The config that a text holds.

    Args:
        text: protobuf text format.
        source: what to call the text in messages, usually its path.

    Raises:
        ConfigError: naming line and column, what was got and what was expected.

    Example:
        >>> parse("model { ssd { num_classes: 3 } }").model.ssd.num_classes
        3
    """
    return _typed(text_format.loads(text, source))


def read(path: str | Path) -> PipelineConfig:
    """The config that a file holds.

    Raises:
        ConfigError: as `parse`, and if the file can't be read.
    """
    return _typed(text_format.read(path))


def dumps(config: PipelineConfig) -> str:
    """The config as protobuf text, with the fields that detkit doesn't know."""
    return text_format.dumps(config.raw)


def write(config: PipelineConfig, path: str | Path) -> None:
    """Write the config as protobuf text."""
    with atomic_write(path) as file:
        file.write(dumps(config))


def with_changes(config: PipelineConfig, changes: Mapping[str, object]) -> PipelineConfig:
    """A config with other values at some dotted paths.

    Args:
        config: stays as it is.
        changes: dotted path to the new value: a scalar, a list for a repeated field, None for no field.
            Messages on the way are added as needed; of a repeated message the last is changed.

    Raises:
        ConfigError: if a value is not allowed there.

    Example:
        >>> with_changes(parse(""), {"model.ssd.num_classes": 1}).model.ssd.num_classes
        1
    """
    raw = config.raw.copy()
    for path, value in changes.items():
        *parents, name = path.split(".")
        message = raw
        for parent in parents:
            message = message.message(parent)
        if value is None:
            message.remove(name)
        else:
            message.set(name, _as_enum(value) if _is_enum(path, message.get(name)) else value)
    return _typed(raw)


def architecture(config: PipelineConfig) -> str:
    """The meta-architecture: "ssd", "faster_rcnn" or "center_net".

    Raises:
        ConfigError: if the config holds no model, or an experimental one.
    """
    known = ("ssd", "faster_rcnn", "center_net")
    for name in known:
        if config.model is not None and getattr(config.model, name) is not None:
            return name
    raise ConfigError(
        "The pipeline.config describes no model that detkit knows.",
        where=config.where("model"),
        expected=f"model {{ {' | '.join(known)} {{ ... }} }}",
    )


def meta_architecture(config: PipelineConfig) -> Ssd | FasterRcnn | CenterNet:
    """The typed message of the model; whichever it is, it has num_classes, image_resizer and feature_extractor.

    Raises:
        ConfigError: as `architecture`, and if the message lacks its feature extractor or image resizer.
    """
    name = architecture(config)
    message = getattr(config.model, name)
    for part in ("feature_extractor", "image_resizer"):
        if getattr(message, part) is None:
            raise ConfigError(
                f"The pipeline.config's model has no {part}.",
                where=config.where(f"model.{name}"),
                fix="Use the pipeline.config that came with the checkpoint, whole.",
            )
    return message


def _typed(raw: Message) -> PipelineConfig:
    return replace(build(PipelineConfig, raw), raw=raw)


def _is_enum(path: str, old) -> bool:
    spec = spec_at(PipelineConfig, path)
    return isinstance(old, Enum) or bool(spec and spec.metadata.get("choices"))


def _as_enum(value):
    return Enum(value) if isinstance(value, str) else value
