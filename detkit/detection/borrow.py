"""The backbone of one detector in another: what `fine_tune_checkpoint_type: "classification"` is in the OD API."""

from __future__ import annotations

import re

from detkit.checkpoint import surgery
from detkit.errors import CheckpointError

# Where checkpoints keep the layers of a backbone, numbered in the order of the network; a two-stage detector's are
# in two places.
PLACES = (
    ("_feature_extractor/classification_backbone",),
    ("_feature_extractor_for_proposal_features", "_feature_extractor_for_box_classifier_features"),
)


class _Renamed:
    """A checkpoint in which the backbone's layers go by other names, and nothing else is."""

    def __init__(self, checkpoint, names: dict):
        self._checkpoint, self._names = checkpoint, names
        self.source, self.shapes, self.read = checkpoint.source, checkpoint.shapes, checkpoint.read
        self.model_keys: list = []  # whatever else there is need not be explained

    def find(self, paths) -> str | None:
        """As `Checkpoint.find`."""
        nodes = [path.rsplit("/", 1) for path in paths]
        return self._checkpoint.find([f"{self._names[node]}/{name}" for node, name in nodes if node in self._names])


def restore_backbone(detector, checkpoint, seed: int = 0) -> surgery.Report:
    """Gives a detector the backbone of another one's checkpoint, layer by layer; its other parts start afresh.

    The detector's backbone may be a beginning of the checkpoint's.

    Args:
        checkpoint: of `detkit.checkpoint.reader.open_checkpoint`.
        seed: of what starts afresh.

    Raises:
        CheckpointError: if the checkpoint holds no backbone, or another architecture's.
    """
    keys = {checkpoint.model_path(key).rsplit("/", 1)[0] for key in checkpoint.model_keys}
    theirs, ours = backbone_nodes(keys), backbone_nodes(detector.nodes)
    if not theirs:
        raise CheckpointError(
            "The checkpoint has no backbone that detkit can take out of it.",
            where=checkpoint.source,
            expected="layers under " + " or ".join(places[0] for places in PLACES),
            fix="Take the backbone of an SSD, EfficientDet or Faster R-CNN.",
        )
    parts = detector.part_of()
    fresh = {part for path, part in parts.items() if path.rsplit("/", 1)[0] not in ours}
    return surgery.apply(
        detector, _Renamed(checkpoint, dict(zip(ours, theirs, strict=False))), surgery.Plan(tuple(sorted(fresh))), seed
    )


def backbone_nodes(paths) -> list[str]:
    """The backbone's layers among checkpoint paths, in the order of the network."""
    for places in PLACES:
        found = [_numbered(paths, place) for place in places]
        if found[0]:
            return [path for part in found for path in part]
    return []


def _numbered(paths, place: str) -> list[str]:
    pattern = re.compile(re.escape(place) + r"/layer_with_weights-(\d+)")
    matches = [match for match in map(pattern.fullmatch, paths) if match]
    return [match[0] for match in sorted(matches, key=lambda match: int(match[1]))]
