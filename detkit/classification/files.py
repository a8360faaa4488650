"""Files of weights as Keras writes them, and where they are downloaded to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from detkit.classification.applications import APPLICATIONS, application, settled_names
from detkit.classification.architectures import backbone
from detkit.errors import CheckpointError, ConfigError
from detkit.io import make_directory, unreadable
from detkit.zoo.download import download
from detkit.zoo.files import DownloadError, locked, sha256
from detkit.zoo.store import cache_directory

KINDS = ".keras, .weights.h5 or .h5, as Keras writes them"


class Layer(NamedTuple):
    """A layer of what is restored: its name, "" if it has none, and {name of a variable: its value}."""

    name: str
    values: dict[str, np.ndarray]


def layers_of(model) -> list[Layer]:
    """The layers of a Keras model that have weights, under the names that detkit's backbones give them.

    Those of a model inside count as its own.
    """
    names, found = settled_names(model), []
    for layer in model.layers:
        if isinstance(layer, keras.Model) and not isinstance(layer, keras.Sequential):
            found += layers_of(layer)
        elif layer.weights:
            values = {variable.path.split("/")[-1]: variable.numpy() for variable in layer.weights}
            found.append(Layer(names.get(layer.name, layer.name), values))
    return found


def fetched(address: str) -> Path:
    """The file at an address, in the cache; downloaded where it isn't there yet.

    Args:
        address: URL#sha256=SUM, with the SHA-256 of the file in hexadecimal.

    Raises:
        ConfigError: if the address does not tell the SHA-256.
        DownloadError: if the file can't be had, or is another one.
    """
    url, _, expected = address.partition("#sha256=")
    if not re.fullmatch("[0-9a-fA-F]{64}", expected):
        raise ConfigError(
            "The address of weights does not say which file it shall be.",
            where="model.weights",
            got=address,
            expected="URL#sha256=SUM, with 64 hexadecimal digits",
            fix="Append the SHA-256 that the publisher states, or `sha256sum FILE` shows of a copy that you trust.",
        )
    name = re.sub(r"[^\w.-]", "_", url.partition("?")[0].rsplit("/", 1)[-1])
    path = make_directory(cache_directory().parent / "weights" / expected.lower()) / name
    with locked(path.with_name(name + ".lock")):
        if not path.is_file():
            _download(url, path)
        got = sha256(path)
        if got != expected.lower():
            path.unlink()
            raise DownloadError(
                "The file is not the one that was asked for: its SHA-256 differs.",
                where=url,
                got=got,
                expected=expected.lower(),
                fix="Check the address and the sum; if the publisher has replaced the file and you trust the new one, "
                "give its sum.",
            )
    return path


def _download(url: str, path: Path) -> None:
    try:
        download(url, path)
    except DownloadError as error:
        raise DownloadError(
            error.what,
            where=error.where,
            got=error.got,
            expected=error.expected,
            fix="Check the address and the network; or download the file elsewhere and give its path as model.weights.",
        ) from error


def read(path: Path, name: str, width: float) -> list[Layer]:
    """The layers of a file.

    Args:
        path: the file.
        name, width: of the architecture that it should fit.

    Raises:
        CheckpointError: if it can't be read, or is no such file.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(8)
    except OSError as error:
        raise CheckpointError("Can't read the file of weights.", **unreadable(path, error)) from error
    if path.suffix == ".keras" and head.startswith(b"PK"):
        return layers_of(_attempt(path, lambda: keras.saving.load_model(path, compile=False, safe_mode=True)))
    if path.suffix == ".h5" and head == b"\x89HDF\r\n\x1a\n":
        return _attempt(path, lambda: _of_hdf5(path, name, width))
    raise CheckpointError(
        "This is no file of weights.",
        where=path,
        got=f"{path.name}, which begins with {head!r}" if head else "an empty file",
        expected=KINDS,
        fix="Download it again, or give another file.",
    )


def _attempt(path: Path, load):
    try:
        return load()
    except Exception as error:  # of many kinds, for damaged files
        raise CheckpointError(
            "The file of weights can't be read.",
            where=path,
            got=str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__,
            expected=KINDS,
            fix="Download it again, or give another file.",
        ) from error


def _of_hdf5(path: Path, name: str, width: float) -> list[Layer]:
    # Layers go by their order in files of Keras 3, and in older ones with names that Keras counted.
    for top in (False, True) if name in APPLICATIONS else (False,):
        try:
            model = _empty(name, width, top)
            model.load_weights(path)
            return layers_of(model)
        except (ValueError, KeyError, OSError) as error:
            reason = error
    named = _by_names(path)
    if named is None:
        raise reason
    return named


def _empty(name: str, width: float, top: bool) -> keras.Model:
    if name in APPLICATIONS:
        return application(name, width=width, top=top, settle=False)
    return backbone(name, width=width)


def _by_names(path: Path) -> list[Layer] | None:
    """The layers of a file of Keras 2, of weights or of a whole model; None for one of Keras 3."""
    import h5py

    with h5py.File(path, "r") as file:
        root = file["model_weights"] if "model_weights" in file else file
        if "layer_names" not in root.attrs:
            return None
        layers = []
        for name in map(_text, root.attrs["layer_names"]):
            stored = [_text(each) for each in root[name].attrs["weight_names"]]
            values = {each.rsplit("/", 1)[-1].partition(":")[0]: np.array(root[name][each]) for each in stored}
            layers.append(Layer(name, values))
        return [layer for layer in layers if layer.values]


def _text(value) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
