"""The course of the learning rate."""

from __future__ import annotations

import math

import pytest

from detkit.pipeline.settings import TrainConfig
from detkit.training.schedule import learning_rate


def course(**options):
    settings = TrainConfig(learning_rate=0.2, **options)
    return [learning_rate(step, settings) for step in range(settings.steps)]


def test_constant():
    assert course(steps=5, schedule="constant", warmup_steps=0) == [0.2] * 5


def test_warm_up_is_linear_and_ends_at_the_full_rate():
    rates = course(steps=6, schedule="constant", warmup_steps=4)
    assert rates == pytest.approx([0.05, 0.1, 0.15, 0.2, 0.2, 0.2])


def test_cosine_falls_from_the_full_rate_towards_zero():
    rates = course(steps=100, schedule="cosine", warmup_steps=0)
    assert rates[0] == pytest.approx(0.2)
    assert rates[50] == pytest.approx(0.1)
    assert rates[25] == pytest.approx(0.1 * (1 + math.cos(math.pi / 4)))
    assert 0 < rates[-1] < 0.001
    assert rates == sorted(rates, reverse=True)


def test_cosine_after_warm_up():
    rates = course(steps=110, schedule="cosine", warmup_steps=10)
    assert rates[:10] == pytest.approx([0.02 * (i + 1) for i in range(10)])
    assert rates[10] == pytest.approx(0.2)
    assert rates[60] == pytest.approx(0.1)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (1, 10), (3, 3), (5, 100)])
def test_short_runs_have_positive_rates(schedule, steps, warmup):
    rates = course(steps=steps, schedule=schedule, warmup_steps=warmup)
    assert all(0 < rate < 0.2 + 1e-12 for rate in rates)
    assert max(rates) == pytest.approx(0.2) or warmup > steps
