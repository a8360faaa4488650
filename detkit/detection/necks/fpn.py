"""The feature pyramid of the SSD models, with the coarse levels above it.

Source: Lin et al., "Feature pyramid networks", 2017; `KerasFpnTopDownFeatureMaps` of the OD API, whose top level
gets neither smoothing nor norm nor activation.
"""

from __future__ import annotations

import tensorflow as tf

from detkit.detection.layers import Conv, ConvNorm, Hyperparameters

TOP = 5  # the backbones' last level: stride 32


class FPN:
    """Feature pyramid over the backbone's maps.

    Args:
        channels: {level: channels} of the backbone's maps.
        depth: channels of every output level.
        max_level: levels above 5 are made by stride-2 convolutions.
        separable: whether the 3x3 convolutions are depthwise separable (FPNLite).
    """

    def __init__(self, channels: dict, depth: int, max_level: int, separable: bool, hyper: Hyperparameters):
        kind = "separable" if separable else "dense"
        options = {
            "kind": kind,
            "hyper": hyper,
            "regularized": ("depthwise_kernel",) if separable else ("kernel",),
        }
        levels, self.depth = sorted(channels, reverse=True), depth
        self.lateral = {level: Conv(channels[level], depth, bias=True, hyper=hyper) for level in levels}
        self.smooth = {level: ConvNorm(depth, depth, 3, **options) for level in levels[1:]}
        self.coarse = {level: ConvNorm(depth, depth, 3, 2, **options) for level in range(TOP + 1, max_level + 1)}
        self.levels = tuple(range(min(channels), max_level + 1))

    def __call__(self, maps: dict) -> dict:
        """{level: [B, h, w, C]} -> {level: [B, h, w, depth]} for every level of the pyramid."""
        top, *lower = sorted(self.lateral, reverse=True)
        out = {top: self.lateral[top](maps[top])}
        for level in lower:
            merged = self.lateral[level](maps[level])
            out[level] = self.smooth[level](merged + doubled(out[level + 1], merged))
        for level, conv in self.coarse.items():
            out[level] = conv(out[level - 1])
        return {level: out[level] for level in self.levels}

    def nodes(self) -> dict:
        """{checkpoint path: layer}."""
        generator, nodes = "_feature_extractor/_fpn_features_generator", {}
        top, *lower = sorted(self.lateral, reverse=True)
        nodes[f"{generator}/top_layers/0"] = self.lateral[top]
        for index, level in enumerate(lower):
            nodes[f"{generator}/residual_blocks/{index}/0"] = self.lateral[level]
            nodes |= _listed(f"{generator}/conv_layers/{index}", self.smooth[level])
        for index, conv in enumerate(self.coarse.values()):
            nodes |= _listed(f"_feature_extractor/_coarse_feature_layers/{index}", conv)
        return nodes


def _listed(prefix: str, unit: ConvNorm) -> dict:
    return {f"{prefix}/{index}": layer for index, layer in enumerate(unit.layers)}


def doubled(x, like):
    """Nearest-neighbour doubling of x [B, h, w, C], cut to the size of `like` where that is odd."""
    doubled = tf.raw_ops.ResizeNearestNeighbor(images=x, size=2 * tf.shape(x)[1:3])
    doubled.set_shape([None, *(None if n is None else 2 * n for n in x.shape[1:3]), x.shape[3]])
    if doubled.shape[1:3] == like.shape[1:3]:
        return doubled
    return doubled[:, : tf.shape(like)[1], : tf.shape(like)[2]]
