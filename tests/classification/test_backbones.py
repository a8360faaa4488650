"""Architectures: their parameters as published, their shapes, what they refuse, and how they normalise images."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest

from detkit.classification.applications import APPLICATIONS, PREPROCESSING
from detkit.classification.architectures import architecture, backbone
from detkit.classification.build import build
from detkit.classification.layers import LocalResponseNorm, SpatialExpectation
from detkit.errors import ConfigError
from detkit.pipeline.transfer import ClassificationModel

slow = pytest.mark.slow


def trained(model: keras.Model) -> int:
    """Parameters that training changes."""
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_weights)


@pytest.mark.parametrize(
    ("name", "labels", "classes", "count"),
    [
        ("LeNet5", "one", 10, 61_706),  # with every map of the second convolution on all of the first
        ("MiniXception", "binary", 2, 721_857),  # the book's, for cats and dogs
    ],
)
def test_small_networks_have_as_many_parameters_as_published(name, labels, classes, count):
    options = ClassificationModel(name=name, weights=None, labels=labels)
    assert build(options, [f"class {i}" for i in range(classes)]).model.count_params() == count


def test_alexnet_has_as_many_parameters_as_published():
    features = backbone("AlexNet")
    assert features.output.shape == (None, 6, 6, 256)
    dense = (6 * 6 * 256 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 1000
    assert features.count_params() + dense == 60_965_224


@pytest.mark.parametrize(
    ("name", "squeeze", "count"),
    [
        ("ResNet18", False, 11_689_512),
        pytest.param("ResNet18", True, 11_778_592, marks=slow),
        pytest.param("ResNet34", False, 21_797_672, marks=slow),
        pytest.param("ResNet34", True, 21_958_868, marks=slow),
    ],
)
def test_residual_networks_have_as_many_parameters_as_published(name, squeeze, count):
    features = backbone(name, squeeze_excite=squeeze)
    assert trained(features) + (features.output.shape[-1] + 1) * 1000 == count


@slow
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("DenseNet121", 8_062_504),
        ("EfficientNetB0", 5_330_571 - 7),  # the mean and variance of its input, and their count, are constants here
        ("InceptionV3", 23_851_784),
        ("MobileNet", 4_253_864),
        ("MobileNetV2", 3_538_984),
        ("NASNetMobile", 5_326_716),
        ("ResNet50", 25_636_712),
        ("Xception", 22_910_480),
    ],
)
def test_keras_applications_have_as_many_parameters_as_keras_says(name, count):
    features = backbone(name)
    assert features.count_params() + (features.output.shape[-1] + 1) * 1000 == count


@slow
@pytest.mark.parametrize("name", ["InceptionV3", "MobileNetV3Small"])
def test_layers_have_the_same_names_every_time(name):
    first, second = (backbone(name, (96, 96)) for _ in range(2))
    assert [each.name for each in first.operations] == [each.name for each in second.operations]


@slow
@pytest.mark.parametrize("name", ["EfficientNetV2B0", "EfficientNetV2S", "ConvNeXtTiny", "MobileNetV3Small"])
def test_preprocessing_is_what_keras_has_inside(name):
    size = (64, 64)
    theirs = getattr(keras.applications, name)(include_top=False, weights=None, input_shape=(*size, 3))
    ours = backbone(name, size)
    ours.set_weights([value for value in theirs.get_weights() if value.ndim])
    images = np.random.default_rng(0).uniform(0, 255, (1, *size, 3)).astype(np.float32)
    np.testing.assert_allclose(ours(images), theirs(images), rtol=1e-3, atol=1e-4)


# Of the other families Keras has it inside of the model; a slow test compares them.
@pytest.mark.parametrize("name", [name for name in APPLICATIONS if not re.match("ConvNeXt|Effic|MobileNetV3", name)])
def test_preprocessing_is_that_of_keras(name):
    modules = [module for module in vars(keras.applications).values() if hasattr(module, "preprocess_input")]
    module = next(each for each in modules if hasattr(each, name))
    images = np.random.default_rng(0).uniform(0, 255, (1, 4, 5, 3)).astype(np.float32)
    expected = module.preprocess_input(images.copy())
    assert not np.array_equal(expected, images)
    np.testing.assert_allclose(PREPROCESSING[APPLICATIONS[name].preprocessing](images), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "size", "shape"),
    [
        ("LeNet5", (33, 45), (5, 8, 16)),
        ("AlexNet", (97, 131), (1, 3, 256)),
        ("ResNet18", (65, 33), (3, 2, 512)),
        ("MiniXception", (101, 77), (4, 3, 512)),
    ],
)
def test_odd_sizes(name, size, shape):
    features = backbone(name, size)
    assert features.output.shape[1:] == shape
    assert features(np.zeros((2, *size, 3))).shape == (2, *shape)


def test_the_width_is_a_factor_of_the_channels():
    assert backbone("MiniXception", width=0.25).output.shape[-1] == 128
    assert backbone("AlexNet", width=0.01).output.shape[-1] == 2


@pytest.mark.parametrize("name", ["mobilenet_v2", "MobileNetV2", "mobile-net v2"])
def test_names_may_be_spelled_otherwise(name):
    assert architecture(name).name == "MobileNetV2"


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (("MobilNetV2",), ["There is no such architecture.", "got: MobilNetV2", "Did you mean MobileNetV2?"]),
        (("qwertz",), ["There is no such architecture.", "expected: AlexNet, ConvNeXtBase", "or hub:PATH"]),
        (("MobileNetV4ConvSmall",), ["There is no such architecture.", "Did you mean garden:MobileNetV4ConvSmall?"]),
        (("Xception", (70, 90)), ["Xception does not take images as small as that.", "sides of at least 71"]),
        (("VGG16", None, 0.5), ["VGG16 has no other width.", "MobileNetV2"]),
        (("ResNet50", None, 1.0, True), ["ResNet50 has no residual blocks of detkit's own.", "Take ResNet18,"]),
    ],
)
def test_what_an_architecture_refuses(arguments, texts):
    with pytest.raises(ConfigError) as error:
        backbone(*arguments)
    assert [text for text in texts if text not in str(error.value)] == []


@pytest.mark.parametrize("name", ["LeNet5", "AlexNet", "ResNet18", "MiniXception"])
def test_the_smallest_size_is_one_that_works(name):
    known = architecture(name)
    assert min(backbone(name, (known.smallest,) * 2).output.shape[1:3]) >= 1


def test_local_response_norm():
    x = np.random.default_rng(0).normal(size=(1, 2, 2, 7)).astype(np.float32) * 50
    expected = np.empty_like(x)
    for c in range(7):
        around = x[..., max(c - 2, 0) : c + 3]
        expected[..., c] = x[..., c] / (2 + 1e-4 * (around**2).sum(-1)) ** 0.75
    np.testing.assert_allclose(LocalResponseNorm()(x), expected, rtol=1e-5)


def test_the_expected_box_lies_where_the_heat_is():
    maps = np.zeros((2, 5, 9, 4), np.float32)
    for border, (row, column) in enumerate([(1, 4), (2, 2), (4, 0), (3, 6)]):
        maps[0, row, column, border] = 50
        maps[1, row, column, (border + 2) % 4] = 50  # borders that have changed sides
    expected = [1 / 4, 2 / 8, 4 / 4, 6 / 8]
    np.testing.assert_allclose(SpatialExpectation()(maps)[0], expected, atol=1e-6)
    boxes = np.array(SpatialExpectation()(maps))
    assert (boxes[:, :2] <= boxes[:, 2:]).all()
