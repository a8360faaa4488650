"""`train.augment`: its short forms, its mistakes, and the options of the OD API in it."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from detkit.errors import ConfigError
from detkit.pipeline.pipeline import parse, to_yaml
from detkit.pipeline.settings import USUAL_AUGMENTATION, Augment

CONFIG = """
train_config {
  data_augmentation_options { random_horizontal_flip { } }
  data_augmentation_options { random_crop_image { min_object_covered: 0.5 } }
}
"""


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ("{rotate: 181}", ["train.augment.rotate", "got: 181", "a number from 0 to 180"]),
        ("{rotate90: 90}", ["a number from 0 to 1"]),
        ("{jpeg: 100}", ["a number from 0 to 99"]),
        ("{blur: -1}", ["a number from 0 to 20"]),
        ("{cut_out: 1}", ["Did you mean train.augment.cutout?"]),
        ("{copypaste: 1}", ["Did you mean train.augment.copy_paste?"]),
        ("{vertical_flip: true}", ["got: True"]),
        ("{od_api: random_horizontal_flip}", ["a list of texts"]),
        ("{od_api: [{random_horizontal_flip: 1}]}", ["a list of texts"]),
        ("{od_api: ['']}", ["train.augment.od_api[0] holds no option"]),
        ("{od_api: ['random_flop { }']}", ["has no field random_flop"]),
        ("{od_api: ['random_horizontal_flip { probability: 2 }']}", ["probability", "a number from 0 to 1"]),
        ("{od_api: ['random_horizontal_flip {']}", ["This isn't protobuf text format"]),
        ("{od_api: ['autoaugment_image { }']}", ["does not have", "got: autoaugment_image", "train.augment=true"]),
    ],
)
def test_mistakes(written, parts):
    with pytest.raises(ConfigError) as caught:
        parse(f"train: {{augment: {written}}}", "p.yaml")
    assert caught.value.where.startswith("p.yaml:1:")
    for part in parts:
        assert part in str(caught.value)


def test_a_pipeline_config_is_trained_with_its_own_augmentation():
    augment = parse(CONFIG, "x.config").train.augment
    crop = "random_crop_image { min_object_covered: 0.5 }"
    assert augment == Augment(od_api=("random_horizontal_flip { }", crop))
    assert [step.operation[0] for step in augment.od_steps] == ["random_horizontal_flip", "random_crop_image"]
    assert augment.od_steps[1].operation[1].min_object_covered == 0.5
    assert parse("train_config { }", "x.config").train.augment is None
    assert parse("model { }", "x.config").train.augment == Augment(**USUAL_AUGMENTATION)


def test_overrides_replace_it_or_add_to_it():
    assert parse(CONFIG, "x.config", ["train.augment=true"]).train.augment == Augment(**USUAL_AUGMENTATION)
    assert parse(CONFIG, "x.config", ["train.augment=none"]).train.augment is None
    added = parse(CONFIG, "x.config", ["train.augment.rotate=10"]).train.augment
    assert added.rotate == 10 and len(added.od_api) == 2


def test_it_is_written_and_read():
    pipeline = parse(CONFIG, "x.config", ["train.augment.copy_paste=0.5"])
    assert parse(to_yaml(pipeline), "x.yaml") == pipeline


def test_an_option_that_detkit_does_not_have_is_located_in_a_pipeline_config():
    with pytest.raises(ConfigError, match="got: remap_labels") as caught:
        parse("train_config {\n  data_augmentation_options { remap_labels { } }\n}", "x.config")
    assert caught.value.where.startswith("x.config:2:3")


def test_the_page_on_augmentation_names_every_option():
    page = Path(__file__).resolve().parents[2] / "docs" / "augmentation.md"
    table = "\n".join(line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`(\w+)`", table)) == {field.name for field in fields(Augment)}
