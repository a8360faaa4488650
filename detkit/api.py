"""The story in one screen each: load, finetune, train, evaluate, predict, explain, check, stats, show, inspect, demo.

TensorFlow is imported by the functions that need it, not with this module.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from detkit import data as datasets
from detkit.data.dataset import Dataset
from detkit.errors import ConfigError
from detkit.pipeline import pipeline as pipelines
from detkit.pipeline.transfer import SegmentationPipeline


def load(model, checkpoint=None, config=None):
    """A model, ready to use: a detector, or what `train` made for another task.

    Args:
        model: a name of the zoo ("hands"), a directory with pipeline.config and a checkpoint (a run directory is
            one, whatever its task), a pipeline.config, the directory of a saved baseline, or a finished graph: a
            SavedModel directory (or a .tar.gz or https address of one), a .tflite, .onnx or .keras file. Or
            "garden:EXPERIMENT", one of Model Garden's (`detkit garden list`).
        checkpoint: another checkpoint than the directory's own.
        config: of an experiment of Model Garden: overrides, as a mapping or a file in its own YAML.

    Raises:
        ConfigError: if there is no such model, or detkit can't build its architecture.
        CheckpointError: if the checkpoint can't be read, or does not cover the model.

    Example:
        >>> detector = detkit.load("hands")
        >>> detector.detect("photo.jpg")[0].above(0.5).labels
    """
    from detkit import models

    loaded = models.load(model, checkpoint, config)
    loaded.reload = partial(models.load, model, checkpoint, config)  # for other processes to have it too
    return loaded


def finetune(
    model, data, val=None, test=None, *, output, checkpoint=None, config=None, init="prior", keep_classes=False,
    resume=False, overwrite=False, show_progress=None, **train,
):  # fmt: skip
    """Makes a detector, or of Model Garden's segmentation models a segmenter, for the classes of `data`.

    Args:
        model: as for `load`.
        data, val, test: a Dataset or a path to read; `val` chooses the best weights, `test` is measured at the end.
        output: the run directory, itself a model directory.
        checkpoint, config: as for `load`.
        init: "prior" or "imprint", how a new class head starts.
        keep_classes: go on detecting the classes that the model knows.
        resume, overwrite: what to do with a run that is there already.
        train: options of `detkit.pipeline.settings.TrainConfig`, such as tune="heads", steps=200, seed=0. Of a
            segmenter of Model Garden those of `detkit.pipeline.transfer.SegmentationTraining`.

    Returns:
        A run: `.detector`, `.history`, `.directory`, `.metrics`.

    Raises:
        ConfigError, DataError, CheckpointError: for what is wrong, before anything is trained.
    """
    options = {"checkpoint": checkpoint, "config": config, "init": init, "keep_classes": keep_classes}
    kind = _pipeline_kind(model, options, train)
    pipeline = kind(model={"name": str(model)} | options, train=train, output=str(output))
    sets = [_dataset(each) for each in (data, val, test)]
    return _run(pipeline, sets, resume=resume, overwrite=overwrite, show_progress=show_progress)


def _pipeline_kind(model, options: dict, train: dict):
    """The kind of pipeline that a model is made by; takes what segmenters don't have out of the options.

    Raises:
        ConfigError: if it is asked for nevertheless.
    """
    from detkit.garden.names import is_garden

    if not is_garden(model):
        return pipelines.Pipeline
    from detkit.garden.load import task_of

    if task_of(model) == "detection":
        return pipelines.Pipeline
    asked = {"init": options.pop("init") != "prior", "keep_classes": options.pop("keep_classes")}
    asked["tune"] = "tune" in train
    refused = next((name for name, whether in asked.items() if whether), None)
    if refused:
        fix = "Leave it out; what is tuned is said by strategy: auto, head, finetune, two_stage or full."
        raise ConfigError("Segmenters don't have this option.", where=refused, fix=fix)
    return SegmentationPipeline


def train(pipeline, overrides=(), output=None, *, resume=False, overwrite=False, show_progress=None):
    """Trains as a pipeline file says; `detkit train` is this function.

    Args:
        pipeline: the path of a YAML pipeline, in detkit's layout or in Model Garden's, or of an OD API pipeline.config.
        overrides: "train.steps=300" and the like; for Model Garden's layout also "experiment=NAME" and its own options.
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
    return datasets.read(source, settings.format, settings.images, label_map=settings.label_map)


