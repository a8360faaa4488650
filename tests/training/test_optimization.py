"""One step of gradient descent, checked by hand on a detector of seven numbers."""

from __future__ import annotations

import numpy as np
import pytest
from toy_detector import INITIAL, ToyDetector, select, settings, values

from detkit.training.optimization import Optimization

TARGET = 0.5
START = {path: np.array(value, np.float32) for path, value in INITIAL.items()}


def trained(steps=1, groups=(), rate=0.1, **options):
    """(values after some steps towards TARGET, the last step's results, the optimization)."""
    import tensorflow as tf

    detector = ToyDetector()
    optimization = Optimization(detector, select(*groups), settings(**options))
    record = {"x": tf.constant([[TARGET]])}
    for _ in range(steps):
        optimization.set_learning_rate(rate)
        results = optimization.step(record)
    return values(detector), {name: float(value) for name, value in results.items()}, optimization


def test_a_plain_step():
    found, results, _ = trained()
    for path, value in START.items():
        assert found[path] == pytest.approx(value - 0.1 * (value - TARGET), rel=1e-6)
    squares = sum(np.square(value - TARGET).sum() for value in START.values())
    assert results["loss"] == pytest.approx(squares / 2, rel=1e-6)
    assert results["localization"] + results["classification"] == pytest.approx(results["loss"], rel=1e-6)
    assert results["gradient_norm"] == pytest.approx(np.sqrt(squares), rel=1e-6)


def test_momentum_is_that_of_the_od_api():
    found, _, _ = trained(steps=3, momentum=0.9)
    for path, value in START.items():
        velocity = np.zeros_like(value)
        for _ in range(3):
            velocity = 0.9 * velocity - 0.1 * (value - TARGET)
            value = value + velocity
        assert found[path] == pytest.approx(value, rel=1e-5)


def test_a_multiplier_of_two_doubles_the_step():
    groups = [(1.0, ["layer/bias"]), (2.0, ["layer/kernel"])]
    found, _, _ = trained(groups=groups)
    for factor, (path,) in groups:
        assert found[path] == pytest.approx(START[path] - factor * 0.1 * (START[path] - TARGET), rel=1e-6)


def test_what_is_not_selected_stays_bit_for_bit():
    found, _, _ = trained(steps=3, groups=[(1.0, ["layer/bias"])])
    assert not np.array_equal(found["layer/bias"], START["layer/bias"])
    for path in ("layer/kernel", "norm/gamma"):
        assert np.array_equal(found[path], START[path])


def test_the_norm_is_over_all_groups_and_clipped():
    found, results, _ = trained(groups=[(1.0, ["layer/bias"]), (1.0, ["layer/kernel"])], clip_norm=0.5)
    both = np.concatenate([(START[path] - TARGET).ravel() for path in ("layer/bias", "layer/kernel")])
    norm = np.linalg.norm(both)
    assert results["gradient_norm"] == pytest.approx(norm, rel=1e-6)  # as it was before clipping
    for path in ("layer/bias", "layer/kernel"):
        assert found[path] == pytest.approx(START[path] - 0.1 * 0.5 / norm * (START[path] - TARGET), rel=1e-5)


def test_a_small_gradient_is_not_clipped():
    assert all(np.array_equal(a, b) for a, b in zip(
        trained()[0].values(), trained(clip_norm=100.0)[0].values(), strict=True))  # fmt: skip


@pytest.mark.parametrize("optimizer", ["momentum", "adam", "adamw"])
def test_weight_decay_is_decoupled_and_on_kernels_only(optimizer):
    plain, _, _ = trained(optimizer=optimizer)
    decayed, _, _ = trained(optimizer=optimizer, weight_decay=0.05)
    for path in ("layer/bias", "norm/gamma"):
        assert np.array_equal(decayed[path], plain[path])
    expected = plain["layer/kernel"] - 0.1 * 0.05 * START["layer/kernel"]
    assert decayed["layer/kernel"] == pytest.approx(expected, rel=1e-5)


def test_adam_moves_by_the_learning_rate():
    found, _, _ = trained(optimizer="adam", rate=0.01)
    for path, value in START.items():
        assert found[path] == pytest.approx(value - 0.01 * np.sign(value - TARGET), abs=1e-5)


def test_the_moving_average_and_its_exchange():
    steps, decay = 4, 0.3
    plain = [trained(steps=n)[0] for n in range(1, steps + 1)]
    found, _, optimization = trained(steps=steps, ema=decay)
    for path in START:
        assert found[path] == pytest.approx(plain[-1][path], rel=1e-6)  # averaging does not change training
    averages = dict(START)
    for step, weights in enumerate(plain, start=1):
        keep = min(decay, (1 + step) / (10 + step))
        averages = {path: keep * averages[path] + (1 - keep) * weights[path] for path in START}
    optimization.swap_averages()
    swapped = values(optimization.detector)
    for path in START:
        assert swapped[path] == pytest.approx(averages[path], rel=1e-5)
    optimization.swap_averages()
    back = values(optimization.detector)
    assert all(np.array_equal(back[path], found[path]) for path in START)


def test_exchange_without_averages_changes_nothing():
    found, _, optimization = trained()
    optimization.swap_averages()
    assert all(np.array_equal(value, found[path]) for path, value in values(optimization.detector).items())


@pytest.mark.parametrize("options", [
    {"momentum": 0.9}, {"optimizer": "adam"}, {"momentum": 0.9, "ema": 0.9, "weight_decay": 0.01},
])  # fmt: skip
def test_going_on_from_a_state_is_going_on(options):
    """Bit for bit, with whatever the optimizer remembers."""
    import tensorflow as tf

    whole, _, _ = trained(steps=5, **options)
    _, _, first = trained(steps=3, **options)
    state = {name: np.array(value) for name, value in first.state().items()}
    _, _, second = trained(steps=1, rate=0.7, **options)  # somewhere else
    second.restore(state)
    for _ in range(2):
        second.set_learning_rate(0.1)
        second.step({"x": tf.constant([[TARGET]])})
    assert all(np.array_equal(value, whole[path]) for path, value in values(second.detector).items())


def test_a_cached_step_takes_the_rows_it_is_given():
    import tensorflow as tf

    detector = ToyDetector()
    optimization = Optimization(detector, select(), settings())
    optimization.set_learning_rate(1.0)
    optimization.cached_step({"x": tf.constant([[0.0], [0.25], [0.75]])}, np.array([1, 2], np.int32))
    for value in values(detector).values():
        assert value == pytest.approx(np.full_like(value, 0.5), abs=1e-6)
