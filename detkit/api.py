"""The story in one screen each: load, finetune, train, evaluate, predict, check, inspect, demo.

TensorFlow is imported by the functions that need it, not with this module.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from detkit import data as datasets
from detkit.data.dataset import Dataset
from detkit.errors import ConfigError
from detkit.pipeline import pipeline as pipelines


def load(model, checkpoint=None):
    """A detector, ready to find objects.

    Args:
        model: a name of the zoo ("hands"), a directory with pipeline.config and a checkpoint (a run directory is
            one), a pipeline.config, or the directory of a saved baseline.
        checkpoint: another checkpoint than the directory's own.

    Raises:
        ConfigError: if there is no such model, or detkit can't build its architecture.
        CheckpointError: if the checkpoint can't be read, or does not cover the model.

    Example:
        >>> detector = detkit.load("hands")
        >>> detector.detect("photo.jpg")[0].above(0.5).labels
    """
    from detkit.baselines import storage
    from detkit.detection.load import load

    if storage.is_baseline(model):
        return storage.load(model)
    return load(model, checkpoint)


def finetune(
    model, data, val=None, test=None, *, output, init="prior", keep_classes=False,
    resume=False, overwrite=False, show_progress=None, **train,
):  # fmt: skip
    """Makes a detector for the classes of `data` out of a pretrained one.

    Args:
        model: as for `load`.
        data, val, test: a Dataset or a path to read; `val` chooses the best weights, `test` is measured at the end.
        output: the run directory, itself a model directory.
        init: "prior" or "imprint", how a new class head starts.
        keep_classes: go on detecting the classes that the model knows.
        resume, overwrite: what to do with a run that is there already.
        train: options of `detkit.pipeline.settings.TrainConfig`, such as tune="heads", steps=200, seed=0.

    Returns:
        A run: `.detector`, `.history`, `.directory`, `.metrics`.

    Raises:
        ConfigError, DataError, CheckpointError: for what is wrong, before anything is trained.
    """
    pipeline = pipelines.Pipeline(
        model={"name": str(model), "init": init, "keep_classes": keep_classes}, train=train, output=str(output)
    )
    sets = [_dataset(each) for each in (data, val, test)]
    return _run(pipeline, sets, resume=resume, overwrite=overwrite, show_progress=show_progress)


def train(pipeline, overrides=(), output=None, *, resume=False, overwrite=False, show_progress=None):
    """Trains as a pipeline file says; `detkit train` is this function.

    Args:
        pipeline: the path of a YAML pipeline or of an OD API pipeline.config.
        overrides: "train.steps=300" and the like.
        output: the run directory, instead of the pipeline's own.

    Returns:
        A run, as `finetune`.
    """
    path = Path(pipeline)
    plan = pipelines.load(path, overrides)
    plan = replace(plan, output=str(output or plan.output or Path("runs") / path.stem))
    if plan.data.train is None:
        raise ConfigError(
            "The pipeline names no training data.",
            where=f"{path}: data.train",
            fix="Give it: --set data.train=PATH, a COCO JSON file or a Pascal VOC folder.",
        )
    sets = [_dataset(each, plan.data) for each in (plan.data.train, plan.data.val, plan.data.test)]
    return _run(plan, sets, resume=resume, overwrite=overwrite, show_progress=show_progress)


def _run(pipeline, sets, **options):
    from detkit.training.finetune import finetune

    return finetune(pipeline, *sets, **options)


def _dataset(source, settings=None) -> Dataset | None:
    if source is None or isinstance(source, Dataset):
        return source
    if settings is None:
        return datasets.read(source)
    return datasets.read(source, settings.format, settings.images)


def evaluate(detector, data, *, results=None, score: float = 0.0, show_progress=None):
    """The COCO numbers of a detector on a dataset.

    Args:
        detector: of `load`, or a run's.
        data: a Dataset or a path to read.
        results: a file for the detections, as COCO results.
        score: leave out detections below it.

    Returns:
        Metrics, a mapping with "AP", "AP50", ... and `per_class`, `table()`, `to_json()`. Where detector and data have
        them, the numbers of masks are in it as "mask_AP", ..., and those of keypoints as "keypoint_AP", ...

    Raises:
        DataError: if detector and data have no class in common.
    """
    from detkit.evaluation import coco
    from detkit.inference.sinks import coco_entries
    from detkit.io import write_json
    from detkit.progress import progress

    dataset = _dataset(data)
    stream = detector.detect_stream(example.pixels() for example in dataset)
    stream = progress(stream, total=len(dataset), description="evaluate", show=show_progress)
    found = [each.above(score) for each in stream]
    if results is not None:
        known = dict(zip(dataset.classes, dataset.label_ids, strict=True))
        ids = [known.get(name, -1) for name in detector.classes]
        pairs = zip(found, dataset, strict=True)
        write_json(results, [entry for each, example in pairs for entry in coco_entries(each, ids, example.image_id)])
    return coco.evaluate_all(dataset, found)


def predict(detector, sources, output=None, **options):
    """Draws what a detector finds in images and videos; the options are those of `detkit.inference.predict.predict`."""
    from detkit.inference.predict import predict

    return predict(detector, sources, output, **options)


def check(target, overrides=()):
    """Every problem of a dataset, a pipeline or a model, in one pass, before anything is run.

    Returns:
        A list of `detkit.data.Problem`; those of severity "info" are worth knowing and nothing more.
    """
    from detkit.preflight import check

    return check(Path(target), overrides)


def inspect(model, *, reset=(), classes=(), variables=False) -> str:
    """What a model or a checkpoint holds, and what a surgery on it would do, as text."""
    from detkit.detection.inspect import inspect

    return inspect(model, reset=reset, classes=classes, variables=variables)


def demo(output="detkit-demo", seed: int = 0) -> str:
    """The whole story, offline, in about a minute; returns what it made, as text."""
    from detkit.demo import demo

    return demo(output, seed)
