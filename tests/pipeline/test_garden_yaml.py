"""Pipelines in Model Garden's own layout, without Model Garden: what becomes of each option."""

from __future__ import annotations

import os

import pytest

from detkit.errors import ConfigError
from detkit.garden import build
from detkit.garden.catalogue import EXPERIMENTS
from detkit.pipeline import garden_yaml
from detkit.pipeline.pipeline import load, parse, to_yaml

WHOLE = """
runtime: {distribution_strategy: mirrored, num_gpus: 0, mixed_precision_dtype: bfloat16}
task:
  model: {num_classes: 3, input_size: [128, 128, 3]}
  losses: {l2_weight_decay: 4e-5, focal_loss_gamma: 2.0}
  freeze_backbone: true
  init_checkpoint: known/ckpt-5
  init_checkpoint_modules: [backbone]
  train_data:
    input_path: /data/train-*.tfrecord
    global_batch_size: 16
    shuffle_buffer_size: 1000
    parser: {aug_rand_hflip: true, aug_scale_min: 0.5, aug_scale_max: 2.0, match_threshold: 0.6}
  validation_data: {input_path: "/data/val.tfrecord", global_batch_size: 8}
trainer:
  train_steps: 500
  validation_interval: 50
  checkpoint_interval: 100
  steps_per_loop: 10
  optimizer_config:
    optimizer: {type: sgd, sgd: {momentum: 0.8, nesterov: true, global_clipnorm: 5.0}}
    learning_rate: {type: cosine, cosine: {initial_learning_rate: 0.04, decay_steps: 500}}
    warmup: {type: linear, linear: {warmup_steps: 20, warmup_learning_rate: 0.001}}
    ema: {average_decay: 0.9}
"""


def plan_of(text: str, *overrides: str, experiment: str | None = "retinanet_resnetfpn_coco"):
    named = [f"experiment={experiment}"] if experiment else []
    return parse(text, "/there/model.yaml", [*named, *overrides])


def test_what_has_an_equal_is_translated():
    plan = plan_of(WHOLE)
    train = plan.train
    assert plan.model.name == "garden:retinanet_resnetfpn_coco"
    assert (train.steps, train.validate_every, train.checkpoint_every, train.batch_size) == (500, 50, 100, 16)
    assert (train.optimizer, train.momentum, train.clip_norm, train.ema) == ("momentum", 0.8, 5.0, 0.9)
    assert (train.schedule, train.learning_rate, train.warmup_steps) == ("cosine", 0.04, 20)
    assert (train.weight_decay, train.tune) == (4e-5, "neck")
    assert (train.augment.flip, train.augment.zoom_out, train.augment.zoom_in) == (0.5, 2.0, 2.0)
    assert (plan.data.train, plan.data.val) == ("/data/train-*.tfrecord", "/data/val.tfrecord")


def test_the_rest_stays_with_the_model_and_what_nothing_reads_is_listed():
    overrides = build.read_overrides(plan_of(WHOLE).model.config)
    kept = dict(build.leaves(overrides))
    assert kept["task.model.num_classes"] == 3
    assert kept["task.losses.focal_loss_gamma"] == 2.0
    assert kept["task.init_checkpoint"] == os.path.abspath("known/ckpt-5")
    assert "task.freeze_backbone" not in kept and "trainer.train_steps" not in kept
    assert set(build.unread(overrides)) == {
        "runtime.distribution_strategy",
        "runtime.mixed_precision_dtype",
        "task.train_data.shuffle_buffer_size",
        "task.validation_data.global_batch_size",
        "trainer.steps_per_loop",
        "trainer.optimizer_config.optimizer.sgd.nesterov",
        "trainer.optimizer_config.warmup.linear.warmup_learning_rate",
    }


def test_sections_with_many_unread_options_are_listed_as_one():
    overrides = {"runtime": {name: 1 for name in "abcd"}, "trainer": {"max_to_keep": 3}}
    assert build.unread(overrides) == ["runtime (4 options)", "trainer.max_to_keep"]


@pytest.mark.parametrize(
    ("course", "expected", "left"),
    [
        ("type: constant, constant: {learning_rate: 0.01}", ("constant", 0.01), []),
        ("cosine: {initial_learning_rate: 0.02}", ("cosine", 0.02), []),
        (
            "type: cosine, cosine: {initial_learning_rate: 0.02, decay_steps: 9}",
            ("cosine", 0.02),
            ["cosine.decay_steps"],
        ),
        (
            "type: stepwise, stepwise: {boundaries: [10, 20], values: [0.3, 0.03, 0.003]}",
            ("cosine", 0.3),
            ["type", "stepwise.boundaries", "stepwise.values"],
        ),
        (
            "type: polynomial, polynomial: {initial_learning_rate: 0.05, power: 0.9}",
            ("cosine", 0.05),
            ["type", "polynomial.initial_learning_rate", "polynomial.power"],
        ),
    ],
)
def test_courses_of_the_learning_rate(course, expected, left):
    plan = plan_of(f"trainer: {{optimizer_config: {{learning_rate: {{{course}}}}}}}")
    assert (plan.train.schedule, plan.train.learning_rate) == expected
    above = "trainer.optimizer_config.learning_rate."
    assert [path.removeprefix(above) for path, _ in build.leaves(build.read_overrides(plan.model.config))] == left


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        ("type: adam, adam: {epsilon: 1e-8}", ("adam", 10.0, 0.0)),
        ("type: adamw, adamw: {weight_decay_rate: 0.01, gradient_clip_norm: 1.0}", ("adamw", 1.0, 0.01)),
        ("adamw_experimental: {weight_decay: 0.02, global_clipnorm: 2.0}", ("adamw", 2.0, 0.02)),
        ("type: lamb", ("adam", 10.0, 0.0)),  # detkit's default; it is listed
    ],
)
def test_optimizers(optimizer, expected):
    plan = plan_of(f"trainer: {{optimizer_config: {{optimizer: {{{optimizer}}}}}}}")
    assert (plan.train.optimizer, plan.train.clip_norm, plan.train.weight_decay) == expected
    if "lamb" in optimizer:
        assert build.unread(build.read_overrides(plan.model.config)) == ["trainer.optimizer_config.optimizer.type"]


