"""What a backbone is to the rest of a detector: a chain of named blocks, some of which are tapped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from detkit.detection.layers import ConvNorm


@dataclass(frozen=True)
class Block:
    """One block of a backbone.

    Attributes:
        name: the Keras application's name of it, without suffix.
        units: its convolutions with their norms, in the order of the network.
        run: [B, H, W, C] -> [B, H', W', C'].
        layers: its layers in the order in which a checkpoint numbers them (by default that of `units`).
        width: channels of the output, where the last unit does not make all of them.
    """

    name: str
    units: list[ConvNorm]
    run: Callable
    order: list | None = None
    width: int | None = None

    @property
    def layers(self) -> list:
        return self.order if self.order is not None else [layer for unit in self.units for layer in unit.layers]

    @property
    def filters(self) -> int:
        """Channels of the output; unless it has a `width`, the last unit of a block is the one that makes it."""
        return self.units[-1].filters if self.width is None else self.width


def chain(*units) -> Callable:
    """One function that applies all of them, in order."""

    def run(x):
        for unit in units:
            x = unit(x)
        return x

    return run


def number_layers(blocks: list[Block], prefix: str) -> dict:
    """{"PREFIX/layer_with_weights-N": layer}: Keras counts the layers that have weights in graph order."""
    layers = [layer for block in blocks for layer in block.layers]
    return {f"{prefix}/layer_with_weights-{number}": layer for number, layer in enumerate(layers)}


def round_to_eight(channels: float) -> int:
    """The multiple of eight nearest to a scaled number of channels, not more than a tenth below it."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
