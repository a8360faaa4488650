"""Pipelines: defaults, overrides, mistakes with their place, paths, writing and reading."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detkit.errors import ConfigError
from detkit.pipeline.fields import specs
from detkit.pipeline.options import describe, from_mapping, to_mapping
from detkit.pipeline.pipeline import load, parse, to_yaml
from detkit.pipeline.settings import (
    PARTS,
    TUNE,
    USUAL_AUGMENTATION,
    Augment,
    ModelConfig,
    Pipeline,
    TrainConfig,
    TuneRule,
)

SHIPPED = sorted((Path(__file__).resolve().parents[2] / "pipelines").glob("*.yaml"))


def test_an_empty_file_is_all_defaults():
    assert parse("", "x.yaml") == parse("train:\ndata:\nmodel:\n", "x.yaml") == Pipeline()


def test_keys_take_their_types():
    text = """
    model: {name: hands, init: imprint, keep_classes: true, reset: [box_head, towers]}
    train: {steps: 5, learning_rate: 1e-3, clip_norm: null, cache: on, augment: {flip: 1}, seed: 0x10}
    """
    pipeline = parse(text, "x.yaml")
    assert pipeline.model == ModelConfig(
        "hands", init="imprint", keep_classes=True, reset=("box_head", "towers")
    )
    train = pipeline.train
    assert (train.steps, train.learning_rate, train.clip_norm, train.cache) == (5, 0.001, None, "on")
    assert train.augment == Augment(flip=1.0) and train.seed == 16


@pytest.mark.parametrize(
    "written, expected",
    [
        ("all", "all"),
        ("{pattern: head, multiplier: 0.5}", (TuneRule("head", 0.5),)),
        ("[{pattern: ^head}, {pattern: neck, multiplier: 0}]", (TuneRule("^head"), TuneRule("neck", 0.0))),
    ],
)
def test_tune_is_a_part_or_rules(written, expected):
    assert parse(f"train: {{tune: {written}}}", "x.yaml").train.tune == expected


@pytest.mark.parametrize("written", ["none", "null", "false", "{}", "{flip: 0}"])
def test_no_augmentation(written):
    assert parse(f"train: {{augment: {written}}}", "x.yaml").train.augment is None


def test_true_is_the_usual_augmentation():
    assert parse("train: {augment: true}", "x.yaml").train.augment.flip == 0.5


def test_arguments_are_checked_and_converted_like_keys():
    pipeline = Pipeline(model="hands", train={"steps": 3, "tune": [{"pattern": "a"}], "augment": True})
    assert pipeline.train.tune == (TuneRule("a"),) and pipeline.train.augment.flip == 0.5
    with pytest.raises(ConfigError, match="train.steps can't have this value"):
        TrainConfig(steps=0)
    with pytest.raises(ConfigError, match="Did you mean train.steps"):
        from_mapping(TrainConfig, {"step": 3})


@pytest.mark.parametrize(
    "text, place, parts",
    [
        ("train:\n  stps: 3", "2:3", ["train.stps is no key", "Did you mean train.steps?"]),
        ("trian: {steps: 3}", "1:1", ["trian is no key", "Did you mean train?"]),
        ("steps: 3", "1:1", ["Did you mean train.steps?"]),
        ("xyz: 3", "1:1", ["The keys here are: task, model,"]),
        ("train:\n  steps: 0", "2:3", ["train.steps", "got: 0", "expected: a whole number of at least 1"]),
        ("train:\n  steps: 1.5", "2:3", ["got: 1.5"]),
        ("train:\n  steps: true", "2:3", ["got: True"]),
        ("train:\n  steps: [1]", "2:3", ["got: [1]"]),
        ("train: {learning_rate: .nan}", "1:9", ["got: nan", "a number above 0 and at most 10"]),
        ("train: {learning_rate: .inf}", "1:9", ["got: inf"]),
        ("train: {ema: 1}", "1:9", ["a number above 0 and below 1, or null"]),
        ("train: {tune: head}", "1:9", ["Did you mean heads?"]),
        ("train: {tune: []}", "1:9", ["got: []"]),
        ("train: {tune: [{pattern: (}]}", "1:9", ["no regular expression", "missing )"]),
        ("train: {tune: [3]}", "1:9", ["expected: a mapping"]),
        ("train: {augment: {flop: 1}}", "1:19", ["train.augment.flop", "Did you mean train.augment.flip?"]),
        ("train: {augment: {flip: 1.5}}", "1:19", ["a number from 0 to 1"]),
        ("train: {augment: some}", "1:9", ["none, true, or a mapping"]),
        ("train: 3", "1:1", ["train holds keys and values", "expected: a mapping"]),
        ("model: {init: imprnt}", "1:9", ["Did you mean imprint?"]),
        ("model: {name: ''}", "1:9", ["model.name"]),
        ("model: {reset: [heads]}", "1:9", ["a list of: one of backbone,"]),
        ("data: {train: 3}", "1:8", ["data.train", "a path or null"]),
        ("task: segmentatoin", "1:1", ["one of detection, classification", "Did you mean segmentation?"]),
        ("a: 1\nb: 2\na: 3", "3:1", ["stands twice", "got: a"]),
        ("train: [", "1:9", ["This isn't YAML"]),
        ("train:\n\tsteps: 3", "2:1", ["This isn't YAML"]),
        ("a: 1\n---\nb: 2", "2:1", ["This isn't YAML"]),
        ("x: &a [*a]", "1:8", ["an alias"]),
        ("train: {seed: !!float ''}", "1:15", ["isn't a number"]),
        (f"train: {{seed: {'9' * 5000}}}", "1:15", ["isn't a number"]),
        ("? [a]\n: 1", "1:3", ["A key has to be a text"]),
        ("a: \x01", "1:4", ["This isn't YAML"]),
    ],
)
def test_mistakes_in_a_file_are_located(text, place, parts):
    with pytest.raises(ConfigError) as caught:
        parse(text, "p.yaml")
    assert caught.value.where.splitlines()[0] == f"p.yaml:{place}"
    for part in parts:
        assert part in str(caught.value)


def test_deep_nesting_is_an_error():
    with pytest.raises(ConfigError, match="nested too deep"):
        parse("a: " + "[" * 100_000, "p.yaml")


def test_a_list_is_no_pipeline():
    with pytest.raises(ConfigError, match="A pipeline holds keys and values"):
        parse("- 3", "p.yaml", ["train.steps=3"])


def test_overrides_win_and_reach_into_short_forms():
    text = "model: hands\ntrain: {steps: 5, augment: true}"
    overrides = [
        "train.steps=7",
        "model.init=imprint",
        "train.augment.flip=0",
        "train.seed=1",
        "train.seed=2",
    ]
    pipeline = parse(text, "x.yaml", overrides)
    assert pipeline.train.steps == 7 and pipeline.train.seed == 2
    assert pipeline.model == ModelConfig("hands", init="imprint")
    assert pipeline.train.augment.flip == 0 and pipeline.train.augment.zoom_in > 1
    unwritten = parse("model: hands", "x.yaml", ["train.augment.flip=0"]).train.augment
    assert unwritten.flip == 0 and unwritten.zoom_in > 1
    assert parse(text, "x.yaml", ["train.clip_norm=", "train.augment=none"]).train.clip_norm is None


@pytest.mark.parametrize(
    "override, parts",
    [
        ("train.steps", ["This is no override", "KEY=VALUE"]),
        ("=3", ["This is no override"]),
        ("train..steps=3", ["This is no override"]),
        ("train.steps=abc", ["train.steps", "got: 'abc'"]),
        ("train.steps=[1", ["This isn't YAML"]),
        ("train.steps.x=1", ["train.steps has no keys below it"]),
        ("train.stps=1", ["Did you mean train.steps?"]),
        ("trian.steps=1", ["Did you mean train?"]),
    ],
)
def test_mistakes_in_overrides_name_the_override(override, parts):
    with pytest.raises(ConfigError) as caught:
        parse("train: {steps: 3}", "p.yaml", [override])
    assert caught.value.where.startswith(f"--set {override}")
    for part in parts:
        assert part in str(caught.value)


def test_paths_are_relative_to_the_file_or_for_overrides_to_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "configs" / "model").mkdir(parents=True)
    file = tmp_path / "configs" / "p.yaml"
    file.write_text(
        "model: ./model\ndata: {train: a/train.json, val: /abs/val.json, test: 'gs://b/t.record'}\n"
    )
    monkeypatch.chdir(tmp_path)
    pipeline = load("configs/p.yaml", ["data.images=2024", "output=runs: 1"])
    assert pipeline.data.train == str(tmp_path / "configs/a/train.json")
    assert (pipeline.data.val, pipeline.data.test) == ("/abs/val.json", "gs://b/t.record")
    assert pipeline.data.images == str(tmp_path / "2024")
    assert pipeline.output == str(tmp_path / "runs: 1")
    assert os.path.samefile(pipeline.model.name, tmp_path / "configs" / "model")


def test_a_zoo_name_is_not_a_path(tmp_path):
    (tmp_path / "hands").mkdir()
    (tmp_path / "p.yaml").write_text("model: hands\n")
    assert load(tmp_path / "p.yaml").model.name == "hands"


def test_unreadable_pipelines(tmp_path):
    with pytest.raises(ConfigError, match="can't be read"):
        load(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="can't be read"):
        load(tmp_path)
    (tmp_path / "pipeline.yaml").write_text("task: detection\n")
    with pytest.raises(ConfigError, match=r"such as .*pipeline\.yaml"):
        load(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="isn't a text file"):
        load(tmp_path / "binary.yaml")


OD = """model { ssd { num_classes: 1 } }
train_config { batch_size: 12 num_steps: 77 fine_tune_checkpoint: "/w/ckpt-0" gradient_clipping_by_norm: 5
  optimizer { momentum_optimizer { momentum_optimizer_value: 0.8 learning_rate {
    cosine_decay_learning_rate { learning_rate_base: 0.04 warmup_steps: 9 } } } } }
