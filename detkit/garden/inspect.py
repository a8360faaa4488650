"""What a model of Model Garden holds, and what a surgery on it would do: `detkit inspect`."""

from __future__ import annotations

from detkit.detection.inspect import surgery_text
from detkit.garden import catalogue, load
from detkit.networks.inspect import inspect as inspect_network
from detkit.pipeline.settings import ModelConfig


def inspect(model, *, reset=(), classes=(), variables: bool = False, checkpoint=None, config=None) -> str:
    """A report as text; nothing is changed.

    Args:
        model, checkpoint, config: as `detkit.load` takes them.
        reset, classes, variables: as for `detkit.detection.inspect.inspect`.

    Raises:
        ConfigError, CheckpointError: if the model can't be built, or its checkpoint not be read.
    """
    if not (reset or classes):
        return inspect_network(load.load(model, checkpoint, config), variables)
    options = ModelConfig(name=str(model), checkpoint=checkpoint, config=config)
    network, report = load.examine(options, classes, tuple(reset))
    entry = catalogue.find(network.description.experiment)
    chosen = network.description.overrides.get("task", {}).get("model", {}).get("backbone")
    backbone = network.task_config.model.backbone.type if chosen else entry.backbone
    return surgery_text(network, f"model {network.name}: {entry.family}, {backbone}", report, variables)
