"""Linear models over features: one-against-rest support vector machines, and ridge regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detkit.errors import DataError

_SIGMA_FLOOR = 1e-6


@dataclass(frozen=True)
class Scaling:
    """Shifts and scales features to mean 0 and standard deviation 1.

    Attributes:
        mean, deviation: float32 [D].
    """

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> Scaling:
        """That of features [N, D]."""
        return cls(features.mean(axis=0), np.maximum(features.std(axis=0), _SIGMA_FLOOR))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        return (features - self.mean) / self.deviation


@dataclass(frozen=True)
class Linear:
    """A class against the rest, for each class.

    Attributes:
        weights: float32 [D, C]; bias: float32 [C].
    """

    weights: np.ndarray
    bias: np.ndarray

    def margins(self, features: np.ndarray) -> np.ndarray:
        """float32 [N, C] of features [N, D]: above 0 inside the class."""
        return features @ self.weights + self.bias


def probabilities(margins: np.ndarray) -> np.ndarray:
    """Scores 0..1 that rise with the margins; 0.5 on the border."""
    return 0.5 * (1 + np.tanh(0.5 * margins))


def fit_svm(features, targets, penalty: float = 1e-2, steps: int = 100, classes=None) -> Linear:
    """Support vector machines with squared hinge loss, all classes at once.

    What belongs to a class and what doesn't have half of the weight each, however few the one and many the other.

    Args:
        features: float32 [N, D], scaled.
        targets: [N, C]: 1 in the class, -1 outside, 0 neither.
        penalty: the factor of half the squared weights.
        steps: of L-BFGS at most.
        classes: names for the error message.

    Raises:
        DataError: if a class has nothing inside or nothing outside.
    """
    from scipy.optimize import minimize

    features, targets = np.asarray(features, np.float32), np.asarray(targets, np.float32)
    importance = _importance(targets, classes or range(targets.shape[1]))  # [N, C]
    shape = (features.shape[1] + 1, targets.shape[1])  # the last row is the bias

    def loss(flat):
        weights = flat.reshape(shape).astype(np.float32)
        short = np.maximum(0, 1 - targets * (features @ weights[:-1] + weights[-1]))  # [N, C]
        pull = -2 * importance * targets * short
        gradient = np.concatenate([features.T @ pull + penalty * weights[:-1], pull.sum(axis=0, keepdims=True)])
        value = np.sum(importance * short**2) + 0.5 * penalty * np.sum(weights[:-1] ** 2)
        return float(value), gradient.ravel().astype(np.float64)

    found = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": steps})
    weights = found.x.reshape(shape).astype(np.float32)
    return Linear(weights[:-1], weights[-1])


def _importance(targets: np.ndarray, classes) -> np.ndarray:
    """float32 [N, C]: those inside a class sum to 1/2, and so do those outside."""
    counts = [(targets == sign).sum(axis=0) for sign in (1, -1)]
    for what, count in zip(("no example", "no counter-example"), counts, strict=True):
        if not count.all():
            raise DataError(
                f"A class has {what} to learn from.",
                where=f"class {classes[int(np.argmin(count))]}",
                fix="Annotate more photos of it; boxes that no proposal or window comes near are lost as well.",
            )
    inside, outside = (0.5 / count for count in counts)
    return (np.where(targets > 0, inside, outside) * (targets != 0)).astype(np.float32)


def fit_ridge(features, values, penalty: float) -> Linear:
    """Least squares with the factor `penalty` on the squared weights, not on the bias.

    Args:
        features: [N, D], scaled; values: [N, K].
    """
    mean, middle = values.mean(axis=0), features.mean(axis=0)
    x, y = (features - middle).astype(np.float64), values - mean
    if len(x) > x.shape[1]:
        weights = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)
    else:  # the same through the smaller matrix
        weights = x.T @ np.linalg.solve(x @ x.T + penalty * np.eye(len(x)), y)
    return Linear(weights.astype(np.float32), (mean - middle @ weights).astype(np.float32))
