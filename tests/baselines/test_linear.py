"""The support vector machines, the ridge regression, and what can't be learnt."""

from __future__ import annotations

import numpy as np
import pytest

from detkit.baselines.linear import Scaling, fit_ridge, fit_svm, probabilities
from detkit.errors import DataError


def problem(seed=0, n=300, d=6, classes=2):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, d)).astype(np.float32)
    margins = features @ rng.normal(size=(d, classes)) + 0.5 * rng.normal(size=(n, classes)) + 0.7
    return features, np.where(margins > 0, 1, -1)


def test_equals_another_solver_of_the_same_problem():
    svm = pytest.importorskip("sklearn.svm")
    features, targets = problem()
    found = fit_svm(features, targets, penalty=0.05, steps=500)
    for column in range(2):
        y = targets[:, column]
        weights = np.where(y > 0, 0.5 / (y > 0).sum(), 0.5 / (y < 0).sum())
        # Its bias is penalised unless it is scaled up.
        other = svm.LinearSVC(C=1 / 0.05, dual=False, intercept_scaling=1e3, tol=1e-8, max_iter=10_000)
        other.fit(features, y, sample_weight=weights)
        assert np.allclose(found.weights[:, column], other.coef_[0], atol=2e-3)
        assert found.bias[column] == pytest.approx(other.intercept_[0], abs=2e-3)


def test_doubtful_examples_count_for_nothing():
    features, targets = problem()
    doubtful = np.concatenate([targets, np.zeros((50, 2))])
    wild = np.concatenate([features, 100 * np.ones((50, 6), np.float32)])
    expected, found = fit_svm(features, targets), fit_svm(wild, doubtful)
    assert np.allclose(expected.weights, found.weights, atol=1e-3)


def test_classes_are_learnt_apart():
    features, targets = problem()
    both, alone = fit_svm(features, targets, steps=500), fit_svm(features, targets[:, 1:], steps=500)
    assert np.allclose(both.weights[:, 1:], alone.weights, atol=2e-3)


@pytest.mark.parametrize("sign, message", [(1, "no counter-example"), (-1, "no example")])
def test_a_class_without_examples_is_an_error(sign, message):
    with pytest.raises(DataError, match=message):
        fit_svm(np.ones((4, 2), np.float32), np.full((4, 1), sign))


@pytest.mark.parametrize("n, d", [(200, 5), (8, 30)])
def test_ridge_solves_the_normal_equations(n, d):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(n, d)), rng.normal(size=(n, 3))
    found = fit_ridge(x, y, 0.7)
    residual = y - found.margins(x)
    assert np.allclose(residual.mean(axis=0), 0, atol=1e-4)
    assert np.allclose(x.T @ residual, 0.7 * found.weights, atol=1e-3)


def test_scaling_and_probabilities():
    features = np.array([[1, 5], [3, 5]], np.float32)  # the second never varies
    assert Scaling.of(features)(features)[:, 0].tolist() == [-1, 1]
    scores = probabilities(np.array([-1e9, -1.0, 0.0, 1.0, 1e9]))
    assert scores.tolist() == pytest.approx([0, 0.26894142, 0.5, 0.73105858, 1])
