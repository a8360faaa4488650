"""Keras Applications by name: how large their input is and how it is normalised."""

from __future__ import annotations

import inspect
import re
from typing import NamedTuple

import keras
from keras import layers

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's photos, RGB of 0..1
_CAFFE_MEAN = (103.939, 116.779, 123.68)  # BGR of 0..255


class Application(NamedTuple):
    """What detkit knows of one of Keras Applications.

    Attributes:
        size: the side of the input that its published weights were trained at.
        preprocessing: a key of `PREPROCESSING`.
        smallest: the smallest side of an input that it takes.
        widths: whether its number of channels can be scaled.
    """

    size: int
    preprocessing: str
    smallest: int = 32
    widths: bool = False


APPLICATIONS = {
    **{f"ConvNeXt{size}": Application(224, "torch") for size in ("Tiny", "Small", "Base", "Large", "XLarge")},
    **{f"DenseNet{depth}": Application(224, "torch") for depth in (121, 169, 201)},
    **{
        f"EfficientNetB{number}": Application(size, "inside")
        for number, size in enumerate((224, 240, 260, 300, 380, 456, 528, 600))
    },
    **{f"EfficientNetV2B{number}": Application(size, "torch") for number, size in enumerate((224, 240, 260, 300))},
    "EfficientNetV2S": Application(384, "signed128"),
    "EfficientNetV2M": Application(480, "signed128"),
    "EfficientNetV2L": Application(480, "signed128"),
    "InceptionResNetV2": Application(299, "signed", 75),
    "InceptionV3": Application(299, "signed", 75),
    "MobileNet": Application(224, "signed", widths=True),
    "MobileNetV2": Application(224, "signed", widths=True),
    "MobileNetV3Large": Application(224, "signed", widths=True),
    "MobileNetV3Small": Application(224, "signed", widths=True),
    "NASNetLarge": Application(331, "signed"),
    "NASNetMobile": Application(224, "signed"),
    **{f"ResNet{depth}": Application(224, "caffe") for depth in (50, 101, 152)},
    **{f"ResNet{depth}V2": Application(224, "signed") for depth in (50, 101, 152)},
    "VGG16": Application(224, "caffe"),
    "VGG19": Application(224, "caffe"),
    "Xception": Application(299, "signed", 71),
}


def _signed(image, half=127.5):
    return layers.Rescaling(1 / half, -1.0, name="normalize")(image)


def _torch(image):
    scale = [1 / (255 * deviation) for deviation in DEVIATION]
    offset = [-mean / deviation for mean, deviation in zip(MEAN, DEVIATION, strict=True)]
    return layers.Rescaling(scale, offset, name="normalize")(image)


def _caffe(image):
    return layers.Rescaling(1.0, [-mean for mean in _CAFFE_MEAN], name="normalize")(keras.ops.flip(image, axis=-1))


# What each family was trained on, of RGB 0..255: -1..1, zero mean and unit deviation, or BGR less the mean.
PREPROCESSING = {
    "signed": _signed,
    "signed128": lambda image: _signed(image, 128.0),
    "torch": _torch,
    "caffe": _caffe,
    "inside": lambda image: image,
}


def application(
    name: str, inputs=None, weights=None, width: float = 1.0, *, top: bool = False, settle: bool = True
) -> keras.Model:
    """A model of Keras Applications.

    Args:
        name: a key of APPLICATIONS.
        inputs: the tensor of preprocessed images, or None for an input of the architecture's own size.
        weights: None or "imagenet".
        width: the factor of the number of channels.
        top: whether it ends in ImageNet's 1000 classes and not in features.
        settle: whether layers get names that are the same every time, and constants in the place of the weights of
            EfficientNet's normalisation; only without weights.
    """
    build, known = getattr(keras.applications, name), APPLICATIONS[name]
    more = {"alpha": width} if known.widths else {}
    if "include_preprocessing" in inspect.signature(build).parameters:
        more["include_preprocessing"] = False
    shape = (known.size, known.size, 3) if inputs is None else None
    model = build(include_top=top, weights=weights, input_tensor=inputs, input_shape=shape, **more)
    if weights is not None or not settle:
        return model
    names = settled_names(model)
    for operation in model.operations:
        operation.name = names.get(operation.name, operation.name)
    if any(isinstance(layer, layers.Normalization) for layer in model.layers):
        return keras.models.clone_model(model, clone_function=_with_constants)
    return model


def settled_names(model: keras.Model) -> dict[str, str]:
    """{name that Keras counted on from model to model: one that is the same every time}, in the order of the counts."""
    counted: dict[str, list[str]] = {}
    for layer in model.operations:
        kind = _snake_case(type(layer).__name__)
        if re.fullmatch(rf"{kind}(_\d+)?", layer.name):
            counted.setdefault(kind, []).append(layer.name)
    return {
        name: f"{kind}_{number}"
        for kind, names in counted.items()
        for number, name in enumerate(sorted(names, key=_count), start=1)
    }


def _count(name: str) -> int:
    found = re.search(r"_(\d+)$", name)
    return int(found[1]) if found else 0


def _with_constants(layer):
    if isinstance(layer, layers.Normalization):
        variance = [deviation**2 for deviation in DEVIATION]
        return layers.Normalization(mean=list(MEAN), variance=variance, name=layer.name)
    return type(layer).from_config(layer.get_config())


def _snake_case(name: str) -> str:
    """The name that Keras gives to layers of a class."""
    return re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()
