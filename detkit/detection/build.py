"""From a pipeline config to a detector."""

from __future__ import annotations

from detkit.detection import ssd
from detkit.detection.detector import Detector
from detkit.errors import ConfigError


def build(config, classes=None, label_ids=None, name: str | None = None) -> Detector:
    """Builds the detector that a typed pipeline config describes; its variables are still to be set.

    Args:
        config: of `detkit.pipeline.od_config.read`.
        classes: class names; as many as the config's num_classes. Without them the classes are "class 1", ...
        label_ids: the label-map id of each class, by default 1, 2, ...
        name: of the detector.

    Raises:
        ConfigError: if detkit can't build the architecture, naming it.
    """
    model = config.model.ssd
    if model is None or model.feature_extractor.type not in ssd.TYPES:
        raise ConfigError(
            f"detkit can't build this architecture yet: {architecture_name(config)}.",
            expected="SSD with " + ", ".join(sorted(ssd.TYPES)),
            fix="`detkit zoo list` shows what can be built.",
        )
    classes = tuple(classes or (f"class {i + 1}" for i in range(model.num_classes)))
    if len(classes) != model.num_classes:
        raise ConfigError(
            "The label map and the config disagree about the number of classes.",
            where="model.ssd.num_classes",
            got=f"{len(classes)} names: {', '.join(classes[:8])}",
            expected=model.num_classes,
        )
    return ssd.SSD(config, classes, label_ids, name or model.feature_extractor.type)


def architecture_name(config) -> str:
    """What the config calls its feature extractor, or its meta-architecture."""
    if config.model.ssd is not None:
        return config.model.ssd.feature_extractor.type
    for meta in ("faster_rcnn", "center_net"):
        message = getattr(config.model, meta, None)
        if message is not None:
            return f"{meta} with {message.find('feature_extractor.type')}"
    return "none: the config has no model"