def test_both_layouts_take_their_keys_as_overrides():
    plan = plan_of(WHOLE, "train.steps=20", "task.model.num_classes=5", "trainer.train_steps=30", "train.augment=none")
    assert (plan.train.steps, plan.train.augment) == (20, None)
    assert plan.model.config["task"]["model"]["num_classes"] == 5
    assert plan_of(WHOLE, "trainer.train_steps=30").train.steps == 30


def test_the_experiment_may_be_in_the_file_or_beside_what_detkit_wrote(tmp_path):
    assert plan_of("experiment: retinanet\ntask: {}", experiment=None).model.name == "garden:retinanet"
    assert plan_of("experiment: retinanet", experiment="retinanet_mobile_coco").model.name.endswith("mobile_coco")
    (tmp_path / "garden.yaml").write_text("experiment: retinanet_spinenet_coco\n")
    (tmp_path / "params.yaml").write_text("task: {model: {num_classes: 2}}\n")
    assert load(tmp_path / "params.yaml").model.name == "garden:retinanet_spinenet_coco"


@pytest.mark.parametrize(
    ("model", "likely"),
    [
        ("{num_classes: 3, head: {num_convs: 2}}", "retinanet"),
        ("{include_mask: true}", "fasterrcnn_resnetfpn_coco"),
        ("{darknet_based_model: true}", "yolo_darknet"),
        ("{num_queries: 100}", "detr_coco"),
        ("{num_classes: 3}", "retinanet"),
    ],
)
def test_a_missing_experiment_is_asked_for_with_likely_ones(model, likely):
    with pytest.raises(ConfigError, match="does not say which experiment") as error:
        plan_of(f"task: {{model: {model}}}", experiment=None)
    assert f"--experiment {likely}," in str(error.value)


def test_likely_experiments_exist():
    known = {entry.name for entry in EXPERIMENTS}
    assert all(name in known for _, names in garden_yaml._LIKELY for name in names)


@pytest.mark.parametrize(
    ("text", "overrides", "what"),
    [
        ("task: {}\ntrainr: {}", [], "no such key(.|\n)*yaml:2:1(.|\n)*Did you mean trainer"),
        ("trainer: {train_steps: many}", [], "train.steps can't have this value(.|\n)*yaml:1:"),
        ("task: {}", ["trainer.train_steps=many"], "--set trainer.train_steps=many"),
        ("experiment: [retinanet]\ntask: {}", [], "no name of an experiment"),
        ("task: {model: 3}", ["task.model.num_classes=3"], "model has no keys below it"),
    ],
)
def test_mistakes_are_told_with_their_place(text, overrides, what):
    with pytest.raises(ConfigError, match=what):
        plan_of(text, *overrides, experiment=None if "experiment" in text else "retinanet")


def test_an_experiment_is_not_for_detkits_own_layout():
    with pytest.raises(ConfigError, match="this one is in detkit's(.|\n)*model.name=garden:retinanet"):
        parse("train: {steps: 3}", "x.yaml", ["experiment=retinanet"])


def test_detkits_own_layout_is_not_mistaken():
    assert not garden_yaml.is_layout({"task": "detection", "train": {}})
    assert not garden_yaml.is_layout({"task": "detection"})
    assert not garden_yaml.is_layout({"model": "hands"})
    assert not garden_yaml.is_layout({})


def test_relative_paths_are_of_the_working_directory_or_of_the_files(tmp_path, monkeypatch):
    there, here = tmp_path / "there", tmp_path / "here"
    for folder, name in ((there, "a.record"), (here, "b.record")):
        folder.mkdir()
        (folder / name).write_bytes(b"")
    (there / "known.index").write_bytes(b"")
    monkeypatch.chdir(here)
    path = there / "model.yaml"
    path.write_text("task: {init_checkpoint: known, train_data: {input_path: ['a.*', 'b.record, c.record']}}")
    plan = load(path, ["experiment=retinanet"])
    assert plan.data.train.split(",") == [str(there / "a.*"), str(here / "b.record"), str(here / "c.record")]
    assert plan.model.config["task"]["init_checkpoint"] == str(there / "known")


def test_the_label_map_is_that_beside_the_file_or_the_records(tmp_path):
    path, records = tmp_path / "model.yaml", tmp_path / "records"
    records.mkdir()
    path.write_text(f"task: {{train_data: {{input_path: {records}/train.record}}}}")
    plan = load(path, ["experiment=retinanet"])
    assert plan.data.label_map == garden_yaml.NUMBERS and build.label_map(plan.model.config) is None
    for folder in (records, tmp_path):
        (folder / "label_map.pbtxt").write_text("item { id: 1 name: 'duck' }\n")
        plan = load(path, ["experiment=retinanet"])
        assert build.label_map(plan.model.config) == folder / "label_map.pbtxt"
    assert plan.data.label_map == str(tmp_path / "label_map.pbtxt")


def test_what_is_translated_is_written_in_detkits_layout():
    plan = plan_of(WHOLE)
    assert parse(to_yaml(plan), "/elsewhere/pipeline.yaml") == plan


def test_experiments_that_segment_are_pipelines_of_that_task():
    plan = plan_of("task: {model: {num_classes: 3}}", experiment="seg_deeplabv3plus_pascal")
    assert plan.task == "segmentation"
