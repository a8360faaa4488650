"""Class activation maps: which places of a layer's maps speak for the answer.

Sources: Zhou et al., "Learning deep features for discriminative localization", 2016 (CAM); Selvaraju et al.,
"Grad-CAM", 2017; Chattopadhay et al., "Grad-CAM++", 2018; Yamauchi and Ishikawa, "Spatial sensitive Grad-CAM", 2022,
for detections.
"""

from __future__ import annotations

import numpy as np

_BLUR = 0.7  # cells by which the sensitivity is smoothed: derivatives come in checkerboards


def grad_cam(maps: np.ndarray, derivatives: np.ndarray) -> np.ndarray:
    """The maps, each weighted by its mean derivative.

    Args:
        maps: float32 [h, w, C], a layer's.
        derivatives: [h, w, C], of the answer's logit by the maps.

    Returns:
        float32 [h, w], not negative.
    """
    return np.maximum(maps @ derivatives.mean(axis=(0, 1)), 0.0)


def grad_cam_plus_plus(maps: np.ndarray, derivatives: np.ndarray) -> np.ndarray:
    """The maps weighted by their positive derivatives, those of rare places more; arguments as for `grad_cam`.

    The closed form for an answer that is the exponential of a logit.
    """
    squares = derivatives**2
    whole = 2.0 * squares + maps.sum(axis=(0, 1)) * derivatives**3  # [h, w, C] + [C] * [h, w, C]
    shares = np.where(derivatives != 0, squares / np.where(whole == 0, 1.0, whole), 0.0)
    weights = (shares * np.maximum(derivatives, 0.0)).sum(axis=(0, 1))
    return np.maximum(maps @ weights, 0.0)


def sensitivity(derivatives: np.ndarray) -> np.ndarray:
    """How far the logit depends on each place of the maps, 0..1: float32 [h, w] of derivatives [h, w, C].

    One detection's logit depends on a part of a map only, which a mean over the map forgets: weighted maps alone would
    show all that looks like the object, wherever it is.
    """
    import cv2

    strength = cv2.GaussianBlur(np.linalg.norm(derivatives, axis=-1), (0, 0), _BLUR)
    return strength / (strength.max() or 1.0)


def class_weights(kernel: np.ndarray, class_id: int) -> np.ndarray:
    """The weights [C] of a class in a dense layer's kernel [C, classes], or [C, 1] for the second of two classes."""
    if kernel.shape[1] == 1:
        return kernel[:, 0] if class_id else -kernel[:, 0]
    return kernel[:, class_id]


def cam(maps: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The maps [h, w, C], weighted as the layer behind the global average pooling weighs them for a class [C]."""
    return np.maximum(maps @ weights, 0.0)


def enlarged(small: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map [h, w] at another (height, width), bilinearly; its cells divide the picture evenly."""
    import cv2

    return cv2.resize(np.ascontiguousarray(small, np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
