"""Makes a model directory whose weights anyone can recompute, for benchmarks that need no trained checkpoint.

Every value follows from the variable's checkpoint key: a normal draw seeded by the key's SHA-256, scaled as He
initialisation for kernels, near the identity for batch norms.

    python benchmarks/reference_model.py PIPELINE.CONFIG OUTPUT [--gains BACKBONE HEAD NECK]
"""

from __future__ import annotations

import argparse
import hashlib

import numpy as np

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
GROUPS = (("classification_backbone/", 0), ("_prediction_heads/", 1), ("_box_prediction_head/", 1))


def reference_value(path: str, shape: tuple, gains=(1.0, 1.0, 1.0)) -> np.ndarray:
    """The value of the variable at a checkpoint path ("_feature_extractor/..."), float32 of the given shape.

    Args:
        gains: factors for the kernels of the backbone, of the final convolutions, and of everything else.
    """
    digest = hashlib.sha256(f"model/{path}{SUFFIX}".encode()).digest()
    draw = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8], "little"))).standard_normal(shape)
    gain = gains[next((number for name, number in GROUPS if name in path), 2)]
    name = path.rsplit("/", 1)[1]
    fan_in = np.prod(shape[:2]) if name == "depthwise_kernel" else np.prod(shape[:-1])
    prior = -2.0 if "class_predictions_with_background/" in path else 0.0
    values = {
        "gamma": lambda: 1.0 + 0.1 * draw,
        "moving_variance": lambda: 1.0 + 0.1 * np.abs(draw),
        "bias": lambda: prior + 0.1 * draw,
        "beta": lambda: 0.1 * draw,
        "moving_mean": lambda: 0.1 * draw,
    }
    kernel = lambda: draw * (gain * np.sqrt(2.0 / fan_in))  # noqa: E731
    return values.get(name, kernel)().astype(np.float32)


def reference_detector(config_path, gains):
    """The detector of a pipeline.config with reference weights."""
    from detkit.detection.build import build
    from detkit.pipeline import od_config

    detector = build(od_config.read(config_path))
    for path, variable in detector.variables().items():
        variable.assign(reference_value(path, tuple(variable.shape), gains))
    return detector


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("output")
    parser.add_argument("--gains", type=float, nargs=3, default=(0.65, 0.6, 0.75))
    arguments = parser.parse_args()

    from detkit.detection.load import save

    save(reference_detector(arguments.config, arguments.gains), arguments.output)
    print(f"written: {arguments.output}")


if __name__ == "__main__":
    main()
