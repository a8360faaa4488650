"""What the detectors of Model Garden have in common: one of its models behind detkit's verbs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from detkit.detection.detector import Detector, Found
from detkit.garden import catalogue
from detkit.garden.letterbox import Letterbox, normalize
from detkit.garden.nodes import Norm, nodes_of
from detkit.networks.network import Network


@dataclass(frozen=True)
class Description:
    """Which model it is.

    Attributes:
        experiment: the name of Model Garden's experiment.
        overrides: of its configuration, nested as in Model Garden's YAML files.
        classes: the class names; label_ids: of each; the class scores have a column for every id from 1 on, after that
            of the background, if there is one.
        columns: how many there are in all.
    """

    experiment: str
    overrides: Mapping
    classes: tuple[str, ...]
    label_ids: tuple[int, ...]
    columns: int

    @classmethod
    def of_classes(cls, experiment: str, overrides: Mapping, classes: Iterable[str]) -> Description:
        """The description of a model for these classes and no others."""
        classes, background = tuple(classes), catalogue.find(experiment).background
        return cls(experiment, overrides, classes, tuple(range(1, len(classes) + 1)), len(classes) + background)


class GardenDetector(Detector):
    """A detector around a model of Model Garden; it runs in float32, and its norms are frozen outside of training.

    A family gives `_roots`, `_parts` and what every `Detector` needs.

    Args:
        description: of the model.
        garden_task: Model Garden's task, for its losses; model: its tf_keras model.

    Attributes:
        modules: the names that Model Garden's checkpoints have for the modules of the model.
    """

    def __init__(self, description: Description, garden_task, model):
        # Detector's own constructor reads a pipeline.config, which there is none of.
        Network.__init__(self, description.classes, description.label_ids, f"garden:{description.experiment}")
        self.description, self.garden_task, self.model = description, garden_task, model
        self.resizer = self._letterbox()
        roots = self._roots()
        self.modules, own = tuple(roots), nodes_of(roots)
        # A checkpoint of the model alone has the modules under the names of its attributes.
        self.nodes = own | {f"_{path}": node for path, node in own.items()}
        self.parts = {part: self._below(*beginnings) for part, beginnings in self._parts().items()}
        self._class_of_column = np.full(description.columns, -1)
        self._class_of_column[self.columns_of_classes] = range(len(self.classes))

    @property
    def task_config(self):
        """Model Garden's configuration of the task, with all overrides."""
        return self.garden_task.task_config

    @property
    def columns_of_classes(self) -> np.ndarray:
        """int32 [C]: the column of each class in the class scores."""
        return np.array(self.label_ids, np.int32) - 1 + catalogue.find(self.description.experiment).background

    def _letterbox(self) -> Letterbox:
        options, parser = self.task_config.model, self.task_config.validation_data.parser
        stride = 2**options.max_level if parser.pad else 1
        return Letterbox(options.input_size[:2], stride, parser.keep_aspect_ratio)

    def _roots(self) -> dict:
        """{name in checkpoints: module of the model}."""
        raise NotImplementedError

    def _parts(self) -> dict[str, tuple[str, ...]]:
        """{part: beginnings of the paths of its nodes}."""
        raise NotImplementedError

    def _below(self, *beginnings: str) -> list:
        """The nodes whose paths begin so, or are that."""
        return [
            node
            for path, node in self.paths().items()
            if any(path == each or path.startswith(f"{each}/") for each in beginnings)
        ]

    def _unfrozen(self, part: str) -> bool:
        """Whether some norm of a part uses the statistics of each batch."""
        return any(isinstance(node, Norm) and not node.frozen for node in self.parts[part])

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

    def variables_of(self, layer) -> dict:
        """As `Network.variables_of`."""
        return layer.variables

    def normalize(self, x):
        """As `Detector.normalize`."""
        return normalize(x)
