"""Which models are Model Garden's, without a look into them."""

from __future__ import annotations

from pathlib import Path

PREFIX = "garden:"
FILE = "garden.yaml"  # in the directory of a stored model


def is_stored(directory) -> bool:
    """Whether a directory holds a model of Model Garden that detkit saved."""
    return (Path(directory) / FILE).is_file()


def is_garden(model) -> bool:
    """Whether a model is one of Model Garden: "garden:EXPERIMENT", or the directory of one."""
    return str(model).startswith(PREFIX) or is_stored(model)
