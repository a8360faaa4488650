"""The augmentation options of the OD API, applied in their order. Source: `core/preprocessor.py` of the OD API."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from detkit.data.augmentation import od_colour, od_crops, od_frames, od_noise
from detkit.data.sample import Sample


def apply(sample: Sample, options: Sequence, rng: np.random.Generator) -> Sample:
    """A sample after random changes by several operations, one after the other.

    Pixels are float32 from the first operation that changes their values on, and are rounded once, in the end.

    Args:
        sample: the photo and its objects.
        options: a `detkit.pipeline.od_augmentation.PreprocessingStep` for each operation.
        rng: decides everything.

    Returns:
        The sample, of another size if an operation changes it. Objects that an operation removes are left out; boxes
        may reach beyond the photo where an option's `clip_boxes` is false.

    Raises:
        DataError: if keypoints are to be mirrored without a permutation of their length.
    """
    for step in options:
        name, option = step.operation
        sample = OPERATIONS[name](sample, option, rng)
    image = sample.image
    if image.dtype != np.uint8:
        image = np.rint(np.clip(image, 0, 255)).astype(np.uint8)
    semantic = None if sample.semantic is None else np.ascontiguousarray(sample.semantic)
    return sample._replace(image=np.ascontiguousarray(image), semantic=semantic)


def _of_pixels(change: Callable) -> Callable:
    """The operation that changes the values of the pixels only."""

    def operation(sample: Sample, option, rng) -> Sample:
        return sample._replace(image=change(sample.image, option, rng))

    return operation


OPERATIONS = {
    "random_horizontal_flip": od_frames.random_horizontal_flip,
    "random_vertical_flip": od_frames.random_vertical_flip,
    "random_rotation90": od_frames.random_rotation90,
    "random_pixel_value_scale": _of_pixels(od_noise.random_pixel_value_scale),
    "random_image_scale": od_frames.random_image_scale,
    "random_rgb_to_gray": _of_pixels(od_colour.random_rgb_to_gray),
    "random_adjust_brightness": _of_pixels(od_colour.random_adjust_brightness),
    "random_adjust_contrast": _of_pixels(od_colour.random_adjust_contrast),
    "random_adjust_hue": _of_pixels(od_colour.random_adjust_hue),
    "random_adjust_saturation": _of_pixels(od_colour.random_adjust_saturation),
    "random_distort_color": _of_pixels(od_colour.random_distort_color),
    "random_crop_image": od_crops.random_crop_image,
    "random_pad_image": od_frames.random_pad_image,
    "random_absolute_pad_image": od_frames.random_absolute_pad_image,
    "random_crop_pad_image": od_crops.random_crop_pad_image,
    "random_crop_to_aspect_ratio": od_crops.random_crop_to_aspect_ratio,
    "random_black_patches": _of_pixels(od_noise.random_black_patches),
    "random_jpeg_quality": _of_pixels(od_noise.random_jpeg_quality),
    "random_patch_gaussian": _of_pixels(od_noise.random_patch_gaussian),
    "ssd_random_crop": od_crops.ssd_random_crop,
    "ssd_random_crop_pad": od_crops.ssd_random_crop_pad,
    "random_square_crop_by_scale": od_crops.random_square_crop_by_scale,
    "random_scale_crop_and_pad_to_square": od_crops.random_scale_crop_and_pad_to_square,
    "adjust_gamma": _of_pixels(od_colour.adjust_gamma),
}
