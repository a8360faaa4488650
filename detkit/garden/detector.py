"""What the detectors of Model Garden have in common: one of its models behind detkit's verbs."""

from __future__ import annotations

import numpy as np

from detkit.detection.detector import Detector, Found
from detkit.garden.letterbox import Letterbox, normalize
from detkit.garden.network import Description, GardenNetwork
from detkit.networks.network import Network


class GardenDetector(GardenNetwork, Detector):
    """A detector around a model of Model Garden; it runs in float32, and its norms are frozen outside of training.

    A family gives `_roots`, `_parts` and what every `Detector` needs.

    Args:
        description: of the model.
        garden_task: Model Garden's task, for its losses; model: its tf_keras model.
    """

    def __init__(self, description: Description, garden_task, model):
        # Detector's own constructor reads a pipeline.config, which there is none of.
        Network.__init__(self, description.classes, description.label_ids, f"garden:{description.experiment}")
        self._take(description, garden_task, model)
        self.resizer = self._letterbox()
        self._class_of_column = np.full(description.columns, -1)
        self._class_of_column[self.columns_of_classes] = range(len(self.classes))

    def _letterbox(self) -> Letterbox:
        options, parser = self.task_config.model, self.task_config.validation_data.parser
        stride = 2**options.max_level if parser.pad else 1
        return Letterbox(options.input_size[:2], stride, parser.keep_aspect_ratio)

    def found(self, boxes, scores, columns, counts, windows, threshold: float, masks=None) -> list[Found]:
        """What Model Garden found, in each of B images.

        Args:
            boxes: [B, N, 4], yxyx in pixels; scores: [B, N], falling; columns: [B, N], of the classes.
            counts: [B], how many of the N there are.
            windows: [B, 4], the true image in the coordinates of the boxes; its corner is (0, 0).
            threshold: the lowest score.
            masks: [B, N, h, w], or None.
        """
        class_ids = self._class_of_column[np.asarray(columns).astype(int)]
        kept = (np.arange(scores.shape[1]) < np.reshape(counts, [-1, 1])) & (class_ids >= 0) & (scores >= threshold)
        return [
            Found(
                boxes[i, kept[i]] / windows[i],
                scores[i, kept[i]],
                class_ids[i, kept[i]],
                None if masks is None else masks[i][kept[i]],
            )
            for i in range(len(scores))
        ]

    def normalize(self, x):
        """As `Detector.normalize`."""
        return normalize(x)
