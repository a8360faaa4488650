"""From options to a segmenter."""

from __future__ import annotations

from dataclasses import replace

from detkit.classification.weights import restore_backbone
from detkit.errors import ConfigError
from detkit.pipeline.transfer import SegmentationModel
from detkit.segmentation.encoder_decoder import encoder_decoder
from detkit.segmentation.fcn import fcn
from detkit.segmentation.functional import FunctionalSegmenter
from detkit.segmentation.layers import Architecture
from detkit.segmentation.segnet import segnet
from detkit.segmentation.unet import unet

_FCN = ("fcn32", "fcn16", "fcn8")
_BUILDERS = {"unet": unet, "encoder_decoder": encoder_decoder, "segnet": segnet} | dict.fromkeys(_FCN, fcn)
# The options that an architecture has besides name, weights and dropout.
_TAKES = {
    "unet": ("encoder", "depth", "width", "batch_norm"),
    "encoder_decoder": ("depth", "width", "batch_norm"),
    "segnet": ("depth", "width", "batch_norm"),
} | dict.fromkeys(_FCN, ("encoder", "width"))


def build(
    options: SegmentationModel, classes, label_ids=None, *, seed: int = 0, pretrained: bool = True
) -> FunctionalSegmenter:  # fmt: skip
    """A segmenter for these classes.

    Args:
        options: what it shall be.
        classes: without the background; label_ids: of each.
        seed: of the initial weights.
        pretrained: give the encoder the weights that the options name; otherwise a checkpoint follows.

    Raises:
        ConfigError: for options that don't go together.
        CheckpointError, DownloadError: if the weights can't be had, or do not fit.
    """
    check(options, tuple(classes))
    if options.name not in _BUILDERS:
        raise ConfigError(
            "There is no such segmenter.",
            where="model.name",
            got=options.name,
            expected=f"one of {', '.join(_BUILDERS)}, garden:EXPERIMENT, or the run directory of such a one",
        )
    for name in ("checkpoint", "config"):
        if getattr(options, name) is not None:
            raise ConfigError(
                "Only the models of Model Garden have this option.",
                where=f"model.{name}",
                got=getattr(options, name),
                expected="null",
                fix="Weights for the encoder are given with model.weights.",
            )
    if options.name in _FCN and options.encoder is None:
        options = replace(options, encoder="VGG16")
    network = _architecture(options, len(classes) + 1)
    segmenter = FunctionalSegmenter(network, classes, label_ids, name=options.name, options=options)
    segmenter.initialize(segmenter.variables(), seed)
    segmenter.weights_text = "initial weights"
    if pretrained and options.weights is not None:
        restore_backbone(segmenter, options.encoder or options.name, options.weights)
    return segmenter


def _architecture(options: SegmentationModel, count: int) -> Architecture:
    given = {name: getattr(options, name) for name in ("encoder", "depth", "width", "batch_norm")}
    given = {name: value for name, value in given.items() if value is not None}
    for name in given:
        if name not in _TAKES[options.name]:
            raise ConfigError(
                "This architecture doesn't have this option.",
                where=f"model.{name}",
                got=f"{given[name]!r} for {options.name}",
                expected="null",
                fix=f"Its own are: {', '.join(_TAKES[options.name])}.",
            )
    first = (int(options.name[3:]),) if options.name in _FCN else ()
    return _BUILDERS[options.name](*first, count, drop=options.dropout, **given)


def check(options: SegmentationModel, classes: tuple[str, ...]) -> None:
    """ConfigError for what no segmenter can be made for, and for weights and losses that don't go together."""
    if not classes:
        raise ConfigError("A segmenter needs a class besides the background.", got="none", fix="Name one in the data.")
    if len(classes) > 254:
        raise ConfigError("There are too many classes for a class map.", got=len(classes), expected="at most 254")
    weights, count = options.class_weights, len(classes) + 1
    if weights and (len(weights) != count or not any(weights[1:])):
        raise ConfigError(
            "These are not the weights of the classes.",
            where="model.class_weights",
            got=list(weights),
            expected=f"{count} numbers, not all 0: for background, {', '.join(classes)}",
        )
    if options.loss is not None and (not options.loss or len(set(options.loss)) < len(options.loss)):
        got, expected = list(options.loss), "at least one, each once"
        raise ConfigError("These are no losses to add.", where="model.loss", got=got, expected=expected)
