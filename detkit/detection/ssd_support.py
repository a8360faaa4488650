"""Which settings of an SSD config detkit honours; all others are refused, since they would silently change results."""

from __future__ import annotations

from detkit.detection.feature_extractors import CHAINS, EFFICIENTDETS
from detkit.errors import ConfigError

REQUIRED = (
    "feature_extractor.conv_hyperparams",
    "box_coder.faster_rcnn_box_coder",
    "matcher.argmax_matcher",
    "loss.classification_loss.weighted_sigmoid_focal",
    "loss.localization_loss.weighted_smooth_l1",
    "post_processing.batch_non_max_suppression",
)
PYRAMID = (
    "anchor_generator.multiscale_anchor_generator",
    "box_predictor.weight_shared_convolutional_box_predictor",
)
CHAIN = ("anchor_generator.ssd_anchor_generator", "box_predictor.convolutional_box_predictor")
# The only value that these may have; a message on the way may be absent.
ONLY = {
    "feature_extractor.pad_to_multiple": 1,
    "feature_extractor.use_explicit_padding": False,
    "feature_extractor.replace_preprocessor_with_placeholder": False,
    "anchor_generator.multiscale_anchor_generator.normalize_coordinates": True,
    "anchor_generator.ssd_anchor_generator.base_anchor_height": 1.0,
    "anchor_generator.ssd_anchor_generator.base_anchor_width": 1.0,
    "anchor_generator.ssd_anchor_generator.height_stride": (),
    "anchor_generator.ssd_anchor_generator.width_stride": (),
    "anchor_generator.ssd_anchor_generator.height_offset": (),
    "anchor_generator.ssd_anchor_generator.width_offset": (),
    "box_predictor.weight_shared_convolutional_box_predictor.apply_conv_hyperparams_to_heads": False,
    "box_predictor.weight_shared_convolutional_box_predictor.apply_conv_hyperparams_pointwise": False,
    "box_predictor.weight_shared_convolutional_box_predictor.box_code_size": 4,
    "box_predictor.weight_shared_convolutional_box_predictor.use_dropout": False,
    "box_predictor.weight_shared_convolutional_box_predictor.score_converter": "IDENTITY",
    "box_predictor.weight_shared_convolutional_box_predictor.box_encodings_clip_range": None,
    "box_predictor.convolutional_box_predictor.apply_sigmoid_to_scores": False,
    "box_predictor.convolutional_box_predictor.box_code_size": 4,
    "box_predictor.convolutional_box_predictor.box_encodings_clip_range": None,
    "similarity_calculator.ioa_similarity": None,
    "similarity_calculator.neg_sq_dist_similarity": None,
    "similarity_calculator.thresholded_iou_similarity": None,
    "loss.hard_example_miner": None,
    "loss.random_example_sampler": None,
    "loss.equalization_loss": None,
    "loss.expected_loss_weights": "NONE",
    "negative_class_weight": 1.0,
    "explicit_background_class": False,
    "use_confidences_as_targets": False,
    "mask_head_config": None,
    "post_processing.logit_scale": 1.0,
    "post_processing.calibration_config": None,
    "post_processing.batch_non_max_suppression.soft_nms_sigma": 0.0,
    "post_processing.batch_non_max_suppression.use_class_agnostic_nms": False,
    "post_processing.batch_non_max_suppression.change_coordinate_frame": True,
}
EFFICIENTDET_ONLY = {"feature_extractor.depth_multiplier": 1.0, "feature_extractor.use_depthwise": False}
COMBINE_METHODS = ("fast_attention", "sum")
BACKBONE_TOP = 5  # the coarsest level of every backbone


def check(ssd) -> None:
    """Goes through a typed `ssd` message.

    Raises:
        ConfigError: if detkit can't do what it asks for; the message names the field.
    """
    kind = ssd.feature_extractor.type
    efficientdet = kind in EFFICIENTDETS
    pyramid = "bifpn" if efficientdet else "fpn"
    chained = kind in CHAINS
    for path in (*REQUIRED, *(CHAIN if chained else (f"feature_extractor.{pyramid}", *PYRAMID))):
        if _at(ssd, path) is None:
            raise _unsupported(path, "nothing", f"a {path.rsplit('.', 1)[1]}")
    for path, only in (ONLY | (EFFICIENTDET_ONLY if efficientdet else {})).items():
        found = _at(ssd, path, only)
        if found != only:
            raise _unsupported(path, found if isinstance(found, (bool, int, float, str, tuple)) else "set", only)
    if not chained:
        _check_pyramid(ssd, pyramid)


def _check_pyramid(ssd, name: str) -> None:
    """The levels of the pyramid and those of the anchors."""
    pyramid, generator = getattr(ssd.feature_extractor, name), ssd.anchor_generator.multiscale_anchor_generator
    lowest_top = BACKBONE_TOP + (name == "bifpn")
    problems = {
        f"feature_extractor.{name}.min_level": (pyramid.min_level, range(1, BACKBONE_TOP + 1)),
        f"feature_extractor.{name}.max_level": (pyramid.max_level, range(lowest_top, 13)),
        "anchor_generator.multiscale_anchor_generator.min_level": (generator.min_level, [pyramid.min_level]),
        "anchor_generator.multiscale_anchor_generator.max_level": (generator.max_level, [pyramid.max_level]),
    }
    if name == "bifpn":
        problems["feature_extractor.bifpn.combine_method"] = (pyramid.combine_method, COMBINE_METHODS)
    for path, (found, allowed) in problems.items():
        if found not in allowed:
            raise _unsupported(path, found, " or ".join(map(str, allowed)))


def _at(message, path: str, default=None):
    """The field at a dotted path, `default` where a message on the way is absent."""
    for name in path.split("."):
        if message is None:
            return default
        message = getattr(message, name)
    return message


def _unsupported(path: str, got, expected) -> ConfigError:
    return ConfigError(
        "detkit can't do what this SSD config asks for.",
        where=f"model.ssd.{path}",
        got=got,
        expected="unset" if expected is None or expected == () else expected,
        fix="Use a config of the TF2 Detection Model Zoo.",
    )
