"""Models of every task: loading, saving, and building one for other classes."""

from __future__ import annotations

from detkit.errors import ConfigError
from detkit.garden.names import is_garden
from detkit.networks import storage
from detkit.networks.storage import is_stored

__all__ = ["build", "is_stored", "load", "save", "save_checkpoint"]


def load(model, checkpoint=None, config=None):
    """A model, ready to use; see `detkit.load`."""
    from detkit.baselines import storage as baselines
    from detkit.detection.load import load
    from detkit.hub import load as hub

    if is_garden(model):
        from detkit.garden import load as garden

        return garden.load(model, checkpoint, config)
    if config is not None:
        raise ConfigError(
            "Overrides are for the models of Model Garden.",
            where=model,
            got=f"config: {config}",
            fix="Leave out the config; a detector of the OD API has its pipeline.config in its directory.",
        )
    if str(model).endswith(".keras"):
        from detkit.detection import keras_model

        return keras_model.load(model)
    if hub.kind(model) is not None:
        return hub.load(model)
    if baselines.is_baseline(model):
        return baselines.load(model)
    if is_stored(model):
        return _stored(model, checkpoint)
    return load(model, checkpoint)


def _stored(directory, checkpoint):
    stored = storage.read(directory)
    network = _builder(stored.task, stored.options)(stored.options, stored.classes, stored.label_ids, pretrained=False)
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
    return _builder(task, options)(options, tuple(classes), seed=seed)


def _builder(task: str, options):
    if task == "segmentation" and is_garden(options.name):
        from detkit.garden.segmenters import build
    elif task == "segmentation":
        from detkit.segmentation.build import build
    else:
        from detkit.classification.build import build
    return build


def save(model, directory) -> None:
    """Writes a network as a directory that `load` reads."""
    _storage(model).save(model, directory)


def save_checkpoint(model, directory) -> None:
    """Writes a network's weights alone."""
    _storage(model).save_checkpoint(model, directory)


def _storage(model):
    """The module that writes and reads models of this kind."""
    from detkit.detection import load as detectors
    from detkit.garden import storage as garden
    from detkit.garden.network import GardenNetwork

    if isinstance(model, GardenNetwork):
        return garden
    return detectors if model.task == "detection" else storage
