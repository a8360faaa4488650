"""Batches as tf.data: the trainer's own, for every kind of task, whatever makes them, and with detkit's errors."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
from data_files import picture

from detkit import data
from detkit.data import batches as drawing
from detkit.data.tensors import batches, own_errors
from detkit.errors import ConfigError, DataError, MediaError
from detkit.pipeline.augment import augment as augmentation

SIZES = [(60, 80), (80, 60), (48, 96), (60, 80), (30, 40)]
OUTLINE = [[8.0, 6.0, 24.0, 6.0, 24.0, 18.0, 8.0, 18.0]]


@pytest.fixture
def photos(tmp_path) -> data.Dataset:
    """Five photos of several sizes with none, one or two objects, outlined."""
    examples = []
    for number, size in enumerate(SIZES):
        file = picture(tmp_path / f"{number}.png", size, seed=number)
        boxes = np.array([[0.1, 0.1, 0.3, 0.3], [0.2, 0.3, 0.9, 0.8]][: number % 3])
        outlines = (OUTLINE,) * len(boxes)
        labels = None if len(boxes) else [1]
        examples += [data.Example(file, boxes, range(len(boxes)), size, segmentations=outlines, image_labels=labels)]
    return data.Dataset(tuple(examples), ("boat", "duck"))


def half(size):
    return size[0] // 2, size[1] // 2


def arrays(dataset) -> list:
    """The batches as numpy arrays, flat."""
    import tensorflow as tf

    return [[value.numpy() for value in tf.nest.flatten(batch)] for batch in dataset]


def assert_same(first: list, second: list) -> None:
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        for value, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(value, same)


def test_the_trainers_batches_whatever_the_number_of_workers(photos):
    options = {"flip": 0.5, "zoom_in": 2.0, "colour": 0.5, "mosaic": 0.5}
    views = drawing.Views(photos, lambda size: (32, 40), augmentation(options, "augment"), seed=3)
    for workers in (1, 5):
        made = batches(photos, size=(32, 40), batch_size=2, augment=options, seed=3, repeat=3, workers=workers)
        assert len(made) == 8
        for step, (images, truth) in enumerate(made):
            drawn = drawing.draw(5, 2, step, 3)[: 15 - 2 * step]
            expected = [views.view(*which) for which in drawn]
            np.testing.assert_array_equal(images, [view.image for view in expected])
            for name, value in drawing.groundtruth(expected).items():
                np.testing.assert_array_equal(truth[name], value)


def test_images_are_resized_by_the_rule_of_the_model_and_padded(photos):
    import tensorflow as tf

    ((images, truth),) = batches(photos, size=half, batch_size=5, shuffle=False)
    assert images.shape == (5, 40, 48, 3) and truth["boxes"].shape == (5, 2, 4)
    assert truth["true_shapes"].numpy().tolist() == [[*half(size), 3] for size in SIZES]
    assert truth["weights"].numpy().tolist() == [[0, 0], [1, 0], [1, 1], [0, 0], [1, 0]]
    np.testing.assert_array_equal(truth["boxes"][2], photos[2].boxes)
    for image, example in zip(images.numpy(), photos, strict=True):
        height, width = half(example.size)
        expected = tf.raw_ops.ResizeBilinear(images=example.pixels()[None], size=(height, width))[0]
        assert np.abs(image[:height, :width] - expected.numpy()).max() <= 1
        assert not image[height:].any() and not image[:, width:].any()
    ((images, _),) = batches(photos, size=half, batch_size=9, pad_to=(50, 50))
    assert images.shape == (5, 50, 50, 3)


def test_order_rounds_and_the_last_batch(photos):
    made = batches(photos, size=half, batch_size=2, shuffle=False, repeat=2, drop_remainder=True)
    shapes = [tuple(shape) for _, truth in made for shape in truth["true_shapes"].numpy()[:, :2]]
    assert shapes == [half(size) for size in (*SIZES, *SIZES)]
    assert len(batches(photos, size=half, batch_size=3, drop_remainder=True)) == 1
    endless = batches(photos, size=half, batch_size=4, repeat=None)
    assert len(arrays(endless.take(6))) == 6


def test_image_box_and_class_of_the_largest_object(photos):
    ((_, truth),) = batches(photos, "localization", size=(32, 32), batch_size=5, shuffle=False)
    assert truth["weight"].numpy().tolist() == [0, 1, 1, 0, 1]
    assert truth["class_id"].numpy().tolist() == [0, 0, 1, 0, 0]
    np.testing.assert_array_equal(truth["box"][2], photos[2].boxes[1])


def test_image_and_label(photos):
    ((_, labels),) = batches(photos, "multilabel", size=(32, 32), batch_size=5, shuffle=False)
    assert labels.numpy().tolist() == [[0, 1], [1, 0], [1, 1], [0, 1], [1, 0]]
    ((_, labels),) = batches(photos[:2], "classification", size=(32, 32), batch_size=5, shuffle=False)
    assert labels.numpy().tolist() == [1, 0]
    with pytest.raises(DataError, match="doesn't have one class(.|\n)*2.png\n  got: boat, duck(.|\n)*multilabel"):
        batches(photos, "classification", size=(32, 32), batch_size=5)


def test_image_and_class_map(photos):
    ((images, maps),) = batches(photos, "segmentation", size=half, batch_size=5, shuffle=False)
    assert maps.shape == images.shape[:3] and maps.dtype == np.uint8
    for classes, example in zip(maps.numpy(), photos, strict=True):
        height, width = half(example.size)
        np.testing.assert_array_equal(classes[:height, :width], example.semantic()[::2, ::2])
        assert (classes[height:] == 255).all() and (classes[:, width:] == 255).all()


def test_masks_for_a_detector(photos):
    ((_, truth),) = batches(photos, size=half, batch_size=5, wants=("masks",), shuffle=False)
    views = drawing.Views(photos, half, wants=("masks",))
    expected = drawing.groundtruth(views.view(index) for index in range(5))["masks"]
    np.testing.assert_array_equal(truth["masks"], expected)


def test_a_damaged_photo_is_told_as_ever(photos):
    path = photos[3].image
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(MediaError) as error:
        list(batches(photos, size=half, batch_size=2))
    assert error.value.what == "This picture is damaged or cut short." and error.value.where == path
    made = batches(photos, "localization", size=half, batch_size=2)
    with pytest.raises(MediaError, match="3.png"), own_errors(made):
        list(made.map(lambda images, truth: truth["box"]))
    with pytest.raises(ConfigError, match="larger than what it shall be padded to(.|\n)*got: 30 x 40"):
        list(batches(photos[:1], "multilabel", size=half, batch_size=2, pad_to=(30, 30)))


def test_what_is_cached_is_not_decoded_again(photos, tmp_path):
    folder = tmp_path / "cache"
    options = dict(size=half, batch_size=2, wants=("masks",))
    expected = arrays(batches(photos, **options))
    in_memory = batches(photos, **options, cache="memory")
    assert_same(arrays(in_memory), expected)
    assert_same(arrays(batches(photos, **options, cache=folder)), expected)
    for example in photos:
        content, times = example.image.read_bytes(), example.image.stat().st_mtime_ns
        example.image.write_bytes(bytes(len(content)))
        os.utime(example.image, ns=(times, times))
    assert_same(arrays(in_memory), expected)
    assert_same(arrays(batches(photos, **options, cache=folder)), expected)
    with pytest.raises(DataError, match="This cache is of other photos(.|\n)*Delete the folder"):
        batches(photos, size=(9, 9), batch_size=2, wants=("masks",), cache=folder)
    moved = replace(photos[2], boxes=photos[2].boxes[::-1])
    with pytest.raises(DataError, match="This cache is of other"):
        batches(replace(photos, examples=(*photos[:2], moved, *photos[3:])), **options, cache=folder)


def test_pictures_in_shards_of_records(photos, tmp_path):
    data.write(photos, tmp_path / "records" / "train.record@3", "tfrecord")
    records = data.read(tmp_path / "records")
    options = dict(size=(32, 32), batch_size=2, augment={"flip": 0.5, "zoom_out": 1.5})
    assert_same(arrays(batches(records, **options)), arrays(batches(photos, **options)))


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("ranking", {}, "no such task(.|\n)*detection, localization, classification, multilabel, segmentation"),
        ("multilabel", {"wants": ("masks",)}, "Only detection learns this"),
        ("localization", {"augment": True}, r"several photos(.|\n)*augment.mosaic(.|\n)*0.5(.|\n)*detection"),
        ("detection", {"augment": True, "cache": "memory"}, "Augmented images can't be cached"),
        ("detection", {"augment": {"flop": 1}}, "flop(.|\n)*flip"),
    ],
)
def test_what_does_not_go_together_is_refused(photos, task, options, message):
    with pytest.raises(ConfigError, match=message):
        batches(photos, task, size=half, batch_size=2, **options)
