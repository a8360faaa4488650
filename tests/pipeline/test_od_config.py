"""pipeline.config: proto defaults, mistakes with their place, changes, and the reference configs."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detkit.errors import ConfigError
from detkit.pipeline import od_config
from detkit.pipeline.od_config import architecture, dumps, parse, read, with_changes, write

NMS = "model { ssd { post_processing { batch_non_max_suppression { %s } } } }"
SSD = "model { ssd { %s } }"


def nms(text: str):
    return parse(NMS % text).model.ssd.post_processing.batch_non_max_suppression


def test_absent_fields_have_the_defaults_of_the_protos():
    ssd = parse(SSD % "feature_extractor { fpn { } conv_hyperparams { batch_norm { } } }").model.ssd
    extractor = ssd.feature_extractor
    assert (extractor.depth_multiplier, extractor.min_depth, extractor.pad_to_multiple) == (1.0, 16, 1)
    assert (extractor.fpn.min_level, extractor.fpn.max_level, extractor.fpn.additional_layer_depth) == (
        3,
        7,
        256,
    )
    assert extractor.conv_hyperparams.activation == "RELU"
    assert extractor.conv_hyperparams.batch_norm.decay == 0.999
    assert extractor.bifpn is None and ssd.loss is None
    assert ssd.normalize_loss_by_num_matches and not ssd.normalize_loc_loss_by_codesize
    assert dataclasses.astuple(nms(""))[:4] == (0.0, 0.6, 100, 100)


def test_the_focal_loss_has_no_alpha_unless_it_is_given():
    text = SSD % "loss { classification_loss { weighted_sigmoid_focal { %s } } }"
    focal = parse(text % "").model.ssd.loss.classification_loss.weighted_sigmoid_focal
    assert (focal.gamma, focal.alpha) == (2.0, None)
    focal = parse(text % "alpha: 0.25").model.ssd.loss.classification_loss.weighted_sigmoid_focal
    assert focal.alpha == 0.25


def test_values_take_the_type_of_the_field():
    assert type(nms("iou_threshold: 1").iou_threshold) is float
    assert nms("use_static_shapes: 1").use_static_shapes is True
    activation = parse(SSD % "feature_extractor { conv_hyperparams { activation: RELU_6 } }")
    assert type(activation.model.ssd.feature_extractor.conv_hyperparams.activation) is str
    readers = parse('eval_input_reader { label_map_path: "a" } eval_input_reader { label_map_path: "b" }')
    assert [reader.label_map_path for reader in readers.eval_input_reader] == ["a", "b"]


@pytest.mark.parametrize(
    "text, place, parts",
    [
        (SSD % "num_clases: 3", "1:15", ["model.ssd has no field num_clases", "Did you mean num_classes?"]),
        (SSD % "num_classes: -3", "1:15", ["got: -3", "expected: a whole number of at least 1"]),
        (SSD % "num_classes: 1.0", "1:15", ["got: 1.0", "a whole number"]),
        (SSD % "num_classes: true", "1:15", ["got: True"]),
        (SSD % 'num_classes: "3"', "1:15", ["got: '3'"]),
        (SSD % "num_classes: { }", "1:15", ["got: a message"]),
        (SSD % "\n num_classes: 1\n num_classes: 2", "3:2", ["given more than once"]),
        (SSD % "freeze_batchnorm: 2", "1:15", ["true or false"]),
        (SSD % "loss: 3", "1:15", ["model.ssd.loss", "expected: a message"]),
        (NMS % "iou_threshold: 7", "1:61", ["got: 7", "expected: a number from 0 to 1"]),
        (NMS % "iou_threshold: nan", "1:61", ["got: nan"]),
        (SSD % "image_resizer { fixed_shape_resizer { height: 0 } }", "1:53", ["got: 0", "at least 1"]),
        (SSD % "feature_extractor { depth_multiplier: inf }", "1:35", ["got: inf"]),
        (SSD % "feature_extractor { type: ssd }", "1:35", ["got: ssd", "a text (in quotes)"]),
        (SSD % "feature_extractor { conv_hyperparams { activation: RELU6 } }", "1:54", ["RELU_6?"]),
        (SSD % 'feature_extractor { conv_hyperparams { activation: "RELU" } }', "1:54", ["got: 'RELU'"]),
        (SSD % "feature_extractor { fpn { } bifpn { } }", "1:43", ["one kind only", "fpn and bifpn"]),
        (SSD % "feature_extractor { fpn { min_level: 8 } }", "1:41", ["min_level exceeds max_level"]),
        ("model { ssd { } faster_rcnn { } }", "1:17", ["one kind only"]),
        ("train_config { batch_size: 0 }", "1:16", ["train_config.batch_size"]),
        ("item { id: 1 }", "1:1", ["A pipeline.config has no field item", "Its fields are: model,"]),
    ],
)
def test_mistakes_are_located(text, place, parts):
    with pytest.raises(ConfigError) as caught:
        parse(text, "p.config")
    assert f"where: p.config:{place}\n" in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_the_older_dialect_and_extensions_are_accepted():
    text = """model { ssd { feature_extractor { batch_norm_trainable: true }
              loss { classification_loss { weighted_sigmoid { anchorwise_output: true } } } } }
              train_config { sync_replicas: true data_augmentation_options { ssd_random_crop { } } }
              [my.extension] { x: 1 }"""
    config = parse(text)
    assert [step.operation[0] for step in config.train_config.data_augmentation_options] == ["ssd_random_crop"]
    assert "[my.extension]" in dumps(config) and "batch_norm_trainable" in dumps(config)


def test_other_architectures_are_typed_too():
    config = parse("model { faster_rcnn { num_classes: 3 number_of_stages: 3 } }")
    assert (config.model.faster_rcnn.num_classes, config.model.faster_rcnn.number_of_stages) == (3, 3)
    assert architecture(config) == "faster_rcnn"
    config = parse("model { center_net { keypoint_estimation_task { keypoint_label_to_std { key: 'nose' } } } }")
    assert config.model.center_net.keypoint_estimation_task[0].keypoint_label_to_std[0].key == "nose"
    with pytest.raises(ConfigError, match="model.faster_rcnn has no field anything"):
        parse("model { faster_rcnn { anything: 3 } }")


def test_a_config_without_a_model_has_no_architecture():
    with pytest.raises(ConfigError, match="no model that detkit knows"):
        architecture(parse("train_config { }"))


def test_changes_leave_the_original_alone_and_are_written(tmp_path):
    config = parse(
        SSD % "num_classes: 90 unknown_to_no_one { }".replace("unknown_to_no_one", "mask_head_config")
    )
    changes = {
        "model.ssd.num_classes": 1,
        "model.ssd.feature_extractor.conv_hyperparams.activation": "SWISH",
        "model.ssd.anchor_generator.multiscale_anchor_generator.aspect_ratios": [1.0, 2.0],
        "model.ssd.mask_head_config": None,
    }
    changed = with_changes(config, changes)
    assert config.model.ssd.num_classes == 90 and config.model.ssd.mask_head_config is not None
    assert changed.model.ssd.anchor_generator.multiscale_anchor_generator.aspect_ratios == (1.0, 2.0)
    write(changed, tmp_path / "pipeline.config")
    assert read(tmp_path / "pipeline.config") == changed
    assert "activation: SWISH\n" in dumps(changed) and "mask_head" not in dumps(changed)


@pytest.mark.parametrize(
    "path, value, message",
    [
        ("model.ssd.num_classes", 0, "where: model.ssd.num_classes"),
        ("model.ssd.num_clases", 1, "Did you mean num_classes?"),
        ("model.ssd.num_classes.x", 1, "num_classes is not a message"),
        ("model.ssd.loss", object(), "can't hold this value"),
    ],
)
def test_bad_changes(path, value, message):
    with pytest.raises(ConfigError) as caught:
        with_changes(parse(SSD % "num_classes: 1"), {path: value})
    assert message in str(caught.value)


def test_where_names_the_line_of_a_field():
    config = parse("model {\n  ssd { num_classes: 1 }\n}", "p.config")
    assert config.where("model.ssd.num_classes").startswith("p.config:2:9\n")
    assert config.where("model.ssd.loss") == "model.ssd.loss"


def test_every_reference_config_is_read(shared):
    files = [*shared.glob("golden/configs/*.config"), *shared.glob("golden/zoo_index/*.config")]
    files += [*shared.glob("data/raccoon/training/*.config"), *shared.glob("models/*/pipeline.config")]
    assert len(files) >= 45
    for path in files:
        config = read(path)
        assert parse(dumps(config)) == config
        expected = {"faster": "faster_rcnn", "mask": "faster_rcnn", "centernet": "center_net"}
        family = path.name.split("_")[0]
        assert architecture(config) == expected.get(family, "ssd"), path


def test_the_bundled_model_is_read_right(shared):
    config = read(shared / "models/ssd_mobilenet_v2_fpnlite_320x320_hands/pipeline.config")
    ssd = config.model.ssd
    assert (ssd.num_classes, ssd.image_resizer.fixed_shape_resizer.height) == (7, 320)
    head = ssd.box_predictor.weight_shared_convolutional_box_predictor
    assert (head.depth, head.num_layers_before_predictor, head.share_prediction_tower) == (128, 4, True)
    assert ssd.anchor_generator.multiscale_anchor_generator.aspect_ratios == (1.0, 2.0, 0.5)
    assert (
        config.train_config.optimizer.momentum_optimizer.learning_rate.cosine_decay_learning_rate.warmup_steps
    )
    assert config.train_input_reader.tf_record_input_reader.input_path == ("PATH_TO_BE_CONFIGURED",)


words = [
    "model",
    "ssd",
    "loss",
    "num_classes",
    "train_config",
    "{",
    "}",
    ":",
    "1",
    "-1",
    "x",
    '"s"',
    "[1]",
    "nan",
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(words), max_size=12))
def test_any_text_is_a_config_or_a_config_error(parts):
    try:
        config = parse(" ".join(parts))
    except ConfigError:
        return
    assert isinstance(config, od_config.PipelineConfig)
