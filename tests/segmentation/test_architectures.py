"""Parameter counts against published figures, and what goes through which architecture."""

from __future__ import annotations

import numpy as np
import pytest

from detkit.errors import ConfigError
from detkit.segmentation.encoder_decoder import encoder_decoder
from detkit.segmentation.encoders import encode
from detkit.segmentation.fcn import fcn
from detkit.segmentation.segnet import segnet
from detkit.segmentation.unet import unet


def parameters(model, trainable: bool = False) -> int:
    return sum(int(np.prod(w.shape)) for w in (model.trainable_weights if trainable else model.weights))


def test_the_encoder_decoder_has_the_parameters_of_the_book():
    assert parameters(encoder_decoder(3).model) == 2_880_643


def test_unet_has_the_published_number_of_parameters():
    # 31.0 million in print; two classes, RGB. With normalisation the usual PyTorch port has 31,037,698.
    assert parameters(unet(2, batch_norm=False).model) == 31_031_810


@pytest.mark.slow
def test_unet_with_norms_has_the_parameters_of_the_usual_port():
    assert parameters(unet(2).model, trainable=True) == 31_037_698


@pytest.mark.slow
def test_segnet_has_the_published_number_of_parameters():
    # 29.46 million, say Paszke et al., ENet, 2016; 11 classes of CamVid and the background.
    assert round(parameters(segnet(12).model) / 1e6, 2) == 29.46


@pytest.mark.slow
def test_fcn8_is_vgg16_without_its_classes_and_with_scores():
    vgg16 = 138_357_544 - 4_097_000  # Keras' VGG16 less its last layer
    classes = 21
    scores = sum((channels + 1) * classes for channels in (4096, 512, 256))
    upsampling = sum(size**2 * classes**2 for size in (4, 4, 16))
    assert parameters(fcn(8, classes).model) == vgg16 + scores + upsampling == 134_489_759


def names(tensors) -> list[str]:
    return [tensor._keras_history.operation.name for tensor in tensors]


@pytest.mark.parametrize(
    ("build", "stride"),
    [
        (lambda: unet(3, 2, 3), 8),
        (lambda: encoder_decoder(3, 2, 2), 4),
        (lambda: segnet(3, 2, 3), 8),
        (lambda: fcn(16, 3, 4), 32),
    ],
    ids=["unet", "encoder_decoder", "segnet", "fcn16"],
)
def test_every_multiple_of_the_stride_goes_through(build, stride):
    network = build()
    assert network.stride == stride
    logits = network.model(np.zeros((1, 32, 64, 3), np.float32))
    assert logits.shape == (1, 32, 64, 3)
    assert set(network.backbone) < {layer.name for layer in network.model.layers}


def test_the_taps_of_vgg16_are_those_of_the_papers():
    _, last = encode("VGG16", 4)
    assert names(last) == ["block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3"]
    _, pooled = encode("VGG16", 5, pools=True)
    assert names(pooled[3:]) == ["block3_pool", "block4_pool", "block5_pool"]


def test_an_encoder_without_full_resolution_has_no_such_skip():
    assert [tensor is None for tensor in encode("MobileNetV2", 2)[1]] == [True, False, False]


def test_an_unknown_encoder_names_the_nearest():
    with pytest.raises(ConfigError, match=r"no encoder of this name(.|\n)*Did you mean ResNet50\?"):
        encode("Resnet50", 4)


@pytest.mark.slow
def test_an_encoder_that_does_not_halve_evenly_is_refused():
    with pytest.raises(ConfigError, match=r"no features for this depth(.|\n)*InceptionV3, depth 4"):
        encode("InceptionV3", 4)
