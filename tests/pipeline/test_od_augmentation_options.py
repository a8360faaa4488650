"""`data_augmentation_options`: proto defaults, what is refused and where, and that a pipeline.config's are used."""

from __future__ import annotations

import pytest

from detkit.errors import ConfigError
from detkit.pipeline import od_config, od_steps, pipeline
from detkit.pipeline.od_augmentation import DONE
from detkit.pipeline.settings import Augment, Pipeline

OPTION = "model { ssd { } } train_config {\n data_augmentation_options {\n  %s\n } }"
KNOWN_BY_NAME = (
    "normalize_image random_jitter_boxes random_resize_method scale_boxes_to_pixel_coordinates resize_image "
    "subtract_channel_mean ssd_random_crop_fixed_aspect_ratio ssd_random_crop_pad_fixed_aspect_ratio rgb_to_gray "
    "convert_class_logits_to_softmax random_self_concat_image autoaugment_image drop_label_probabilistically "
    "remap_labels random_downscale_to_target_pixels"
).split()


def message(text: str):
    return od_steps.parse(text, "option").operation[1]


def read(option: str, overrides=()) -> Pipeline:
    return pipeline.parse(OPTION % option, "p.config", overrides)


def test_absent_fields_have_the_defaults_of_the_proto():
    crop = message("random_crop_image { }")
    assert (crop.min_object_covered, crop.min_aspect_ratio, crop.max_aspect_ratio) == (1.0, 0.75, 1.33)
    assert (crop.min_area, crop.max_area, crop.overlap_thresh) == (0.1, 1.0, 0.3)
    assert crop.clip_boxes and crop.random_coef == 0
    assert message("random_horizontal_flip { }").probability == message("random_vertical_flip { }").probability == 0.5
    assert message("random_adjust_hue { }").max_delta == 0.02
    assert message("random_adjust_brightness { }").max_delta == 0.2
    saturation = message("random_adjust_saturation { }")
    assert (saturation.min_delta, saturation.max_delta) == (0.8, 1.25) and saturation == message(
        "random_adjust_contrast { }"
    )
    square = message("random_square_crop_by_scale { }")
    assert (square.max_border, square.scale_min, square.scale_max, square.num_scales) == (128, 0.6, 1.3, 8)
    square = message("random_scale_crop_and_pad_to_square { }")
    assert (square.output_size, square.scale_min, square.scale_max) == (512, 0.1, 2.0)
    assert message("random_absolute_pad_image { }").max_height_padding == 0
    jpeg = message("random_jpeg_quality { }")
    assert (jpeg.random_coef, jpeg.min_jpeg_quality, jpeg.max_jpeg_quality) == (0, 0, 100)
    noise = message("random_patch_gaussian { }")
    assert (noise.min_patch_size, noise.max_patch_size, noise.max_gaussian_stddev) == (1, 250, 1.0)


def test_ssd_crops_are_the_seven_of_the_od_api_unless_they_are_given():
    crops = message("ssd_random_crop { }").crops
    assert [crop.min_object_covered for crop in crops] == [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0]
    assert all(crop.overlap_thresh == crop.min_object_covered and crop.random_coef == 0.15 for crop in crops)
    assert {(crop.min_aspect_ratio, crop.max_aspect_ratio, crop.min_area) for crop in crops} == {(0.5, 2.0, 0.1)}
    padded = message("ssd_random_crop_pad { }").crops
    assert [crop.overlap_thresh for crop in padded] == [0.1, 0.3, 0.5, 0.7, 0.9, 1.0] and not padded[0].pad_color
    given = "operations { min_area: 0.2 max_area: 1 min_aspect_ratio: 1 max_aspect_ratio: 2 pad_color_g: 7 }"
    (crop,) = message(f"ssd_random_crop_pad {{ {given} }}").crops
    assert (crop.min_area, crop.random_coef, crop.pad_color) == (0.2, 0.0, (0.0, 7.0, 0.0))


