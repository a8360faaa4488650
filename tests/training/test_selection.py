"""What is tuned: words, rules and multipliers, and where the frozen part ends."""

from __future__ import annotations

import pytest
from small_models import small_detector

from detkit.errors import ConfigError
from detkit.pipeline.settings import TrainConfig
from detkit.training.selection import choose


@pytest.fixture(scope="module")
def detector():
    return small_detector()


def parts_of(detector, selection):
    parts = detector.part_of()
    return {parts[path] for path in selection.paths}


@pytest.mark.parametrize(
    ("word", "expected", "first"),
    [
        ("heads", {"head/box_head", "head/class_head"}, "head/final"),
        ("towers", {"head/towers", "head/box_head", "head/class_head"}, "head/towers"),
        ("neck", {"neck", "head/towers", "head/box_head", "head/class_head"}, "neck"),
        ("all", {"backbone", "neck", "head/towers", "head/box_head", "head/class_head"}, "backbone/Conv1"),
    ],
)
def test_words(detector, word, expected, first):
    selection = choose(detector, word)
    assert parts_of(detector, selection) == expected
    assert detector.stages[selection.seam].name == first
    assert [multiplier for multiplier, _ in selection.groups] == [1.0]


def test_every_trainable_variable_is_tuned_by_all_and_no_statistics(detector):
    paths = choose(detector, "all").paths
    assert len(paths) == len(set(paths))
    statistics = {path for path in detector.variables() if path.endswith(("moving_mean", "moving_variance"))}
    assert set(paths) == set(detector.variables()) - statistics


def test_heads_of_the_classic_tutorial(detector):
    """The six variables of FPNLite's two separable heads."""
    assert len(choose(detector, "heads").paths) == 6


def rules(*pairs):
    return TrainConfig(tune=[{"pattern": pattern, "multiplier": factor} for pattern, factor in pairs]).tune


def test_rules_with_multipliers(detector):
    selection = choose(detector, rules(("neck", 0.5), (r"class_head", 2.0), (r"box_head", 0.5)))
    groups = dict(selection.groups)
    assert set(groups) == {0.5, 2.0}
    parts = detector.part_of()
    assert {parts[path] for path in groups[0.5]} == {"neck", "head/box_head"}
    assert {parts[path] for path in groups[2.0]} == {"head/class_head"}


def test_of_two_rules_that_match_the_last_counts(detector):
    selection = choose(detector, rules((".*", 1.0), (r"/beta$", 0.0), (r"box_head/.*bias$", 3.0)))
    assert not any(path.endswith("/beta") for path in selection.paths)
    assert dict(selection.groups)[3.0] == ["_box_predictor/_box_prediction_head/_box_encoder_layers/0/bias"]


def test_a_regular_expression_into_the_backbone_moves_the_seam(detector):
    selection = choose(detector, rules((r"layer_with_weights-10\d/", 1.0), ("head", 1.0)))
    stage = detector.stages[selection.seam]
    assert stage.name.startswith("backbone/block_1")
    tuned = {path.rsplit("/", 1)[0] for path in selection.paths}
    layers = detector.paths()
    for before in detector.stages[: selection.seam]:
        assert not any(layers[path] is layer for path in tuned for layer in before.layers)


def test_the_log_lists_what_matched(detector):
    text = choose(detector, rules(("head/box_head", 1.0), (r"class_head", 0.5))).text
    lines = text.splitlines()
    assert lines[0].startswith("tune head/box_head x1: 3 variables, ")
    assert lines[1].startswith("tune class_head x0.5: 3 variables, ")
    assert f"frozen: {len(detector.stages) - 1} of {len(detector.stages)} stages" in lines[-1]
    assert "first tuned: head/final" in lines[-1]


def test_a_rule_that_matches_nothing(detector):
    with pytest.raises(ConfigError) as error:
        choose(detector, rules(("head", 1.0), ("no_such_layer", 1.0)))
    assert "A rule matches no variable." in str(error.value)
    assert "got: no_such_layer" in str(error.value)


def test_a_rule_that_matches_statistics_only(detector):
    """They are not trained; a rule for them would do nothing."""
    with pytest.raises(ConfigError, match="matches no variable"):
        choose(detector, rules(("moving_mean$", 1.0)))


def test_rules_that_freeze_everything(detector):
    with pytest.raises(ConfigError):
        choose(detector, rules((".*", 0.0)))


def test_an_architecture_without_towers():
    """The words mean the same where there are no towers to tune."""
    from detkit.detection.build import build
    from detkit.pipeline import od_config

    detector = build(od_config.parse(CHAIN, "chain"))
    assert parts_of(detector, choose(detector, "towers")) == {"head/box_head", "head/class_head"}
    assert parts_of(detector, choose(detector, "neck")) == {"neck", "head/box_head", "head/class_head"}
    assert detector.stages[choose(detector, "towers").seam].name == "head/final"


CHAIN = """model { ssd {
  num_classes: 2
  image_resizer { fixed_shape_resizer { height: 64 width: 64 } }
  feature_extractor { type: "ssd_mobilenet_v2_keras" depth_multiplier: 0.1 min_depth: 8
    conv_hyperparams { activation: RELU_6 batch_norm { scale: true decay: 0.97 epsilon: 0.001 } }
    override_base_feature_extractor_hyperparams: true }
  anchor_generator { ssd_anchor_generator {
    num_layers: 6 min_scale: 0.2 max_scale: 0.95 aspect_ratios: [1.0, 2.0, 0.5, 3.0, 0.3333] } }
  box_predictor { convolutional_box_predictor { kernel_size: 1 conv_hyperparams { activation: RELU_6 } } }
  box_coder { faster_rcnn_box_coder { } }
  matcher { argmax_matcher { } }
  similarity_calculator { iou_similarity { } }
  loss { classification_loss { weighted_sigmoid_focal { alpha: 0.75 gamma: 2.0 } }
    localization_loss { weighted_smooth_l1 { } } }
  post_processing { batch_non_max_suppression { iou_threshold: 0.6 } score_converter: SIGMOID }
} }"""
