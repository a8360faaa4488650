"""The keys of pipelines for classification, localisation and segmentation: a backbone, a new head, a strategy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from detkit.errors import ConfigError
from detkit.pipeline.augment import AUGMENT, Augment, augment
from detkit.pipeline.fields import choice, nearest, option
from detkit.pipeline.options import Options
from detkit.pipeline.settings import DataConfig, Training, file_option, full_path, overrides_option

HUB = "hub:"  # before a SavedModel
GARDEN = "garden:"  # before an experiment of Model Garden
_SIZE = "a whole number above 0, or [height, width]"
_UNFREEZE = "the name of a layer, or the share of the backbone's layers, above 0 and up to 1"
_NAME = "a name, garden:NAME, or hub: with a directory, an archive or its address"
_SEGMENTERS = ("unet", "encoder_decoder", "fcn32", "fcn16", "fcn8", "segnet")
_SEGMENTER = f"one of {', '.join(_SEGMENTERS)}, garden:EXPERIMENT, or the run directory of such a one"
_WEIGHTS = '"imagenet", a model ("hands", a run directory), a file of weights, or URL#sha256=SUM'


def _size(value, path: str) -> tuple[int, int] | None:
    sides = (value, value) if isinstance(value, int) else value
    right = isinstance(sides, list | tuple) and len(sides) == 2
    if value is None or (right and all(isinstance(s, int) and not isinstance(s, bool) and s > 0 for s in sides)):
        return sides if sides is None else tuple(sides)
    raise ConfigError(f"{path} can't have this value.", where=path, got=repr(value), expected=f"{_SIZE}, or null")


def _unfreeze(value, path: str) -> str | float:
    if (isinstance(value, str) and value) or (isinstance(value, int | float) and 0 < value <= 1 and value is not True):
        return value
    raise ConfigError(f"{path} can't have this value.", where=path, got=repr(value), expected=_UNFREEZE)


def _weights(value, path: str) -> str | None:
    """A word, or the absolute path of what is there."""
    return full_path(value, path) if isinstance(value, str) and ("/" in value or "." in value) else value


def _name(value, path: str) -> str:
    """The name of an architecture; a SavedModel by its absolute path."""
    if not isinstance(value, str) or not value.removeprefix(HUB):
        raise ConfigError(f"{path} can't have this value.", where=path, got=repr(value), expected=_NAME)
    return f"{HUB}{full_path(value.removeprefix(HUB), path)}" if value.startswith(HUB) else value


def _segmenter(value, path: str) -> str:
    """The name of an architecture; a run directory by its absolute path."""
    if value in _SEGMENTERS or (isinstance(value, str) and value.startswith(GARDEN)):
        return value
    if isinstance(value, str) and "/" in value and not value.startswith(HUB):
        return full_path(value, path)
    fix = nearest(value, _SEGMENTERS)
    raise ConfigError(f"{path} can't have this value.", where=path, got=repr(value), expected=_SEGMENTER, fix=fix)


def _size_option(help: str, default: tuple[int, int] | None = None):
    return option(default, convert=_size, expects=_SIZE, help=help)


def _weights_option(default: str | None, help: str):
    return option(default, path=True, convert=_weights, expects=_WEIGHTS, help=help)


@dataclass(frozen=True)
class TransferTraining(Training):
    """The training of a network whose backbone may be pretrained."""

    steps: int = option(300, at_least=1, help="How many batches to train on; of two stages, the first.")
    batch_size: int = option(32, at_least=1, help="How many images are in a batch.")
    augment: Augment | None = option(
        Augment(flip=0.5), convert=augment, expects=AUGMENT, help="How training images are varied."
    )
    views: int = option(2, at_least=1, help="How many augmented views of each image are cached.")
    ema: float | None = option(
        None, above=0, below=1, help="The decay of the weights' moving average; null: no average."
    )
    freeze_batch_norm: bool | None = option(
        None, help="Whether batch normalisation keeps its averages; null: in a backbone that has weights."
    )
    strategy: str = choice(
        "auto", "auto", "head", "finetune", "two_stage", "full",
        help="What is trained: the head; it and the backbone from `unfreeze` on; one after the other; everything; "
        "auto: everything where the backbone has no weights, else the head.",
    )  # fmt: skip
    unfreeze: str | float = option(
        0.3, convert=_unfreeze, expects=_UNFREEZE, help="Where the trained part of the backbone begins."
    )
    finetune_steps: int = option(100, at_least=1, help="Of two stages, how many batches the second trains on.")
    finetune_rate: float = option(
        0.1, above=0, at_most=1, help="The learning rate of the backbone, as a share of `learning_rate`."
    )


@dataclass(frozen=True)
class ClassificationModel(Options):
    """A classifier."""

    PATH: ClassVar[str] = "model"

    name: str = option(
        "MobileNetV2", path=True, convert=_name, expects=_NAME,
        help="The architecture: of Keras Applications or detkit's own; garden: and one of Model Garden's; hub: and a "
        "SavedModel that gives features.",
    )  # fmt: skip
    weights: str | None = _weights_option("imagenet", help="Where the weights of the backbone come from.")
    size: tuple[int, int] | None = _size_option("The size that images are resized to; null: the architecture's own.")
    labels: str = choice(
        "one", "one", "binary", "several",
        help="How many classes an image has: one of all; one of two, by a single logit; any number.",
    )  # fmt: skip
    width: float = option(1.0, above=0, at_most=4, help="The factor of the number of channels, where there is one.")
    dropout: float = option(0.2, at_least=0, below=1, help="The share of features left out before the last layer.")
    hidden: tuple[int, ...] = option((), at_least=1, help="Units of dense layers between features and logits.")
    squeeze_excite: bool = option(False, help="Whether residual blocks weigh their channels.")
    label_smoothing: float = option(0.0, at_least=0, below=1, help="How far targets are moved towards a uniform one.")
    class_weights: tuple[float, ...] = option((), at_least=0, help="A weight for each class in the loss.")
    signature: str | None = option(None, help="Of a SavedModel, SIGNATURE or SIGNATURE/OUTPUT; null: looked for.")


@dataclass(frozen=True)
class LocalizationModel(ClassificationModel):
    """A classifier that also tells where its object is."""

    box_loss: str = choice(
        "smooth_l1", "mse", "smooth_l1", "iou", "giou", "diou", "ciou", help="What is learnt of the box."
    )
    box_weight: float = option(1.0, at_least=0, help="The factor of the box's loss beside that of the class.")


@dataclass(frozen=True)
class SegmentationModel(Options):
    """A network that tells the class of each pixel."""

    PATH: ClassVar[str] = "model"

    name: str = option(
        "unet", path=True, convert=_segmenter, expects=_SEGMENTER,
        help="The architecture: one of detkit's own, or garden: and an experiment of Model Garden.",
    )  # fmt: skip
    checkpoint: str | None = file_option("Of a model of Model Garden, the checkpoint to restore.")
    config: str | dict | None = overrides_option()
    encoder: str | None = option(
        None, help="A name of Keras Applications for the way down of unet and fcn; null: as published."
    )
    weights: str | None = _weights_option(None, help="Where the weights of the encoder come from.")
    size: tuple[int, int] | None = _size_option(
        "The size of the windows that training cuts out; null: 256 x 256, or what the model needs."
    )
    max_side: int | None = option(
        512, at_least=16,
        help="Images with a longer side are scaled down to it, in training and in prediction; null: none is.",
    )  # fmt: skip
    depth: int | None = option(
        None, at_least=1, at_most=6, help="How often the resolution is halved, but for fcn; null: as published."
    )
    width: int | None = option(
        None, at_least=1,
        help="Channels of the first level; of fcn, of what were dense layers; null: as published.",
    )  # fmt: skip
    dropout: float = option(0.0, at_least=0, below=1, help="The share of features left out at the lowest resolution.")
    batch_norm: bool | None = option(
        None, help="Whether detkit's own convolutions are normalised; null: those of unet and segnet."
    )
    loss: tuple[str, ...] | None = option(
        None, choices=("cross_entropy", "focal", "dice"),
        help="The losses that are added; null: cross_entropy and dice, or Model Garden's own.",
    )  # fmt: skip
    class_weights: tuple[float, ...] = option(
        (), at_least=0, help="A weight for each class in the loss, that of the background first."
    )
    tile: tuple[int, int] | None = _size_option(
        "Larger images are predicted in tiles of this size; null: whole.", (1024, 1024)
    )
    tile_overlap: float = option(
        0.25, at_least=0, at_most=0.9, help="The share of a tile's sides that overlaps with the next."
    )


@dataclass(frozen=True)
class SegmentationTraining(TransferTraining):
    """The training of a network that tells the class of each pixel."""

    batch_size: int = option(8, at_least=1, help="How many windows are in a batch.")
    augment: Augment | None = option(
        Augment(flip=0.5, vertical_flip=0.5, zoom_in=1.5, colour=0.3), convert=augment, expects=AUGMENT,
        help="How training images are varied.",
    )  # fmt: skip


_OUTPUT = file_option("The directory of the run; null: runs/ and the name of the pipeline.")


@dataclass(frozen=True)
class ClassificationPipeline(Options):
    """A pipeline for the classes of whole pictures."""

    task: str = choice("classification", "classification", help="The kind of problem.")
    model: ClassificationModel = option(ClassificationModel())
    data: DataConfig = option(DataConfig())
    train: TransferTraining = option(TransferTraining())
    output: str | None = _OUTPUT


@dataclass(frozen=True)
class LocalizationPipeline(Options):
    """A pipeline for the class and the box of the one object of a picture."""

    task: str = choice("localization", "localization", help="The kind of problem.")
    model: LocalizationModel = option(LocalizationModel())
    data: DataConfig = option(DataConfig())
    train: TransferTraining = option(TransferTraining())
    output: str | None = _OUTPUT


@dataclass(frozen=True)
class SegmentationPipeline(Options):
    """A pipeline for the class of each pixel."""

    task: str = choice("segmentation", "segmentation", help="The kind of problem.")
    model: SegmentationModel = option(SegmentationModel())
    data: DataConfig = option(DataConfig())
    train: SegmentationTraining = option(SegmentationTraining())
    output: str | None = _OUTPUT


PIPELINES = {
    "classification": ClassificationPipeline,
    "localization": LocalizationPipeline,
    "segmentation": SegmentationPipeline,
}
MODELS = {
    "classification": ClassificationModel,
    "localization": LocalizationModel,
    "segmentation": SegmentationModel,
}
