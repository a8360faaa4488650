"""One step of gradient descent over a detector's tuned variables."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from detkit.training.selection import Selection


class Optimization:
    """Optimizers, the moving average of the weights, and the compiled step.

    Args:
        detector: whose variables are changed in place.
        selection: which of them.
        settings: a `detkit.pipeline.settings.TrainConfig`.
    """

    def __init__(self, detector, selection: Selection, settings):
        self.detector, self.settings, self.seam = detector, settings, selection.seam
        variables = detector.variables()
        self.tuned = {path: variables[path] for path in selection.paths}
        self.moved = self.tuned | _unfrozen_statistics(detector, self.tuned, settings.freeze_batch_norm)
        self.optimizers = []
        for multiplier, paths in selection.groups:
            optimizer = _optimizer(settings)
            optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
            optimizer.build([variables[path] for path in paths])
            self.optimizers.append((multiplier, optimizer, paths))
        self.averages = {path: tf.Variable(v.value) for path, v in self.moved.items()} if settings.ema else {}
        self.step = tf.function(self._step, autograph=False, reduce_retracing=True)
        self.cached_step = tf.function(self._cached_step, autograph=False, reduce_retracing=True)

    def set_learning_rate(self, rate: float) -> None:
        """The learning rate of the next step, before each group's multiplier."""
        for multiplier, optimizer, _ in self.optimizers:
            optimizer.learning_rate.assign(rate * multiplier)

    def _cached_step(self, records, rows):
        return self._step({name: tf.gather(value, rows) for name, value in records.items()})

    def _step(self, record):
        values = [variable.value for variable in self.tuned.values()]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            losses = self.detector.record_loss(record, self.seam)
            total = losses["localization"] + losses["classification"]
        gradients = tape.gradient(total, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        norm = tf.linalg.global_norm(gradients)
        if self.settings.clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self.settings.clip_norm, use_norm=norm)
        by_path = dict(zip(self.tuned, gradients, strict=True))
        for _, optimizer, paths in self.optimizers:
            optimizer.apply([by_path[path] for path in paths])
        for path, average in self.averages.items():
            average.assign(self._decay() * average + (1.0 - self._decay()) * self.moved[path])
        return losses | {"loss": total, "gradient_norm": norm}

    def _decay(self):
        """The decay of the average: short at first, so that the start is forgotten."""
        steps = tf.cast(self.optimizers[0][1].iterations.value, tf.float32)
        return tf.minimum(self.settings.ema, (1.0 + steps) / (10.0 + steps))

    def swap_averages(self) -> None:
        """Exchanges the weights with their moving averages; again to go back."""
        for path, average in self.averages.items():
            variable = self.moved[path]
            value = variable.numpy()
            variable.assign(average)
            average.assign(value)

    def state(self) -> dict[str, np.ndarray]:
        """All that the next step depends on."""
        state = {f"weights/{path}": variable.numpy() for path, variable in self.moved.items()}
        state |= {f"averages/{path}": variable.numpy() for path, variable in self.averages.items()}
        for number, (_, optimizer, _) in enumerate(self.optimizers):
            state |= {f"optimizer/{number}/{i}": v.numpy() for i, v in enumerate(optimizer.variables)}
        return state

    def restore(self, state: dict) -> None:
        """Goes back to a `state`."""
        for path, variable in self.moved.items():
            variable.assign(state[f"weights/{path}"])
        for path, variable in self.averages.items():
            variable.assign(state[f"averages/{path}"])
        for number, (_, optimizer, _) in enumerate(self.optimizers):
            for i, variable in enumerate(optimizer.variables):
                variable.assign(state[f"optimizer/{number}/{i}"])


def _optimizer(settings):
    rate = settings.learning_rate
    if settings.optimizer == "momentum":
        decay = settings.weight_decay or None
        return keras.optimizers.SGD(rate, momentum=settings.momentum, weight_decay=decay)
    if settings.optimizer == "adam":
        return keras.optimizers.Adam(rate)
    return keras.optimizers.AdamW(rate, weight_decay=settings.weight_decay)


def _unfrozen_statistics(detector, tuned: dict, frozen: bool) -> dict:
    """The moving statistics of the tuned norms, which then use each batch's own; none where norms are frozen."""
    detector.freeze_batch_norm(True)
    if frozen:
        return {}
    layers, variables, moved = detector.paths(), detector.variables(), {}
    for path in {path.rsplit("/", 1)[0] for path in tuned}:
        if hasattr(layers[path], "frozen"):
            layers[path].frozen = False
            moved |= {f"{path}/{name}": variables[f"{path}/{name}"] for name in ("moving_mean", "moving_variance")}
    return moved
