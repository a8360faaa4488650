"""Does a map depend on what the model has learnt? Source: Adebayo et al., "Sanity checks for saliency maps", 2018."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from detkit.explain.scores import rank_correlation

DEPTHS = ("head", "all")


@contextmanager
def random_weights(network, depth: str = "all", seed: int = 0) -> Iterator[None]:
    """Inside the `with` block weights are newly drawn; afterwards they are what they were.

    Args:
        network: of `detkit.networks.network`.
        depth: "head", everything behind the backbone, or "all".
    """
    parts, variables = network.part_of(), network.variables()
    paths = [path for path in variables if depth == "all" or not parts[path].startswith("backbone")]
    saved = {path: variables[path].numpy() for path in paths}
    try:
        network.initialize(paths, seed)
        yield
    finally:
        for path, value in saved.items():
            variables[path].assign(value)


def randomization(network, explain: Callable[[], np.ndarray], trained: np.ndarray, seed: int = 0) -> dict[str, float]:
    """How alike the map of the trained model and those of models with random weights are.

    Args:
        network: the model; its weights are put back.
        explain: makes the map [h, w] with the weights that the model then has.
        trained: the map that the trained model gave.

    Returns:
        {"head" | "all": Spearman's rank correlation}; near 0 for a method that shows what was learnt, and near 1 for
        one that shows the picture's edges whatever the model does.
    """
    found = {}
    for depth in DEPTHS:
        with random_weights(network, depth, seed):
            found[depth] = rank_correlation(trained, explain())
    return found
