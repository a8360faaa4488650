"""SavedModels of functions. Nothing here knows what the function computes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import tensorflow as tf

from detkit.errors import ConfigError
from detkit.io import make_directory


def write(function: Callable, specs, directory, files: Mapping[str, str]) -> None:
    """Writes a SavedModel with the signature `serving_default`; loaded, it can also be called itself.

    The directory appears when it is complete, and replaces an older SavedModel there.

    Args:
        function: tensors -> {name: tensor}; weights are constants in it.
        specs: a named TensorSpec for each of its inputs.
        files: {name: text}, its assets.

    Raises:
        ConfigError: if the directory can't be written, or holds something else.
    """
    directory = Path(directory)
    _check_place(directory)
    make_directory(directory.parent)
    module = tf.Module()
    module.__call__ = tf.function(function, input_signature=list(specs), autograph=False)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", dir=directory.parent) as temporary:
        places = {name: Path(temporary) / name for name in files}
        for name, place in places.items():
            place.write_text(files[name], encoding="utf-8")
        module.assets = [tf.saved_model.Asset(str(place)) for place in places.values()]
        written = Path(temporary) / "saved_model"
        save(module, module.__call__, written)
        shutil.rmtree(directory, ignore_errors=True)
        written.rename(directory)


def save(module, function, directory) -> None:
    """Writes a module as a SavedModel whose signature is one of its functions."""
    # The gradients of constants, such as swish has them of its own, can't be written, and nobody asks for them.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(directory), function.get_concrete_function(), options)


def _check_place(directory: Path) -> None:
    if directory.exists() and not (directory / "saved_model.pb").is_file() and not _empty(directory):
        raise ConfigError(
            "Something else is where the SavedModel shall be.",
            where=directory,
            expected="no such directory, an empty one, or an older SavedModel",
            fix="Choose another path.",
        )


def _empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
