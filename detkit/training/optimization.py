"""One step of gradient descent over a detector's tuned variables."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from detkit.training.selection import Selection


class Optimization:
    """Optimizers, the moving average of the weights, and the compiled step.

    The optimizers see the tuned variables of a group as one flat vector: a hundred small tensors would cost more in
    bookkeeping, at every step and when the step is compiled, than in arithmetic.

    Args:
        detector: whose variables are changed in place.
        selection: which of them.
        settings: a `detkit.pipeline.settings.TrainConfig`.
    """

    def __init__(self, detector, selection: Selection, settings):
        self.detector, self.settings, self.seam = detector, settings, selection.seam
        variables = detector.variables()
        self.groups = [
            _Group(multiplier, [variables[path] for path in paths], settings) for multiplier, paths in selection.groups
        ]
        tuned = {path: variables[path] for path in selection.paths}
        self.moved = tuned | _unfrozen_statistics(detector, tuned, settings)
        self.step = tf.function(self._step, autograph=False, reduce_retracing=True)
        self.cached_step = tf.function(self._cached_step, autograph=False, reduce_retracing=True)

    def set_learning_rate(self, rate: float) -> None:
        """The learning rate of the next step, before each group's multiplier."""
        for group in self.groups:
            group.optimizer.learning_rate.assign(rate * group.multiplier)

    def _cached_step(self, records, rows):
        return self._step({name: tf.gather(value, rows) for name, value in records.items()})

    def _step(self, record):
        values = [[variable.value for variable in group.variables] for group in self.groups]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            losses = self.detector.record_loss(record, self.seam)
            total = tf.add_n(list(losses.values()))
        gradients = [
            _flatten(each) for each in tape.gradient(total, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        ]
        norm = tf.linalg.global_norm(gradients)
        if self.settings.clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self.settings.clip_norm, use_norm=norm)
        for group, gradient in zip(self.groups, gradients, strict=True):
            group.apply(gradient)
        return {"loss": total, **losses, "gradient_norm": norm}

    def swap_averages(self) -> None:
        """Exchanges the weights with their moving averages, where those are kept; again to go back."""
        for group in self.groups:
            group.swap_averages()

    def state(self) -> dict[str, np.ndarray]:
        """All that the next step depends on."""
        state = {f"weights/{path}": variable.numpy() for path, variable in self.moved.items()}
        for number, group in enumerate(self.groups):
            state |= {f"group/{number}/{i}": variable.numpy() for i, variable in enumerate(group.state)}
        return state

    def restore(self, state: dict) -> None:
        """Goes back to a `state`."""
        for path, variable in self.moved.items():
            variable.assign(state[f"weights/{path}"])
        for number, group in enumerate(self.groups):
            for i, variable in enumerate(group.state):
                variable.assign(state[f"group/{number}/{i}"])


class _Group:
    """Variables with one learning rate, and their optimizer over the flat vector of all of them."""

    def __init__(self, multiplier: float, variables: list, settings):
        self.multiplier, self.variables, self.settings = multiplier, variables, settings
        self.flat = keras.Variable(_flatten([variable.value for variable in variables]), name="flat")
        self.average = tf.Variable(self.flat.value) if settings.ema else None
        self.optimizer = _optimizer(settings)
        self.optimizer.build([self.flat])
        decayed = [np.full(int(np.prod(v.shape)), v.name.endswith("kernel"), np.float32) for v in variables]
        self.decayed = np.concatenate(decayed) if settings.weight_decay else None

    @property
    def state(self) -> list:
        return [self.flat, *self.optimizer.variables, *([] if self.average is None else [self.average])]

    def apply(self, gradient) -> None:
        """One update of the variables by their flat gradient."""
        if self.decayed is not None:
            # Decoupled decay (Loshchilov and Hutter, 2019), on kernels only.
            decay = self.optimizer.learning_rate.value * self.settings.weight_decay
            self.flat.assign(self.flat * (1.0 - decay * self.decayed))
        self.optimizer.apply([gradient], [self.flat])
        self._spread(self.flat.value)
        if self.average is not None:
            steps = tf.cast(self.optimizer.iterations.value, tf.float32)
            # Short at first, so that the start is forgotten.
            keep = tf.minimum(self.settings.ema, (1.0 + steps) / (10.0 + steps))
            self.average.assign(keep * self.average + (1.0 - keep) * self.flat.value)

    def _spread(self, flat) -> None:
        """Copies a flat vector into the variables."""
        pieces = tf.split(flat, [int(np.prod(variable.shape)) for variable in self.variables])
        for variable, piece in zip(self.variables, pieces, strict=True):
            variable.value.assign(tf.reshape(piece, variable.shape))

    def swap_averages(self) -> None:
        if self.average is not None:
            weights = self.flat.numpy()
            self.flat.assign(self.average)
            self.average.assign(weights)
            self._spread(self.flat.value)


def _flatten(tensors):
    return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)


def _optimizer(settings):
    rate = settings.learning_rate
    if settings.optimizer == "momentum":
        return keras.optimizers.SGD(rate, momentum=settings.momentum)
    return keras.optimizers.Adam(rate)


def _unfrozen_statistics(detector, tuned: dict, settings) -> dict:
    """The moving statistics of the tuned norms, which then use each batch's own; none where norms are frozen."""
    detector.freeze_batch_norm(True)
    if settings.freeze_batch_norm:
        return {}
    layers, variables, moved = detector.paths(), detector.variables(), {}
    kept = {id(layer) for layer in detector.parts["backbone"]} if _keeps_backbone(detector, settings) else set()
    for path in sorted({path.rsplit("/", 1)[0] for path in tuned}):
        if hasattr(layers[path], "frozen") and id(layers[path]) not in kept:
            layers[path].frozen = False
            moved |= {f"{path}/{name}": variables[f"{path}/{name}"] for name in ("moving_mean", "moving_variance")}
    return moved


def _keeps_backbone(detector, settings) -> bool:
    """Whether the norms of the backbone keep their averages where those of the head don't."""
    return settings.freeze_batch_norm is None and detector.pretrained
