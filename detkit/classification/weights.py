"""Trained weights for a backbone: ImageNet's, a detector's, another network's, a file's, or a file's at an address."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from detkit.checkpoint.reader import Checkpoint, open_checkpoint
from detkit.classification import files
from detkit.classification.applications import APPLICATIONS, application
from detkit.classification.architectures import plain_name
from detkit.classification.files import Layer, layers_of
from detkit.detection.borrow import backbone_nodes
from detkit.errors import CheckpointError, ConfigError
from detkit.networks import storage
from detkit.zoo.files import locked
from detkit.zoo.source import locate
from detkit.zoo.unpack import unpack

# Feature extractors of the OD API that compute, with the same variables, what Keras' models do.
_DETECTORS = {"mobilenet_v1": "MobileNet", "mobilenet_v2": "MobileNetV2"}
# Keras 2 and the OD API have other names for the kernel of a depthwise convolution.
_ALSO = {"kernel": "depthwise_kernel", "depthwise_kernel": "kernel"}


def restore_backbone(network, name: str, weights: str, width: float = 1.0) -> None:
    """Gives the backbone of a network trained weights; sets its `pretrained` and `weights_text`.

    Args:
        network: a FunctionalNetwork whose backbone is the architecture or the beginning of it.
        name: of the architecture.
        weights: "imagenet", a detector or a run that detkit loads, a file of Keras, or URL#sha256=SUM.
        width: the factor of the architecture's channels.

    Raises:
        ConfigError: if there is nothing of that name, or it is another architecture's.
        CheckpointError, DownloadError: if it can't be had or read, or its shapes do not fit.
    """
    option = "model.encoder" if network.task == "segmentation" else "model.name"
    if weights == "imagenet":
        layers, source = _imagenet(name, width, option), "ImageNet, by Keras"
    elif weights.startswith(("http://", "https://")):
        path = files.fetched(weights)
        layers, source = files.read(path, name, width), weights
    elif Path(weights).is_file() or Path(weights).suffix in (".h5", ".keras"):
        layers, source = files.read(Path(weights), name, width), weights
    else:
        layers, source = _of_model(weights, name, option), weights
    count = _assign(network, layers, source)
    network.pretrained = True
    network.weights_text = f"backbone {name}: {count} variables from {source}; head: initial"


def restore_garden(network, weights: str, seed: int = 0) -> None:
    """Gives the backbone of a network, one of Model Garden's, trained weights; sets what `restore_backbone` sets.

    Args:
        network: whose backbone it is.
        weights: a checkpoint of Model Garden, a run of detkit, or URL#sha256=SUM of a .tar.gz archive of a checkpoint.
        seed: of the head.

    Raises:
        CheckpointError, DownloadError: if the checkpoint can't be had or read, or does not cover the backbone.
    """
    from detkit.garden import backbone

    path = _unpacked(weights) if weights.startswith(("http://", "https://")) else weights
    network.weights_text = backbone.restore(network, path, seed)
    network.pretrained = True


def check_garden(name: str, weights: str) -> None:
    """ConfigError for weights that are none of a backbone of Model Garden; said before it is built."""
    if not any(mark in weights for mark in "/."):
        raise ConfigError(
            "The backbones of Model Garden have weights of their own kind.",
            where="model.weights",
            got=weights,
            expected="a checkpoint of Model Garden, or a run",
            fix="Give the path of the checkpoint, or set model.weights=null to train the backbone from scratch.",
        )
    if storage.is_stored(weights):
        _check_same(name, storage.read(weights).options.name, weights, "model.name")


def _unpacked(address: str) -> str:
    """The folder with what an archive at an address holds."""
    archive = files.fetched(address)
    directory = archive.parent / "unpacked"
    with locked(directory.with_name("unpacked.lock")):
        if not directory.is_dir():
            unpack(archive, directory)
    return str(directory)


def _imagenet(name: str, width: float, option: str) -> list[Layer]:
    if name not in APPLICATIONS:
        raise ConfigError(
            "There are no weights of ImageNet for this architecture.",
            where="model.weights",
            got=f"imagenet for {name}",
            expected="an architecture of Keras Applications",
            fix=f"Set model.weights=null to train it from scratch, or {option}=MobileNetV2, ResNet50, ...",
        )
    try:
        model = application(name, weights="imagenet", width=width)
    except Exception as error:  # Keras raises whatever its downloader did
        if not str(error).startswith("URL fetch failure"):
            raise ConfigError(
                f"Keras has no weights of ImageNet for this {name}.",
                where="model.weights",
                got=str(error).splitlines()[0],
                fix="Set model.width=1, or model.weights=null.",
            ) from error
        address = str(error).removeprefix("URL fetch failure on ").partition(": ")[0]
        raise CheckpointError(
            "The weights of ImageNet can't be downloaded.",
            where="model.weights: imagenet",
            got=str(error).splitlines()[0],
            fix=f"Connect to the network; or download {address} elsewhere and give the file as model.weights; or set "
            "model.weights=hands (for MobileNetV2; comes with detkit), or model.weights=null and train from scratch.",
        ) from error
    return layers_of(model)


def _of_model(weights: str, name: str, option: str) -> list[Layer]:
    """Of a directory that detkit wrote, or of a detector."""
    if storage.is_stored(weights):
        stored = storage.read(weights)
        _check_same(name, getattr(stored.options, "encoder", None) or stored.options.name, weights, option)
        return _of_run(open_checkpoint(weights))
    source = locate(weights)
    kinds = [extractor for part in (source.config.model.ssd,) if part and (extractor := part.feature_extractor.type)]
    fitting = next((theirs for word, theirs in _DETECTORS.items() if kinds and word in kinds[0]), None)
    if fitting is None:
        raise ConfigError(
            "detkit can't take the backbone out of this detector.",
            where=f"model.weights: {weights}",
            got=kinds[0] if kinds else "no SSD",
            expected="an SSD on MobileNet v1 or v2",
            fix='Use "hands" for MobileNetV2, or another source of weights.',
        )
    _check_same(name, fitting, weights, option)
    return _of_detector(open_checkpoint(source.checkpoint))


def _check_same(name: str, theirs: str, weights: str, option: str) -> None:
    if plain_name(name) != plain_name(theirs):
        raise ConfigError(
            "The weights are those of another architecture.",
            where=f"model.weights: {weights}",
            got=theirs,
            expected=name,
            fix=f"Set {option}={theirs}, or use other weights.",
        )


def _of_run(checkpoint: Checkpoint) -> list[Layer]:
    layers: dict[str, Layer] = {}
    for key in checkpoint.model_keys:
        path = key.removeprefix("model/")
        if path.startswith("backbone/"):
            _, name, variable = path.split("/")
            layers.setdefault(name, Layer(name, {})).values[variable] = checkpoint.read(key)
    return list(layers.values())


def _of_detector(checkpoint: Checkpoint) -> list[Layer]:
    """The layers without names, in the order of the network."""
    keys = {checkpoint.model_path(key): key for key in checkpoint.model_keys}
    values: dict[str, dict] = {}
    for path, key in keys.items():
        node, variable = path.rsplit("/", 1)
        values.setdefault(node, {})[variable] = key
    nodes = backbone_nodes(values)
    return [Layer("", {name: checkpoint.read(key) for name, key in values[node].items()}) for node in nodes]


def _assign(network, layers: list[Layer], source: str) -> int:
    """Gives each layer of the backbone the values of the layer of its name, or without names of its place."""
    own, by_name = network.parts["backbone"], {layer.name: layer for layer in layers}
    if set(by_name) == {""}:
        pairs = list(zip(own, layers, strict=False))
    else:
        pairs = [(layer, by_name[layer.name]) for layer in own if layer.name in by_name]
    if not own or len(pairs) < len(own):
        missing = next((layer.name for layer in own if layer.name not in by_name), None)
        raise _unfitting(source, f"{len(layers)} layers", f"{len(own)} layers of {network.name}, {missing} among them")
    found = [_values(network, layer, theirs, source) for layer, theirs in pairs]  # before any is changed
    for (layer, _), values in zip(pairs, found, strict=True):
        for name, variable in network.variables_of(layer).items():
            variable.assign(values[name])
    return sum(map(len, found))


def _values(network, layer, theirs: Layer, source: str) -> dict[str, np.ndarray]:
    values = {}
    for name, variable in network.variables_of(layer).items():
        value = theirs.values.get(name, theirs.values.get(_ALSO.get(name)))
        if value is None or value.shape != tuple(variable.shape):
            got = "none" if value is None else f"shape {list(value.shape)}"
            place = f"{theirs.name or 'the layer there'}/{name}"
            raise _unfitting(source, f"{place}: {got}", f"{layer.name}/{name}: shape {list(variable.shape)}")
        values[name] = value
    return values


def _unfitting(source: str, got: str, expected: str) -> CheckpointError:
    return CheckpointError(
        "The weights do not fit the architecture.",
        where=f"model.weights: {source}",
        got=got,
        expected=expected,
        fix="Set model.name, model.width and model.squeeze_excite as they were where the weights come from.",
    )
