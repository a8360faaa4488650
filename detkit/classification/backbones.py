"""Backbones for classifiers and localizers: detkit's and Keras' own, Model Garden's, and SavedModels."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import keras

from detkit.classification.applications import PREPROCESSING
from detkit.classification.architectures import Architecture, architecture, backbone
from detkit.errors import ConfigError
from detkit.garden.names import PREFIX as GARDEN
from detkit.networks.foreign import Foreign
from detkit.pipeline.transfer import HUB, ClassificationModel, LocalizationModel


class Backbone(NamedTuple):
    """What a network begins with.

    Attributes:
        features: an RGB image of 0..255 -> [B, h, w, C] or [B, D].
        known: its architecture.
        saved_model: the directory of the SavedModel that it is.
    """

    features: keras.Model
    known: Architecture
    saved_model: Path | None = None


def build(options: ClassificationModel) -> Backbone:
    """The backbone that options name, with initial weights unless it is a SavedModel.

    Raises:
        ConfigError: for one that does not exist, and options that it does not have.
        CheckpointError, DownloadError: if a SavedModel can't be had or read.
    """
    if options.name.startswith(HUB):
        return _of_saved_model(options)
    if options.signature is not None:
        raise ConfigError(
            "Only SavedModels have signatures.",
            where="model.signature",
            got=options.signature,
            expected="null",
            fix=f"Leave it out, or set model.name={HUB}PATH.",
        )
    if options.name.startswith(GARDEN):
        return _of_garden(options)
    known = architecture(options.name)
    return Backbone(backbone(options.name, options.size, options.width, options.squeeze_excite), known)


def _of_saved_model(options: ClassificationModel) -> Backbone:
    from detkit.hub import features as hub

    _reject(options, "A SavedModel is taken as it is.", "weights", "width", "squeeze_excite")
    found = hub.load(options.name.removeprefix(HUB), options.signature, options.size)
    if isinstance(options, LocalizationModel) and len(found.shape) != 3:
        raise ConfigError(
            "A vector of features does not tell where something is.",
            where="model.signature",
            got=found.text(),
            expected="maps of features [B, height, width, C]",
            fix=f"Name an output that is one, if there is one: `detkit inspect {found.directory}`.",
        )
    image = keras.Input((*found.size, 3), name="image")
    features = Foreign(found, found.shape, text=f"SavedModel {found.directory}, {found.text()}", name="features")
    known = Architecture("hub", max(found.size), 1, "inside")
    return Backbone(keras.Model(image, features(image), name=known.name), known, found.directory)


def _of_garden(options: ClassificationModel) -> Backbone:
    from detkit.garden import backbone as garden

    _reject(options, "The backbones of Model Garden do not have this option.", "squeeze_excite")
    places = isinstance(options, LocalizationModel)
    found = garden.build(options.name, options.size, options.width, places)
    size = options.size or found.entry.size
    image = keras.Input((*size, 3), name="image")
    features = Foreign(found, found.shape, found.nodes, f"Model Garden's {found.entry.name}", name="features")
    known = Architecture(found.entry.name, found.entry.side, 1, "torch")
    return Backbone(keras.Model(image, features(PREPROCESSING["torch"](image)), name=known.name), known)


def _reject(options, what: str, *names: str) -> None:
    """Raises for options that are neither at their default nor null."""
    plain = type(options)()
    for name in names:
        value, default = getattr(options, name), getattr(plain, name)
        if value not in (default, None):
            expected = "null" if isinstance(default, str) else default
            raise ConfigError(what, where=f"model.{name}", got=value, expected=expected, fix="Leave it out.")
