"""ResNet-18 and ResNet-34, which Keras Applications lacks.

Source: He et al., "Deep Residual Learning for Image Recognition", 2015; projections where the shape changes (option B).
"""

from __future__ import annotations

from collections.abc import Callable

from keras import layers

from detkit.classification.layers import squeeze_excite


def resnet18(image, channels, squeeze: bool = False):
    """The features of ResNet-18; as `resnet34`."""
    return _residual(image, channels, squeeze, (2, 2, 2, 2))


def resnet34(image, channels, squeeze: bool = False):
    """The features of ResNet-34, [B, h, w, 3] -> [B, h / 32, w / 32, 512].

    Args:
        image: normalised, RGB.
        channels: how many channels the network has -> how many it shall have.
        squeeze: whether residual units weigh their channels (squeeze and excitation).
    """
    return _residual(image, channels, squeeze, (3, 4, 6, 3))


def _residual(image, channels: Callable, squeeze: bool, depths: tuple[int, ...]):
    x = _conv_norm(image, channels(64), 7, 2, "stem")
    x = layers.MaxPooling2D(3, 2, "same", name="stem_pool")(layers.ReLU(name="stem_relu")(x))
    for stage, depth in enumerate(depths, start=1):
        for unit in range(1, depth + 1):
            stride = 2 if stage > 1 and unit == 1 else 1
            x = _unit(x, channels(32 * 2**stage), stride, f"stage{stage}_unit{unit}", squeeze)
    return x


def _unit(x, filters: int, stride: int, name: str, squeeze: bool):
    """Two convolutions beside a shortcut, which is a projection where the shape changes."""
    shortcut = x
    if stride > 1 or x.shape[-1] != filters:
        # Not strided itself: of few channels, the gradient of such a convolution crashes TensorFlow 2.20.
        shortcut = layers.MaxPooling2D(1, stride, "same", name=f"{name}_subsample")(x) if stride > 1 else x
        shortcut = _conv_norm(shortcut, filters, 1, 1, f"{name}_projection")
    x = layers.ReLU(name=f"{name}_relu1")(_conv_norm(x, filters, 3, stride, f"{name}_conv1"))
    x = _conv_norm(x, filters, 3, 1, f"{name}_conv2")
    x = squeeze_excite(x, f"{name}_se") if squeeze else x
    return layers.ReLU(name=f"{name}_relu2")(layers.Add(name=f"{name}_add")([x, shortcut]))


def _conv_norm(x, filters: int, size: int, stride: int, name: str):
    conv = layers.Conv2D(filters, size, stride, "same", use_bias=False, kernel_initializer="he_normal", name=name)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm")(conv(x))