def evaluate(detector, data, *, results=None, score: float = 0.0, show_progress=None):
    """The COCO numbers of a detector on a dataset; of a model for another task the numbers of that task.

    Args:
        detector: of `load`, or a run's.
        data: a Dataset or a path to read.
        results: a file for the detections, as COCO results.
        score: leave out detections below it.

    Returns:
        Metrics, a mapping with "AP", "AP50", ... and `per_class`, `table()`, `to_json()`. Where detector and data have
        them, the numbers of masks are in it as "mask_AP", ..., and those of keypoints as "keypoint_AP", ...
        Of another task one of the classes of detkit.evaluation, with `numbers`, `table()` and `to_json()`.

    Raises:
        DataError: if detector and data have no class in common.
    """
    from detkit.evaluation import coco
    from detkit.evaluation.measure import measure
    from detkit.reporting import detect_all, look_at_all

    dataset = _dataset(data)
    if getattr(detector, "task", "detection") != "detection":
        return measure(detector, dataset, look_at_all(detector, dataset, show_progress))
    return coco.evaluate_all(dataset, detect_all(detector, dataset, results, score, show_progress))


def report(model, data, output="detkit-eval", **options):
    """Evaluates a model and writes what there is to say of it; the options are those of `detkit.reporting.report`."""
    from detkit.reporting import report

    return report(model, _dataset(data) if not isinstance(model, (str, Path)) else data, output, **options)


def predict(detector, sources, output=None, **options):
    """Draws what a model finds in images and videos; the options are those of `detkit.inference.predict.predict`.

    Of a classifier or a segmenter see `detkit.inference.pictures.predict`.
    """
    if getattr(detector, "task", "detection") in ("classification", "segmentation"):
        from detkit.inference.pictures import predict
    else:
        from detkit.inference.predict import predict
    return predict(detector, sources, output, **options)


def export(model, to, output=None, data=None, *, show_progress=None):
    """Writes a model as a SavedModel, as TensorFlow Lite, ONNX or Keras file, and checks that each finds the same.

    Args:
        model: a detector, or as for `load`.
        to: a name of `detkit.export.export.FORMATS` or several: "savedmodel", "keras", "tflite", "tflite-float16",
            "tflite-dynamic", "tflite-int8", "onnx".
        output: the file or directory of one format, the directory of several; by default the working directory.
        data: a Dataset or a path to read: images for the check, and to fit int8 to.

    Returns:
        A `detkit.export.export.Report` of what was written, with `table()`.

    Raises:
        ConfigError: for what can't be exported or written, and if an export does not find what the model finds.
    """
    from detkit.export.export import export

    detector = load(model) if isinstance(model, (str, Path)) else model
    return export(detector, to, output, _dataset(data), show_progress)


def explain(model, images, output=None, **options):
    """Shows which parts of pictures a model's answers come from; see `detkit.explain.run.explain` for the options."""
    from detkit.explain.run import explain

    return explain(model, images, output, **options)


def check(target, overrides=()):
    """Every problem of a dataset, a pipeline or a model, in one pass, before anything is run.

    Returns:
        A list of `detkit.data.Problem`; those of severity "info" are worth knowing and nothing more.
    """
    from detkit.preflight import check

    return check(Path(target), overrides)


