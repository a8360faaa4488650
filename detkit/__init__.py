"""detkit: an object detector for your own objects, from a pretrained one and a handful of photos.

Everything a user needs is an attribute of this module. Attributes are imported when they are first used, so that
`import detkit` costs nothing.
"""

from __future__ import annotations

import importlib

_HOMES = {
    "load": "detkit.api",
    "finetune": "detkit.api",
    "train": "detkit.api",
    "evaluate": "detkit.api",
    "report": "detkit.api",
    "compare": "detkit.evaluation.intervals",
    "predict": "detkit.api",
    "explain": "detkit.explain",
    "export": "detkit.export",
    "data": "detkit.data",
    "boxes": "detkit.boxes",
    "nms": "detkit.nms",
    "zoo": "detkit.zoo",
    "visualize": "detkit.visualize",
    "Detections": "detkit.detections",
    "DetkitError": "detkit.errors",
    "ConfigError": "detkit.errors",
    "DataError": "detkit.errors",
    "CheckpointError": "detkit.errors",
    "MediaError": "detkit.errors",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str):
    if name == "__version__":
        from importlib.metadata import version

        return version("detkit")
    if name not in _HOMES:
        raise AttributeError(f"module 'detkit' has no attribute {name!r}")
    module = importlib.import_module(_HOMES[name])
    return module if _HOMES[name] == f"detkit.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
