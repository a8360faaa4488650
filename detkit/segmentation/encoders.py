"""Keras Applications as encoders: the features at each resolution."""

from __future__ import annotations

import keras
from keras import layers

from detkit.classification.applications import APPLICATIONS, PREPROCESSING, application
from detkit.errors import ConfigError
from detkit.pipeline.fields import nearest

_SIDE = 256  # of an image to see the strides by


def encode(name: str, depth: int, pools: bool = False) -> tuple:
    """An image, and the features of an encoder.

    Args:
        name: of Keras Applications.
        depth: how many halvings of the resolution are needed.
        pools: where pooling makes a resolution, its output instead of the last features at that resolution.

    Returns:
        The input, and the features by level: [l] has the stride 1 << l; None where the encoder has none of that stride.

    Raises:
        ConfigError: if there is no such encoder, or it doesn't halve the resolution that often.
    """
    if name not in APPLICATIONS:
        fix = nearest(name, APPLICATIONS) or f"There are {', '.join(APPLICATIONS)}."
        raise ConfigError("There is no encoder of this name.", where="model.encoder", got=repr(name), fix=fix)
    image = keras.Input((None, None, 3), name="image")
    model = application(name, PREPROCESSING[APPLICATIONS[name].preprocessing](image))
    by_stride = _by_stride(model)
    if 1 << depth not in by_stride:
        levels = [stride.bit_length() - 1 for stride in by_stride if stride > 1]
        raise ConfigError(
            "The encoder has no features for this depth.",
            where="model.encoder",
            got=f"{name}, depth {depth}",
            expected=f"a depth of {', '.join(map(str, levels))}" if levels else "features of half the size, ...",
            fix=None if levels else "Choose another encoder, such as VGG16, ResNet50, MobileNetV2 or EfficientNetB0.",
        )
    return model.inputs[0], [_tap(by_stride.get(1 << level, []), pools) for level in range(depth + 1)]


def _by_stride(model: keras.Model) -> dict[int, list]:
    """{stride: layers with such an output}, in the order of the model; only strides that divide every size evenly."""
    own = [layer for layer in model.layers[1:] if len(layer.output.shape) == 4 and layer.name != "normalize"]
    inside = keras.Model(model.inputs, [layer.output for layer in own])
    shapes = inside.compute_output_spec(keras.KerasTensor((1, _SIDE, _SIDE, 3)))
    by_stride: dict[int, list] = {}
    for layer, spec in zip(own, shapes, strict=True):
        height, width = spec.shape[1:3]
        if height == width and height > 1 and _SIDE % height == 0:
            by_stride.setdefault(_SIDE // height, []).append(layer)
    return by_stride


def _tap(at_stride: list, pools: bool):
    """The features of a level, the last ones of their resolution."""
    if not at_stride:
        return None
    first = at_stride[0]
    return (first if pools and isinstance(first, layers.MaxPooling2D) else at_stride[-1]).output