def stats(data, model=None, *, show_progress=None):
    """What a dataset is made of: counts, and sizes, shapes and places of its objects; no picture is opened.

    Args:
        data: a Dataset or a path to read.
        model: as for `load`; measure objects in pixels of its input, and how well its anchors can match them. Its
            weights are not read.

    Returns:
        A `detkit.data.Stats`, with `table()` and `to_json()`.
    """
    dataset = _dataset(data)
    if model is None:
        return datasets.stats(dataset, show_progress=show_progress)
    from detkit.detection.coverage import anchors_of

    detector = _architecture(model)
    return datasets.stats(dataset, detector.resized, anchors_of(detector), show_progress)


def show(
    data, output, *, count=16, pick="random", seed=0, classes=(), columns=None,
    model=None, augment=None, show_progress=None,
):  # fmt: skip
    """Draws a contact sheet of annotated pictures, a PNG or JPEG file.

    Args:
        data: a Dataset or a path to read.
        output: the file.
        count, pick, seed, classes, columns: as for `detkit.data.overview.show`'s `choose` and `show`.
        model: as for `load`; to pick the objects that its anchors don't match, and for the size of augmented views.
        augment: show views as training gets them: "usual", or a pipeline whose `train.augment` is meant.

    Returns:
        The numbers of the pictures in the dataset.
    """
    from detkit.data.overview import show as sheets
    from detkit.visualize.sheet import save

    dataset = _dataset(data)
    measured = stats(dataset, model, show_progress=show_progress) if pick == "unmatched" else None
    chosen = sheets.choose(dataset, count, pick, seed, classes, measured)
    options = {"columns": columns, "show_progress": show_progress}
    if augment is None:
        save(sheets.show(dataset, chosen, **options), output)
    else:
        views = _views(dataset, augment, model, seed)
        save(sheets.show_views(views, list(chosen), count, **options), output)
    return list(chosen)


def _views(dataset: Dataset, augment, model, seed: int):
    """Views of a dataset as a pipeline asks for them."""
    from detkit.data.overview.show import views_of

    plan = pipelines.Pipeline() if augment == "usual" else pipelines.load(Path(augment))
    model = model or (None if augment == "usual" else plan.model.name)
    if model is None:
        return views_of(dataset, None, plan.train.augment, seed)
    return views_of(dataset, _architecture(model).resized, plan.train.augment, seed)


def _architecture(model):
    """A model whose sizes and anchors can be asked for: its weights are not read."""
    from detkit.detection.coverage import architecture
    from detkit.garden.names import is_garden

    if isinstance(model, (str, Path)) and is_garden(model):
        from detkit.garden.load import architecture
    return architecture(model)


def inspect(model, *, reset=(), classes=(), variables=False, checkpoint=None, config=None) -> str:
    """What a model or a checkpoint holds, and what a surgery on it would do, as text.

    Args:
        model, checkpoint, config: as for `load`; a checkpoint may also stand alone.
        reset: parts or regular expressions that a surgery would reinitialise; classes: of the new detector.
        variables: list every variable.
    """
    from detkit import models
    from detkit.detection.inspect import inspect
    from detkit.garden.names import is_garden
    from detkit.hub import load as hub
    from detkit.networks.inspect import inspect as inspect_network

    surgery = {"reset": reset, "classes": classes, "variables": variables, "checkpoint": checkpoint}
    if is_garden(model):
        from detkit.garden.inspect import inspect

        return inspect(model, **surgery, config=config)
    if models.is_stored(model):
        if reset or classes:
            raise ConfigError("Surgeries are of detectors.", where=model, fix="Leave out --reset and --class.")
        return inspect_network(models.load(model, checkpoint, config), variables)
    if hub.kind(model) is not None:
        return hub.describe(model)
    return inspect(model, **surgery)


def demo(output="detkit-demo", seed: int = 0) -> str:
    """The whole story, offline, in about a minute; returns what it made, as text."""
    from detkit.demo import demo

    return demo(output, seed)
