"""Training from beginning to end: surgery, phases, evaluation, and the run directory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from detkit import io, models
from detkit.data import batches
from detkit.data.dataset import Dataset
from detkit.detection import load
from detkit.errors import ConfigError
from detkit.evaluation.coco import check_classes
from detkit.evaluation.measure import SHOWN, measure, numbers
from detkit.garden import load as garden
from detkit.garden.names import is_garden
from detkit.training import phases
from detkit.training.imprint import imprint
from detkit.training.loop import Loop
from detkit.training.optimization import Optimization
from detkit.training.run_directory import RunDirectory
from detkit.training.validation import Validation, results
from detkit.zoo.source import locate


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        model: with the best validated weights, or the last ones.
        history: a row a step.
        directory: the run directory.
        metrics: flat, as in metrics.json.
    """

    model: object
    history: list[dict]
    directory: Path
    metrics: dict

    @property
    def detector(self):
        """The model, under the name that it has where it is a detector."""
        return self.model


def finetune(
    pipeline, train: Dataset, val: Dataset | None = None, test: Dataset | None = None, *,
    resume: bool = False, overwrite: bool = False, show_progress: bool | None = None,
) -> Run:  # fmt: skip
    """Makes a model for the classes of `train` as a pipeline says.

    Args:
        pipeline: a pipeline of `detkit.pipeline`, of any task, with an output directory.
        train, val, test: the data; `val` chooses the best weights, `test` is measured at the end.
        resume: go on with a run that was interrupted; overwrite: replace one.

    Raises:
        ConfigError, DataError, CheckpointError: before anything is trained.
        TrainingError: if the loss stops being finite.
    """
    started, settings = time.perf_counter(), pipeline.train
    directory = RunDirectory(pipeline.output)
    _check_classes(train)
    network, text = _detector(pipeline, train) if pipeline.task == "detection" else _network(pipeline, train)
    network.check_data(train)
    plan = phases.plan(network, settings)
    train = train.with_classes(network.classes)
    for other in filter(None, (val, test)):  # before an hour of training
        check_classes(other, network.classes)
    views = batches.Views(train, network.resized, settings.augment, settings.seed, network.wants)
    if not directory.begin(pipeline, resume=resume, overwrite=overwrite):
        directory.log("\n".join([text, *(phase.selection.text for phase in plan)]))
    if pipeline.task == "detection" and pipeline.model.init == "imprint":
        _imprint(pipeline, network, train)
    writer, loop = _TensorBoard(directory.path / "tensorboard"), None
    for phase in plan:
        if loop is not None and loop.improved:
            loop.use_best()
        optimization = Optimization(network, phase.selection, phase.settings)
        validate = val and Validation(network, val, phase.selection.seam, settings.cache_mb)
        options = {"phase": phase.name, "before": loop}
        loop = Loop(optimization, views, phase.settings, directory, validate, writer.write, show_progress, **options)
        loop.run()
    writer.close()
    return _finish(network, loop, directory, val, test, started)


def _detector(pipeline, train: Dataset) -> tuple:
    """A detector for the classes of the data, and the surgery's report as text."""
    reset = tuple(_part(name) for name in pipeline.model.reset)
    if is_garden(pipeline.model.name):
        return garden.transplant(pipeline.model, train.classes, reset, pipeline.train.seed)
    source = locate(pipeline.model.name, pipeline.model.checkpoint)
    detector, report = load.transplant(
        source,
        train.classes,
        init=pipeline.model.init,
        keep_classes=pipeline.model.keep_classes,
        reset=reset,
        seed=pipeline.train.seed,
        backbone=pipeline.model.backbone and locate(pipeline.model.backbone),
    )
    return detector, report.text()


def _network(pipeline, train: Dataset) -> tuple:
    network = models.build(pipeline.task, pipeline.model, train.classes, pipeline.train.seed)
    return network, network.weights_text


def _imprint(pipeline, detector, train: Dataset) -> None:
    source = locate(pipeline.model.name, pipeline.model.checkpoint)
    if detector.classes != source.classes:
        known = source.classes if pipeline.model.keep_classes else ()
        new = [name for name in detector.classes if name not in known]
        imprint(detector, batches.Views(train, detector.resized), new)


def _finish(network, loop, directory, val, test, started) -> Run:
    """Writes the model, the plots and the numbers."""
    network.freeze_batch_norm(True)
    if loop.improved:
        models.save_checkpoint(network, directory.path / "checkpoint_last")
        loop.use_best()
    models.save(network, directory.path)
    last = loop.history[-1]
    metrics = {"steps": int(last["step"]), "loss": last["loss"]}
    if loop.improved:
        chosen = SHOWN[network.task][0]
        metrics |= {"best_step": loop.facts["best_step"], f"val_{chosen}": loop.facts["best"]}
    measured = test if test is not None else val
    if measured is not None:
        found = measure(network, measured, results(network, measured))
        metrics |= numbers(network.task, found)
        if network.task == "detection":
            _plot_precision(found, directory)
    metrics["seconds"] = round(time.perf_counter() - started, 1)
    io.write_json(directory.path / "metrics.json", metrics)
    _plot_training(directory)
    return Run(network, loop.history, directory.path, metrics)


def _plot_precision(metrics, directory: RunDirectory) -> None:
    from detkit.evaluation import plots

    io.make_directory(directory.path / "plots")
    plots.pr_curve(metrics, directory.path / "plots" / "precision_recall.png")


def _plot_training(directory: RunDirectory) -> None:
    from detkit.evaluation import plots

    io.make_directory(directory.path / "plots")
    plots.training_curves(directory.path / "history.csv", directory.path / "plots" / "loss.png")


def _check_classes(train: Dataset) -> None:
    if not train.classes:
        raise ConfigError(
            "The training data names no class.", where=train.name, fix="Add categories to the annotations."
        )


def _part(name: str) -> str:
    return name if name in ("backbone", "neck", "head") else f"head/{name}"


class _TensorBoard:
    """Scalars of the history for TensorBoard."""

    def __init__(self, path: Path):
        import tensorflow as tf

        self._summary = tf.summary
        self._writer = tf.summary.create_file_writer(str(path))

    def write(self, row: dict) -> None:
        with self._writer.as_default(step=int(row["step"])):
            for name, value in row.items():
                if name != "step":
                    self._summary.scalar(name, value)

    def close(self) -> None:
        self._writer.close()
