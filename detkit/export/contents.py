"""What travels with an exported detector: its classes, its config, and what its input is."""

from __future__ import annotations

import numpy as np

from detkit.garden.detector import GardenDetector
from detkit.hub.facts import NAME, Facts
from detkit.pipeline import od_config, text_format, yaml_format


def facts(detector, **more) -> Facts:
    """What must be known to use an exported detector."""
    return Facts("detection", detector.name, detector.classes, detector.label_ids, **more)


def of_fixed_size(detector, dtype: str) -> Facts:
    """The facts of an export whose input has the model's size, and this type."""
    if isinstance(detector, GardenDetector):
        frame = detector.resizer.size if detector.resizer.keep_aspect_ratio else None
        padding = _colour_of_zero(detector)
        return facts(detector, size=detector.input_size, frame=frame, padding=padding, input=dtype, half_pixel=True)
    aspect = detector.resizer.aspect
    fit = (aspect.min_dimension, aspect.max_dimension) if aspect else None
    padding = (0.0, 0.0, 0.0) if detector.normalizes_padding else _colour_of_zero(detector)
    return facts(detector, size=detector.input_size, fit=fit, padding=padding, input=dtype)


def _colour_of_zero(detector) -> tuple[float, ...]:
    """The RGB of 0..255 that is normalised to 0: what a padding with zeros looks like before it."""
    low, high = np.asarray(detector.normalize(np.float32([[0.0] * 3, [255.0] * 3])))
    return tuple(float(value) for value in -255.0 * low / (high - low))


def files(detector, known: Facts) -> dict[str, str]:
    """{name: text} of the files that travel with an export."""
    items = text_format.Message()
    # Exported detectors count their classes, whatever the ids in the training data were.
    for label_id, name in enumerate(detector.classes, start=1):
        items.add("item", text_format.Message([("id", label_id), ("name", name)]))
    return {
        NAME: known.text(),
        "label_map.pbtxt": text_format.dumps(items),
        "labelmap.txt": "\n".join(detector.classes) + "\n",
    } | _config(detector)


def _config(detector) -> dict[str, str]:
    """The configuration that the detector was built from, under the name that it has in the model's directory."""
    if isinstance(detector, GardenDetector):
        return {"params.yaml": yaml_format.dumps({"task": detector.task_config.as_dict()})}
    return {"pipeline.config": od_config.dumps(detector.config)}
