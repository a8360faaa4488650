"""Plans, reports, and what happens to a detector or, when something is unexplained, does not happen."""

from __future__ import annotations

import re

import numpy as np
import pytest
from small_models import equal, small_detector, tree, values

from detkit.checkpoint import surgery
from detkit.checkpoint.reader import Checkpoint, open_checkpoint
from detkit.checkpoint.surgery import Plan
from detkit.errors import CheckpointError, ConfigError

CLASS_HEAD = "_box_predictor/_prediction_heads/class_predictions_with_background"


@pytest.fixture(scope="module")
def checkpoint(directory):
    return open_checkpoint(directory)


def saved(arrays, folder):
    """A checkpoint of {variable path: value}, opened."""
    import tensorflow as tf

    model, _ = tree(arrays)
    tf.train.Checkpoint(model=model).save(str(folder / "ckpt"))
    return open_checkpoint(folder)


def test_everything_restored(checkpoint, original, fresh):
    report = surgery.apply(fresh, checkpoint)
    assert equal(values(fresh), values(original)) == []
    assert set(report.restored) == set(original.variables())
    assert (report.reset, report.missing, report.mismatched, report.unused) == ((), (), {}, ())
    assert report.explained


def test_examining_changes_nothing(checkpoint, fresh):
    before = values(fresh)
    surgery.examine(fresh, checkpoint, Plan(reset=("head",)))
    assert equal(before, values(fresh)) == []


def test_counts_by_part(checkpoint, original):
    counts = surgery.examine(original, checkpoint, Plan(reset=("head/box_head",))).counts()
    assert set(counts) == {"backbone", "neck", "head/towers", "head/box_head", "head/class_head"}
    assert [set(states) for states in counts.values()] == [
        {"reset"} if part == "head/box_head" else {"restored"} for part in counts
    ]
    cells = [cell for states in counts.values() for cell in states.values()]
    assert sum(n for n, _ in cells) == len(original.variables())
    assert sum(size for _, size in cells) == sum(value.size for value in values(original).values())


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("head/class_head", r"class_predictions_with_background/"),
        ("neck", r"_fpn_features_generator|_coarse_feature_layers"),
        ("backbone", r"classification_backbone"),
        ("head", r"^_box_predictor"),
        (r"layer_with_weights-0/kernel$", r"layer_with_weights-0/kernel$"),
        (r"gamma$", r"gamma$"),
        (r"^neck/.*bias$", r"(residual_blocks|top_layers).*bias$"),
    ],
)
def test_reset_by_part_or_by_regular_expression(checkpoint, original, fresh, rule, expected):
    report = surgery.apply(fresh, checkpoint, Plan(reset=(rule,)))
    assert set(report.reset) == {path for path in original.variables() if re.search(expected, path)}
    different = equal(values(fresh), values(original))
    assert set(different) == set(report.reset)


def test_reset_values_are_those_of_the_config(checkpoint, fresh):
    surgery.apply(fresh, checkpoint, Plan(reset=("head/class_head", "neck")), seed=4)
    found = values(fresh)
    bias = found[f"{CLASS_HEAD}/_class_predictor_layers/0/bias"]
    assert bias.tolist() == pytest.approx([-4.6] * len(bias))  # the OD API's prior
    # As in the OD API: the config's deviation in the neck, Keras's default in the separable heads.
    neck = found["_feature_extractor/_coarse_feature_layers/0/0/depthwise_kernel"]
    assert neck.std() == pytest.approx(0.01, rel=0.3)
    head = found[f"{CLASS_HEAD}/_class_predictor_layers/0/pointwise_kernel"]
    assert np.abs(head).max() <= np.sqrt(6 / sum(head.shape[-2:]))
    assert head.std() == pytest.approx(np.sqrt(2 / sum(head.shape[-2:])), rel=0.2)
    norms = [path for path in found if "_coarse_feature_layers" in path and path.endswith("moving_variance")]
    assert norms and all((found[path] == 1).all() for path in norms)


def test_reset_depends_on_the_seed_and_nothing_else(checkpoint, fresh):
    found = []
    alone = ("head/class_head",)
    for seed, rules in ((1, alone), (1, ("neck", *alone)), (2, alone)):
        surgery.apply(fresh, checkpoint, Plan(reset=rules), seed=seed)
        found.append(values(fresh)[f"{CLASS_HEAD}/_class_predictor_layers/0/pointwise_kernel"])
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


