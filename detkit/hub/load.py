"""Finished graphs by what their path says: SavedModels, .tflite and .onnx files."""

from __future__ import annotations

from pathlib import Path

from detkit.hub.source import is_saved_model

SUFFIXES = {".tflite": "tflite", ".onnx": "onnx"}


def kind(model) -> str | None:
    """Which of "saved_model", "tflite" and "onnx" a model is, None for anything else; nothing is read."""
    suffix = SUFFIXES.get(Path(model).suffix.lower())
    return suffix or ("saved_model" if is_saved_model(model) else None)


def load(model):
    """The detector in a finished graph.

    Raises:
        CheckpointError: if it can't be had or read.
        ConfigError: if it is no detector of a kind that detkit knows, or its runtime is not installed.
    """
    return _module(kind(model)).load(model)


def describe(model) -> str:
    """What a finished graph takes and gives, and its classes, as text; errors as for `load`."""
    return _module(kind(model)).describe(model)


def _module(name: str):
    from detkit.hub import onnx, saved_model, tflite

    return {"saved_model": saved_model, "tflite": tflite, "onnx": onnx}[name]
