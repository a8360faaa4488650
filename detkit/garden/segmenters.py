"""From the options of a pipeline to a segmenter of Model Garden for the classes of the data."""

from __future__ import annotations

from detkit.errors import ConfigError
from detkit.garden import load
from detkit.garden.segmenter import GardenSegmenter
from detkit.pipeline.options import to_mapping
from detkit.pipeline.transfer import SegmentationModel
from detkit.segmentation.build import check

OWN = ("size", "max_side", "dropout", "loss", "class_weights", "tile", "tile_overlap")  # the options it has


def build(options: SegmentationModel, classes, label_ids=None, *, seed: int = 0) -> GardenSegmenter:
    """A segmenter for these classes, on the weights that the options name.

    Everything is restored but the class head, and that too if the classes are the same.

    Args:
        options: what it shall be.
        classes: without the background.
        label_ids: for the sake of the signature of `detkit.segmentation.build.build`.
        seed: of what starts afresh.

    Raises:
        ConfigError: for options that don't go together, and for an experiment that can't be built.
        CheckpointError: if the checkpoint can't be read, or does not cover the model.
    """
    check(options, tuple(classes))
    given = to_mapping(options)
    for name in ("encoder", "weights", "depth", "width", "batch_norm"):
        if given[name] is not None:
            raise ConfigError(
                "The segmenters of Model Garden don't have this option.",
                where=f"model.{name}",
                got=given[name],
                expected="null",
                fix="Weights are given with model.checkpoint; what the model is like, in the overrides: model.config.",
            )
    own = {name: given[name] for name in OWN}
    segmenter, text = load.adapted(options, classes, "segmentation", seed=seed, own=own)
    segmenter.weights_text = text
    return segmenter
