"""The classification models of tf-models-official 2.20 that Keras Applications does not have, as backbones.

The numbers of parameters were counted on the backbones as they are built here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from detkit.errors import ConfigError
from detkit.garden.names import PREFIX
from detkit.pipeline.fields import nearest

_NOTE = "a backbone: model.name=garden:NAME in a pipeline for classification or localization"


@dataclass(frozen=True)
class Classifier:
    """A classification model of Model Garden; in lists it takes an `Experiment`'s place.

    Attributes:
        name: Model Garden's own for it, where there is one.
        experiment: of Model Garden, whose normalisation and activations it has.
        options: of the experiment's backbone that are changed, the type with them.
        side: of its input.
        parameters: that training can change, without those of a head.
        widths: the option that scales the number of its channels, if there is one.
        maps: whether it ends in maps of features, which tell places.
    """

    name: str
    experiment: str
    options: Mapping
    side: int
    parameters: int
    widths: str | None = None
    maps: bool = True

    family: ClassVar[str] = "classification"
    state: ClassVar[str] = "trains"
    columns: ClassVar[int | None] = None
    needs: ClassVar[Mapping] = {}
    broken: ClassVar[str] = ""
    note: ClassVar[str] = _NOTE

    @property
    def backbone(self) -> str:
        """The type of its backbone."""
        return self.options["type"]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of its input."""
        return self.side, self.side


def _mobilenet(name: str, parameters: int, side: int = 224) -> Classifier:
    options = {"type": "mobilenet", "mobilenet": {"model_id": name}}
    return Classifier(name, "mobilenet_imagenet", options, side, parameters, "filter_size_scale")


def _resnet_rs(depth: int, parameters: int, side: int) -> Classifier:
    options = {"type": "resnet", "resnet": {"model_id": depth}}
    return Classifier(f"ResNetRS{depth}", "resnet_rs_imagenet", options, side, parameters, "depth_multiplier")


def _vit(name: str, letters: str, parameters: int) -> Classifier:
    # Dropout inside of the backbone would not be repeatable.
    still = {"dropout_rate": 0.0, "attention_dropout_rate": 0.0}
    vit = {"model_name": letters, "representation_size": 0, "init_stochastic_depth_rate": 0.0, "transformer": still}
    return Classifier(name, "vit_imagenet_pretrain", {"type": "vit", "vit": vit}, 224, parameters, maps=False)


CLASSIFIERS = (
    _mobilenet("MobileNetV3EdgeTPU", 2_810_432),
    _mobilenet("MobileNetMultiAVG", 3_667_872),
    _mobilenet("MobileNetMultiMAX", 3_141_920),
    _mobilenet("MobileNetV4ConvSmall", 2_493_024),
    _mobilenet("MobileNetV4ConvMedium", 8_434_512, 256),
    _mobilenet("MobileNetV4ConvLarge", 31_309_864, 384),
    _mobilenet("MobileNetV4HybridMedium", 9_793_648, 256),
    _mobilenet("MobileNetV4HybridLarge", 36_483_624, 384),
    _resnet_rs(50, 33_642_912, 160),
    _resnet_rs(101, 61_569_696, 192),
    _resnet_rs(152, 84_572_576, 256),
    Classifier("RevNet56", "revnet_imagenet", {"type": "revnet"}, 224, 19_447_680),
    _vit("ViTTi16", "vit-ti16", 5_524_416),
    _vit("ViTS16", "vit-s16", 21_665_664),
    _vit("ViTB16", "vit-b16", 85_798_656),
    _vit("ViTB32", "vit-b32", 87_455_232),
)


def find(name: str) -> Classifier:
    """The classification model of that name, with "garden:" before it or not; ConfigError if there is none."""
    known = {_plain(entry.name): entry for entry in CLASSIFIERS}
    found = known.get(_plain(name.removeprefix(PREFIX)))
    if found is None:
        names = [f"{PREFIX}{entry.name}" for entry in CLASSIFIERS]
        raise ConfigError(
            "Model Garden has no classification model for detkit with this name.",
            where="model.name",
            got=name,
            expected=", ".join(names),
            fix=nearest(name, names),
        )
    return found


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
