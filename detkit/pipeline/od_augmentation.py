"""The augmentation messages of a pipeline.config, `data_augmentation_options` of the OD API's preprocessor.proto."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from detkit.pipeline.fields import option, specs
from detkit.pipeline.message import Message
from detkit.pipeline.sections import Section


def _share(default: float):
    return option(default, at_least=0, at_most=1)


@dataclass(frozen=True)
class RandomFlip(Section):
    """A mirrored photo; the permutation says which keypoint each one becomes."""

    keypoint_flip_permutation: tuple[int, ...] = option((), at_least=0)
    probability: float = _share(0.5)


@dataclass(frozen=True)
class RandomRotation90(Section):
    """A photo turned by 90 degrees counter-clockwise."""

    keypoint_rot_permutation: tuple[int, ...] = option((), at_least=0)
    probability: float = _share(0.5)


@dataclass(frozen=True)
class RandomPixelValueScale(Section):
    """A factor of its own for every value of every pixel."""

    ORDERED: ClassVar[tuple] = ("minval maxval",)

    minval: float = option(0.9, at_least=0)
    maxval: float = option(1.1, at_least=0)


@dataclass(frozen=True)
class RandomImageScale(Section):
    """Another size, of the same aspect ratio."""

    ORDERED: ClassVar[tuple] = ("min_scale_ratio max_scale_ratio",)

    min_scale_ratio: float = option(0.5, above=0)
    max_scale_ratio: float = option(2.0, above=0)


@dataclass(frozen=True)
class RandomRGBtoGray(Section):
    """A photo without colours."""

    probability: float = _share(0.1)


@dataclass(frozen=True)
class RandomAdjustBrightness(Section):
    """A number from -max_delta to max_delta added, where white is 1."""

    max_delta: float = option(0.2, at_least=0)


@dataclass(frozen=True)
class RandomAdjustFactor(Section):
    """A factor of the contrast or of the saturation."""

    ORDERED: ClassVar[tuple] = ("min_delta max_delta",)

    min_delta: float = option(0.8, at_least=0)
    max_delta: float = option(1.25, at_least=0)


@dataclass(frozen=True)
class RandomAdjustHue(Section):
    """The hue turned by a number from -max_delta to max_delta, where a full turn is 1."""

    max_delta: float = _share(0.02)


@dataclass(frozen=True)
class RandomDistortColor(Section):
    """Brightness, saturation, hue and contrast changed in one order or the other."""

    color_ordering: int = option(0, at_least=0, at_most=1)


@dataclass(frozen=True)
class RandomCropImage(Section):
    """A part of the photo; `random_coef` is the probability of the whole photo."""

    ORDERED: ClassVar[tuple] = ("min_aspect_ratio max_aspect_ratio", "min_area max_area")

    min_object_covered: float = option(1.0, at_least=0)
    min_aspect_ratio: float = option(0.75, above=0)
    max_aspect_ratio: float = option(1.33, above=0)
    min_area: float = option(0.1, above=0, at_most=1)
    max_area: float = option(1.0, above=0, at_most=1)
    overlap_thresh: float = option(0.3, at_least=0)
    clip_boxes: bool = True
    random_coef: float = _share(0.0)


@dataclass(frozen=True)
class RandomPadImage(Section):
    """A photo anywhere in a larger one, of the photo's mean colour unless `pad_color` is given."""

    min_image_height: int | None = option(None, at_least=0)
    min_image_width: int | None = option(None, at_least=0)
    max_image_height: int | None = option(None, at_least=0)
    max_image_width: int | None = option(None, at_least=0)
    pad_color: tuple[float, ...] = option((), at_least=0, at_most=255)


@dataclass(frozen=True)
class RandomAbsolutePadImage(Section):
    """A photo anywhere in one that is larger by less than so many pixels."""

    max_height_padding: int = option(0, at_least=0)
    max_width_padding: int = option(0, at_least=0)
    pad_color: tuple[float, ...] = option((), at_least=0, at_most=255)


@dataclass(frozen=True)
class RandomCropPadImage(RandomCropImage):
    """A part of the photo anywhere in a plain area, whose size is relative to that of the whole photo."""

    min_padded_size_ratio: tuple[float, ...] = option((), above=0)
    max_padded_size_ratio: tuple[float, ...] = option((), above=0)
    pad_color: tuple[float, ...] = option((), at_least=0, at_most=255)


