"""Fine-tuning from beginning to end: surgery, training, evaluation, and the run directory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from detkit import io
from detkit.data import batches
from detkit.data.dataset import Dataset
from detkit.detection import load
from detkit.detection.detector import Detector
from detkit.errors import ConfigError
from detkit.evaluation import coco
from detkit.training.imprint import imprint
from detkit.training.loop import Loop
from detkit.training.optimization import Optimization
from detkit.training.run_directory import RunDirectory
from detkit.training.selection import choose
from detkit.zoo.source import locate


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        detector: with the best validated weights, or the last ones.
        history: a row a step.
        directory: the run directory.
        metrics: flat, as in metrics.json.
    """

    detector: Detector
    history: list[dict]
    directory: Path
    metrics: dict


def finetune(
    pipeline, train: Dataset, val: Dataset | None = None, test: Dataset | None = None, *,
    resume: bool = False, overwrite: bool = False, show_progress: bool | None = None,
) -> Run:  # fmt: skip
    """Makes a detector for the classes of `train` as a pipeline says.

    Args:
        pipeline: a `detkit.pipeline.pipeline.Pipeline` with an output directory.
        train, val, test: the data; `val` chooses the best weights, `test` is measured at the end.
        resume: go on with a run that was interrupted; overwrite: replace one.

    Raises:
        ConfigError, DataError, CheckpointError: before anything is trained.
        TrainingError: if the loss stops being finite.
    """
    started, settings = time.perf_counter(), pipeline.train
    directory = RunDirectory(pipeline.output)
    source = locate(pipeline.model.name, pipeline.model.checkpoint)
    _check_classes(train)
    detector, report = load.transplant(
        source,
        train.classes,
        init=pipeline.model.init,
        keep_classes=pipeline.model.keep_classes,
        reset=tuple(_part(name) for name in pipeline.model.reset),
        seed=settings.seed,
        backbone=pipeline.model.backbone and locate(pipeline.model.backbone),
    )
    selection = choose(detector, settings.tune)
    train = train.with_classes(detector.classes)
    views = batches.Views(train, detector.resized, settings.augment, settings.seed, detector.wants)
    if not directory.begin(pipeline, resume=resume, overwrite=overwrite):
        directory.log(f"{report.text()}\n{selection.text}")
    if pipeline.model.init == "imprint" and detector.classes != source.classes:
        known = source.classes if pipeline.model.keep_classes else ()
        new = [name for name in detector.classes if name not in known]
        imprint(detector, batches.Views(train, detector.resized), new)
    optimization = Optimization(detector, selection, settings)
    writer = _TensorBoard(directory.path / "tensorboard")
    validate = (lambda: _measure(detector, val)) if val is not None else None
    loop = Loop(optimization, views, settings, directory, validate, writer.write, show_progress)
    loop.run()
    writer.close()
    return _finish(detector, loop, directory, val, test, started)


def _finish(detector, loop, directory, val, test, started) -> Run:
    """Writes the model, the plots and the numbers."""
    detector.freeze_batch_norm(True)
    if loop.improved:
        load.save_checkpoint(detector, directory.path / "checkpoint_last")
        loop.use_best()
    load.save(detector, directory.path)
    last = loop.history[-1]
    metrics = {"steps": int(last["step"]), "loss": last["loss"]}
    if loop.improved:
        metrics |= {"best_step": loop.facts["best_step"], "val_AP": loop.facts["best_AP"]}
    measured = test if test is not None else val
    if measured is not None:
        found = _measure(detector, measured)
        metrics |= dict(found)
        for name, numbers in found.per_class.items():
            metrics |= {f"{key}/{name}": value for key, value in numbers.items() if key.endswith("AP")}
        _plot_precision(found, directory)
    metrics["seconds"] = round(time.perf_counter() - started, 1)
    io.write_json(directory.path / "metrics.json", metrics)
    _plot_training(directory)
    return Run(detector, loop.history, directory.path, metrics)


def _measure(detector, dataset: Dataset):
    return coco.evaluate_all(dataset, list(detector.detect_stream(example.pixels() for example in dataset)))


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