@pytest.mark.parametrize(
    "option, place, parts",
    [
        ("random_horizontal_flp { }", "3:3", ["has no field random_horizontal_flp", "mean random_horizontal_flip?"]),
        ("random_crop_image { min_ara: 1 }", "3:23", ["random_crop_image has no field min_ara", "mean min_area?"]),
        ("random_crop_image { min_area: 0 }", "3:23", ["got: 0", "above 0 and at most 1"]),
        ("random_crop_image { min_area: 0.5 max_area: 0.4 }", "3:23", ["min_area exceeds max_area"]),
        ("random_horizontal_flip { probability: 2 }", "3:28", ["a number from 0 to 1"]),
        ("random_distort_color { color_ordering: 2 }", "3:26", ["a whole number from 0 to 1"]),
        ("random_rotation90 { } random_crop_image { }", "3:25", ["takes one kind only"]),
        ("", "2:2", ["od_api[0] holds no option", "one of random_horizontal_flip, "]),
        ("random_pad_image { pad_color: [1, 2] }", "3:3", ["random_pad_image.pad_color", "[1.0, 2.0]", "3 numbers"]),
        ("random_pad_image { max_image_width: 9 }", "3:3", ["got: None", "both this and max_image_width"]),
        ("ssd_random_crop { operations { } }", "3:3", ["operations[0].min_aspect_ratio", "default of the OD API"]),
        ("random_crop_pad_image { min_padded_size_ratio: 1 }", "3:3", ["min_padded_size_ratio", "2 numbers or none"]),
    ],
)  # fmt: skip
def test_mistakes_are_located(option, place, parts):
    with pytest.raises(ConfigError) as caught:
        read(option)
    assert f"where: p.config:{place}\n" in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("name", KNOWN_BY_NAME)
def test_what_is_known_by_name_only_is_refused_where_it_would_be_used(name):
    with pytest.raises(ConfigError) as caught:
        read(f"{name} {{ }}")
    text = str(caught.value)
    assert "where: p.config:3:3\n" in text and "that detkit does not have" in text and f"got: {name}\n" in text
    assert f"expected: one of {', '.join(DONE)}\n" in text and "train.augment=true" in text
    config = od_config.parse(OPTION % f"{name} {{ }}")  # a model that was trained with it can be used
    assert f"{name} {{" in od_config.dumps(config)
    assert read(f"{name} {{ }}", ["train.augment=true"]).train.augment.od_api == ()


def test_a_pipeline_config_trains_with_its_own_options():
    option = "random_crop_image {\n min_area: 0.75 # large\n clip_boxes: false }"
    run = read(f"{option} }} data_augmentation_options {{ random_horizontal_flip < >")
    texts = ("random_crop_image { min_area: 0.75 clip_boxes: false }", "random_horizontal_flip { }")
    assert run.train.augment == Augment(od_api=texts)
    crop, flip = (step.operation for step in run.train.augment.od_steps)
    assert crop[0] == "random_crop_image" and (crop[1].min_area, crop[1].clip_boxes) == (0.75, False)
    assert flip[0] == "random_horizontal_flip"
    assert pipeline.parse(pipeline.to_yaml(run), "run.yaml") == run


def test_a_pipeline_config_without_options_trains_without_augmentation():
    assert pipeline.parse("model { ssd { } } train_config { batch_size: 2 }", "p.config").train.augment is None
    assert pipeline.parse("model { ssd { } }", "p.config").train.augment == Pipeline().train.augment


def test_options_can_be_changed_by_overrides():
    assert read("random_rotation90 { }", ["train.augment=none"]).train.augment is None
    both = read("random_rotation90 { }", ["train.augment.flip=0.5"]).train.augment
    assert both == Augment(flip=0.5, od_api=("random_rotation90 { }",))


def test_options_are_written_back_as_they_were():
    text = OPTION % "random_absolute_pad_image { max_height_padding: 3 pad_color: [0, 1, 2] }"
    config = od_config.parse(text)
    assert od_config.parse(od_config.dumps(config)) == config
    assert config.train_config.data_augmentation_options[0].operation[1].pad_color == (0.0, 1.0, 2.0)


def test_every_zoo_config_keeps_its_options(shared):
    for path in shared.glob("golden/configs/*.config"):
        config, run = od_config.read(path), pipeline.load(path)
        typed = config.train_config.data_augmentation_options
        assert (run.train.augment.od_steps if run.train.augment else ()) == typed
        assert od_config.parse(od_config.dumps(config)) == config
