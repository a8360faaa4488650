"""The extra feature maps of SSD without a pyramid.

Source: Liu et al., "SSD", 2016; `KerasMultiResolutionFeatureMaps` of the OD API.
"""

from __future__ import annotations

from detkit.detection.layers import ConvNorm, Hyperparameters

DEPTHS = (512, 256, 256, 128)


class SSDMaps:
    """Two backbone maps and four more, each half as large as the one before.

    Args:
        channels: {0: channels, 1: channels} of the backbone's two maps.
        multiplier, min_depth: scale the depths of the added maps.
        separable: whether the 3x3 convolutions are depthwise separable.
    """

    def __init__(self, channels: dict, hyper: Hyperparameters, multiplier: float, min_depth: int, separable: bool):
        def depth(filters):
            return max(int(filters * multiplier), min_depth)

        self.levels = tuple(range(2 + len(DEPTHS)))
        self.added, inputs = [], channels[1]
        for filters in DEPTHS:
            reduce = ConvNorm(inputs, depth(filters // 2), hyper=hyper)
            if separable:
                spatial = ConvNorm(reduce.filters, None, 3, 2, kind="depthwise", hyper=hyper,
                                   regularized=("depthwise_kernel",))  # fmt: skip
                shrink = [spatial, ConvNorm(reduce.filters, depth(filters), hyper=hyper)]
            else:
                shrink = [ConvNorm(reduce.filters, depth(filters), 3, 2, hyper=hyper)]
            self.added.append([reduce, *shrink])
            inputs = depth(filters)
        self.channels = [channels[0], channels[1], *map(depth, DEPTHS)]

    def __call__(self, maps: dict) -> dict:
        """{0, 1: [B, h, w, C]} -> {0..5: [B, h, w, C]}."""
        out = dict(maps)
        for level, units in enumerate(self.added, start=2):
            x = out[level - 1]
            for unit in units:
                x = unit(x)
            out[level] = x
        return out

    def nodes(self) -> dict:
        """{checkpoint path: layer}."""
        nodes = {}
        for number, units in enumerate(self.added):
            prefix = f"_feature_extractor/feature_map_generator/convolutions/{number + 2}"
            nodes |= {f"{prefix}/{3 * i + j}": layer for i, unit in enumerate(units)
                      for j, layer in enumerate(unit.layers)}  # fmt: skip
        return nodes
