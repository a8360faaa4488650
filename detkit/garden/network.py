"""What all models of Model Garden have in common behind detkit's verbs, whatever their task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from detkit.garden import catalogue
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
        background: the columns before those of the classes, where it is not what the experiment says.
        options: detkit's own for the model, as `detkit.pipeline.options.to_mapping` gives them.
    """

    experiment: str
    overrides: Mapping
    classes: tuple[str, ...]
    label_ids: tuple[int, ...]
    columns: int
    background: int | None = None
    options: Mapping = field(default_factory=dict)

    @property
    def first_column(self) -> int:
        """The column of the class with the label id 1."""
        return catalogue.find(self.experiment).background if self.background is None else self.background

    @classmethod
    def of_classes(cls, experiment: str, overrides: Mapping, classes: Iterable[str]) -> Description:
        """The description of a model for these classes and no others."""
        classes, entry = tuple(classes), catalogue.find(experiment)
        background = 1 if entry.task == "segmentation" else entry.background  # class maps have one
        ids, columns = tuple(range(1, len(classes) + 1)), len(classes) + background
        return cls(experiment, overrides, classes, ids, columns, background if background != entry.background else None)


class GardenNetwork(Network):
    """A network around a model of Model Garden.

    Attributes:
        description: of the model.
        garden_task: Model Garden's task, for its losses; model: its tf_keras model.
        modules: the names that Model Garden's checkpoints have for the modules of the model.
        pretrained: whether the backbone has trained weights.
        untrained: whether it was loaded without any checkpoint.
    """

    pretrained = untrained = False

    def _take(self, description: Description, garden_task, model) -> None:
        """Makes the network one around this model."""
        self.description, self.garden_task, self.model = description, garden_task, model
        roots = self._roots()
        self.modules, own = tuple(roots), nodes_of(roots)
        # A checkpoint of the model alone has the modules under the names of its attributes.
        self.nodes = own | {f"_{path}": node for path, node in own.items()} | self._loose()
        self.parts = {part: self._below(*beginnings) for part, beginnings in self._parts().items()}

    @classmethod
    def check_options(cls, config) -> None:
        """ConfigError for a configuration of Model Garden that makes no model of this family."""

    @property
    def task_config(self):
        """Model Garden's configuration of the task, with all overrides."""
        return self.garden_task.task_config

    @property
    def columns_of_classes(self) -> np.ndarray:
        """int32 [C]: the column of each class in the class scores."""
        return np.array(self.label_ids, np.int32) - 1 + self.description.first_column

    def _roots(self) -> dict:
        """{name in checkpoints: module of the model}."""
        raise NotImplementedError

    def _loose(self) -> dict:
        """{path: node} of the variables that no module holds but the model itself, whose path is "."."""
        return {}

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

    def variables_of(self, layer) -> dict:
        """As `Network.variables_of`."""
        return layer.variables
