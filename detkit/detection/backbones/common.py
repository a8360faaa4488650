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
    """

    name: str
    units: list[ConvNorm]
    run: Callable
    order: list | None = None

    @property
    def layers(self) -> list:
        return self.order if self.order is not None else [layer for unit in self.units for layer in unit.layers]

    @property
    def filters(self) -> int:
        """Channels of the output; the last unit of every block is the one that makes it."""
        return self.units[-1].filters


def number_layers(blocks: list[Block], prefix: str) -> dict:
    """{"PREFIX/layer_with_weights-N": layer}: Keras counts the layers that have weights in graph order."""
    layers = [layer for block in blocks for layer in block.layers]
    return {f"{prefix}/layer_with_weights-{number}": layer for number, layer in enumerate(layers)}
