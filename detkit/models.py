"""Models of every task: loading, saving, and building one for other classes."""

from __future__ import annotations

from detkit.networks import storage
from detkit.networks.storage import is_stored

__all__ = ["build", "is_stored", "load", "save", "save_checkpoint"]


def load(model, checkpoint=None):
    """A model, ready to use; see `detkit.load`."""
    from detkit.baselines import storage as baselines
    from detkit.detection.load import load

    if baselines.is_baseline(model):
        return baselines.load(model)
    if is_stored(model):
        return _stored(model, checkpoint)
    return load(model, checkpoint)


def _stored(directory, checkpoint):
    stored = storage.read(directory)
    network = _builder(stored.task)(stored.options, stored.classes, stored.label_ids, pretrained=False)
    storage.restore(network, directory, checkpoint)
    return network


def build(task: str, options, classes, seed: int = 0):
    """A network for these classes whose backbone has the weights that the options name.

    Args:
        task: "classification", "localization" or "segmentation".
        options: of that task's model (`detkit.pipeline.transfer`).
        seed: of what starts afresh.

    Raises:
        ConfigError, CheckpointError: for an architecture or weights that are not there or do not fit.
    """
    return _builder(task)(options, tuple(classes), seed=seed)


def _builder(task: str):
    if task == "segmentation":
        from detkit.segmentation.build import build
    else:
        from detkit.classification.build import build
    return build


def save(model, directory) -> None:
    """Writes a network as a directory that `load` reads."""
    from detkit.detection import load as detectors

    (detectors if model.task == "detection" else storage).save(model, directory)


def save_checkpoint(model, directory) -> None:
    """Writes a network's weights alone."""
    from detkit.detection import load as detectors

    (detectors if model.task == "detection" else storage).save_checkpoint(model, directory)
