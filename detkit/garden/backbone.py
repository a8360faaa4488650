"""The backbones of Model Garden's classification models: functions of images, with variables for training to change.

Source: `official.vision.tasks.image_classification`.
"""

from __future__ import annotations

from pathlib import Path

from detkit.checkpoint import reader, surgery
from detkit.errors import CheckpointError, ConfigError
from detkit.garden import upstream
from detkit.garden.classifiers import Classifier, find
from detkit.garden.nodes import Norm, nodes_of

_MOMENTUM = 0.9  # of the norms' averages, for an experiment that relies on averaged weights instead


class Backbone:
    """Normalised images float32 [B, h, w, 3] -> features float32 [B, h', w', C].

    Attributes:
        entry: which one it is.
        model: of tf_keras.
        level: the name of the output that is meant; shape: of it, for one image.
        nodes: {path in checkpoints, below "backbone/": node}, in the order of the data.
    """

    def __init__(self, entry: Classifier, model, level: str):
        self.entry, self.model, self.level = entry, model, level
        self.shape = tuple(model.output[level].shape[1:])
        nodes = {path.partition("/")[2]: node for path, node in nodes_of({"backbone": model}).items()}
        order = {id(layer): i for i, layer in enumerate(model._flatten_layers(include_self=False))}
        self.nodes = dict(sorted(nodes.items(), key=lambda item: order.get(id(item[1].owner), -1)))
        self._norms = [node for node in nodes.values() if isinstance(node, Norm)]

    def __call__(self, images):
        training = any(not norm.frozen for norm in self._norms)
        return self.model(images, training=training)[self.level]


def build(name: str, size: tuple[int, int] | None = None, width: float = 1.0, places: bool = False) -> Backbone:
    """A backbone with the weights that Model Garden gives a new one.

    Args:
        name: "garden:" and the name of a `detkit.garden.classifiers.Classifier`.
        size: (height, width) of the images; None for its own.
        width: the factor of the number of channels.
        places: whether the features shall be the last map of more than one place.

    Raises:
        ConfigError: if there is none of that name, or it can't be built so.
    """
    entry = find(name)
    size = size or entry.size
    _check(entry, width, places)
    upstream.module("vision.configs.image_classification")
    options = upstream.module("core.exp_factory").get_exp_config(entry.experiment).task.model
    options.override(_overrides(entry, options, width))
    backbones, tf_keras = upstream.module("vision.modeling.backbones"), upstream.module("tf_keras")
    specs = tf_keras.layers.InputSpec(shape=[None, *size, 3])
    with upstream.quiet(), upstream.seeded(0):
        try:
            model = backbones.factory.build_backbone(specs, options.backbone, options.norm_activation)
        except (ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError) as error:
            reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            raise ConfigError(
                "Model Garden can't build this backbone.",
                where=f"model.name: {name}, model.size, model.width",
                got=f"{size[0]} x {size[1]}, width {width:g}: {reason}",
                fix=f"Set model.size={entry.side}.",
            ) from error
    return Backbone(entry, model, _level(model.output, places))


def restore(network, path: str, seed: int = 0) -> str:
    """Gives the backbone of a network the weights of a checkpoint; its head starts afresh.

    Args:
        network: with the nodes of a `Backbone` below "backbone/".
        path: a checkpoint of Model Garden, of either layout, whatever its head; or a run of detkit's.
        seed: of the head.

    Returns:
        What was done, as text.

    Raises:
        CheckpointError: if it can't be read, or does not cover the backbone.
    """
    checkpoint = reader.open_checkpoint(Path(path))
    plan = surgery.Plan(("head",), (r"^(?!(\w+/)?_?backbone/)",))
    report = surgery.examine(network, checkpoint, plan)
    if not report.explained:
        raise CheckpointError(
            "The checkpoint does not fit the backbone.\n" + report.text(),
            where=f"model.weights: {path}",
            fix="Set model.name, model.size and model.width as they were where the checkpoint comes from.",
        )
    return surgery.apply(network, checkpoint, plan, seed).text()


def _overrides(entry: Classifier, options, width: float) -> dict:
    backbone = {**entry.options, entry.backbone: dict(entry.options.get(entry.backbone, {}))}
    if entry.widths:
        backbone[entry.backbone][entry.widths] = width
    momentum = options.norm_activation.norm_momentum or _MOMENTUM
    return {"backbone": backbone, "norm_activation": {"use_sync_bn": False, "norm_momentum": momentum}}


def _level(outputs: dict, places: bool) -> str:
    """The name of the last output, or of the last one that tells places."""
    several = [name for name, output in outputs.items() if min(output.shape[1:3]) > 1]
    return max(several) if places and several else max(outputs)


def _check(entry: Classifier, width: float, places: bool) -> None:
    if width != 1 and not entry.widths:
        raise ConfigError(
            f"{entry.name} has no other width.", where="model.width", got=width, expected="1", fix="Leave it out."
        )
    if places and not entry.maps:
        raise ConfigError(
            f"The features of {entry.name} tell no places.",
            where="model.name",
            got=entry.name,
            expected="a backbone that ends in maps of features",
            fix="Take a MobileNet or a ResNet.",
        )
