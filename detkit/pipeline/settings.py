"""The keys of a detkit pipeline, their defaults and what each one means."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from detkit.errors import ConfigError
from detkit.pipeline.augment import AUGMENT, USUAL_AUGMENTATION, Augment, augment
from detkit.pipeline.fields import choice, nearest, option
from detkit.pipeline.garden_yaml import NUMBERS
from detkit.pipeline.options import Options, from_mapping

__all__ = [
    "PARTS",
    "TUNE",
    "USUAL_AUGMENTATION",
    "Augment",
    "DataConfig",
    "ModelConfig",
    "Pipeline",
    "TrainConfig",
    "Training",
    "TuneRule",
]

PARTS = ("backbone", "neck", "head", "towers", "box_head", "class_head", "mask_head", "keypoint_head")
TUNE = ("heads", "towers", "neck", "all")


@dataclass(frozen=True)
class TuneRule(Options):
    """Variables whose names match a regular expression, and a factor for their learning rate."""

    PATH: ClassVar[str] = "train.tune"

    pattern: str = option(".*", help="The regular expression that is searched in the names of the variables.")
    multiplier: float = option(1.0, at_least=0, help="The factor of the learning rate; 0 freezes.")

    def __post_init__(self):
        super().__post_init__()
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ConfigError(
                f"{self.PATH}.pattern is no regular expression.",
                where=f"{self.PATH}.pattern",
                got=f"{self.pattern!r}: {error}",
            ) from None


def _tune(value, path: str) -> str | tuple[TuneRule, ...]:
    if isinstance(value, str) and value in TUNE:
        return value
    rules = [value] if isinstance(value, Mapping | TuneRule) else value
    if not isinstance(rules, list | tuple) or not rules:
        raise ConfigError(
            f"{path} can't have this value.",
            where=path,
            got=repr(value),
            expected=_TUNE,
            fix=nearest(value, TUNE),
        )
    return tuple(from_mapping(TuneRule, rule) for rule in rules)


def _name(value, path: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{path} can't have this value.", where=path, got=repr(value), expected=_NAME)
    return value


def _optional_name(value, path: str) -> str | None:
    return None if value is None else _name(value, path)


def full_path(value, path: str) -> str | None:
    """An absolute path, for a pipeline to mean the same wherever it is written to; a URL stays as it is."""
    if value is None:
        return None
    value = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(value, str) or not value or "\0" in value:
        raise ConfigError(f"{path} can't have this value.", where=path, got=repr(value), expected="a path or null")
    return value if "://" in value else os.path.abspath(os.path.expanduser(value))


def _overrides(value, path: str) -> str | dict | None:
    """A path, or the overrides themselves."""
    return dict(value) if isinstance(value, Mapping) else full_path(value, path)


def _label_map(value, path: str) -> str | None:
    return value if value == NUMBERS else full_path(value, path)


_NAME = "the name of a model in the zoo, or the path of a model"
_TUNE = f"one of {', '.join(TUNE)}, or a list of rules {{pattern: REGULAR_EXPRESSION, multiplier: NUMBER}}"


def file_option(help: str):
    """A field that holds a path or nothing."""
    return option(None, path=True, convert=full_path, expects="a path", help=help)


def overrides_option():
    """A field that holds overrides of Model Garden or nothing."""
    return option(
        None,
        path=True,
        convert=_overrides,
        expects="a path or a mapping",
        help="Overrides in Model Garden's YAML, or a file of them, of a model called garden:EXPERIMENT.",
    )


@dataclass(frozen=True)
class ModelConfig(Options):
    """The model to start from and what becomes of its head."""

    PATH: ClassVar[str] = "model"

    name: str = option(
        "hands",
        path=True,
        convert=_name,
        expects=_NAME,
        help="A zoo name, a model's directory or pipeline.config.",
    )
    checkpoint: str | None = file_option("The checkpoint to restore, if it is not the one of the model's directory.")
    config: str | dict | None = overrides_option()
    backbone: str | None = option(
        None,
        path=True,
        convert=_optional_name,
        expects=_NAME,
        help="Another model, of whose weights only the backbone is taken, and nothing from the checkpoint.",
    )
    init: str = choice(
        "prior", "prior", "imprint", help="How new classes start: all rare, or from the features of examples."
    )
    keep_classes: bool = option(False, help="Whether the model goes on detecting the classes it knows.")
    reset: tuple[str, ...] = option((), choices=PARTS, help="Parts to reinitialise besides the class head.")

    @classmethod
    def expand(cls, value):
        """A text stands for the model of that name."""
        return {"name": value} if isinstance(value, str) else super().expand(value)


@dataclass(frozen=True)
class DataConfig(Options):
    """The annotated images."""

    PATH: ClassVar[str] = "data"

    train: str | None = file_option("The training set.")
    val: str | None = file_option("The validation set, for early stopping and the best checkpoint.")
    test: str | None = file_option("The test set, evaluated once after training.")
    format: str | None = option(None, help="The format of the annotations; null: recognised.")
    images: str | None = file_option("The folder of the images; null: found from the annotations.")
    label_map: str | None = option(
        None,
        path=True,
        convert=_label_map,
        expects=f"a path, or {NUMBERS}",
        help=f"The label map of TFRecord files; null: the one beside them; {NUMBERS}: that, or names such as class 3.",
    )


@dataclass(frozen=True)
class Training(Options):
    """What the training of every task has in common."""

    PATH: ClassVar[str] = "train"

    steps: int = option(150, at_least=1, help="How many batches to train on.")
    batch_size: int = option(4, at_least=1, help="How many images are in a batch.")
    optimizer: str = choice("adam", "momentum", "adam", "adamw", help="The optimizer.")
    learning_rate: float = option(0.001, above=0, at_most=10, help="The highest learning rate.")
    schedule: str = choice("cosine", "constant", "cosine", help="The course of the learning rate.")
    warmup_steps: int = option(10, at_least=0, help="Steps in which the learning rate rises from near 0.")
    momentum: float = option(0.9, at_least=0, below=1, help="The momentum of the optimizer called momentum.")
    weight_decay: float = option(0.0, at_least=0, below=1, help="The factor of the penalty on the kernels.")
    clip_norm: float | None = option(10.0, above=0, help="The largest norm of the gradient; null: not clipped.")
    freeze_batch_norm: bool = option(True, help="Whether batch normalisation keeps its averages.")
    augment: Augment | None = option(
        True, convert=augment, expects=AUGMENT, help="How training images are varied; true: the usual."
    )
    cache: str = choice(
        "auto", "auto", "on", "off", help="Whether the output of the frozen layers is computed once and kept."
    )
    cache_mb: int = option(1024, at_least=1, help="The most memory that this cache takes, in MiB.")
    views: int = option(8, at_least=1, help="How many augmented views of each image are cached.")
    validate_every: int | None = option(100, at_least=1, help="Steps between validations; null: only at the end.")
    patience: int | None = option(
        None, at_least=1, help="Validations without improvement before training stops; null: never."
    )
    checkpoint_every: int | None = option(100, at_least=1, help="Steps between checkpoints; null: only at the end.")
    seed: int = option(0, at_least=0, below=2**32, help="The seed of all that is random.")
    ema: float | None = option(
        0.97, above=0, below=1, help="The decay of the weights' moving average; null: no average."
    )


@dataclass(frozen=True)
class TrainConfig(Training):
    """The fine-tuning of a detector."""

    tune: str | tuple[TuneRule, ...] = option(
        "all",
        convert=_tune,
        expects=_TUNE,
        help="What is trained: up to which part, or rules by variable name.",
    )


@dataclass(frozen=True)
class Pipeline(Options):
    """Everything that `detkit train` needs to know.

    Paths are absolute: relative ones are resolved when the pipeline is made.

    Example:
        >>> Pipeline(model="hands", train={"steps": 200}).train.steps
        200
    """

    task: str = choice("detection", "detection", help="The kind of problem.")
    model: ModelConfig = option(ModelConfig())
    data: DataConfig = option(DataConfig())
    train: TrainConfig = option(TrainConfig())
    output: str | None = file_option("The directory of the run; null: runs/ and the name of the pipeline.")
