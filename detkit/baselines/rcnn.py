"""R-CNN and Fast R-CNN: proposals, features of each from a pretrained backbone, linear classifiers, box regression.

Sources: Girshick et al., "Rich feature hierarchies for accurate object detection", CVPR 2014; Girshick, "Fast R-CNN",
ICCV 2015. The backbone is not trained, so that a handful of photos is enough and training takes seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detkit import boxes as box_math
from detkit.baselines import mining, selective_search
from detkit.baselines.common import Baseline
from detkit.baselines.features import Backbone, grid_means, pooled_regions, resized, warped_crops
from detkit.baselines.linear import Linear, Scaling, fit_ridge, probabilities

_RIDGE = 1000.0  # as in R-CNN


@dataclass(frozen=True)
class RCNNSettings:
    """How regions are found and described.

    Attributes:
        fast: the features once for the image and pooled for each proposal, not anew for the crop of each.
        mode: of selective search; proposals: how many of its best are looked at.
        block: of the backbone, the last that runs.
        grid: cells along a side of a region, each of which gives features.
        crop: the side of a crop in pixels (R-CNN); context: pixels of it, on every side, around the box.
        side: the image's longer side in pixels (Fast R-CNN).
        penalty: of the classifier's weights.
    """

    fast: bool = False
    mode: str = "fast"
    proposals: int = 500
    block: str | None = "block_12"
    grid: int = 7
    crop: int = 112
    context: int = 8
    side: int = 800
    penalty: float = 1e-2


class RCNN(Baseline):
    """Proposals, described by a backbone and told apart by support vector machines.

    Args:
        backbone: what describes them; settings: how.
        classes: the class names.
        scaling, linear: over features; regression: features -> how the box moves, see `encode`.
    """

    def __init__(self, backbone, classes, settings: RCNNSettings, scaling: Scaling, linear: Linear,
                 regression: Linear, label_ids=None, name: str | None = None):  # fmt: skip
        super().__init__(classes, label_ids, name or ("Fast R-CNN" if settings.fast else "R-CNN"))
        self.backbone, self.settings = backbone, settings
        self.scaling, self.linear, self.regression = scaling, linear, regression

    def scored(self, image):
        """As `Baseline.scored`."""
        found = _described(image, _proposals(image, self.settings), self.backbone, self.settings)
        features = self.scaling(found.describe(np.arange(len(found.boxes))))
        boxes = box_math.clip(decode(self.regression.margins(features), found.boxes))
        scores = probabilities(self.linear.margins(features))
        kept = box_math.valid(boxes)
        return boxes[kept], scores[kept]


def train(model, dataset, *, settings: RCNNSettings | None = None, seed: int = 0) -> RCNN:
    """An R-CNN or Fast R-CNN for the classes of a dataset, on a pretrained backbone.

    Args:
        model: a Detector whose backbone is used, or what `detkit.load` takes.
        dataset: the ground truth.
        settings: among them which of the two.
        seed: of the choice of counter-examples.

    Raises:
        ConfigError: if the backbone has no such block.
        DataError: if a class has nothing to learn from.
    """
    settings = settings or RCNNSettings()
    backbone = Backbone(model, settings.block)
    proposals = [_proposals(example.pixels(), settings) for example in dataset]

    def candidates(view):
        boxes = mining.mirrored(proposals[view.index]) if view.mirrored else proposals[view.index]
        boxes = np.concatenate([view.example.boxes, boxes])  # the truth is the best proposal that there is
        return _described(view.example.pixels(), boxes, backbone, settings)

    scaling, linear, samples = mining.learn(dataset, candidates, penalty=settings.penalty, seed=seed)
    near = (samples.targets > 0).any(axis=1)
    moves = encode(samples.truth[near], samples.boxes[near])
    regression = fit_ridge(scaling(samples.features[near]), moves, _RIDGE)
    return RCNN(backbone, dataset.classes, settings, scaling, linear, regression, dataset.label_ids)


def _proposals(image, settings: RCNNSettings) -> np.ndarray:
    return selective_search.propose(image, settings.mode)[: settings.proposals]


def _described(image, boxes, backbone, settings: RCNNSettings) -> mining.Candidates:
    if not settings.fast:
        return mining.Candidates(boxes, lambda rows: _crop_features(image, boxes[rows], backbone, settings))
    scale = settings.side / max(image.shape[:2])
    step = backbone.stride
    size = tuple(max(1, round(scale * side / step)) * step for side in image.shape[:2])
    feature_map = backbone.maps(resized(image, size)[None])[0]
    return mining.Candidates(boxes, lambda rows: pooled_regions(feature_map, boxes[rows], settings.grid))


def _crop_features(image, boxes, backbone, settings: RCNNSettings) -> np.ndarray:
    if not len(boxes):
        return np.zeros((0, settings.grid**2 * backbone.channels), np.float32)
    return grid_means(backbone.maps(warped_crops(image, boxes, settings.crop, settings.context)), settings.grid)


def encode(boxes: np.ndarray, proposals: np.ndarray) -> np.ndarray:
    """How proposals [N, 4] must move to become boxes [N, 4]: [N, 4] of dy, dx (in their sides) and log scales."""
    size, goal = proposals[:, 2:] - proposals[:, :2], boxes[:, 2:] - boxes[:, :2]
    shift = (boxes[:, :2] + boxes[:, 2:] - proposals[:, :2] - proposals[:, 2:]) / (2 * size)
    return np.concatenate([shift, np.log(goal / size)], axis=1)


def decode(moves: np.ndarray, proposals: np.ndarray) -> np.ndarray:
    """Boxes float32 [N, 4] that proposals [N, 4] become by moves [N, 4]; the inverse of `encode`."""
    size = proposals[:, 2:] - proposals[:, :2]
    centre = (proposals[:, :2] + proposals[:, 2:]) / 2 + moves[:, :2] * size
    half = size * np.exp(np.clip(moves[:, 2:], -4, 4)) / 2
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
