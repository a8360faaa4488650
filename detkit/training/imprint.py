"""Class weights from examples: imprinting.

Source: Qi, Brown and Lowe, "Low-shot learning with imprinted weights", 2018. There the weights of a new class are the
mean embedding of its examples; here that mean is taken relative to the mean of the background, so that the
background keeps the prior's score and the mean example gets a score of one half.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from detkit.data import batches
from detkit.errors import ConfigError
from detkit.networks.network import truth_of

BACKGROUND_ANCHORS = 512  # drawn from every photo


def imprint(detector, views, classes=None, seed: int = 0) -> None:
    """Sets the class head of a detector from the features at the anchors that match its examples.

    Args:
        detector: with restored backbone, neck and towers.
        views: of the training photos (`detkit.data.batches.Views`).
        classes: names of the classes to set; all that have examples by default.
        seed: draws the background's anchors.

    Raises:
        ConfigError: if the detector's head has no shared weights that examples could set.
    """
    if not hasattr(detector.head, "set_class_weights"):
        raise ConfigError(
            "This architecture's class head can't be imprinted.",
            where="model.init",
            got="imprint",
            expected="prior",
            fix="Set model.init=prior; imprinting needs a head whose weights all levels share.",
        )
    positive, background = _features(detector, views, seed)
    mean = background.mean(axis=0)
    prior = detector.head.cls.bias_prior
    first = detector.columns - len(detector.classes)
    for class_id, examples in positive.items():
        if classes is not None and detector.classes[class_id] not in classes:
            continue
        direction = np.mean(examples, axis=0) - mean
        # The logit is the prior at the background's mean and 0 at the class's mean.
        weights = -prior * direction / max(float(direction @ direction), 1e-12)
        detector.head.set_class_weights(first + class_id, weights, prior - float(weights @ mean))


def _features(detector, views, seed: int) -> tuple[dict, np.ndarray]:
    """({class id: features [n, F]}, background features [m, F])."""
    rng, positive, background = np.random.default_rng(seed), {}, []
    anchors = tf.constant(detector.anchors(detector.input_size))
    for photo in range(len(views)):
        view = views.view(photo)
        inputs, true_shapes = detector.preprocess([view.image])
        state = detector.run({"x": inputs}, 0, len(detector.stages) - 1)
        truth = {name: tf.constant(value) for name, value in batches.groundtruth([view]).items()}
        matched = detector.assign(truth_of(detector.training_state(inputs, true_shapes, truth)), anchors)
        features = detector.head.class_features(state, matched.image, matched.anchor).numpy()
        class_ids = np.where(matched.weights > 0, matched.class_ids, -1)
        for class_id in set(class_ids.tolist()) - {-1}:
            positive.setdefault(class_id, []).extend(features[class_ids == class_id])
        drawn = np.setdiff1d(rng.integers(0, len(anchors), BACKGROUND_ANCHORS), matched.anchor.numpy())
        background.append(detector.head.class_features(state, np.zeros_like(drawn), drawn).numpy())
    return positive, np.concatenate(background)
