"""What is trained one after the other: a detector in one go, a transferred backbone by one of four strategies."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from detkit.errors import ConfigError
from detkit.pipeline.fields import nearest
from detkit.pipeline.settings import Training
from detkit.training.selection import Selection, choose, of_multipliers


class Phase(NamedTuple):
    """A part of a training run.

    Attributes:
        name: of its state file; "" where it is the only one.
        selection: what it trains.
        settings: of its own.
    """

    name: str
    selection: Selection
    settings: Training


def plan(network, settings) -> list[Phase]:
    """The phases that the settings ask for.

    Args:
        settings: a `TrainConfig`, or a `TransferTraining` with a `strategy`: "head" trains the head alone; "finetune"
            the head and the backbone from `unfreeze` on, the latter at a lower rate; "two_stage" does the one after the
            other; "full" trains everything; "auto" is "full" for a backbone without weights and otherwise "head".

    Raises:
        ConfigError: if nothing is trained, a layer does not exist, a backbone without weights would stay as it is, or
            one that can't be trained would not.
    """
    strategy = getattr(settings, "strategy", None)
    if strategy is None:
        return [Phase("", choose(network, settings.tune), settings)]
    if strategy == "auto":
        strategy = "head" if network.pretrained else "full"
    if strategy != "head" and network.fixed:
        raise ConfigError(
            "The backbone of a SavedModel can't be trained.",
            where="train.strategy",
            got=strategy,
            expected="head",
            fix="Set train.strategy=head, or a model.name whose backbone detkit builds, such as MobileNetV2.",
        )
    if strategy == "full":
        return [Phase("", choose(network, "all"), settings)]
    if not network.pretrained:
        raise ConfigError(
            "The backbone has no weights, and not all of it would be trained.",
            where="train.strategy",
            got=strategy,
            expected="full",
            fix="Set train.strategy=full, or give weights: model.weights, or model.checkpoint of Model Garden's.",
        )
    if strategy == "head":
        return [Phase("", choose(network, "head"), settings)]
    finetuned = _from_layer(network, settings.unfreeze, settings.finetune_rate)
    if strategy == "finetune":
        return [Phase("", finetuned, settings)]
    second = replace(settings, steps=settings.finetune_steps)
    return [Phase("head", choose(network, "head"), settings), Phase("finetune", finetuned, second)]


def _from_layer(network, unfreeze: str | float, rate: float) -> Selection:
    """The head, and the backbone from a layer or a share of its end on."""
    backbone = {id(layer) for layer in network.parts["backbone"]}
    layers = [layer for stage in network.stages for layer in stage.layers if id(layer) in backbone]
    if isinstance(unfreeze, str):
        chosen = layers[_place(unfreeze, [layer.name for layer in layers]) :]
    else:
        chosen = layers[len(layers) - math.ceil(unfreeze * len(layers)) :]
    ids = {id(layer) for layer in chosen}
    own = {path for path, layer in network.paths().items() if id(layer) in ids}
    parts, variables = network.part_of(), network.variables()
    multipliers = {
        path: 1.0 if parts[path] != "backbone" else rate
        for path, variable in variables.items()
        if variable.trainable and (parts[path] != "backbone" or path.rsplit("/", 1)[0] in own)
    }
    text = f"tune the head x1 and the backbone from {chosen[0].name} on x{rate:g}"
    return of_multipliers(network, multipliers, [text])


def _place(name: str, names: list[str]) -> int:
    if name in names:
        return names.index(name)
    starting = [i for i, each in enumerate(names) if each.startswith(name)]
    if starting:
        return starting[0]
    raise ConfigError(
        "The backbone has no such layer with weights.",
        where="train.unfreeze",
        got=name,
        expected=f"{names[0]} ... {names[-1]}, or a share of them",
        fix=nearest(name, names),
    )
