"""The training loop, from the first step to the last, wherever it was interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from detkit.data import batches
from detkit.errors import ConfigError, DetkitError
from detkit.progress import progress
from detkit.training import cache as caching
from detkit.training.optimization import Optimization
from detkit.training.run_directory import RunDirectory
from detkit.training.schedule import learning_rate


class TrainingError(DetkitError):
    """Training that can't go on."""


class Loop:
    """A fine-tuning run.

    Args:
        optimization: of the detector; views: of the training photos.
        settings: a `detkit.pipeline.settings.TrainConfig`.
        directory: where state and history go.
        validate: () -> {name: number} of the model as it is, or None; the first number chooses the best weights.
        report: called with every row of the history.
        phase: the name of this part of a run that has several.
        before: the loop of the part before this one, which has ended.
    """

    def __init__(
        self,
        optimization: Optimization,
        views: batches.Views,
        settings,
        directory: RunDirectory,
        validate: Callable | None = None,
        report: Callable | None = None,
        show: bool | None = None,
        phase: str = "",
        before: Loop | None = None,
    ):
        self.optimization, self.views, self.settings = optimization, views, settings
        self.directory, self.validate, self.report, self.show = directory, validate, report, show
        self.phase, self._first = phase, before.last_step if before else 0
        self.history: list[dict] = list(before.history) if before else []
        self.best: dict[str, np.ndarray] = {}
        self.facts = {"step": 0, "best": -1.0, "best_step": 0, "waited": 0, "stopped": False}
        if before is not None and before.improved:
            self.facts |= {name: before.facts[name] for name in ("best", "best_step")}
            self.best = self._weights()
        # A resumed run must have the same data.
        self.facts |= {"classes": list(views.dataset.classes), "photos": len(views)}

    @property
    def improved(self) -> bool:
        """Whether validation found a best state."""
        return bool(self.best)

    @property
    def last_step(self) -> int:
        """The last step that was taken, counted over all phases."""
        return self._first + self.facts["step"]

    def run(self) -> None:
        """Trains to the end; afterwards the model has its last weights (their moving average, where asked for)."""
        self._resume()
        settings, start = self.settings, self.facts["step"]
        if start < settings.steps and not self.facts["stopped"]:
            prefix = caching.Prefix(self.optimization.detector, self.optimization.seam)
            cache = self._cache(prefix)
            with progress(total=settings.steps, description="train", show=self.show) as bar:
                bar.update(start)
                for record in self._records(prefix, cache, range(start, settings.steps)):
                    bar.update(1, **self._advance(record, cache))
                    if self.facts["stopped"]:
                        break
            self._save()
        self.optimization.swap_averages()

    def _cache(self, prefix):
        settings = self.settings
        per_photo = caching.plan(settings, prefix.seam, len(self.views))
        if not per_photo:
            return None
        started = time.perf_counter()
        demanded = settings.cache == "on"
        cache = caching.fill(prefix, self.views, per_photo, settings.cache_mb, demanded, self.show)
        text = "cache: does not fit, every step runs the whole network"
        if cache is not None:
            text = (
                f"cache: {cache.per_photo} views of each photo, {cache.nbytes / 2**20:.0f} MiB,"
                f" filled in {time.perf_counter() - started:.1f} s"
            )
        self.directory.log(text)
        return cache

    def _records(self, prefix, cache, steps: range) -> Iterator:
        """What the compiled step takes, for each step."""

        def drawn(step):
            return self._draw(step)

        if cache is not None:
            return (cache.rows(drawn(step)) for step in steps)
        # Frozen stages run in the thread that makes the batches only if there are any.
        return batches.prefetch(lambda step: prefix.records([self.views.view(*which) for which in drawn(step)]), steps)

    def _draw(self, step: int) -> list[tuple[int, int]]:
        return batches.draw(len(self.views), self.settings.batch_size, self._first + step, self.settings.seed)

    def _advance(self, record, cache) -> dict:
        """One step; returns what the progress bar shows."""
        step = self.facts["step"]
        rate = learning_rate(step, self.settings)
        self.optimization.set_learning_rate(rate)
        if cache is None:
            results = self.optimization.step(record)
        else:
            results = self.optimization.cached_step(cache.records, record)
        row = {"step": self._first + step + 1} | {name: float(value) for name, value in results.items()}
        row["learning_rate"] = rate
        self._stop_if_not_finite(row)
        self.facts["step"] = step + 1
        self.history.append(row)
        if self.validate and self._due(self.settings.validate_every):
            self._validate(row)
        if self.report:
            self.report(row)
        if self._due(self.settings.checkpoint_every):
            self._save()
        return {name: f"{row[name]:.3f}" for name in results if name != "gradient_norm"}

    def _due(self, every: int | None) -> bool:
        step = self.facts["step"]
        return step == self.settings.steps or (every is not None and step % every == 0)

    def _validate(self, row: dict) -> None:
        self.optimization.swap_averages()
        with self.optimization.detector.as_at_inference():
            metrics = self.validate()
        row |= {f"val_{name}": float(value) for name, value in metrics.items()}
        value = float(next(iter(metrics.values())))
        if value > self.facts["best"]:
            self.facts |= {"best": value, "best_step": row["step"], "waited": 0}
            self.best = self._weights()
        else:
            self.facts["waited"] += 1
        self.optimization.swap_averages()
        patience = self.settings.patience
        self.facts["stopped"] = patience is not None and self.facts["waited"] >= patience

    def _weights(self) -> dict[str, np.ndarray]:
        return {path: variable.numpy() for path, variable in self.optimization.moved.items()}

    def use_best(self) -> None:
        """Gives the model the best validated weights."""
        for path, value in self.best.items():
            self.optimization.moved[path].assign(value)

    def _stop_if_not_finite(self, row: dict) -> None:
        if np.isfinite(row["loss"]) and np.isfinite(row["gradient_norm"]):
            return
        names = dict.fromkeys(self.views.dataset[photo].label for photo, _ in self._draw(self.facts["step"]))
        raise TrainingError(
            f"The loss is not finite at step {row['step']}.",
            where=", ".join(names),
            got=", ".join(f"{name} {row[name]:g}" for name in row if name not in ("step", "loss", "learning_rate")),
            expected="finite numbers",
            fix="Lower train.learning_rate (now "
            f"{self.settings.learning_rate:g}), set train.clip_norm, and check these images with `detkit check`.",
        )

    def _save(self) -> None:
        best = {f"best/{path}": value for path, value in self.best.items()}
        self.directory.save_state(self.optimization.state() | best, self.facts, self.history, self.phase)

    def _resume(self) -> None:
        saved = self.directory.load_state(self.phase)
        if saved is None:
            return
        arrays, facts, self.history = saved
        for name in ("classes", "photos"):
            value = self.facts[name]
            if facts[name] != value:
                raise ConfigError(
                    "The run to resume was trained on other data.",
                    where=self.directory.path,
                    got=f"{name}: {value}",
                    expected=f"{name}: {facts[name]}",
                    fix="Give the same data, or choose another directory with --output.",
                )
        self.facts = facts
        self.best = {name[5:]: value for name, value in arrays.items() if name.startswith("best/")}
        self.optimization.restore(arrays)
        self.directory.log(f"resumed after step {self.last_step}")
