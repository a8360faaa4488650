"""Every architecture by its name, as a Keras functional model from RGB images to features."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial

import keras

from detkit.classification import classic, resnet, xception
from detkit.classification.applications import APPLICATIONS, PREPROCESSING, application
from detkit.errors import ConfigError
from detkit.garden.classifiers import CLASSIFIERS
from detkit.garden.names import PREFIX as GARDEN


@dataclass(frozen=True)
class Architecture:
    """A network up to its last map of features.

    Attributes:
        name: what it is called.
        size: the side of the input that it was made for.
        smallest: the smallest side of an input that it takes.
        preprocessing: a key of `PREPROCESSING`.
        build: (preprocessed image, function of a number of channels, whether to squeeze and excite) -> features; None
            for one of Keras Applications.
        squeezes: whether squeeze and excitation is an option.
        widths: whether the number of its channels can be scaled.
        hidden: units of the dense layers that the paper has between features and logits, which then see the features of
            every place; none where these are averaged over the picture.
        activation: of these layers.
    """

    name: str
    size: int
    smallest: int
    preprocessing: str
    build: Callable | None = None
    squeezes: bool = False
    widths: bool = True
    hidden: tuple[int, ...] = ()
    activation: str = "relu"


def _without_squeezing(build: Callable):
    return lambda image, channels, squeeze: build(image, channels)


_OWN = (
    Architecture("LeNet5", 32, 16, "signed", _without_squeezing(classic.lenet5), hidden=(120, 84), activation="tanh"),
    Architecture("AlexNet", 227, 67, "torch", _without_squeezing(classic.alexnet), hidden=(4096, 4096)),
    Architecture("ResNet18", 224, 32, "torch", resnet.resnet18, squeezes=True),
    Architecture("ResNet34", 224, 32, "torch", resnet.resnet34, squeezes=True),
    Architecture("MiniXception", 180, 32, "signed", xception.mini_xception, squeezes=True),
)
ARCHITECTURES = {each.name: each for each in _OWN} | {
    name: Architecture(name, each.size, each.smallest, each.preprocessing, widths=each.widths)
    for name, each in APPLICATIONS.items()
}


def architecture(name: str, where: str = "model.name") -> Architecture:
    """The architecture of a name, however it is spelled ("resnet-18"); ConfigError with the nearest for none."""
    known = {plain_name(each): each for each in ARCHITECTURES}
    if plain_name(name) not in known:
        known |= {plain_name(each.name): f"{GARDEN}{each.name}" for each in CLASSIFIERS}
        near = get_close_matches(plain_name(name), known, 1)
        fix = f"Did you mean {known[near[0]]}?" if near else "Take one of these, garden:NAME, or hub:PATH."
        expected = ", ".join(sorted(ARCHITECTURES))
        raise ConfigError("There is no such architecture.", where=where, got=name, expected=expected, fix=fix)
    return ARCHITECTURES[known[plain_name(name)]]


def plain_name(name: str) -> str:
    """A name without what spellings of it differ in."""
    return re.sub("[^a-z0-9]", "", name.lower())


def backbone(
    name: str, size: tuple[int, int] | None = None, width: float = 1.0, squeeze_excite: bool = False
) -> keras.Model:
    """A network from images to features, with initial weights.

    Args:
        name: of `ARCHITECTURES`.
        size: (height, width) of the images; None for the architecture's own.
        width: the factor of the number of channels.
        squeeze_excite: whether residual blocks weigh their channels.

    Returns:
        A model of "image" float32 [B, h, w, 3], RGB of 0..255, whose output is the last map of features [B, h', w', C].

    Raises:
        ConfigError: for an unknown name, a size that is too small, and options that the architecture does not have.
    """
    known = architecture(name)
    size = size or (known.size, known.size)
    _check(known, size, width, squeeze_excite)
    image = keras.Input((*size, 3), name="image")
    prepared = PREPROCESSING[known.preprocessing](image)
    if known.build is None:
        return application(known.name, prepared, width=width)
    return keras.Model(image, known.build(prepared, partial(_scaled, width), squeeze_excite), name=known.name)


def _scaled(width: float, channels: int) -> int:
    """An even number of channels, since some are divided among two branches."""
    return max(2 * round(channels * width / 2), 2)


def _check(known: Architecture, size: tuple[int, int], width: float, squeeze_excite: bool) -> None:
    if min(size) < known.smallest:
        raise ConfigError(
            f"{known.name} does not take images as small as that.",
            where="model.size",
            got=f"{size[0]} x {size[1]}",
            expected=f"sides of at least {known.smallest}",
            fix="Choose a larger size: the images are enlarged to it.",
        )
    if width != 1 and not known.widths:
        having = ", ".join(name for name, each in ARCHITECTURES.items() if each.widths)
        raise ConfigError(
            f"{known.name} has no other width.", where="model.width", got=width, expected="1", fix=f"Take {having}."
        )
    if squeeze_excite and not known.squeezes:
        having = ", ".join(name for name, each in ARCHITECTURES.items() if each.squeezes)
        raise ConfigError(
            f"{known.name} has no residual blocks of detkit's own.",
            where="model.squeeze_excite",
            got="true",
            expected="false",
            fix=f"Take {having}.",
        )
