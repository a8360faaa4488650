"""What a stored network holds: `detkit inspect`."""

from __future__ import annotations

import math

from detkit.networks.foreign import is_foreign
from detkit.text import aligned, some


def inspect(network, variables: bool = False) -> str:
    """A network's architecture, input, classes, and the variables of its parts, as text.

    Args:
        network: of any task but detection.
        variables: list every variable.
    """
    own, parts = network.variables(), network.part_of()
    size = "x".join(map(str, network.input_size)) if network.input_size else "as large as the images"
    rows = [["part", "layers", "variables", "parameters"]]
    for part, layers in network.parts.items():
        paths = [path for path in own if parts[path] == part]
        rows.append([part, str(len(layers)), str(len(paths)), f"{sum(math.prod(own[p].shape) for p in paths):,}"])
    lines = [
        f"{network.task}: {network.name}",
        f"input {size}, {len(network.classes)} classes: {some(network.classes, 12)}",
        aligned(rows),
        *(f"{part}: {layer.text}" for part, layers in network.parts.items() for layer in layers if is_foreign(layer)),
    ]
    if variables:
        lines += [f"{parts[path]:<10}{path} {list(variable.shape)}" for path, variable in own.items()]
    return "\n".join(lines)
