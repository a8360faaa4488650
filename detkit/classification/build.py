"""From options to a classifier or a localizer."""

from __future__ import annotations

from detkit.classification import backbones
from detkit.classification.classifier import Classifier
from detkit.classification.localizer import Localizer
from detkit.classification.weights import check_garden, restore_backbone, restore_garden
from detkit.errors import ConfigError
from detkit.garden.names import PREFIX as GARDEN
from detkit.pipeline.transfer import ClassificationModel, LocalizationModel


def build(
    options: ClassificationModel | LocalizationModel, classes, label_ids=None, *, seed: int = 0, pretrained: bool = True
) -> Classifier | Localizer:
    """A classifier, or for `LocalizationModel` a localizer, for these classes.

    Args:
        options: what it shall be.
        classes: their names; label_ids: of each.
        seed: of the initial weights.
        pretrained: give the backbone the weights that the options name; otherwise a checkpoint follows.

    Raises:
        ConfigError: for an unknown architecture, options that it does not have, and classes that they do not fit.
        CheckpointError, DownloadError: if the weights can't be had, or do not fit.
    """
    _check(options, tuple(classes))
    trained = pretrained and options.weights is not None
    in_garden = options.name.startswith(GARDEN)
    if in_garden and trained:
        check_garden(options.name, options.weights)
    features, known, saved_model = backbones.build(options)
    kind = Localizer if isinstance(options, LocalizationModel) else Classifier
    network = kind(features, known, classes, label_ids, name=known.name, options=options)
    if in_garden:
        _add_names(network)
    network.initialize(network.variables(), seed)
    if saved_model is not None:
        network.saved_model, network.pretrained = saved_model, True
        network.weights_text = f"backbone: {options.name}, as it is; head: initial"
    elif trained and in_garden:
        restore_garden(network, options.weights, seed)
    elif trained:
        restore_backbone(network, known.name, options.weights, options.width)
    return network


def _add_names(network) -> None:
    """The names that Model Garden's checkpoints have for the parts of its classifiers."""
    below = {path: node for path, node in network.nodes.items() if path.startswith("backbone/")}
    network.nodes |= {f"_{path}": node for path, node in below.items()}
    network.checkpoint_items = ("backbone",)
    if len(network.parts["head"]) == 1:  # the logits, as there
        network.checkpoint_names = {"layer_with_weights-1": network.parts["head"][0]}


def _check(options, classes: tuple[str, ...]) -> None:
    localizes = isinstance(options, LocalizationModel)
    if localizes and options.labels != "one":
        raise ConfigError("A localizer tells one class.", where="model.labels", got=options.labels, expected="one")
    _check_number(options.labels, classes, least=1 if localizes else 2)
    weights = options.class_weights
    if weights and (len(weights) != len(classes) or not any(weights)):
        raise ConfigError(
            "These are not the weights of the classes.",
            where="model.class_weights",
            got=list(weights),
            expected=f"{len(classes)} numbers, not all 0: for {', '.join(classes)}",
        )


def _check_number(labels: str, classes: tuple[str, ...], least: int) -> None:
    right = {"one": len(classes) >= least, "binary": len(classes) == 2, "several": len(classes) >= 1}
    if not right[labels]:
        raise ConfigError(
            "There is nothing to tell apart with this number of classes.",
            where=f"model.labels: {labels}",
            got=", ".join(classes) or "no class",
            expected={"one": f"{least} classes or more", "binary": "2 classes", "several": "a class"}[labels],
            fix="Add photos of another class, or use model.labels=several to tell whether a class is there."
            if len(classes) < 2
            else "Set model.labels=one.",
        )
