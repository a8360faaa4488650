"""Fine-tuning of Model Garden's RetinaNet by detkit's own loop."""

from __future__ import annotations

import numpy as np
import pytest

import detkit
from detkit.data.synthesis import boats
from detkit.errors import ConfigError
from detkit.garden import build, load
from detkit.garden.nodes import nodes_of
from detkit.pipeline import yaml_format

pytestmark = pytest.mark.slow

TINY = {
    "num_classes": 4,
    "input_size": [128, 128, 3],
    "backbone": {"type": "resnet", "resnet": {"model_id": 10, "depth_multiplier": 0.25}},
    "decoder": {"type": "fpn", "fpn": {"num_filters": 16}},
    "head": {"num_convs": 1, "num_filters": 16},
}


@pytest.fixture(scope="module")
def overrides(tmp_path_factory):
    path = tmp_path_factory.mktemp("overrides") / "tiny.yaml"
    path.write_text(yaml_format.dumps({"task": {"model": TINY}, "trainer": {"train_steps": 5}}))
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return boats.few_shot_set(tmp_path_factory.mktemp("photos"), train=3, test=1, size=(96, 128))


@pytest.fixture(scope="module")
def known(overrides, photos, tmp_path_factory):
    """A run from scratch, for all of the network."""
    output = tmp_path_factory.mktemp("runs") / "scratch"
    options = {"steps": 25, "batch_size": 3, "learning_rate": 0.003, "freeze_batch_norm": False, "augment": None}
    return detkit.finetune("garden:retinanet", photos[0], config=overrides, output=output, ema=None, **options)


def values(detector):
    return {path: variable.numpy() for path, variable in detector.variables().items()}


def test_training_from_scratch_lowers_the_loss(known):
    assert np.mean([row["loss"] for row in known.history[-3:]]) < known.history[0]["loss"] * 0.7
    log = (known.directory / "log.txt").read_text()
    assert "every weight starts afresh" in log
    assert "only Model Garden's trainer reads: trainer.train_steps" in log


def test_a_run_is_a_model_directory(known, photos):
    again = detkit.load(known.directory)
    ours, stored = values(known.detector), values(again)
    assert all(np.array_equal(ours[path], stored[path]) for path in ours)
    assert again.classes == ("toy_boat",)
    assert set(detkit.evaluate(again, photos[1])) >= {"AP", "AP50"}
    assert "head/class_head" in detkit.api.inspect(known.directory)


def test_model_garden_goes_on_with_a_run(known):
    """Its own task starts from the run: every variable, and all of them the same."""
    description = known.detector.description
    config = build.experiment("retinanet", description.overrides, columns=2)
    task, fresh = build.build("retinanet", config)
    ours, nodes = values(known.detector), nodes_of(fresh.checkpoint_items)
    theirs = {f"{path}/{name}": value for path, node in nodes.items() for name, value in node.variables.items()}
    for variable in theirs.values():
        variable.assign(np.full(variable.shape, 3.0, np.float32))
    prefix = str(known.directory / "checkpoint" / "ckpt-0")
    task.task_config.override({"init_checkpoint": prefix, "init_checkpoint_modules": "all"})
    task.initialize(fresh)
    assert theirs.keys() == ours.keys()
    assert all(np.array_equal(theirs[path].numpy(), value) for path, value in ours.items())


def test_the_same_seed_trains_the_same_weights(overrides, photos, tmp_path):
    options = {"steps": 3, "batch_size": 2, "freeze_batch_norm": False, "seed": 4, "config": overrides}
    one, other = (
        values(detkit.finetune("garden:retinanet", photos[0], output=tmp_path / name, **options).detector)
        for name in ("one", "other")
    )
    assert all(np.array_equal(one[path], other[path]) for path in one)


def test_the_cache_changes_nothing_but_the_time(known, photos, tmp_path):
    """And what is not tuned stays as it was."""
    data = photos[0].with_classes(("toy_boat", "rock"))
    options = {"tune": "heads", "steps": 3, "batch_size": 2, "augment": None, "ema": None}
    runs = {
        cache: detkit.finetune(str(known.directory), data, output=tmp_path / cache, cache=cache, **options)
        for cache in ("on", "off")
    }
    cached, plain = (values(run.detector) for run in runs.values())
    before, parts = values(known.detector), runs["on"].detector.part_of()
    for path, value in cached.items():
        np.testing.assert_allclose(value, plain[path], atol=1e-6, err_msg=path)
    kept = ("backbone", "neck", "head/towers")
    assert all(np.array_equal(cached[path], before[path]) for path in cached if parts[path] in kept)
    changed = {parts[path] for path in cached if not np.array_equal(cached[path], before[path])}
    assert changed >= {"head/box_head", "head/class_head"}


def test_a_pipeline_names_experiment_and_overrides(overrides, photos, tmp_path):
    (tmp_path / "duck.yaml").write_text(
        f"model: {{name: 'garden:retinanet', config: {overrides}}}\ntrain: {{steps: 1, batch_size: 1, augment: none}}\n"
    )
    run = detkit.api.train(tmp_path / "duck.yaml", [f"data.train={photos_file(photos)}"], tmp_path / "run")
    assert run.detector.description.experiment == "retinanet"


def photos_file(photos):
    return photos[0][0].image.parent.with_suffix(".json")


@pytest.mark.parametrize(
    ("options", "where"),
    [({"init": "imprint"}, "model.init"), ({"init": "imprint", "keep_classes": True}, "model.init")],
)
def test_options_of_other_detectors_are_refused(photos, tmp_path, options, where):
    with pytest.raises(ConfigError, match="do not take this option") as error:
        detkit.finetune("garden:retinanet", photos[0], output=tmp_path / "run", **options)
    assert where in str(error.value)


def test_a_trained_model_takes_no_overrides(known, overrides):
    with pytest.raises(ConfigError, match="has its configuration with it"):
        load.load(known.directory, config=overrides)
