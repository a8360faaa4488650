"""TensorFlow Lite (LiteRT) models from functions. Nothing here knows what a function computes."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import tensorflow as tf

from detkit.errors import ConfigError
from detkit.export import saved_model
from detkit.export.quiet import quiet

KINDS = ("float32", "float16", "dynamic", "int8")


def convert(function: Callable, spec, kind: str = "float32", samples: Iterable[np.ndarray] = ()) -> bytes:
    """The content of a .tflite file with the signature `serving_default`.

    Operations that are no builtins, such as TFLite_Detection_PostProcess, are left to the interpreter.

    Args:
        function: tensor -> {name: tensor}; weights are constants in it.
        spec: the named TensorSpec of its input.
        kind: one of KINDS: "float16" stores weights as float16, "dynamic" as int8 with activations in float32, "int8"
            computes with int8 throughout.
        samples: for "int8": inputs, which the ranges of the activations are measured on.

    Raises:
        ConfigError: if the function can't be converted.
    """
    module = tf.Module()
    module.serve = tf.function(function, input_signature=[spec], autograph=False)
    with tempfile.TemporaryDirectory() as folder, quiet():
        saved_model.save(module, module.serve, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.allow_custom_ops = True
        if kind != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if kind == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if kind == "int8":
            converter.representative_dataset = lambda: ({spec.name: sample} for sample in samples)
        return _converted(converter)


def network_to_tflite(frozen) -> bytes:
    """The bare network of `detkit.export.frozen.freeze` as the content of a .tflite file, in float32.

    Inputs and outputs are those of `frozen`, in the same order.
    """
    with quiet():
        return _converted(tf.lite.TFLiteConverter.from_concrete_functions([frozen.function], frozen.function))


def _converted(converter) -> bytes:
    try:
        return converter.convert()
    except Exception as error:  # the converter's have no base of their own
        raise ConfigError(
            "TensorFlow Lite can't represent this model.",
            got=str(error).strip().splitlines()[0][:300],
            fix="Export it as a SavedModel, which can hold every model.",
        ) from error


def attach(content: bytes, files: Mapping[str, str]) -> bytes:
    """A .tflite file's content with associated files {name: text}, in a ZIP archive at its end."""
    file = io.BytesIO(content)
    file.seek(0, io.SEEK_END)
    with zipfile.ZipFile(file, "a") as archive:
        for name, text in files.items():
            # With a date of its own each export would differ from the last.
            archive.writestr(zipfile.ZipInfo(name), text)
    return file.getvalue()
