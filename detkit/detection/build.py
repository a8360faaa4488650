"""From a pipeline config to a detector."""

from __future__ import annotations

from detkit.detection import center_extractors, center_net, faster_rcnn, ssd
from detkit.detection.detector import Detector
from detkit.detection.mask_rcnn import MaskRCNN
from detkit.errors import ConfigError
from detkit.pipeline import od_config


def _two_or_three_stages(config, *options) -> Detector:
    stages = od_config.meta_architecture(config).number_of_stages
    return (MaskRCNN if stages == 3 else faster_rcnn.FasterRCNN)(config, *options)


# Meta-architecture -> (what builds it, the feature extractors it knows).
FAMILIES = {
    "ssd": (ssd.SSD, ssd.TYPES),
    "faster_rcnn": (_two_or_three_stages, faster_rcnn.TYPES),
    "center_net": (center_net.CenterNet, center_extractors.TYPES),
}


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
    family, model = od_config.architecture(config), od_config.meta_architecture(config)
    kind, types = FAMILIES.get(family, (None, ()))
    if model.feature_extractor.type not in types:
        raise ConfigError(
            f"detkit can't build this architecture: {family} with {model.feature_extractor.type}.",
            expected=f"{family} with " + ", ".join(sorted(types)),
            fix="`detkit zoo list` shows what can be built.",
        )
    classes = tuple(classes or (f"class {i + 1}" for i in range(model.num_classes)))
    if len(classes) != model.num_classes:
        raise ConfigError(
            "The label map and the config disagree about the number of classes.",
            where=f"model.{family}.num_classes",
            got=f"{len(classes)} names: {', '.join(classes[:8])}",
            expected=model.num_classes,
        )
    return kind(config, classes, label_ids, name or model.feature_extractor.type)