@pytest.mark.parametrize("rule", ["head/clas_head", "no_such_layer", "^kernel$"])
def test_a_rule_that_matches_nothing(checkpoint, original, rule):
    with pytest.raises(ConfigError) as error:
        surgery.examine(original, checkpoint, Plan(reset=(rule,)))
    assert "A rule matches no variable." in str(error.value)
    assert f"got: {rule}" in str(error.value)
    assert "head/class_head" in str(error.value) and "detkit inspect" in str(error.value)


def test_a_rule_that_is_no_regular_expression(checkpoint, original):
    with pytest.raises(ConfigError, match=r"Not a regular expression.*\n.*got: \(neck"):
        surgery.examine(original, checkpoint, Plan(reset=("(neck",)))


def test_missing_variables(tmp_path, original, fresh):
    arrays = values(original)
    gone = [path for path in arrays if "_coarse_feature_layers/1" in path]
    checkpoint = saved({path: arrays[path] for path in arrays if path not in gone}, tmp_path)
    before = values(fresh)
    with pytest.raises(CheckpointError) as error:
        surgery.apply(fresh, checkpoint)
    assert equal(before, values(fresh)) == []
    assert f"missing in the checkpoint: {len(gone)}" in str(error.value)
    assert all(path in str(error.value) for path in sorted(gone)[:3])
    report = surgery.examine(fresh, checkpoint)
    assert set(report.missing) == set(gone)
    assert report.counts()["neck"]["missing"][0] == len(gone)
    assert surgery.apply(fresh, checkpoint, Plan(reset=("_coarse_feature_layers/1",))).explained


def test_unused_keys(tmp_path, original, fresh):
    extra = {f"_mask_head/{name}": np.zeros(2, np.float32) for name in ("0/kernel", "1/bias")}
    checkpoint = saved(values(original) | extra, tmp_path)
    with pytest.raises(CheckpointError) as error:
        surgery.apply(fresh, checkpoint)
    assert "unused in the checkpoint: 2" in str(error.value)
    assert "_mask_head/0/kernel" in str(error.value)
    assert surgery.apply(fresh, checkpoint, Plan(drop=("_mask_head/",))).explained
    assert not surgery.examine(fresh, checkpoint, Plan(drop=("_mask_head/0",))).explained


def test_shape_mismatch_of_another_class_count(checkpoint):
    wide = small_detector(tuple("abcde"))
    before = values(wide)
    with pytest.raises(CheckpointError) as error:
        surgery.apply(wide, checkpoint)
    assert equal(before, values(wide)) == []
    assert "shape mismatch: 2" in str(error.value)
    assert f"{CLASS_HEAD}/_class_predictor_layers/0/bias: model (36,), checkpoint (24,)" in str(error.value)
    assert "The class count differs: reset the class head" in str(error.value)
    report = surgery.apply(wide, checkpoint, Plan(reset=("head/class_head",)))
    assert report.explained and len(report.reset) == 3


def test_another_architecture(checkpoint, directory):
    other = small_detector(**{"feature_extractor.type": "ssd_mobilenet_v1_fpn_keras"})
    before = values(other)
    with pytest.raises(CheckpointError) as error:
        surgery.apply(other, checkpoint)
    message = str(error.value)
    assert "belongs to another architecture: use the pipeline.config that came with it" in message
    assert str(directory) in message and "shape mismatch" in message and "unused in the checkpoint" in message
    assert len(message.splitlines()) < 60  # long lists are cut
    assert "more" in message
    assert equal(before, values(other)) == []


def test_a_damaged_variable_leaves_the_detector_unchanged(original, fresh):
    class Damaged(dict):
        def __getitem__(self, key):
            if key.endswith("_coarse_feature_layers/0/0/depthwise_kernel"):
                raise CheckpointError("damaged")
            return super().__getitem__(key)

    before = values(fresh)
    with pytest.raises(CheckpointError, match="damaged"):
        surgery.apply(fresh, Checkpoint("somewhere", Damaged(values(original))))
    assert equal(before, values(fresh)) == []


def test_the_report_as_text(checkpoint, original):
    text = surgery.examine(original, checkpoint, Plan(reset=("head/class_head",))).text()
    rows = [line.split() for line in text.splitlines()]
    assert rows[1] == ["part", "state", "variables", "parameters"]
    assert ["head/class_head", "reset", "3"] in [row[:3] for row in rows]
    assert {row[1] for row in rows[2:]} == {"restored", "reset"}