@dataclass(frozen=True)
class RandomCropToAspectRatio(Section):
    """The largest part of the photo of an aspect ratio, width over height."""

    aspect_ratio: float = option(1.0, above=0)
    overlap_thresh: float = option(0.3, at_least=0)
    clip_boxes: bool = True


@dataclass(frozen=True)
class RandomBlackPatches(Section):
    """Up to so many black squares; `size_to_image_ratio` is their side over the photo's shorter one."""

    max_black_patches: int = option(10, at_least=0)
    probability: float = _share(0.5)
    size_to_image_ratio: float = option(0.1, at_least=0, at_most=1)


@dataclass(frozen=True)
class RandomJpegQuality(Section):
    """What JPEG leaves of a photo; `random_coef` is the probability of the photo as it is."""

    ORDERED: ClassVar[tuple] = ("min_jpeg_quality max_jpeg_quality",)

    random_coef: float = _share(0.0)
    min_jpeg_quality: int = option(0, at_least=0, at_most=100)
    max_jpeg_quality: int = option(100, at_least=0, at_most=100)


@dataclass(frozen=True)
class RandomPatchGaussian(Section):
    """Noise in a square; `random_coef` is the probability of the photo as it is."""

    ORDERED: ClassVar[tuple] = ("min_patch_size max_patch_size", "min_gaussian_stddev max_gaussian_stddev")

    random_coef: float = _share(0.0)
    min_patch_size: int = option(1, at_least=1)
    max_patch_size: int = option(250, at_least=1)
    min_gaussian_stddev: float = option(0.0, at_least=0)
    max_gaussian_stddev: float = option(1.0, at_least=0)


@dataclass(frozen=True)
class SSDRandomCropOperation(Section):
    """One of the crops to choose from; what has no default here has to be given."""

    ORDERED: ClassVar[tuple] = ("min_aspect_ratio max_aspect_ratio", "min_area max_area")

    min_object_covered: float = option(0.0, at_least=0)
    min_aspect_ratio: float = option(0.0, above=0)
    max_aspect_ratio: float = option(0.0, above=0)
    min_area: float = option(0.0, above=0, at_most=1)
    max_area: float = option(0.0, above=0, at_most=1)
    overlap_thresh: float = option(0.0, at_least=0)
    clip_boxes: bool = True
    random_coef: float = _share(0.0)


@dataclass(frozen=True)
class SSDRandomCropPadOperation(SSDRandomCropOperation):
    """One of the crops to choose from, and the area around it."""

    min_padded_size_ratio: tuple[float, ...] = option((), above=0)
    max_padded_size_ratio: tuple[float, ...] = option((), above=0)
    pad_color_r: float = option(0.0, at_least=0, at_most=255)
    pad_color_g: float = option(0.0, at_least=0, at_most=255)
    pad_color_b: float = option(0.0, at_least=0, at_most=255)

    @property
    def pad_color(self) -> tuple[float, ...]:
        """Red, green, blue, of 0..255."""
        return self.pad_color_r, self.pad_color_g, self.pad_color_b


@dataclass(frozen=True)
class SSDRandomCrop(Section):
    """One of several crops, by default those of SSD (https://arxiv.org/abs/1512.02325)."""

    operations: tuple[SSDRandomCropOperation, ...] = ()

    @property
    def crops(self) -> tuple[Section, ...]:
        """What to choose from."""
        covered = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
        usual = dict(min_aspect_ratio=0.5, max_aspect_ratio=2.0, min_area=0.1, max_area=1.0, random_coef=0.15)
        return self.operations or tuple(SSDRandomCropOperation(x, overlap_thresh=x, **usual) for x in covered)


@dataclass(frozen=True)
class SSDRandomCropPad(Section):
    """One of several crops in a plain area."""

    operations: tuple[SSDRandomCropPadOperation, ...] = ()

    @property
    def crops(self) -> tuple[Section, ...]:
        """What to choose from."""
        covered = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
        usual = dict(min_aspect_ratio=0.5, max_aspect_ratio=2.0, random_coef=0.15)
        return self.operations or tuple(RandomCropPadImage(x, overlap_thresh=x, **usual) for x in covered)


