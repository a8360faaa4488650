"""Class weights from examples: imprinting.

Source: Qi, Brown and Lowe, "Low-shot learning with imprinted weights", 2018. There the weights of a new class are the
mean embedding of its examples; here that mean is taken relative to the mean of the background, so that the
background keeps the prior's score and the mean example gets a score of one half.
"""

from __future__ import annotations


def imprint(detector, views) -> None:
    """Sets the class head of a detector from the features at the anchors that match its examples.

    Args:
        detector: with restored backbone, neck and towers.
        views: of the training photos (`detkit.data.batches.Views`).

    Raises:
        ConfigError: if the detector's head has no weights that examples could set.
    """
    raise NotImplementedError
