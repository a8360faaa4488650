"""From the features of a backbone to logits and to a box."""

from __future__ import annotations

from keras import layers

from detkit.classification.architectures import Architecture
from detkit.classification.layers import SpatialExpectation
from detkit.errors import ConfigError

_BOX_CHANNELS = 64


def class_logits(features, known: Architecture, outputs: int, hidden: tuple[int, ...], dropout: float):
    """The layers behind the features, which end in "logits" [B, outputs].

    Args:
        features: [B, h, w, C], a Keras tensor, or [B, D], which nothing is done to.
        known: the architecture; where its paper has dense layers, they see the features of every place, elsewhere
            their mean.
        outputs: how many logits.
        hidden: units of the dense layers before the logits; () for the architecture's own.
        dropout: the share of values left out after each of them, or before the logits where there are none.
    """
    x = features
    if len(x.shape) == 4:
        x = layers.Flatten(name="flatten")(x) if known.hidden else layers.GlobalAveragePooling2D(name="pool")(x)
    for number, units in enumerate(hidden or known.hidden, start=1):
        x = layers.Dense(units, known.activation, kernel_initializer="he_normal", name=f"hidden{number}")(x)
        x = layers.Dropout(dropout, name=f"dropout{number}")(x)
    if not (hidden or known.hidden):
        x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(outputs, name="logits")(x)


def box(features):
    """The layers behind features [B, h, w, C] that end in "box" [B, 4], normalised yxyx.

    Raises:
        ConfigError: if the features are those of a single row or column, where no place can be told.
    """
    height, width = features.shape[1:3]
    if min(height, width) < 2:
        raise ConfigError(
            "At this size the last features are too few to tell a place.",
            where="model.size",
            got=f"{height} x {width} features",
            expected="at least 2 x 2",
            fix="Choose a larger size, such as 128 or 224.",
        )
    x = layers.Conv2D(
        _BOX_CHANNELS, 3, padding="same", activation="relu", kernel_initializer="he_normal", name="box_conv"
    )(features)
    return SpatialExpectation(name="box")(layers.Conv2D(4, 1, name="box_maps")(x))