@dataclass(frozen=True)
class RandomSquareCropByScale(Section):
    """A square around a random point, black beyond the photo (https://arxiv.org/abs/1904.07850)."""

    ORDERED: ClassVar[tuple] = ("scale_min scale_max",)

    max_border: int = option(128, at_least=1)
    scale_min: float = option(0.6, above=0)
    scale_max: float = option(1.3, above=0)
    num_scales: int = option(8, at_least=1)


@dataclass(frozen=True)
class RandomScaleCropAndPadToSquare(Section):
    """A photo of a random size, of which a square is cut or filled up in black (https://arxiv.org/abs/1911.09070)."""

    ORDERED: ClassVar[tuple] = ("scale_min scale_max",)

    output_size: int = option(512, at_least=1)
    scale_min: float = option(0.1, above=0)
    scale_max: float = option(2.0, above=0)


@dataclass(frozen=True)
class AdjustGamma(Section):
    """Gamma correction: each value, where white is 1, to the power of `gamma` and times `gain`."""

    gamma: float = option(1.0, at_least=0)
    gain: float = option(1.0, at_least=0)


@dataclass(frozen=True)
class PreprocessingStep(Section):
    """One augmentation option: a message that holds the message of one operation.

    What detkit knows by name only is untyped: a model that was trained with it can be used, a run with it can't be.
    """

    random_horizontal_flip: RandomFlip | None = None
    random_vertical_flip: RandomFlip | None = None
    random_rotation90: RandomRotation90 | None = None
    random_pixel_value_scale: RandomPixelValueScale | None = None
    random_image_scale: RandomImageScale | None = None
    random_rgb_to_gray: RandomRGBtoGray | None = None
    random_adjust_brightness: RandomAdjustBrightness | None = None
    random_adjust_contrast: RandomAdjustFactor | None = None
    random_adjust_hue: RandomAdjustHue | None = None
    random_adjust_saturation: RandomAdjustFactor | None = None
    random_distort_color: RandomDistortColor | None = None
    random_crop_image: RandomCropImage | None = None
    random_pad_image: RandomPadImage | None = None
    random_absolute_pad_image: RandomAbsolutePadImage | None = None
    random_crop_pad_image: RandomCropPadImage | None = None
    random_crop_to_aspect_ratio: RandomCropToAspectRatio | None = None
    random_black_patches: RandomBlackPatches | None = None
    random_jpeg_quality: RandomJpegQuality | None = None
    random_patch_gaussian: RandomPatchGaussian | None = None
    ssd_random_crop: SSDRandomCrop | None = None
    ssd_random_crop_pad: SSDRandomCropPad | None = None
    random_square_crop_by_scale: RandomSquareCropByScale | None = None
    random_scale_crop_and_pad_to_square: RandomScaleCropAndPadToSquare | None = None
    adjust_gamma: AdjustGamma | None = None
    normalize_image: Message | None = None
    random_jitter_boxes: Message | None = None
    random_resize_method: Message | None = None
    scale_boxes_to_pixel_coordinates: Message | None = None
    resize_image: Message | None = None
    subtract_channel_mean: Message | None = None
    ssd_random_crop_fixed_aspect_ratio: Message | None = None
    ssd_random_crop_pad_fixed_aspect_ratio: Message | None = None
    rgb_to_gray: Message | None = None
    convert_class_logits_to_softmax: Message | None = None
    random_self_concat_image: Message | None = None
    autoaugment_image: Message | None = None
    drop_label_probabilistically: Message | None = None
    remap_labels: Message | None = None
    random_downscale_to_target_pixels: Message | None = None

    @property
    def operation(self) -> tuple[str, Section | Message] | None:
        """The name of the operation and its message."""
        given = ((name, getattr(self, name)) for name in specs(type(self)))
        return next(((name, message) for name, message in given if message is not None), None)


PreprocessingStep.ONE_OF = (" ".join(specs(PreprocessingStep)),)
DONE = tuple(name for name, spec in specs(PreprocessingStep).items() if spec.kind is not Message)
