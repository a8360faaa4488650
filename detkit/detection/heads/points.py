"""The heads of CenterNet: for each of its maps a 3x3 convolution and a 1x1, both with biases and without norms.

Source: `make_prediction_net` of the OD API.
"""

from __future__ import annotations

from detkit.detection.layers import Conv, Hyperparameters

RARE = Hyperparameters("RELU", initializer=("normal", 0.0, 0.01))
HYPER = Hyperparameters("RELU", initializer=("glorot", 0.0, 1.0))
DEPTH = 256


class PointHeads:
    """One head for every output and every stack of the backbone.

    Args:
        channels: of the map that the heads read.
        outputs: {name: (values per cell, initial bias)}.
        stacks: how many maps the backbone has, each with heads of its own.
        separable: whether the 3x3 convolutions are depthwise separable.
    """

    def __init__(self, channels: int, outputs: dict, stacks: int, separable: bool):
        kind = "separable" if separable else "dense"
        self.names, self.stacks = tuple(outputs), stacks
        keys = [(name, stack) for name in outputs for stack in range(stacks)]
        self.towers = {key: Conv(channels, DEPTH, 3, kind=kind, bias=True, hyper=HYPER) for key in keys}
        self.finals = {}
        for name, stack in keys:
            values, prior = outputs[name]
            # A prior holds only where the features hardly count; saturated scores would not learn.
            self.finals[name, stack] = Conv(DEPTH, values, bias=True, hyper=RARE if prior else HYPER)
            self.finals[name, stack].bias_prior = prior

    def run_towers(self, x, stack: int) -> dict:
        """The map [B, h, w, channels] of a stack -> {name: [B, h, w, DEPTH]}."""
        return {name: self.towers[name, stack](x, activation="RELU") for name in self.names}

    def run(self, x, stack: int) -> dict:
        """The map [B, h, w, channels] of a stack -> {name: [B, h, w, values]}."""
        return {name: self.finals[name, stack](tower) for name, tower in self.run_towers(x, stack).items()}

    def final_layers(self, *names) -> list:
        """The 1x1 convolutions of some outputs, in every stack."""
        return [conv for (name, _), conv in self.finals.items() if name in names]

    def nodes(self) -> dict:
        """{checkpoint path: layer}."""
        nodes = {}
        for (name, stack), tower in self.towers.items():
            # Checkpoints write the slash of a dictionary's key as ".S".
            prefix = f"_prediction_head_dict/{name.replace('/', '.S')}/{stack}"
            nodes[f"{prefix}/layer_with_weights-0"] = tower
            nodes[f"{prefix}/layer_with_weights-1"] = self.finals[name, stack]
        return nodes
