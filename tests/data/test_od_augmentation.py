"""The OD API's augmentation: its own numbers for given draws, its distributions, and what holds for any draws."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detkit.data.augmentation import od_crops
from detkit.data.augmentation.od_augmentation import OPERATIONS, apply
from detkit.data.batches import Views
from detkit.data.class_map import IGNORED
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.data.sample import CutMask, Sample
from detkit.errors import DataError
from detkit.pipeline import od_config, od_steps
from detkit.pipeline.od_augmentation import DONE
from detkit.pipeline.settings import Augment

# What `object_detection.core.preprocessor` makes of `photo` below when it draws the given numbers, and how often in
# 2,000 draws from a photo of 120 x 160 pixels a quantity is at most so large.
OD_API = json.loads(Path(__file__).with_name("od_augmentation.json").read_text())
EVERYTHING = ("boxes", "class_ids", "weights", "masks", "keypoints", "keypoint_weights", "semantic")
RESAMPLED = ("random_image_scale", "random_scale_crop_and_pad_to_square")


def photo() -> Sample:
    """6 x 8 pixels, of which no two neighbours are alike, with three objects."""
    y, x, c = np.mgrid[:6, :8, :3]
    boxes = [[0.1, 0.1, 0.55, 0.6], [0.4, 0.5, 0.95, 0.9], [0.7, 0.05, 0.9, 0.2]]
    masks = []
    for number, (top, left, bottom, right) in enumerate(((0, 0, 4, 5), (2, 4, 6, 8), (4, 0, 6, 2))):
        row, column = np.mgrid[top:bottom, left:right]
        masks.append(CutMask((row * 3 + column * 2 + number) % 4 > 0, top, left))
    keypoints = [[[0.2, 0.2], [0.5, 0.3]], [[0.5, 0.8], [0.9, 0.6]], [[0.75, 0.1], [0.85, 0.15]]]
    image = ((37 * y + 11 * x + 83 * c + 5 * x * y * (c + 1)) % 256).astype(np.uint8)
    return sample_of(image, boxes, masks, keypoints)


def sample_of(image, boxes, masks, keypoints=None, semantic=None) -> Sample:
    count = len(boxes)
    points = None if keypoints is None else np.array(keypoints, np.float32)
    boxes, classes = np.array(boxes, np.float32).reshape(-1, 4), np.arange(count, dtype=np.int32)
    weights = None if points is None else np.ones(points.shape[:2], np.float32)
    return Sample(image, boxes, classes, np.ones(count, np.float32), tuple(masks), points, weights, semantic)


def steps(*texts: str):
    return tuple(od_steps.parse(text, "option") for text in texts)


def whole(sample: Sample) -> list[str]:
    """The masks as large as the photo, row by row."""
    rows = []
    for mask in sample.masks:
        full = np.zeros(sample.size, bool)
        height, width = mask.inside.shape
        if mask.inside.any():
            full[mask.top : mask.top + height, mask.left : mask.left + width] = mask.inside
        rows.append(drawn(full))
    return rows


def drawn(inside) -> str:
    return "".join(np.where(inside, "#", ".").ravel())


class Draws:
    """In place of a random generator: numbers in a row."""

    def __init__(self, numbers):
        self._numbers = list(numbers)

    def _next(self, *_):
        return self._numbers.pop(0)

    random = uniform = integers = _next


@pytest.mark.parametrize("name", OD_API["cases"])
def test_given_draws_give_the_numbers_of_the_od_api(name):
    case = OD_API["cases"][name]
    if name.startswith("crop"):
        option = case["option"]
        found = od_crops.crop(photo(), tuple(option["window"]), option["overlap"], option["clip"])
    else:
        operation, option = steps(case["option"])[0].operation
        found = OPERATIONS[operation](photo(), option, Draws(case["draws"]))
    np.testing.assert_allclose(found.image, case["image"], atol=0.006)
    if "boxes" in case:
        np.testing.assert_allclose(found.boxes, np.reshape(case["boxes"], (-1, 4)), atol=1e-5)
        assert found.class_ids.tolist() == case["class_ids"] and whole(found) == case["masks"]
        if "true" in str(case["option"]).lower() or not name.startswith("crop"):
            np.testing.assert_array_equal(found.keypoint_weights, case["keypoint_weights"])
        labelled = np.array(case["keypoint_weights"], bool)
        np.testing.assert_allclose(found.keypoints[labelled], np.array(case["keypoints"])[labelled], atol=1e-5)


DRAWN = {
    "crop_default": "random_crop_image { }",
    "crop_zoo": "random_crop_image { min_object_covered: 0 min_aspect_ratio: 0.75 max_aspect_ratio: 3 min_area: 0.75 "
    "max_area: 1 overlap_thresh: 0 }",
    "crop_centernet": "random_crop_image { min_aspect_ratio: 0.5 max_aspect_ratio: 1.7 random_coef: 0.25 }",
    "ssd": "ssd_random_crop { }",
    "crop_pad": "random_crop_pad_image { pad_color: [0, 0, 0] }",
    "pad": "random_pad_image { pad_color: [0, 0, 0] }",
    "absolute_pad": "random_absolute_pad_image { max_height_padding: 200 max_width_padding: 200 pad_color: [0, 0, 0] }",
    "square": "random_square_crop_by_scale { }",
    "scale": "random_scale_crop_and_pad_to_square { output_size: 128 }",
}


def quantities(sample: Sample) -> dict[str, float]:
    """The size, which pixel of the photo comes first and where, and how many objects are left."""
    height, width = sample.size
    inside = np.argwhere(sample.image[..., 2] == 200)
    first = inside[0] if len(inside) else [-1, -1]
    top, left = sample.image[tuple(first)][:2].tolist() if len(inside) else (-1, -1)
    pad_top, pad_left = first
    return dict(
        height=height, width=width, top=top, left=left, pad_top=pad_top, pad_left=pad_left, objects=len(sample.boxes)
    )


@pytest.mark.parametrize("name", DRAWN)
def test_random_draws_are_distributed_as_in_the_od_api(name):
    y, x = np.mgrid[:120, :160]
    image = np.stack([y, x, np.full_like(x, 200)], -1).astype(np.uint8)
    sample = sample_of(image, OD_API["boxes"], [])._replace(masks=None)
    option, rng = steps(DRAWN[name]), np.random.default_rng(12)
    found = [quantities(apply(sample, option, rng)) for _ in range(150)]
    for quantity, points in OD_API["draws"][name].items():
        for value, share in points:
            at_most = np.mean([each[quantity] <= value + 1e-3 for each in found])
            slack = 0.04 if name == "scale" else 0.01  # pixels between two of the photo's are rounded here
            # At most four standard errors of both samples.
            assert abs(at_most - share) < 4 * np.sqrt(share * (1 - share) * (1 / 150 + 1 / 2000)) + slack, quantity


def scene(seed: int, count: int, size=(37, 50), points: int = 3) -> Sample:
    """A random photo whose objects lie in columns of their own, with the class of each pixel."""
    rng = np.random.default_rng(seed)
    height, width = size
    edges = np.linspace(0, width, count + 1).astype(int)
    semantic, masks, boxes = np.zeros(size, np.uint8), [], []
    for number, (left, right) in enumerate(zip(edges, edges[1:], strict=False)):
        top, bottom = sorted(rng.choice(height + 1, 2, replace=False))
        inside = rng.random((bottom - top, right - left)) < 0.7
        semantic[top:bottom, left:right] = inside * (number + 1)
        masks.append(CutMask(inside, int(top), int(left)))
        boxes.append([top / height, left / width, bottom / height, right / width])
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    return sample_of(image, boxes, masks, rng.random((count, points, 2)), semantic)


TEXTS = {name: name + " { }" for name in DONE} | {
    "random_horizontal_flip": "random_horizontal_flip { keypoint_flip_permutation: [0, 2, 1] }",
    "random_vertical_flip": "random_vertical_flip { keypoint_flip_permutation: [0, 2, 1] }",
    "random_rotation90": "random_rotation90 { keypoint_rot_permutation: [1, 0, 2] }",
    "random_absolute_pad_image": "random_absolute_pad_image { max_height_padding: 9 max_width_padding: 4 }",
    "random_scale_crop_and_pad_to_square": "random_scale_crop_and_pad_to_square { output_size: 40 }",
    "random_square_crop_by_scale": "random_square_crop_by_scale { max_border: 30 }",
    "random_patch_gaussian": "random_patch_gaussian { max_patch_size: 20 }",
}


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(DONE), st.integers(0, 2**32 - 1), st.integers(0, 4))
def test_what_holds_for_every_operation(name, seed, count):
    sample = scene(seed, count)
    before = [np.copy(getattr(sample, column)) for column in ("image", "boxes", "keypoints", "semantic")]
    found, again = (apply(sample, steps(TEXTS[name]), np.random.default_rng(seed)) for _ in range(2))
    for column in ("image", *EVERYTHING):
        assert np.array_equal(getattr(found, column), getattr(again, column)) or column == "masks"
    assert whole(found) == whole(again)
    for old, column in zip(before, ("image", "boxes", "keypoints", "semantic"), strict=True):
        np.testing.assert_array_equal(old, getattr(sample, column))
    assert found.image.dtype == np.uint8 and found.image.flags.c_contiguous
    assert found.semantic.shape == found.size and found.semantic.dtype == np.uint8
    assert {len(getattr(found, column)) for column in EVERYTHING if column != "semantic"} == {len(found.boxes)}
    assert found.boxes.dtype == found.keypoints.dtype == found.keypoint_weights.dtype == np.float32
    assert (found.boxes >= 0).all() and (found.boxes <= 1).all()
    assert (found.boxes[:, 2:] >= found.boxes[:, :2]).all()
    labelled = found.keypoints[found.keypoint_weights > 0]
    assert ((labelled >= 0) & (labelled <= 1)).all()


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([name for name in DONE if name not in RESAMPLED]), st.integers(0, 2**32 - 1))
def test_masks_boxes_and_classes_of_pixels_move_together(name, seed):
    found = apply(scene(seed, 3), steps(TEXTS[name]), np.random.default_rng(seed))
    for mask, class_id, box in zip(whole(found), found.class_ids, found.boxes, strict=True):
        of_class = found.semantic == class_id + 1
        assert mask == drawn(of_class)
        rows, columns = np.nonzero(of_class)
        top, left, bottom, right = box * np.tile(found.size, 2)
        if len(rows):
            assert top <= rows.min() + 1e-3 and rows.max() + 1 <= bottom + 1e-3
            assert left <= columns.min() + 1e-3 and columns.max() + 1 <= right + 1e-3


def test_beyond_the_photo_classes_are_ignored():
    option = "random_absolute_pad_image { max_height_padding: 90 max_width_padding: 90 pad_color: [9, 8, 7] }"
    sample = scene(0, 2)
    found = apply(sample, steps(option), np.random.default_rng(1))
    beyond = (found.image == [9, 8, 7]).all(-1)
    assert beyond.sum() >= beyond.size - np.prod(sample.size)
    assert (found.semantic == IGNORED).sum() == beyond.size - np.prod(sample.size)


@pytest.mark.parametrize(
    "option",
    [
        "random_horizontal_flip { probability: 0 keypoint_flip_permutation: [0, 1, 2] }",
        "random_vertical_flip { probability: 0 }",
        "random_rotation90 { probability: 0 }",
        "random_rgb_to_gray { probability: 0 }",
        "random_crop_image { random_coef: 1 }",
        "random_black_patches { probability: 0 }",
        "random_jpeg_quality { random_coef: 1 }",
        "random_patch_gaussian { random_coef: 1 }",
        "random_absolute_pad_image { }",
        "random_adjust_brightness { max_delta: 0 }",
        "random_adjust_hue { max_delta: 0 }",
        "random_adjust_saturation { min_delta: 1 max_delta: 1 }",
        "adjust_gamma { }",
    ],
)
def test_what_is_off_changes_nothing(option):
    sample = scene(3, 3)
    found = apply(sample, steps(option), np.random.default_rng(0))
    for column in ("image", *EVERYTHING):
        if column != "masks":
            np.testing.assert_array_equal(getattr(found, column), getattr(sample, column))
    assert whole(found) == whole(sample)


def test_pixels_are_rounded_once():
    options = steps("adjust_gamma { gamma: 2 }", "adjust_gamma { gamma: 0.5 }")  # in levels of 255 much would be lost
    sample = scene(4, 1)
    assert (apply(sample, options, np.random.default_rng(0)).image == sample.image).all()


def test_boxes_stay_whole_where_they_are_not_clipped():
    sample = scene(5, 4, points=1)
    option = "random_crop_image { min_object_covered: 0.1 max_area: 0.3 overlap_thresh: 0.01 clip_boxes: false }"
    seen = [apply(sample, steps(option), np.random.default_rng(seed)) for seed in range(10)]
    assert any((found.boxes < 0).any() or (found.boxes > 1).any() for found in seen)
    for found in seen:
        sides = (found.boxes[:, 2:] - found.boxes[:, :2]) * found.size
        before = sample.boxes[found.class_ids]
        np.testing.assert_allclose(sides, (before[:, 2:] - before[:, :2]) * sample.size, rtol=1e-4)


@pytest.mark.parametrize("permutation", ["", "keypoint_flip_permutation: [0, 1]"])
def test_keypoints_need_their_permutation(permutation):
    option = steps("random_horizontal_flip { probability: 1 PERMUTATION }".replace("PERMUTATION", permutation))
    with pytest.raises(DataError) as caught:
        apply(scene(0, 1), option, np.random.default_rng(0))
    message = str(caught.value)
    assert "need another order" in message and "each number from 0 to 2 once" in message
    assert "keypoint_flip_permutation" in message and "fix:" in message


def test_photos_without_objects_are_cut_too():
    sample = scene(0, 0)
    too_much, enough = (f"random_crop_image {{ min_object_covered: {share} max_area: 0.3 }}" for share in (1, 0.1))
    found = apply(sample, steps(too_much), np.random.default_rng(0))
    assert found.size == sample.size  # the photo is the object that has to be covered
    found = apply(sample, steps(enough), np.random.default_rng(0))
    assert found.size < sample.size and found.boxes.shape == (0, 4)


def test_views_have_the_photos_that_the_options_make():
    image = scene(0, 1).image
    boxes = np.array([[0.2, 0.2, 0.9, 0.9]], np.float32)
    dataset = Dataset([Example(image, boxes, np.zeros(1, np.int32), image.shape[:2])], ("duck",))
    settings = Augment(od_api=("random_crop_image { min_object_covered: 0.1 max_area: 0.5 }",))
    views = Views(dataset, lambda size: (64, 64), settings, seed=1)
    sizes = {views.view(0, number).size for number in range(5)}
    assert len(sizes) == 5 and (64, 64) not in sizes  # the model's own resize comes after
    again = Views(dataset, lambda size: (64, 64), settings, seed=1).view(0, 3)
    np.testing.assert_array_equal(views.view(0, 3).image, again.image)


def test_the_options_of_every_zoo_config_run(shared):
    configs = [od_config.read(path) for path in shared.glob("golden/configs/*.config")]
    recipes = {tuple(text for text, _ in od_steps.of_config(config)) for config in configs}
    sample = scene(1, 3)._replace(keypoints=None, keypoint_weights=None)
    for recipe in recipes:
        found = apply(sample, steps(*recipe), np.random.default_rng(1))
        assert len(found.masks) == len(found.boxes) <= 3
    assert len({option.operation[0] for recipe in recipes for option in steps(*recipe)}) == 10
