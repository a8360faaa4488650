"""Weights packed small and without loss, for the model that comes with detkit.

Weights that were once quantised have few different values: those are stored as one byte each with a table. Everything
else is stored as it is. One .npz, read without pickle.
"""

from __future__ import annotations

import numpy as np

from detkit.errors import CheckpointError
from detkit.io import atomic_write, read_arrays


def write(path, tensors: dict) -> None:
    """Packs {key: array} into `path`; `read` gives the same arrays back bit for bit."""
    packed = {}
    for key, value in tensors.items():
        # Bit patterns, not values, so that -0.0 and NaN survive.
        patterns, codes = np.unique(value.ravel().view(f"u{value.itemsize}"), return_inverse=True)
        if len(patterns) <= 256 and value.size > 1024:
            packed[f"{key}:codes"] = codes.reshape(value.shape).astype(np.uint8)
            packed[f"{key}:table"] = patterns.view(value.dtype)
        else:
            packed[f"{key}:value"] = value
    with atomic_write(path, "wb") as file:
        np.savez_compressed(file, **packed)


def read(path) -> dict:
    """{key: array} of a packed bundle."""
    try:
        stored = read_arrays(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            "The packed weights can't be read.", where=path, got=error, fix="Install detkit again."
        ) from None
    plain = {name[:-6]: value for name, value in stored.items() if name.endswith(":value")}
    coded = {
        name[:-6]: stored[f"{name[:-6]}:table"][value] for name, value in stored.items() if name.endswith(":codes")
    }
    return plain | coded
