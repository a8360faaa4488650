"""Every variable's checkpoint key and shape, for the one-stage architectures."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path

import pytest
from reference_weights import digest, shapes
from ssd_configs import ARCHITECTURES, config

from detkit.detection.build import build
from detkit.pipeline import od_config

HASHED = json.loads((Path(__file__).parent / "manifests.json").read_text())
LARGE = ("1024", "resnet101", "resnet152")
EFFICIENTDET = ["efficientdet_d0", *(pytest.param(f"efficientdet_d{n}", marks=pytest.mark.slow) for n in range(1, 8))]
ALL = [pytest.param(n, marks=[pytest.mark.slow] * any(word in n for word in LARGE)) for n in ARCHITECTURES]
DIFFERENT = [param for param in ALL if "1024" not in param.values[0] and "fpnlite_640" not in param.values[0]]


def manifest(shared, name) -> dict:
    document = json.loads((shared / "golden" / "manifests" / f"{name}.json").read_text())
    return {key: shape for key, shape, dtype in document["variables"] if dtype == "float32"}


@pytest.mark.parametrize("name", [*ALL, *EFFICIENTDET])
def test_keys_and_shapes_of_the_zoo_configs(shared, name):
    detector = build(od_config.read(shared / "golden" / "configs" / f"{name}.config"))
    assert shapes(detector) == manifest(shared, name)


@pytest.mark.parametrize("name", HASHED)
def test_hashes_here_are_those_of_the_manifests(shared, name):
    assert HASHED[name]["sha256"] == digest(manifest(shared, name))


@pytest.mark.parametrize("name", DIFFERENT)
def test_keys_and_shapes_without_the_reference_data(name):
    found = shapes(build(config(name)))
    parameters = sum(prod(shape) for shape in found.values())
    assert (len(found), parameters) == (HASHED[name]["variables"], HASHED[name]["parameters"])
    assert digest(found) == HASHED[name]["sha256"]


@pytest.mark.parametrize("name", ["ssd_mobilenet_v2_320x320", "ssd_mobilenet_v2_fpnlite_320x320"])
def test_class_count_changes_class_heads_only(name):
    few, many = shapes(build(config(name, classes=3))), shapes(build(config(name)))
    changed = [key for key in many if few[key] != many[key]]
    assert few.keys() == many.keys()
    assert changed
    assert all("class_predictions_with_background/" in key for key in changed)


def test_every_variable_belongs_to_one_part_and_one_stage():
    detector = build(config("ssd_mobilenet_v2_fpnlite_320x320", classes=2))
    parts = {"backbone", "neck", "head/towers", "head/box_head", "head/class_head"}
    assert set(detector.part_of().values()) == parts
    staged = [id(layer) for stage in detector.stages for layer in stage.layers]
    assert len(staged) == len(set(staged))
    assert set(staged) == {id(layer) for layer in detector.nodes.values()}
