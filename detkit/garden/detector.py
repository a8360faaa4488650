"""What the detectors of Model Garden have in common: one of its models behind detkit's verbs."""

from __future__ import annotations

import numpy as np

from detkit.detection.detector import Detector, Found
from detkit.errors import ConfigError
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

    @classmethod
    def check_options(cls, config) -> None:
        """As `GardenNetwork.check_options`; the model's input must be as large as the padded images are."""
        options, stride = config.task.model, _stride(config.task)
        if options.min_level > options.max_level:
            got, expected = options.max_level, f"{options.min_level}, the min_level, or more"
            raise ConfigError("The model has no level.", where="task.model.max_level", got=got, expected=expected)
        near = [-(-side // stride) * stride for side in options.input_size[:2]]
        if near != list(options.input_size[:2]):
            raise ConfigError(
                "The sides of the input must be multiples of the largest stride.",
                where="task.model.input_size",
                got=list(options.input_size),
                expected=f"multiples of {stride}, as max_level is {options.max_level}",
                fix=f"Write input_size: {[*near, 3]}, or a lower max_level.",
            )

    def _letterbox(self) -> Letterbox:
        options, keep = self.task_config.model, self.task_config.validation_data.parser.keep_aspect_ratio
        return Letterbox(options.input_size[:2], _stride(self.task_config), keep)

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


def _stride(task_config) -> int:
    """What the sides of the padded images are multiples of."""
    return 2**task_config.model.max_level if task_config.validation_data.parser.pad else 1