train_input_reader { tf_record_input_reader { input_path: "/d/a.record" input_path: "/d/b.record" } }
eval_input_reader { tf_record_input_reader { input_path: "PATH_TO_BE_CONFIGURED/x" } }
"""


@pytest.mark.parametrize("name", ["pipeline.config", "other.config", "without_suffix"])
def test_a_pipeline_config_is_taken_as_it_is(tmp_path, name):
    (tmp_path / name).write_text(OD)
    pipeline = load(tmp_path / name, ["train.seed=4"])
    directory = name == "pipeline.config"
    assert pipeline.model.name == str(tmp_path if directory else tmp_path / name)
    assert pipeline.model.checkpoint == "/w/ckpt-0"
    assert (pipeline.data.train, pipeline.data.val) == ("/d/a.record,/d/b.record", None)
    train = pipeline.train
    assert (train.steps, train.batch_size, train.clip_norm, train.seed) == (77, 12, 5.0, 4)
    assert (train.optimizer, train.momentum, train.learning_rate, train.warmup_steps) == (
        "momentum",
        0.8,
        0.04,
        9,
    )


@pytest.mark.parametrize("named", ["maps/ducks.pbtxt", "/gone/ducks.pbtxt", "C:\\\\w\\\\ducks.pbtxt"])
def test_the_label_map_of_a_pipeline_config(tmp_path, named, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = OD.replace("train_input_reader {", f'train_input_reader {{ label_map_path: "{named}"')
    (tmp_path / "pipeline.config").write_text(text)
    assert load(tmp_path / "pipeline.config").data.label_map is None
    place = tmp_path / (named if named.startswith("maps") else "ducks.pbtxt")
    place.parent.mkdir(exist_ok=True)
    place.write_text("")
    assert load(tmp_path / "pipeline.config").data.label_map == str(place)


def test_a_mistake_in_a_pipeline_config_is_located(tmp_path):
    (tmp_path / "p.config").write_text("model { ssd { num_clases: 1 } }")
    with pytest.raises(ConfigError, match=r"p.config:1:15"):
        load(tmp_path / "p.config")


def test_every_reference_config_makes_a_pipeline(shared):
    files = [*shared.glob("golden/configs/*.config"), *shared.glob("data/raccoon/training/*.config")]
    assert len(files) >= 43
    for path in files:
        pipeline = load(path)
        assert parse(to_yaml(pipeline), "x.yaml") == pipeline


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_pipelines_load_and_name_no_data(path):
    pipeline = load(path, ["train.steps=2"])
    assert pipeline.train.steps == 2
    assert pipeline.data.train is None and pipeline.output is None
    assert parse(to_yaml(pipeline), "x.yaml") == pipeline


def test_every_option_is_described_once():
    described = list(describe(Pipeline))
    paths = [option.path for option in described]
    assert len(set(paths)) == len(paths)
    assert {"task", "model.name", "data.train", "train.steps", "output"} <= set(paths)
    for option in described:
        assert option.help.endswith(".") and option.expected, option.path


def test_described_defaults_are_the_values_of_an_empty_pipeline():
    values = to_mapping(Pipeline())
    for option in describe(Pipeline):
        value = values
        for key in option.path.split("."):
            value = value[key]
        if option.path == "train.augment":
            assert option.default is True and value == to_mapping(Augment(**USUAL_AUGMENTATION))
            continue
        assert value == (list(option.default) if isinstance(option.default, tuple) else option.default)


paths = st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)
fraction, factor = st.floats(0, 0.99), st.floats(1, 3)
rules = st.lists(st.builds(TuneRule, st.sampled_from(["a|b", ".*", "1e3"]), st.floats(0, 5)), min_size=1)
trains = st.builds(
    TrainConfig,
    steps=st.integers(1, 10**9),
    tune=st.sampled_from(TUNE) | rules,
    learning_rate=st.floats(1e-12, 10),
    clip_norm=st.none() | st.floats(1e-3, 1e9),
    cache=st.sampled_from(specs(TrainConfig)["cache"].metadata["choices"]),
    augment=st.none() | st.builds(Augment, fraction, factor, factor, factor, fraction, fraction),
    freeze_batch_norm=st.booleans(),
)
models = st.builds(
    ModelConfig,
    st.sampled_from(["hands", "1e3", "on", "null", "0x1", "a: b", "#"]),
    reset=st.lists(st.sampled_from(PARTS)),
)
data = st.fixed_dictionaries(
    {"train": paths, "val": paths, "format": st.none() | st.text(st.characters(codec="utf-8"))}
)


@settings(deadline=None)
@given(st.builds(Pipeline, model=models, data=data, train=trains, output=paths))
def test_writing_and_reading_are_inverse(pipeline):
    assert parse(to_yaml(pipeline), "x.yaml") == pipeline


pieces = st.sampled_from(
    [
        "train",
        "model",
        "augment",
        "steps",
        ": ",
        "\n",
        "  ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        "'",
        '"',
        "1",
        "x",
        "&",
        "*",
        "!!int",
        "!!float ",
        "%",
        "|",
        ">",
        "? ",
        "#",
        ",",
    ]
)


@settings(deadline=None)
@given(st.text() | st.lists(pieces, max_size=20).map("".join), st.lists(st.text(max_size=8), max_size=2))
def test_any_text_is_a_pipeline_or_a_config_error(text, overrides):
    try:
        pipeline = parse(text, "x.yaml", overrides)
    except ConfigError:
        return
    assert isinstance(pipeline, Pipeline)


def test_importing_stays_light():
    heavy = "('tensorflow', 'cv2', 'av', 'matplotlib')"
    code = f"import sys, detkit.pipeline.pipeline; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
