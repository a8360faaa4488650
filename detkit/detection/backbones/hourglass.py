"""Hourglass-104: two hourglasses one after the other, each down to 1/128 of the input and up again to 1/4.

Sources: Newell et al., "Stacked hourglass networks", 2016; keys as in
`object_detection/models/keras_models/hourglass_network.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from detkit.detection.backbones.common import chain
from detkit.detection.layers import ConvNorm, Hyperparameters
from detkit.detection.necks.fpn import doubled

HYPER = Hyperparameters("RELU", initializer=("glorot", 0.0, 1.0), epsilon=1e-5, momentum=0.1)


@dataclass(frozen=True)
class Shape:
    """How large an hourglass network is.

    Attributes:
        stem: channels of the first convolution.
        widths: channels at each resolution, from 1/4 of the input downwards.
        blocks: residual blocks at each resolution.
        stacks: hourglasses.
    """

    stem: int
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    stacks: int


HOURGLASS_104 = Shape(128, (256, 256, 384, 384, 384, 512), (2, 2, 2, 2, 2, 4), 2)


class Residual:
    """Two 3x3 convolutions beside a shortcut, which is a convolution where stride or width change."""

    def __init__(self, channels: int, filters: int, stride: int = 1):
        self.first = ConvNorm(channels, filters, 3, stride, hyper=HYPER, padding=1)
        self.second = ConvNorm(filters, filters, 3, hyper=HYPER, activation="NONE")
        changes = stride > 1 or channels != filters
        self.skip = ConvNorm(channels, filters, 1, stride, hyper=HYPER, activation="NONE") if changes else None

    def __call__(self, x):
        """x: [B, H, W, channels] -> [B, H / stride, W / stride, filters]."""
        rest = x if self.skip is None else self.skip(x)
        return tf.nn.relu(rest + self.second(self.first(x)))

    @property
    def layers(self) -> list:
        units = [self.first, self.second, *([self.skip] if self.skip else [])]
        return [layer for unit in units for layer in unit.layers]

    def nodes(self, prefix: str) -> dict:
        """{checkpoint path: layer}."""
        skip = {} if self.skip is None else unit_nodes(f"{prefix}/skip", self.skip)
        return unit_nodes(f"{prefix}/conv_block", self.first) | unit_nodes(prefix, self.second) | skip


def unit_nodes(prefix: str, unit: ConvNorm) -> dict:
    """{checkpoint path: layer} of a convolution and its norm."""
    return {f"{prefix}/conv": unit.conv, f"{prefix}/norm": unit.norm}


def _residuals(widths) -> list[Residual]:
    """Residual blocks of these widths, from the first to the last."""
    return [Residual(*pair) for pair in zip(widths, widths[1:], strict=False)]


class Stack:
    """One hourglass, without the convolution at its end.

    Attributes:
        beside, down, up: residual blocks at each level: those that stay at its resolution, those that leave it
            downwards, and those that come back to it.
        bottom: residual blocks at the lowest resolution.
    """

    def __init__(self, shape: Shape):
        levels = list(zip(shape.widths, shape.widths[1:], shape.blocks, strict=False))
        self.beside = [_residuals([width] * (n + 1)) for width, _, n in levels]
        self.down = [[Residual(width, below, 2), *_residuals([below] * n)] for width, below, n in levels]
        self.up = [_residuals([below] * n + [width]) for width, below, n in levels]
        self.bottom = _residuals([shape.widths[-1]] * (shape.blocks[-1] + 1))

    def steps(self) -> list[tuple]:
        """[(name, blocks, state -> state)]: "x" goes down and up, "skip/LEVEL" waits for its return."""
        levels = range(len(self.down))
        down = [(f"down_{i}", self.beside[i] + self.down[i], self._downwards(i)) for i in levels]
        up = [(f"up_{i}", self.up[i], self._upwards(i)) for i in reversed(levels)]
        return [*down, ("bottom", self.bottom, self._through_bottom), *up]

    def _downwards(self, level):
        def run(state):
            x = state["x"]
            return state | {f"skip/{level}": chain(*self.beside[level])(x), "x": chain(*self.down[level])(x)}

        return run

    def _through_bottom(self, state):
        return state | {"x": chain(*self.bottom)(state["x"])}

    def _upwards(self, level):
        def run(state):
            skip = state[f"skip/{level}"]
            rest = {name: value for name, value in state.items() if name != f"skip/{level}"}
            return rest | {"x": skip + doubled(chain(*self.up[level])(state["x"]), skip)}

        return run

    def nodes(self, prefix: str) -> dict:
        """{checkpoint path: layer}."""
        nodes = {}
        for beside, down, up in zip(self.beside, self.down, self.up, strict=True):
            for name, blocks in (("encoder_block1", beside), ("encoder_block2", down), ("decoder_block", up)):
                for i, block in enumerate(blocks):
                    nodes |= block.nodes(f"{prefix}/{name}/{i}")
            prefix += "/inner_block/0"
        for i, block in enumerate(self.bottom):
            nodes |= block.nodes(f"{prefix.removesuffix('/0')}/{i}")
        return nodes


class Hourglass:
    """The whole network: a stem, and hourglasses with what lies between them.

    Attributes:
        outputs: the convolution at the end of each hourglass; the last makes the map that detections come from.
    """

    def __init__(self, shape: Shape):
        width, between = shape.widths[0], range(shape.stacks - 1)
        self.stem = ConvNorm(3, shape.stem, 7, 2, hyper=HYPER, padding=3)
        self.reduce = Residual(shape.stem, width, 2)
        self.stacks = [Stack(shape) for _ in range(shape.stacks)]
        self.outputs = [ConvNorm(width, width, 3, hyper=HYPER) for _ in range(shape.stacks)]
        self.before = [ConvNorm(width, width, hyper=HYPER, activation="NONE") for _ in between]
        self.after = [ConvNorm(width, width, hyper=HYPER, activation="NONE") for _ in between]
        self.merge = [Residual(width, width) for _ in between]

    def steps(self) -> list[tuple]:
        """[(name, blocks, state -> state)] up to the last output; "map/STACK" is the output of each other stack."""
        steps = [("stem", [self.stem, self.reduce], lambda state: {"x": self.reduce(self.stem(state["x"]))})]
        last = len(self.stacks) - 1
        for number, stack in enumerate(self.stacks):
            inner = stack.steps()
            if number < last:
                name, blocks, run = inner[0]
                inner[0] = (name, blocks, lambda state, run=run: run(state | {"input": state["x"]}))
                between = [self.outputs[number], self.before[number], self.after[number], self.merge[number]]
                inner.append(("output", between, self._between(number)))
            steps += [(f"stack_{number}/{name}", blocks, run) for name, blocks, run in inner]
        return steps

    def _between(self, number):
        def run(state):
            output = self.outputs[number](state["x"])
            merged = tf.nn.relu(self.before[number](state["input"]) + self.after[number](output))
            rest = {name: value for name, value in state.items() if name not in ("x", "input")}
            return rest | {f"map/{number}": output, "x": self.merge[number](merged)}

        return run

    def nodes(self, prefix: str) -> dict:
        """{checkpoint path: layer}."""
        nodes = unit_nodes(f"{prefix}/downsample_input/conv_block", self.stem)
        nodes |= self.reduce.nodes(f"{prefix}/downsample_input/residual_block")
        for i, stack in enumerate(self.stacks):
            nodes |= stack.nodes(f"{prefix}/hourglass_network/{i}")
            nodes |= unit_nodes(f"{prefix}/output_conv/{i}", self.outputs[i])
        for i, merge in enumerate(self.merge):
            nodes |= unit_nodes(f"{prefix}/intermediate_conv1/{i}", self.before[i])
            nodes |= unit_nodes(f"{prefix}/intermediate_conv2/{i}", self.after[i])
            nodes |= merge.nodes(f"{prefix}/intermediate_residual/{i}")
        return nodes
