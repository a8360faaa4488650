"""The necks of CenterNet: from a backbone's last map, at 1/32 of the input, up to one map at 1/4.

Source: `center_net_resnet_v1_fpn_feature_extractor`, `center_net_mobilenet_v2_fpn_feature_extractor` and
`center_net_resnet_feature_extractor` of the OD API.
"""

from __future__ import annotations

from detkit.detection.layers import Conv, ConvNorm, Hyperparameters
from detkit.detection.necks.fpn import doubled

HYPER = Hyperparameters("RELU", initializer=("glorot", 0.0, 1.0), epsilon=1e-3, momentum=0.99, force_bias=True)


class TopDown:
    """Three times: double, add what the backbone has at that resolution, convolve.

    Args:
        channels: of the backbone's four maps, coarsest first.
        widths: channels in which the three finer maps are added; the coarsest starts with the first of them.
        separable: whether the 3x3 convolutions are depthwise separable.
    """

    def __init__(self, channels: list[int], widths: tuple[int, ...], separable: bool):
        kind, outputs = "separable" if separable else "dense", (*widths[1:], widths[-1])
        self.lateral = [
            Conv(c, width, bias=True, hyper=HYPER)
            for c, width in zip(channels, (widths[0], *widths), strict=True)
        ]  # fmt: skip
        self.smooth = [
            ConvNorm(width, out, 3, kind=kind, hyper=HYPER) for width, out in zip(widths, outputs, strict=True)
        ]
        self.filters = outputs[-1]

    def __call__(self, maps: list):
        """Maps [B, h, w, C], coarsest first -> [B, 8h, 8w, filters]."""
        x = self.lateral[0](maps[0])
        for lateral, smooth, finer in zip(self.lateral[1:], self.smooth, maps[1:], strict=True):
            merged = lateral(finer)
            x = smooth(merged + doubled(x, merged))
        return x

    @property
    def layers(self) -> list:
        """In the order in which a checkpoint numbers them."""
        pairs = zip(self.lateral[1:], self.smooth, strict=True)
        return [self.lateral[0], *(layer for lateral, smooth in pairs for layer in (lateral, *smooth.layers))]


class Deconvolution:
    """Three times: a 3x3 convolution, then a transposed one that doubles.

    Args:
        channels: of the backbone's last map.
    """

    def __init__(self, channels: int, widths: tuple[int, ...] = (256, 128, 64)):
        self.units = []
        for before, width in zip((channels, *widths), widths, strict=False):
            self.units.append(ConvNorm(before, width, 3, hyper=HYPER))
            self.units.append(ConvNorm(width, width, 3, 2, kind="transposed", hyper=HYPER))
        self.filters = widths[-1]

    def __call__(self, maps: list):
        """[[B, h, w, channels]] -> [B, 8h, 8w, filters]."""
        (x,) = maps
        for unit in self.units:
            x = unit(x)
        return x

    @property
    def layers(self) -> list:
        """In the order in which a checkpoint numbers them."""
        return [layer for unit in self.units for layer in unit.layers]
