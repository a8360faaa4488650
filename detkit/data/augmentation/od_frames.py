"""Mirrored, turned, padded and scaled photos as the OD API makes them. Source: its `core/preprocessor.py`."""

from __future__ import annotations

import cv2
import numpy as np

from detkit.data.augmentation.od_parts import reframe, resize
from detkit.data.sample import CutMask, Sample
from detkit.errors import DataError


def random_horizontal_flip(sample: Sample, option, rng) -> Sample:
    """Left and right exchanged."""
    return flip(sample, 1, option.keypoint_flip_permutation) if rng.random() < option.probability else sample


def random_vertical_flip(sample: Sample, option, rng) -> Sample:
    """Top and bottom exchanged."""
    return flip(sample, 0, option.keypoint_flip_permutation) if rng.random() < option.probability else sample


def random_rotation90(sample: Sample, option, rng) -> Sample:
    """A quarter turn, counter-clockwise."""
    if rng.random() >= option.probability:
        return sample
    # Counter-clockwise is rows and columns exchanged, then top and bottom.
    turned = flip(_transposed(sample), 0, range(_keypoint_count(sample)))
    if option.keypoint_rot_permutation:
        return _permuted(turned, option.keypoint_rot_permutation, "keypoint_rot_permutation")
    return turned


def flip(sample: Sample, axis: int, permutation=()) -> Sample:
    """A sample mirrored along its rows (axis 0) or columns (axis 1).

    Args:
        permutation: which keypoint of the sample each keypoint of the mirrored one is.

    Raises:
        DataError: if there are keypoints and not as many numbers in the permutation.
    """
    boxes = sample.boxes.copy()
    boxes[:, [axis, axis + 2]] = 1 - boxes[:, [axis + 2, axis]]
    masks, side = sample.masks, sample.size[axis]
    if masks is not None:
        masks = tuple(mask and _flipped_mask(mask, axis, side) for mask in masks)
    semantic = None if sample.semantic is None else np.flip(sample.semantic, axis)
    sample = sample._replace(image=np.flip(sample.image, axis), boxes=boxes, masks=masks, semantic=semantic)
    if sample.keypoints is None:
        return sample
    keypoints = sample.keypoints.copy()
    keypoints[..., axis] = 1 - keypoints[..., axis]
    return _permuted(sample._replace(keypoints=keypoints), permutation, "keypoint_flip_permutation")


def _flipped_mask(mask: CutMask, axis: int, side: int) -> CutMask:
    place = [mask.top, mask.left]
    place[axis] = side - place[axis] - mask.inside.shape[axis]
    return CutMask(np.flip(mask.inside, axis), *place)


def _transposed(sample: Sample) -> Sample:
    masks = sample.masks
    if masks is not None:
        masks = tuple(mask and CutMask(mask.inside.T, mask.left, mask.top) for mask in masks)
    return sample._replace(
        image=sample.image.swapaxes(0, 1),
        boxes=sample.boxes[:, [1, 0, 3, 2]],
        masks=masks,
        keypoints=None if sample.keypoints is None else sample.keypoints[..., ::-1],
        semantic=None if sample.semantic is None else sample.semantic.T,
    )


def _keypoint_count(sample: Sample) -> int:
    return 0 if sample.keypoints is None else sample.keypoints.shape[1]


def _permuted(sample: Sample, permutation, name: str) -> Sample:
    if sorted(permutation) != list(range(_keypoint_count(sample))):
        raise DataError(
            "The keypoints of a mirrored or turned photo need another order.",
            got=f"{name}: {list(permutation)}",
            expected=f"each number from 0 to {_keypoint_count(sample) - 1} once",
            fix=f"Give the option its {name}: for each keypoint the one that takes its place.",
        )
    order = list(permutation)
    return sample._replace(keypoints=sample.keypoints[:, order], keypoint_weights=sample.keypoint_weights[:, order])


def random_pad_image(sample: Sample, option, rng) -> Sample:
    """A plain area around, up to the given size, or up to twice the photo's."""
    least = (option.min_image_height or 0, option.min_image_width or 0)
    given = option.max_image_height is not None
    most = (option.max_image_height, option.max_image_width) if given else np.multiply(sample.size, 2)
    return pad(sample, least, most, option.pad_color, rng)


def random_absolute_pad_image(sample: Sample, option, rng) -> Sample:
    """A plain area around, of less than so many more rows and columns."""
    # The OD API takes what is not given for 1, which is the same: none is added.
    most = np.add(sample.size, (option.max_height_padding, option.max_width_padding))
    return pad(sample, sample.size, most, option.pad_color, rng)


def pad(sample: Sample, least, most, colour, rng) -> Sample:
    """A sample anywhere in a plain area of a random size.

    Args:
        least, most: (height, width) of the area, the least and the first that is too large; never below the sample's.
        colour: red, green and blue of 0..255, or empty for the mean of the sample.
    """
    least, most = np.maximum(least, sample.size), np.maximum(most, sample.size)
    size = [int(rng.integers(low, high)) if high > low else int(high) for low, high in zip(least, most, strict=True)]
    spare = np.subtract(size, sample.size)
    corner = [-int(rng.integers(0, n)) if n > 0 else 0 for n in spare]
    fill = colour or np.float32(cv2.mean(np.ascontiguousarray(sample.image))[:3])
    return reframe(sample, corner, tuple(size), np.asarray(fill, np.float32))


def random_image_scale(sample: Sample, option, rng) -> Sample:
    """Another size, of the same aspect ratio."""
    scale = np.float32(rng.uniform(option.min_scale_ratio, option.max_scale_ratio))
    size = tuple(max(1, int(np.float32(side) * scale)) for side in sample.size)
    return resize(sample, size, aligned=True)
